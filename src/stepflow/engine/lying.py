"""What lies on disk where a step renders: compared three ways, with what is rendered now and what was rendered last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stepflow.plan import FileDiff
from stepflow.render import digest


@dataclass(frozen=True, slots=True)
class Lying:
    """The difference in numbers, and the digests of the files that stay as the user edited them."""

    diff: FileDiff = field(default_factory=FileDiff)
    kept: Mapping[str, str] = field(default_factory=dict)


def compare(rendered: Mapping[str, str], base: Mapping[str, str], out: Path) -> Lying:
    """Compare the digests of a rendered tree with the disk, as `write_tree` will; writes nothing."""
    kept: dict[str, str] = {}
    counts: Counter[str] = Counter()
    conflicts = []
    for path, new in rendered.items():
        current = on_disk(out / path)
        if current is None:
            counts["new"] += 1
        elif current == new:
            counts["same"] += 1
        elif current == base.get(path):
            counts["changed"] += 1
        else:
            kept[path] = current
            if new != base.get(path):
                conflicts.append(path)
    edited = tuple(path for path in kept if path not in conflicts)
    return Lying(FileDiff(counts["new"], counts["changed"], counts["same"], edited, tuple(conflicts)), kept)


def on_disk(path: Path) -> str | None:
    """Give the digest of a file, None where there is none."""
    try:
        return digest(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:  # a folder or an unreadable file is in the way: it equals nothing
        return str(error.errno)
