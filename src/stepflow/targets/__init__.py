"""Where workloads run. A target observes what is there, reconciles it with a declaration, and undoes it.

Targets are independent of each other and know no engine; each is imported when it is asked for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from stepflow.errors import MachineError, UsageError

if TYPE_CHECKING:  # the local target's supervisor lives below this package and shall not load pydantic for them
    from stepflow.workload import Declaration, Live

TARGETS: Mapping[str, str] = {
    "local": "stepflow.targets.local",
    "docker": "stepflow.targets.docker",
    "kubernetes": "stepflow.targets.kubernetes",
}
"""Target name -> module with `open_target(site) -> Target` and `doctor() -> tuple[Finding, ...]`, which is given the
options if there are any; where it has them, with `OPTIONS` (the names of its options) and `KEEPS` (what it keeps
outside of the state directory, in words). Importing it loads nothing that its extra brings."""

DEFAULT = "local"
"""The target of a run that names none."""


@dataclass(frozen=True, slots=True)
class Site:
    """One platform on one target: its name, its state directory (`.stepflow/<name>`), its rendered source.

    `options` are those that were given for the target, by their names on the command line (`base-image`); an image
    that stands in for the usual one of a server or a program is `image.<name>` (`image.postgres`).
    """

    platform: str
    state: Path
    out: Path
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observed:
    """One workload or backing service, or the rules for all of them, as it is right now."""

    name: str
    kind: Literal["workload", "server", "policy"]
    state: Literal["ready", "starting", "stopped", "failed"]
    digest: str  # of what it was made from: compare with `Workload`'s own
    replicas: int  # that were asked for last, not those that an autoscaler made of them
    ready: int
    url: str
    handles: tuple[str, ...]  # pids, container ids or pod names
    restarts: int = 0
    detail: str = ""  # the last probe's answer, or why it is down
    log: str = ""  # path of its log, where there is one
    scaled: int = 0  # copies that an autoscaler wants now; 0: none decides on it


@dataclass(frozen=True, slots=True)
class Progress:
    """What is being waited for, and what the last probe said; or, as a remark, what people should know afterwards."""

    waiting_for: str
    answer: str = ""
    remark: bool = False  # it is no waiting: the first text is a sentence to keep on the screen


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `stepflow doctor`."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def unheard(progress: Progress) -> None:
    """Say it to nobody."""
    del progress


class Target(Protocol):
    """Where workloads run."""

    name: str

    async def observe(self) -> Mapping[str, Observed]:
        """Look at everything of this platform, by name; never raises for a platform that does not exist."""

    async def require(self) -> None:
        """Raise `MachineError` unless there is what every `apply` needs, asked before a run does anything."""

    async def apply(
        self, declaration: Declaration, digests: Mapping[str, str], progress: Callable[[Progress], None]
    ) -> None:
        """Make the declaration true and wait until all of it is ready; what is already so is left alone.

        `digests` holds for each workload the digest of what it is made from; one that differs is replaced, without
        dropping requests where it has replicas. Idempotent. Raises `PermanentError` with the last lines of the log
        when something exits or does not get ready in time, `MachineError` when the machine lacks a program.
        """

    async def remove(
        self,
        names: Collection[str] | None = None,
        *,
        data: bool = False,
        progress: Callable[[Progress], None] = unheard,
    ) -> tuple[str, ...]:
        """Stop and remove the named workloads, or (None) everything of this platform; says what it removed."""

    def logs(self, name: str, *, follow: bool = False, tail: int = 100) -> AsyncIterator[str]:
        """Give the lines of a workload's or server's log, the last `tail` first, then (`follow`) as they come."""

    def live(self) -> Live:
        """Give the view that checks work with."""

    def documents(self, declarations: Sequence[Declaration]) -> Mapping[str, bytes]:
        """Give files for the rendered tree that describe the whole platform, by path; pure.

        `declarations` are those of all steps, in the order of the document.
        """


@runtime_checkable
class Previewing(Protocol):
    """A target where the place itself can tell what a change would come to."""

    async def preview(self, declaration: Declaration, digests: Mapping[str, str]) -> Sequence[str]:
        """Say what `apply` would change, where first, then a line each; changes nothing. Raises as `observe` does."""


@runtime_checkable
class Naming(Protocol):
    """A target whose options may name parts of the platform."""

    def require_named(self, declarations: Sequence[Declaration]) -> None:
        """Raise `UsageError` for an option that names what none of the steps' declarations has; pure."""


@runtime_checkable
class Inward(Protocol):
    """A target whose addresses are not this machine's: people reach it only while somebody leads them there."""

    def reach(self, wish: int | None = None) -> AbstractAsyncContextManager[str]:
        """Lead to the platform's page and give its URL: at the port `wish` (0: any), else a usual one.

        Raises `UsageError` when there is nothing to lead to, or the port is taken.
        """


def require_target(name: str) -> None:
    """Raise `UsageError` for a target that there is not."""
    if name not in TARGETS:
        raise UsageError(f"unknown target `{name}`", hint=f"one of: {', '.join(TARGETS)}")


def require_options(name: str, options: Mapping[str, str]) -> None:
    """Raise `UsageError` for a target that there is not, and for an option that it does not take."""
    require_target(name)
    for option in options:
        kind = option.partition(".")[0]
        if kind not in _options(name):
            said = ", ".join(f"`--{each}`" for each in sorted(_options(name))) or "none"
            takers = " or ".join(f"`--target {each}`" for each in TARGETS if kind in _options(each))
            hint = f"leave it out{f', or add {takers}' if takers else ''}; {name} takes: {said}"
            given = f"`--{option.replace('.', ' ', 1)}`"
            raise UsageError(f"the target {name} does not take {given}", hint=hint)


def endpoints(observed: Mapping[str, Observed]) -> dict[str, str]:
    """Give the URLs at which people find the workloads, the gateway's first."""
    urls = {name: each.url for name, each in observed.items() if each.kind == "workload" and each.url}
    return dict(sorted(urls.items(), key=lambda pair: (pair[0] != "gateway", pair[0])))


def open_target(name: str, site: Site) -> Target:
    """Open a target by name. Raises `UsageError` for an unknown one, `MachineError` when its extra is not installed."""
    require_options(name, site.options)
    with _extra(name):
        target: Target = _module(name).open_target(site)
    return target


def keeps(name: str) -> str:
    """Say what stays outside of the state directory until `remove(data=True)`; "" when nothing does."""
    require_target(name)
    said: str = getattr(_module(name), "KEEPS", "")
    return said


def examine(name: str, options: Mapping[str, str] | None = None) -> tuple[Finding, ...]:
    """Say what the machine, or with its options the place, has and lacks for a target. Raises as `open_target` does."""
    require_options(name, options or {})
    with _extra(name):
        found: tuple[Finding, ...] = _module(name).doctor(options) if options else _module(name).doctor()
    return found


def _options(name: str) -> Sequence[str]:
    taken: Sequence[str] = getattr(_module(name), "OPTIONS", ())
    return taken


def _module(name: str) -> ModuleType:
    with _extra(name):
        return import_module(TARGETS[name])


@contextmanager
def _extra(name: str) -> Iterator[None]:
    """Say of a package that is missing which extra brings it."""
    try:
        yield
    except ModuleNotFoundError as error:
        hint = f"`pip install 'stepflow[{name}]'`"
        raise MachineError(f"target `{name}` needs the package `{error.name}`", hint=hint) from error
