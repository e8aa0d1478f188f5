"""Reports of what may not happen: the traceback goes into a log, and the message names the log."""

from __future__ import annotations

import errno
import time
import traceback
from collections.abc import Mapping
from pathlib import Path

from stepflow.blame import FULL, PluginError, words
from stepflow.errors import PermanentError, StepflowError

_LIMITS: Mapping[int, str] = {
    **dict.fromkeys(FULL, "free some space"),
    errno.EFBIG: "`ulimit -f unlimited` lifts the limit of a file's size",
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "allow more open files with `ulimit -n 4096`, or lower `--jobs`"),
    **dict.fromkeys((errno.EAGAIN, errno.ENOMEM), "it has no room for another process: end some, or lower `--jobs`"),
    **dict.fromkeys(
        (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ELOOP),
        "move it away: it stands where a folder or a file has to be",
    ),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "it must be writable for your account"),
}
"""What a machine lacks -> what to do about it."""


def with_report(error: Exception, log: Path) -> StepflowError:
    """Return the error to show: one of the contract as it is, any other with its traceback in the log."""
    if isinstance(error, PluginError):
        return PluginError(error.message, hint=error.hint, log=write_report(error, log))
    if isinstance(error, StepflowError):
        return error
    if isinstance(error, OSError) and (hint := _LIMITS.get(error.errno or 0)):
        where = f"`{error.filename}`: " if error.filename else ""
        return PermanentError(f"{where}{error.strerror}", hint=hint)
    said = f"stepflow itself failed: {words(error)}"
    return PermanentError(said, hint="this is a bug", log=write_report(error, log))


def write_report(error: BaseException, log: Path) -> str:
    """Append the traceback to a log; return its path, "" when it cannot be written."""
    try:
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{time.strftime('%H:%M:%S')} unexpected error:\n")
            file.writelines(traceback.format_exception(error))
    except OSError:
        return ""
    return str(log)
