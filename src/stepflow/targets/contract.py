"""What a target is: all that the engine and the command line know of one.

A target observes once (`Snapshot`), reconciles (pure: what is desired against what was observed gives the actions, each
with its cause, that a plan prints) and applies: observes and reconciles again, unit by unit, and executes the actions.
A package offers one as a `Provider` under the entry-point group `stepflow.targets`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from stepflow.blame import blaming
from stepflow.targets.actions import Action

if TYPE_CHECKING:  # the local target's supervisor imports this package and must not load pydantic
    from stepflow.targets.resolved import Resolved
    from stepflow.workload import Declaration, Live, Production, Workload

__all__ = [
    "Asking",
    "Desired",
    "Finding",
    "Inward",
    "Naming",
    "Observed",
    "Option",
    "Progress",
    "Provider",
    "Site",
    "Snapshot",
    "Target",
    "discard",
]

State = Literal["ready", "starting", "stopped", "failed"]
_HERE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Site:
    """One platform on one target: its name, its state directory (`.stepflow/<name>`), its rendered source.

    `options` are those that were given for the target, by name (`base-image`); one value of an option that takes
    several is `<option>.<name>` (`image.postgres`).
    """

    platform: str
    state: Path
    out: Path
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Desired:
    """The desired state of one step, and the workloads of the whole platform, to which its references lead."""

    declaration: Declaration
    digests: Mapping[str, str] = field(default_factory=dict)  # workload -> digest of all that it is made from
    platform: tuple[Workload, ...] = ()  # what all steps declare, as far as is known
    tree: Mapping[str, bytes] = field(default_factory=dict)  # the step's files: rendered, or edited by the user
    resolved: tuple[Resolved, ...] = ()  # the platform's workloads with all that they refer to


@dataclass(frozen=True, slots=True)
class Observed:
    """One workload or backing service, or the rules for all of them, as it is right now."""

    name: str
    kind: Literal["workload", "server", "policy"]
    state: State
    digest: str  # of what it was made from: compare with `Desired.digests`
    replicas: int  # the desired number, not the one that an autoscaler chose
    ready: int
    url: str
    handles: tuple[str, ...]  # pids, container ids or pod names
    restarts: int = 0
    detail: str = ""  # the last probe's answer, or why it is down
    log: str = ""  # path of its log, where there is one
    scaled: int = 0  # copies that an autoscaler asks for now; 0: there is no autoscaler


class Snapshot(Mapping[str, Observed]):
    """What the target observed, by name.

    `detail` is what only the target itself reads; `where` tells people which of several places that was (`context`,
    `namespace`), and is empty for a target that has one.
    """

    __slots__ = ("_things", "detail", "where")

    def __init__(
        self,
        things: Mapping[str, Observed],
        detail: Any = None,  # noqa: ANN401 - the target's own
        where: Mapping[str, str] = _HERE,
    ) -> None:
        self._things = dict(things)
        self.detail = detail
        self.where = dict(where)

    def __getitem__(self, name: str) -> Observed:
        """Return one by name."""
        return self._things[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._things)

    def __len__(self) -> int:
        """Return their number."""
        return len(self._things)


@dataclass(frozen=True, slots=True)
class Progress:
    """What is being waited for, and what the last probe said; or, as a remark, what people should know afterwards."""

    waiting_for: str
    answer: str = ""
    remark: bool = False  # not a wait: `waiting_for` is a sentence to keep on the screen


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `stepflow doctor`."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def discard(progress: Progress) -> None:
    """Discard progress."""
    del progress


class Target(Protocol):
    """Where workloads run: one platform on one machine, engine or cluster."""

    name: str

    async def observe(self) -> Snapshot:
        """Observe everything of this platform; never raises for a platform that does not exist."""

    async def require(self) -> None:
        """Raise `MachineError` if something is missing that every `apply` needs; called before a run does anything."""

    def reconcile(self, desired: Desired, snapshot: Snapshot) -> tuple[Action, ...]:
        """Return the actions that turn what was observed into what is desired; pure.

        What is as desired is a `keep`. What cannot be known yet is an action that says so (`when`). Raises
        `PermanentError` for a declaration that cannot be carried out.
        """

    def removals(self, causes: Mapping[str, str], snapshot: Snapshot) -> tuple[Action, ...]:
        """Return the actions that remove workloads and servers which are not desired any more; pure.

        `causes` says why, by name; data stays. `remove` with these names executes the same actions.
        """

    async def apply(self, desired: Desired, progress: Callable[[Progress], None]) -> tuple[Action, ...]:
        """Create what is desired and wait until all of it is ready; return what was done.

        Observes and reconciles each workload and server when its turn comes; what is as desired is left alone. A
        workload is replaced without dropping requests where it has replicas. Idempotent. Raises `PermanentError` with
        the last lines of the log when something exits or does not get ready in time, `MachineError` when the machine
        lacks a program.
        """

    async def remove(
        self,
        names: Collection[str] | None = None,
        *,
        data: bool = False,
        progress: Callable[[Progress], None] = discard,
    ) -> tuple[str, ...]:
        """Stop and remove the named workloads, or (None) everything of this platform; return what was removed."""

    def logs(self, name: str, *, follow: bool = False, tail: int = 100) -> AsyncIterator[str]:
        """Yield the lines of a workload's or server's log, the last `tail` first, then (`follow`) as they come."""

    def live(self) -> Live:
        """Return the view that checks work with."""

    def documents(self, declarations: Sequence[Declaration]) -> Mapping[str, bytes]:
        """Return files for the rendered tree that describe the whole platform, by path; pure.

        `declarations` are those of all steps, in the order of the document.
        """


@runtime_checkable
class Naming(Protocol):
    """A target whose options may name parts of the platform."""

    def require_named(self, declarations: Sequence[Declaration]) -> None:
        """Raise `UsageError` for an option that names what none of the steps' declarations has; pure."""


@runtime_checkable
class Asking(Protocol):
    """A target that asks for secrets that only a person knows (`SecretFile(..., given=True)`)."""

    def require_given(self, desired: Desired, snapshot: Snapshot) -> None:
        """Raise `PermanentError`, saying where to put it, for a secret that a step needs and that was not given.

        Asked for each step that a run would work on, before it does anything; changes nothing.
        """


@runtime_checkable
class Inward(Protocol):
    """A target whose addresses are not this machine's: people reach it only while a command forwards a port."""

    def reach(self, wish: int | None = None) -> AbstractAsyncContextManager[str]:
        """Forward a port to the platform's page and yield its URL: the port `wish` (0: any), else a usual one.

        Raises `UsageError` when there is no page, or the port is taken.
        """


def _unrelated(name: str, workload: Workload) -> bool:
    del name, workload
    return False


@dataclass(frozen=True, slots=True)
class Option:
    """An option of `run` and `plan` that a target takes: it describes, reads and checks it by itself."""

    name: str  # `base-image`: typed as `--base-image`
    metavar: str
    help: str
    read: Callable[[str], str] = str
    """Return the value to record for the text that was typed. Raises `UsageError` for an invalid one."""
    several: bool = False  # may be repeated, each time as `NAME=VALUE`
    example: str = ""  # a value, for hints
    doctor: bool = False  # `stepflow doctor` takes it too
    concerns: Callable[[str, Workload], bool] = _unrelated
    """Whether it changes a workload; the first argument is the `NAME` of an option that takes several."""
    meaning: Callable[[str], object] | None = str
    """The part of its value that changes a step, as JSON types; None: it says where the platform is, not what."""
    production: bool = False  # it changes the platform's `Production`


@dataclass(frozen=True, slots=True)
class Provider:
    """A kind of target, as the entry point of its name in the group `stepflow.targets` offers it.

    The module that holds it imports nothing that the target's extra brings: that is left to `open` and `doctor`.
    """

    name: str
    open: Callable[[Site], Target]
    """Open the platform of a site; nothing happens yet. Raises `UsageError` for an invalid option."""
    doctor: Callable[[Mapping[str, str]], tuple[Finding, ...]]
    """Return what this machine, or the place that the options name, has and lacks."""
    options: tuple[Option, ...] = ()
    handles: str = "handles"  # what `stepflow status --json` calls the handles of copies: `pids`
    numeric: bool = False  # whether it shows them as numbers
    containers: bool = False  # whether each copy runs in a container of an image made of its source
    shared: bool = False  # whether others than the one who runs a platform reach it there
    keeps: str = ""  # what stays outside of the state directory until `remove(data=True)`, in words

    def option(self, key: str) -> Option | None:
        """Return the option that a key of `Site.options` belongs to (`image` for `image.postgres`)."""
        return next((each for each in self.options if each.name == key.partition(".")[0]), None)

    def meanings(self, options: Mapping[str, str]) -> Mapping[str, object]:
        """Return the part of the options that changes a step, by key."""
        pairs = ((key, value, self.option(key)) for key, value in options.items())
        with blaming("target", self.name, "to say what its options mean"):
            return {key: o.meaning(value) for key, value, o in pairs if o and o.meaning}

    def concerning(self, options: Mapping[str, str], subject: Workload | Production) -> Mapping[str, str]:
        """Return the options that change this workload, or the platform's production."""
        with blaming("target", self.name, "to say what its options concern"):
            return {key: value for key, value in options.items() if self._concerns(key, subject)}

    def _concerns(self, key: str, subject: Workload | Production) -> bool:
        option = self.option(key)
        if option is None:
            return False
        from stepflow.workload import Production  # noqa: PLC0415 - as above

        return option.production if isinstance(subject, Production) else option.concerns(key.partition(".")[2], subject)
