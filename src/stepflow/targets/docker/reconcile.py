"""What has to be done so that what exists becomes what is desired: for each copy an action, with its cause. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from stepflow.errors import PermanentError
from stepflow.targets.actions import Action, Verb
from stepflow.targets.addresses import CLIENT_PORTS
from stepflow.targets.building.image import BASE_LABEL, IMAGE
from stepflow.targets.building.pull import find
from stepflow.targets.docker.container import Container, Volume
from stepflow.targets.docker.drift import ANOTHER_IMAGE, OTHERWISE, Defects, judged
from stepflow.targets.docker.filled import ChosenPorts, Filled, build_context
from stepflow.targets.docker.inspected import Inspected
from stepflow.targets.docker.observed import EngineState, state
from stepflow.targets.identity import KIND, NAME
from stepflow.targets.images import BASE, Image, image, parse


@dataclass(frozen=True, slots=True)
class PlatformNetwork:
    """Stands for the platform's network in an action."""


@dataclass(frozen=True, slots=True)
class Printed:
    """What a plan had of a container before its image and the ports of this machine were known, and printed."""

    fetched: bool = False  # its image was pulled or built since
    chosen: ChosenPorts = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """What is needed to execute an action on one copy."""

    filled: Filled
    number: int = 0  # of the copy that is created
    old: Inspected | None = None  # the container that is kept, started, changed or removed
    limits: Mapping[str, int] = field(default_factory=dict)  # that it gets, as the engine's API calls them
    restart: bool = False  # once, when it is not ready in time


def reconcile(
    container: Container,
    seen: EngineState,
    chosen: ChosenPorts,
    options: Mapping[str, str],
    fresh: str = "",
    *,
    printed: Printed | None = None,
) -> tuple[Action, ...]:
    """Compare the copies of one container with what is desired.

    What is needed before any copy comes first: the network, volumes, images (`is_early`). Copies that are as desired
    are kept; one that holds data or a port of this machine is replaced in place, of others a new one is created before
    the old one is removed. `fresh` is the id of the image that was just built; with `printed`, copies get the names
    that they had there. Raises `PermanentError` when something foreign is in the way.
    """
    _require_own(container, seen)
    copies = seen.of(container.name)
    found, missing = _image(container, copies, seen, options, fresh)
    births = _births(container, seen)
    filled = Filled(container, found, chosen, seen.seals, births)
    before = filled
    if printed:
        before = replace(filled, image=None if printed.fetched else found, chosen=printed.chosen)
    actions = (*_surroundings(container, seen), *missing, *_copies(filled, before, copies, seen))
    for action in actions:
        if action.verb in {"create", "replace"} and seen.who and not is_early(action):
            name = seen.who.container(action.name)
            if name in seen.foreign:
                raise foreign("container", name)
    if any(action.verb != "keep" and not isinstance(action.subject, PlatformNetwork | Volume) for action in actions):
        return (*actions, *_superseded(filled, seen))
    return actions


def is_early(action: Action) -> bool:
    """Return whether an action provides what a container needs before its turn comes."""
    return isinstance(action.subject, PlatformNetwork | Volume) or action.verb in {"pull", "build"}


def _surroundings(container: Container, seen: EngineState) -> Iterator[Action]:
    """Yield the creation of the platform's network and of the volumes for its data."""
    if not seen.network:
        yield Action("create", "platform network", "it does not exist", container.name, subject=PlatformNetwork())
    for volume in container.volumes:
        if seen.who is None or seen.who.volume(volume.name) not in seen.births:
            name = f"volume {volume.name}"
            yield Action("create", name, "it does not exist", container.name, subject=volume)


def _require_own(container: Container, seen: EngineState) -> None:
    """Raise `PermanentError` for a network or volume of the platform's name that is not the platform's."""
    if seen.who is None:
        return
    if seen.who.prefix in seen.foreign and not seen.network:
        raise foreign("network", seen.who.prefix)
    for name in (seen.who.volume(each.name) for each in container.volumes):
        if name in seen.foreign:
            raise foreign("volume", name)


def foreign(what: str, name: str) -> PermanentError:
    """Return the error for something in the way that stepflow did not create."""
    hint = "stepflow touches only what carries its label: remove or rename it, then run again"
    return PermanentError(f"there is a {what} `{name}` on the engine that is not stepflow's", hint=hint)


def _births(container: Container, seen: EngineState) -> dict[str, str]:
    """Return what tells the data of each server that it uses from any other."""
    if seen.who is None:
        return {}
    return {name: seen.births.get(seen.who.volume(name), "") for name in container.needs if name in CLIENT_PORTS}


def _image(
    container: Container, copies: Sequence[Inspected], seen: EngineState, options: Mapping[str, str], fresh: str
) -> tuple[str | None, tuple[Action, ...]]:
    """Return the id of its image, None while that is not known, and what has to be done to have it."""
    if context := build_context(container):
        why, found = _unbuilt(container, copies, seen, options) if not fresh else ("", fresh)
        if not why:
            return found, ()
        base = _pull(image(BASE, options), container.name, f"`{context}` is built on it", seen)
        then = f"push it to {options['registry']}" if options.get("registry") else ""
        return None, (*base, Action("build", context, why, container.name, then=then, subject=context))
    official = parse(str(container.image), f"image.{container.name}")
    here = find(official, seen.images or ())
    return (here.id, ()) if here else (None, _pull(official, container.name, "the engine does not have it", seen))


def _pull(image: Image, owner: str, cause: str, seen: EngineState) -> tuple[Action, ...]:
    if find(image, seen.images or ()):
        return ()
    when = "" if seen.images is not None else "the engine does not have it"
    name = str(Image(image.repository, image.tag)) if image.tag else str(image)
    return (Action("pull", name, cause if not when else "it is needed", owner, when, subject=image),)


def _unbuilt(
    container: Container, copies: Sequence[Inspected], seen: EngineState, options: Mapping[str, str]
) -> tuple[str, str | None]:
    """Return why its image has to be built, or its id: that of the copies made from the same, the newest there is."""
    if not copies:
        return "it does not run yet", None
    used = {each.image for each in copies if each.record.digest == container.digest}
    if not used:
        return "what it is made from changed", None
    candidates = [each for each in seen.images or () if each.id in used]
    if not candidates:
        return "its image is not on the engine any more", None
    newest = max(candidates, key=lambda each: each.created)
    base = find(image(BASE, options), seen.images or ())
    if base and newest.labels.get(BASE_LABEL, base.id) != base.id:
        return "its base image is another one", None
    return "", newest.id


def _superseded(filled: Filled, seen: EngineState) -> Iterator[Action]:
    """Yield the removal of older images of a folder, but for those that foreign containers use."""
    container, context = filled.container, build_context(filled.container)
    if not context or not seen.who:
        return
    images = seen.images or ()
    current = next((each for each in images if each.id == filled.image), None)
    for each in images:
        ours = seen.who.owns(each.labels) and (each.labels.get(KIND), each.labels.get(NAME)) == (IMAGE, context)
        older = current is None or (each.created <= current.created and each is not current)
        users = seen.used.get(each.id, frozenset()) - {container.name}
        if ours and older and "" not in users:
            when = ANOTHER_IMAGE if current is None else "no other container uses it" if users else ""
            yield from (_dropped(tag, when, filled) for tag in each.tags)


def _dropped(tag: str, when: str, filled: Filled) -> Action:
    name = tag.removeprefix("docker.io/").removeprefix("library/")
    return Action("remove", f"image {name}", "superseded", filled.container.name, when, subject=name)


def _copies(filled: Filled, before: Filled, found: Sequence[Inspected], seen: EngineState) -> Iterator[Action]:
    """Yield what is done to each copy. Which are kept, and the names of new ones, follow from what was known `before`:
    so they are the printed ones, whatever has turned out since.
    """
    verdicts = {each.id: judged(before, each, seen) for each in found}
    good = sorted((each for each in found if not verdicts[each.id].fault), key=_rank)
    bad = sorted((each for each in found if verdicts[each.id].fault), key=_rank)
    owner, replicas = filled.container.name, filled.container.replicas
    kept, surplus = good[:replicas], good[replicas:]
    numbers = _FreeNumbers(filled, {each.record.number for each in found}, _renamed(found, seen))
    # How many there were is in no label: a copy may be one more than before, or one that was removed by hand.
    few = f"{len(found)} of {replicas} copies exist"
    scaled = f"scaled to {replicas} {'copy' if replicas == 1 else 'copies'}"
    yield from (_kept(filled, each, verdicts[each.id]) for each in kept if not verdicts[each.id].when)
    settled = {each.id: judged(filled, each, seen) for each in kept if verdicts[each.id].when}
    for copy in kept:
        if (verdict := settled.get(copy.id)) and not verdict.fault:
            action = _kept(filled, copy, verdict)
            if verdict.well or action.verb != "keep":
                yield replace(action, when=OTHERWISE.get(verdict.when, ""))
    for _ in range(replicas - len(kept) - len(bad)):  # first of all, and while all others still have their names
        number = numbers.next()
        cause = few if found else "it does not exist"
        yield Action("create", filled.instance(number), cause, owner, subject=Change(filled, number))
    for copy in bad[: replicas - len(kept)]:
        yield _replaced(filled, copy, numbers, verdicts[copy.id].fault)
    numbers.frees = False  # of those that may yet be kept
    for copy in kept:
        if copy.id in settled:
            verdict = settled[copy.id]
            action = _replaced(filled, copy, numbers, verdict.fault or verdict.doubt, verdict.when)
            yield from () if verdict.well else (action,)
    del bad[: replicas - len(kept)]
    for copy in bad:
        yield Action("remove", copy.instance, verdicts[copy.id].fault, owner, subject=Change(filled, old=copy))
    for copy in surplus:
        yield Action("remove", copy.instance, scaled, owner, subject=Change(filled, old=copy))


def _renamed(found: Sequence[Inspected], seen: EngineState) -> frozenset[str]:
    """Return what copies are called within the platform that were given another name by hand."""
    if seen.who is None:
        return frozenset()
    names = {each.name.removeprefix(f"{seen.who.prefix}-"): each.instance for each in found}
    return frozenset(name for name, instance in names.items() if name != instance)


class _FreeNumbers:
    """The numbers of copies that are taken."""

    def __init__(self, filled: Filled, taken: set[int], renamed: frozenset[str]) -> None:
        self.filled = filled
        self.taken = taken
        self.renamed = renamed  # names of copies, which are as good as taken
        self.frees = True  # whether the number of one that is replaced can be had again

    def next(self) -> int:
        """Take the lowest that is free; what there is only one of has none."""
        if self.filled.container.kind != "workload":
            return 0
        numbers = (each for each in count(1) if each not in self.taken)
        number = next(each for each in numbers if self.filled.instance(each) not in self.renamed)
        self.taken.add(number)
        return number


def _replaced(filled: Filled, old: Inspected, numbers: _FreeNumbers, cause: str, when: str = "") -> Action:
    if filled.in_place or old.condition != "running":
        number = old.record.number or numbers.next()  # it has none where its labels cannot be read
        change = Change(filled, number, old)
        return Action("replace", filled.instance(number), cause, filled.container.name, when, subject=change)
    number = numbers.next()
    if numbers.frees:
        numbers.taken.discard(old.record.number)  # it is gone when the next one is created
    name, change = filled.instance(number), Change(filled, number, old)
    return Action("replace", name, cause, filled.container.name, when, old=old.instance, subject=change)


def _kept(filled: Filled, copy: Inspected, verdict: Defects) -> Action:
    owner, change = filled.container.name, Change(filled, old=copy, limits=verdict.limits)
    drifted = f"; {verdict.drifted}" if verdict.drifted else ""
    match copy.condition:
        case "running" | "restarting":
            return _running(owner, copy, verdict, change)
        case "exited" if copy.record.kind == "setup" and copy.code == 0:
            return Action("keep", copy.instance, "completed", owner, subject=change)
        case "paused":
            return Action("start", copy.instance, f"paused{drifted}", owner, subject=change)
        case _:
            return Action("start", copy.instance, f"{copy.ending}{drifted}", owner, subject=change)


def _running(owner: str, copy: Inspected, verdict: Defects, change: Change) -> Action:
    drifted = verdict.drifted
    if copy.record.kind == "setup":
        verb: Verb = "change" if drifted else "wait"
        return Action(verb, copy.instance, drifted or "it has not completed yet", owner, subject=change)
    if copy.condition == "running" and copy.reply and copy.reply.ok:
        verb = "change" if drifted else "keep"
        return Action(verb, copy.instance, drifted or "unchanged and ready", owner, subject=change)
    answer = state(copy)[1]
    if copy.proven:
        answer += f"; restart if not ready after {copy.record.deadline:g} s"
        change = replace(change, restart=True)
    cause = f"{drifted}; {answer}" if drifted else answer
    return Action("change" if drifted else "wait", copy.instance, cause, owner, subject=change)


def _rank(found: Inspected) -> tuple[bool, bool, int]:
    """Sort to the front what is only half made, then what runs, then the lower number: what is kept, or replaced."""
    whole = found.condition not in {"created", "dead", "removing"}
    return (whole, found.condition != "running", found.record.number)
