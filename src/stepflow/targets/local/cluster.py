"""PostgreSQL's data directory: what it was set up with, how it differs from that, and how it becomes so again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from stepflow.errors import PermanentError
from stepflow.handoff import ServerFile
from stepflow.targets.addresses import POSTGRES_ADMIN, server_secret
from stepflow.targets.local.layout import Layout
from stepflow.targets.local.scram import verifier
from stepflow.targets.local.spec import digest_of
from stepflow.targets.secretfiles import secret_file
from stepflow.targets.wholefile import remove_folder, write_whole

PASSWORD = server_secret(ServerFile("postgres"))
"""The name of the administrator's password."""
_SETTINGS = ("postgresql.conf", "postgresql.auto.conf", "pg_hba.conf", "pg_ident.conf")
_LONGEST = 60.0  # seconds that setting the password may take, recovery after a crash included


def record(layout: Layout) -> None:
    """Keep what the cluster was set up with, once there is one; what is kept already stays."""
    if not layout.cluster.is_dir():
        return
    layout.applied.mkdir(exist_ok=True, mode=0o700)
    for name in _SETTINGS:
        if not (layout.applied / name).exists() and (layout.cluster / name).exists():
            _copy(layout.cluster / name, layout.applied / name)
    password = layout.secrets / PASSWORD
    if not _known(layout).exists() and password.exists():
        write_whole(_known(layout), _digest(password))


def drifted(layout: Layout) -> Iterator[str]:
    """Describe what of the cluster is not as it was set up."""
    if not layout.cluster.is_dir():
        if layout.applied.exists():
            yield "its data directory `postgres/cluster` is gone"
        return
    password = layout.secrets / PASSWORD
    if not password.exists():
        yield f"its password, the secret `{PASSWORD}`, is gone"
    elif not _has(layout, password):
        yield f"its password, the secret `{PASSWORD}`, changed"
    yield from (f"its file `{name}` was changed on disk" for name in _edited(layout))


def settle(layout: Layout, prefix: tuple[str, ...], program: Path, account: int | None) -> None:
    """Make the cluster of a stopped server what it was set up with; where there is none, forget what was known of one.

    A password that is gone or another is set by PostgreSQL's single-user mode, which asks for none. Until that is done,
    it is recorded that the password is not known. Raises `PermanentError` when it fails.
    """
    if not layout.cluster.is_dir():
        for known in (layout.applied, layout.databases):
            remove_folder(known, ignore_errors=True)
        secret_file(layout.secrets, PASSWORD)
        return
    for name in _edited(layout):
        _copy(layout.applied / name, layout.cluster / name, account)
    password = layout.secrets / PASSWORD
    if not (password.exists() and _has(layout, password)):
        layout.applied.mkdir(exist_ok=True, mode=0o700)
        write_whole(_known(layout), "")
        text = secret_file(layout.secrets, PASSWORD).read_text(encoding="utf-8")
        _set(layout, (*prefix, str(program)), account, text)
        write_whole(_known(layout), digest_of(text))


def _set(layout: Layout, program: tuple[str, ...], account: int | None, password: str) -> None:
    command = (*program, "--single", "-D", str(layout.cluster), "-c", "exit_on_error=on", "postgres")
    statement = f"ALTER ROLE \"{POSTGRES_ADMIN}\" PASSWORD '{verifier(password)}'\n"
    others: list[int] | None = None if account is None else []
    try:
        done = subprocess.run(
            command, input=statement.encode(), env={"LC_ALL": "C.UTF-8"}, cwd="/", timeout=_LONGEST,
            user=account, group=account, extra_groups=others, capture_output=True, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise _not_set(f"it took longer than {_LONGEST:g} s") from error
    if done.returncode != 0:
        raise _not_set("; ".join(done.stderr.decode(errors="replace").split("\n")[-3:]).strip("; "))


def _not_set(why: str) -> PermanentError:
    hint = f"put the secret `{PASSWORD}` back, or `stepflow resume`, which tries again"
    return PermanentError(f"the password of PostgreSQL's administrator cannot be set: {why}", hint=hint)


def _edited(layout: Layout) -> list[str]:
    kept = (name for name in _SETTINGS if (layout.applied / name).exists())
    return [name for name in kept if _read(layout.applied / name) != _read(layout.cluster / name)]


def _has(layout: Layout, password: Path) -> bool:
    """Return whether the cluster has this password, as far as that was recorded."""
    known = _known(layout)
    return not known.exists() or known.read_text(encoding="ascii") == _digest(password)


def _known(layout: Layout) -> Path:
    """Return the path of the digest of the password that the cluster has; of an empty text while it is being set."""
    return layout.applied / "password"


def _digest(file: Path) -> str:
    return digest_of(file.read_text(encoding="utf-8", errors="replace"))


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None


def _copy(source: Path, target: Path, account: int | None = None) -> None:
    temporary = target.with_name(f".{target.name}.new")
    temporary.touch(mode=0o600)
    temporary.write_bytes(source.read_bytes())
    if account is not None:
        os.chown(temporary, account, account)
    temporary.replace(target)
