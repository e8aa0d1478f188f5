"""A container's own files and folders as the archive that the engine unpacks into its volumes."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping

_READABLE = 0o440  # the files are root's; the group is the container's
_PRIVATE = 0o700


def files(texts: Mapping[str, str], group: int) -> bytes:
    """Pack files by their name; only root and the group may read them."""
    return _packed([(_entry(name, 0, group, _READABLE), text.encode()) for name, text in texts.items()])


def folder(name: str, user: int, group: int) -> bytes:
    """Pack an empty folder that only the user may enter; unpacked over one with content, it leaves that as it is."""
    entry = _entry(name, user, group, _PRIVATE)
    entry.type = tarfile.DIRTYPE
    return _packed([(entry, b"")])


def _entry(name: str, user: int, group: int, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.uid, entry.gid, entry.mode = user, group, mode
    return entry


def _packed(entries: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for entry, content in entries:
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
