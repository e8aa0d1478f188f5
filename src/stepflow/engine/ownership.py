"""Which rendered files belong to which step, by the record and, where a run was cut off, by the disk.

A step owns the files that it rendered last until it no longer renders them and they are removed, or until another step
has them. Its record names them before it sets out to render others: neither is forgotten wherever it is cut off.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stepflow.engine.disk import on_disk
from stepflow.journal import PLATFORM

REMOVED = ""
"""Stands for the digest of a file that was removed with its step: the step rendered it, and owns it no longer."""


@dataclass(frozen=True, slots=True)
class Ownership:
    """What was rendered; by the keys of steps, or (`recognised`) by a document's numbers. `PLATFORM` is one of them."""

    base: Mapping[str, str] = field(default_factory=dict)  # path -> digest of what was last rendered there
    paths: Mapping[int, frozenset[str]] = field(default_factory=dict)  # step -> what it rendered last
    gone: Mapping[int, frozenset[str]] = field(default_factory=dict)  # always by key: those of steps that are gone
    cut_off: frozenset[str] = frozenset()  # where an attempt that was cut off may have left half a file
    removed: frozenset[int] = frozenset()  # steps, always by key, whose files were removed with them

    def of(self, step: int) -> dict[str, str]:
        """Return the files that a step owns."""
        return {path: self.base[path] for path in self.paths.get(step, ()) if path in self.base}

    def numbered(self, numbers: Mapping[int, int]) -> Ownership:
        """Return the same by the numbers of a document's steps, of which `numbers` has each key's."""
        there = {**numbers, PLATFORM: PLATFORM}
        paths = {there[key]: found for key, found in self.paths.items() if key in there}
        gone = {key: found for key, found in self.paths.items() if found and key not in {*there, *self.removed}}
        return replace(self, paths=paths, gone=gone)

    def without(self, step: int, paths: Collection[str]) -> Ownership:
        """Return the same with some files less that a step rendered."""
        return replace(self, paths={**self.paths, step: self.paths.get(step, frozenset()) - {*paths}})

    def passed_on(self, step: int, tree: Collection[str], rendered: Collection[str]) -> dict[str, str]:
        """Return the files of a step that others are to render from now on (`rendered` has all), and have not yet."""
        others = frozenset[str]().union(*(paths for number, paths in self.paths.items() if number != step))
        return {
            path: digest
            for path, digest in self.of(step).items()
            if path in rendered and path not in tree and path not in others
        }

    def left_over(self, rendered: Collection[str], out: Path) -> dict[str, str]:
        """Return the files, as they were rendered, of steps that are gone, but for those that other steps have."""
        taken = frozenset(rendered).union(*self.paths.values())
        paths = sorted(frozenset[str]().union(*self.gone.values()) - taken)
        return {path: self.base[path] for path in paths if path in self.base and on_disk(out / path) == self.base[path]}

    def disowned(self) -> dict[int, dict[str, str]]:
        """Return what steps that are gone own once their files are removed, by key: nothing, but they rendered it."""
        return {key: dict.fromkeys(paths, REMOVED) for key, paths in self.gone.items()}


def ownership(attempts: Sequence[Mapping[str, Any]], out: Path) -> Ownership:
    """Return which files belong to which step, by the last attempt at each, in their order."""
    settled = {row["step"]: _settled(row, out) for row in attempts}
    digests: dict[str, dict[str, None]] = {}  # path -> what was rendered there, the last one at the end
    for files in settled.values():
        for path, digest in files.items():
            digests[path] = {each: None for each in digests.get(path, {}) if each != digest} | {digest: None}
    base = {
        path: _rendered_last([each for each in found if each != REMOVED], out / path) for path, found in digests.items()
    }
    cut_off = frozenset(path for row in attempts if row["outcome"] is None for path in row["files"])
    return Ownership(
        {path: digest for path, digest in base.items() if digest},
        {step: frozenset(files) for step, files in settled.items()},
        cut_off=cut_off,
        removed=frozenset(step for step, files in settled.items() if REMOVED in files.values()),
    )


def _settled(row: Mapping[str, Any], out: Path) -> dict[str, str]:
    """Return what a step rendered: of an attempt that was cut off, what is on disk as it set out to render it, and
    what it owned before.
    """
    if row["outcome"] is not None:
        return dict(row["files"])
    written = {path: digest for path, digest in row["files"].items() if on_disk(out / path) == digest}
    return {**row["owned"], **written}


def _rendered_last(digests: Sequence[str], path: Path) -> str:
    """Return the digest of what was rendered last at a path: of several, the one that is there."""
    if len(digests) < 2:  # noqa: PLR2004 - nothing to choose from
        return "".join(digests)
    there = on_disk(path)
    return next((each for each in digests if each == there), digests[-1])
