"""What has to be done so that what is there becomes what is wanted, each action with its cause. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from stepflow.targets.docker.look import Found
from stepflow.targets.docker.wanted import Wanted

Verb = Literal["keep", "start", "create", "replace", "remove"]


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do; `number` is the copy that is made, `old` the container that is kept, started or let go."""

    verb: Verb
    instance: str
    cause: str
    number: int = 0
    old: Found | None = None

    def __str__(self) -> str:
        """Give it as a line."""
        new = self.old is not None and self.verb == "replace" and self.old.instance != self.instance
        what = f"{self.old.instance} with {self.instance}" if self.old and new else self.instance
        return f"{self.verb} {what}: {self.cause}"


def reconcile(wanted: Wanted, found: Sequence[Found], network: str) -> tuple[Action, ...]:
    """Compare the copies there are with what is wanted; what only adds can be done at once, the rest in this order.

    `network` is the id of the platform's network. Copies that mean the same are kept. A copy that holds data or a
    port of this machine is replaced in place; of others a new one is made first, and then the old one is let go.
    """
    faults = {each.id: _fault(wanted, each, network) for each in found}
    good = sorted((each for each in found if not faults[each.id]), key=_rank)
    bad = sorted((each for each in found if faults[each.id]), key=lambda each: each.condition == "running")
    kept, surplus = good[: wanted.container.replicas], good[wanted.container.replicas :]
    actions = [_kept(each) for each in kept]
    taken = {each.record.number for each in found}
    for _ in range(wanted.container.replicas - len(kept)):
        old = bad.pop(0) if bad else None
        in_place = old is not None and (wanted.in_place or old.condition != "running")
        number = old.record.number if old is not None and in_place else _free(wanted, taken)
        taken.add(number)
        cause = faults[old.id] if old else "there is none" if not found else "another copy is wanted"
        actions.append(Action("replace" if old else "create", wanted.instance(number), cause, number, old))
        if old is not None and not in_place:
            taken.discard(old.record.number)  # it is gone when the next one is made
    return (
        *actions,
        *(Action("remove", each.instance, faults[each.id], old=each) for each in bad),
        *(Action("remove", each.instance, _surplus(wanted), old=each) for each in surplus),
    )


def _fault(wanted: Wanted, found: Found, network: str) -> str:
    """Say why a container cannot stay; "" when it can."""
    before, now = found.record.parts, wanted.parts
    changed = [what for what, value in now.items() if before.get(what) != value]
    changed += [f"{what.removesuffix(' changed')} is no longer wanted" for what in before if what not in now]
    if any(what.startswith("image is another") for what in changed):  # its name may be another, too
        changed = [what for what in changed if what in now]
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        return f"its {changed[0]}{more}"
    if found.record.digest != wanted.container.digest:
        return "what it is made from changed"
    if found.condition in {"created", "dead", "removing"}:
        return "it was made, but never started" if found.condition == "created" else "the engine could not remove it"
    if found.network != network:
        return "the platform's network was made anew"
    return ""


def _kept(found: Found) -> Action:
    if found.condition in {"running", "restarting"}:
        return Action("keep", found.instance, "unchanged", old=found)
    if found.record.kind == "setup" and found.condition == "exited" and found.code == 0:
        return Action("keep", found.instance, "it has done its work", old=found)
    why = "it is paused" if found.condition == "paused" else f"it is not running: it {found.ending}"
    return Action("start", found.instance, why, old=found)


def _rank(found: Found) -> tuple[bool, int]:
    """Sort what is kept first to the front: what runs, then the lower number."""
    return (found.condition != "running", found.record.number)


def _free(wanted: Wanted, taken: set[int]) -> int:
    if wanted.container.kind != "workload":
        return 0
    return next(number for number in range(1, len(taken) + 2) if number not in taken)


def _surplus(wanted: Wanted) -> str:
    count = wanted.container.replicas
    return f"only {count} {'copy is' if count == 1 else 'copies are'} wanted"
