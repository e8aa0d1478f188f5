"""How a copy differs from what is desired, field by field, whether the document changed or the container did. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from stepflow.targets.actions import summed
from stepflow.targets.docker.container import Container
from stepflow.targets.docker.filled import Filled, build_context
from stepflow.targets.docker.inspected import ENTRYPOINT, FOLDER, UPDATABLE, Inspected, settings, variables
from stepflow.targets.docker.observed import EngineState

ANOTHER_IMAGE, ANOTHER_PORT = "another image", "another port"
OTHERWISE: Mapping[str, str] = {ANOTHER_IMAGE: "the same image", ANOTHER_PORT: "the same port"}
"""What is the case where the one thing is not."""
_LONG = 60  # characters of a value that are not shown


@dataclass(frozen=True, slots=True)
class Defects:
    """What is wrong with a copy; nothing when all is empty."""

    fault: str = ""  # why it must be replaced
    when: str = ""  # what would have to turn out true for it to be replaced, and why that is not known yet
    doubt: str = ""
    limits: Mapping[str, int] = field(default_factory=dict)
    drifted: str = ""  # what of it can be changed in place

    @property
    def well(self) -> bool:
        """Whether it certainly needs no replacement."""
        return not self.fault and not self.when


def judged(filled: Filled, copy: Inspected, seen: EngineState) -> Defects:
    """Compare a copy with what is desired."""
    if copy.condition in {"created", "dead", "removing"}:
        never = copy.condition == "created"
        return Defects(fault="it was created, but never started" if never else "the engine could not remove it")
    if not copy.readable:
        return Defects(fault="its labels cannot be read")
    changed, open_parts = _parts(filled, copy)
    # What the document changed and what other hands did have the same name, and count once.
    faults = [*dict.fromkeys((*_setup(filled, copy, seen), *changed, *_variables(filled, copy, seen)))]
    if filled.image is not None and copy.image != filled.image:
        faults.insert(0, _other_image(filled.container))
    if not faults and copy.record.digest != filled.container.digest:
        faults = ["what it is made from changed"]
    if not faults and seen.who is not None and copy.name != seen.who.container(copy.instance):
        faults = [f"it was renamed to `{copy.name}`"]
    if not faults and (not copy.network or copy.network != seen.network):
        faults = ["it is not in the platform's network"]
    if faults:
        return Defects(fault=summed(faults))
    found = _drift(filled, copy, seen)
    if filled.image is None:
        return replace(found, when=ANOTHER_IMAGE, doubt="which image it gets is only known once it is there")
    if open_parts:
        return replace(found, when=ANOTHER_PORT, doubt=f"{open_parts[0]} holds a port that is not chosen yet")
    return found


def _other_image(container: Container) -> str:
    if context := build_context(container):
        return f"its image `{context}` was rebuilt"
    return f"its image is now {str(container.image).partition('@')[0]}"


def _parts(filled: Filled, copy: Inspected) -> tuple[list[str], list[str]]:
    """Return which variables, configurations and data differ, and which are not known yet."""
    before, now = copy.record.parts, filled.parts
    changed = [f"{name} changed" for name, value in now.items() if value is not None and before.get(name) != value]
    changed += [f"{name} is no longer desired" for name in before if name not in now]
    unknown = [name for name, value in now.items() if value is None]
    return changed, unknown + (["command"] if None in filled.config()["Cmd"] else [])


def _variables(filled: Filled, copy: Inspected, seen: EngineState) -> Iterator[str]:
    """Yield each variable that is not what the copy is created with; values may be secrets, and are not named."""
    image = seen.configs.get(copy.image)
    desired = {**variables(image or {}), **filled.environment(copy.record.number)}
    for name, value in desired.items():
        if value is not None and copy.env.get(name) != value:
            yield f"variable `{name}` changed"
    for name in copy.env if image is not None else ():
        if name not in desired and f"variable `{name}`" not in copy.record.parts:
            yield f"variable `{name}` was added"


def _setup(filled: Filled, copy: Inspected, seen: EngineState) -> Iterator[str]:
    """Yield each setting that differs and cannot be changed in place."""
    assert seen.who is not None  # there is a copy
    image = seen.configs.get(copy.image)
    desired = settings({**(image or {}), **filled.config()}, filled.host_config(seen.who, seen.machine))
    unknown = {"published ports"} if None in filled.published.values() else set()
    unknown |= {"command"} if None in filled.config()["Cmd"] else set()
    unknown |= {ENTRYPOINT, FOLDER} if image is None else set()
    for name, value in desired.items():
        if name not in UPDATABLE and name not in unknown and copy.settings.get(name) != value:
            yield _differs(name, copy.settings.get(name), value)
    container, record = filled.container, copy.record
    for port, number in filled.published.items():
        if number is None:
            yield (
                f"port {record.published[port]} is taken" if port in record.published else f"port `{port}` is published"
            )
    if record.ready != container.ready:
        yield "readiness probe changed"
    if (record.grace, record.drain) != (container.stop_grace, container.drain):
        yield "the way it is stopped changed"


def _differs(name: str, old: object, new: object) -> str:
    """Name a field with its old and its new value; long ones, and commands, without."""
    texts = [_plainly(old), _plainly(new)]
    if name in {"command", ENTRYPOINT, "health check"} or max(map(len, texts)) > _LONG:
        return f"{name} changed"
    plural = name.endswith("s") and not name.endswith("ss")  # `volumes`, but not `init process`
    return f"{name} {'are' if plural else 'is'} {texts[0]} instead of {texts[1]}"


def _plainly(value: object) -> str:
    match value:
        case bool():
            return "on" if value else "off"
        case Mapping():
            return ", ".join(f"{key} {inner}".strip() for key, inner in value.items()) or "none"
        case list():
            return ", ".join(map(str, value)) or "none"
        case _:
            return str(value) if value not in (None, "") else "none"


def _drift(filled: Filled, copy: Inspected, seen: EngineState) -> Defects:
    """Return what differs that can be changed while it runs: its limits, and that the engine keeps it running."""
    limits, drifted = filled.limits(seen.machine), []
    for name, key in UPDATABLE.items():
        old, new = copy.settings.get(name), limits.get(key, 0)
        if new and old != new:
            drifted.append(f"{name} is {_amount(key, old)} instead of {_amount(key, new)}")
    ready = copy.condition == "running" and copy.reply is not None and copy.reply.ok
    if copy.policy != "always" and filled.container.kind != "setup" and (copy.proven or ready):
        return Defects(
            limits=limits if drifted else {},
            drifted="; ".join([*drifted, f"restart policy is `{copy.policy}` instead of `always`"]),
        )
    return Defects(limits=limits if drifted else {}, drifted="; ".join(drifted))


def _amount(key: str, value: object) -> str:
    if not isinstance(value, int) or value == 0:
        return "none"
    if key.startswith("Memory"):
        return f"{value / 1024**2:g} MiB"
    return f"{value / 1_000_000_000:g}" if key == "NanoCpus" else str(value)
