"""Reports of what may not happen: the traceback goes into a log, and the message names the log."""

from __future__ import annotations

import time
import traceback
from pathlib import Path

from stepflow.blame import PluginError, words
from stepflow.errors import PermanentError, StepflowError


def with_report(error: Exception, log: Path) -> StepflowError:
    """Return the error to show: one of the contract as it is, any other with its traceback in the log."""
    if isinstance(error, PluginError):
        return PluginError(error.message, hint=error.hint, log=write_report(error, log))
    if isinstance(error, StepflowError):
        return error
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
