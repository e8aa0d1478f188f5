"""The meaning of a step, part by part, and how it compares with what was recorded. Pure.

The parts ("components") are what a step is done again for when one of them changes. They leave out what changes only
how a step is carried out, or nothing at all:

- a job's `timeout` and `retries`, and settings marked with `stepflow.playbook.Incidental`;
- a field that the record lacks and that has its default now: a later version of the playbook or of stepflow added it;
- a handoff that is taken and has nothing but defaults;
- a setting that the playbook no longer has: a document cannot set it, and what it led to is compared by itself;
- all of a playbook's version but its first number that is not 0: `1.4.2` and `1.5` mean the same, as `0.3.1` and
  `0.3.9` do. A release that renders or declares something else is noticed by what it renders and declares.

Values are compared, and hashed, as canonical JSON: one text for one meaning. Of one that is large (`stepflow.large`)
the component is its digest, unless it has defaults in it; earlier records have the value itself, or all that is in it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass, replace
from functools import partial
from typing import Any

from pydantic import BaseModel

from stepflow.large import DIGEST, Digests, Place, slim
from stepflow.large import canonical as json_of
from stepflow.playbook import Incidental, Playbook, StepInput
from stepflow.workload import PRODUCTION, Declaration, Job

FORM = 2
"""How components are written today. Form 1 did not escape dots in keys, and hashed a job's timeout and retries."""
_Parts = dict[str, str]
_TAKEN = "handoff:"
_CREATED = re.compile(r"handoff:[^.]+\.creates\.")
_ALWAYS: Mapping[str, str] = {
    "ConfigFile": "name",
    "Credential": "kind identity secret",
    "DataDir": "name",
    "Endpoint": "workload port part path",
    "HttpProbe": "path port interval timeout deadline",
    "Job": "name command env timeout retries",
    "Port": "name number env published",
    "Production": "workloads servers scaled at_least at_most cpu_target automatic",
    "SecretFile": "name given",
    "Server": "kind database",
    "ServerFile": "kind database",
    "Workload": "name command ready live context ports env configs data replicas needs stop_grace migrate",
}
"""Dataclass -> the fields that digests have held since the first version, whatever their value. A field that is not
listed counts only where it differs from its default: adding one changes no digest that was recorded. Never edited."""
_PLAIN = frozenset({str, int, float, bool})


class Digest(str):
    """A component that is a digest in place of a value."""

    __slots__ = ()


_ESCAPES = str.maketrans({"\\": "\\\\", ".": "\\."})


@dataclass(frozen=True, slots=True)
class Meaning:
    """The components of a step, and what is needed to compare recorded ones with them."""

    components: Mapping[str, str]
    usual: Mapping[str, str] = field(default_factory=dict)  # components with defaults in them -> the same without
    jobs: Mapping[str, Job] = field(default_factory=dict)  # by the component that has their digest
    settings: frozenset[str] = frozenset()  # names of the settings that count
    labels: Mapping[str, str] = field(
        default_factory=dict
    )  # of the handoffs that are taken -> the one it has otherwise
    folded: Mapping[str, Callable[[], _Parts]] = field(default_factory=dict)  # digests -> all that is in their values

    @property
    def fingerprint(self) -> str:
        """The hash of the components without defaults."""
        least = {key: self.usual.get(key, value) for key, value in self.components.items()}
        return fingerprint({key: value for key, value in least.items() if value or key not in self.usual})

    @property
    def to_record(self) -> Mapping[str, str]:
        """The components without handoffs that have nothing but defaults: taking such a one is as taking none."""
        telling = {_label(key) for key in self.components if self.usual.get(key) != ""}
        return {key: value for key, value in self.components.items() if _label(key) in telling}

    def aligned(self, recorded: Mapping[str, str], form: int) -> dict[str, str]:
        """Return recorded components in today's form, equal to today's where they mean the same."""
        return self._compared(self._relabelled(self._as_folded(recorded, form), form), form)

    def _as_folded(self, recorded: Mapping[str, str], form: int) -> Mapping[str, str]:
        """Return recorded components with one for each large value, of which earlier records have all that is in it."""
        names = {key if form == FORM else unescaped(key): key for key in self.folded}
        inside: dict[str, _Parts] = {}
        for key in recorded if names else ():
            ends = (place for place, letter in enumerate(key) if letter == ".")
            if name := next((key[:end] for end in ends if key[:end] in names), ""):
                inside.setdefault(name, {})[key] = recorded[key]
        for name, then in inside.items():
            now = self.folded[names[name]]()
            same = then == (now if form == FORM else {unescaped(key): value for key, value in now.items()})
            rest = {key: value for key, value in recorded.items() if key not in then}
            recorded = rest | {name: self.components[names[name]] if same else ""}
        return recorded

    def _relabelled(self, recorded: Mapping[str, str], form: int) -> Mapping[str, str]:
        """Return recorded components with each handoff that is still taken under the label that it has today."""
        for label, other in self.labels.items():
            before = {_label(key) for key in recorded}
            if other not in before or label in before or other in self.labels:
                continue
            moved = {_renamed(key, other, label): value for key, value in recorded.items()}
            if _same_step(label, other) or self._same_handoff(label, moved, form):
                recorded = moved
        return recorded

    def _same_handoff(self, label: str, recorded: Mapping[str, str], form: int) -> bool:
        then, now = self._compared(recorded, form), self.components
        return all(then.get(key) == now.get(key) for key in {*then, *now} if _label(key) == label)

    def _compared(self, recorded: Mapping[str, str], form: int) -> _Parts:
        now = {key if form == FORM else unescaped(key): key for key in self.components}
        then: _Parts = {}
        for key, old in recorded.items():
            if key not in now:
                if not self._obsolete(key, old):
                    then[key] = old
                continue
            new = self.components[now[key]]
            then[now[key]] = new if self._same(now[key], old, form) else old
        added = [key for key in self.components if key not in then and self.usual.get(key) == ""]
        if form == 1:  # it did not record what is created
            added += [key for key in self.components if key not in then and _CREATED.match(key)]
        return then | {key: self.components[key] for key in added}

    def _obsolete(self, key: str, old: str) -> bool:
        kind, _, path = key.partition(":")
        if old == "{}" and any(new.startswith(f"{key}.") for new in self.components):
            return True  # what is in it now is named
        if kind == "field":
            return path.partition(".")[0] not in self.settings
        return key.startswith(_TAKEN) and key.endswith(".credentials") and old == "[]"  # form 1 recorded it

    def _same(self, key: str, old: str, form: int) -> bool:
        new = self.components[key]
        if old == new or (form == 1 and key in self.jobs and old == fingerprint(_by_itself(self.jobs[key]))):
            return True
        if key in self.folded:
            return f"{DIGEST}{_sha256(old)}" == new
        if old.startswith(DIGEST) and key in self.usual:  # there was no default in it yet
            return f"{DIGEST}{_sha256(self.usual[key])}" == old
        if key == "playbook":
            name, _, version = old.partition(" ")
            return released(name, version) == new
        return key in self.usual and bool(self.usual[key]) and _between(*map(json.loads, (self.usual[key], old, new)))


def meaning(
    playbook: Playbook, step: StepInput, sources: Mapping[int, tuple[str, int]], declaration: Declaration
) -> Meaning:
    """Return what a step means apart from its files; `sources` has the playbook's name and the key of each step whose
    handoff is taken.
    """
    parts: _Parts = {"playbook": released(playbook.name, playbook.version), "target": step.target}
    usual: _Parts = {}
    labels = _labels(step, sources)
    counting = frozenset(name for name in type(step.settings).model_fields if not incidental(step.settings, name))
    folded: dict[str, Callable[[], _Parts]] = {}
    for prefix, model, only in _models(step, labels, counting):
        full, least, large = _leaves(model, only)
        folded |= {f"{prefix}{path}": partial(_inside, f"{prefix}{path}", load) for path, load in large.items()}
        parts |= {f"{prefix}{path}": leaf for path, leaf in full.items()}
        usual |= {f"{prefix}{path}": least.get(path, "") for path in full if least.get(path) != full[path]}
        if (version := getattr(model, "version", 1)) != 1 and prefix != "field:":
            parts[f"{prefix}version"] = str(version)
    if playbook.gives.version != 1:
        parts["gives"] = f"{playbook.gives.__name__} {playbook.gives.version}"
    parts |= {f"feature:{name}": "on" for name in step.features}
    parts |= _declared(declaration)
    jobs = {f"command:{place}" if place else "command": job for place, job in enumerate(declaration.jobs)}
    parts |= {key: fingerprint(_carried_out_anyhow(job)) for key, job in jobs.items()}
    others = {label: other for label, other in labels.values() if other}
    return Meaning(parts, usual, jobs, counting, others, folded)


def released(name: str, version: str) -> str:
    """Return a playbook and the part of its version that its meaning depends on: the first number that is not 0, with
    the zeros before it (`1.4.2` is `1`, `0.3.1` is `0.3`).
    """
    numbers = version.split(".")
    first = next((place for place, number in enumerate(numbers) if number.strip("0")), len(numbers))
    return f"{name} {'.'.join(numbers[: first + 1])}".strip()


def incidental(settings: BaseModel, name: str) -> bool:
    """Return whether a setting changes only how a step is carried out."""
    marks = type(settings).model_fields[name].metadata
    return any(mark is Incidental or isinstance(mark, Incidental) for mark in marks)


def _labels(step: StepInput, sources: Mapping[int, tuple[str, int]]) -> Mapping[int, tuple[str, str]]:
    """Return two labels of each handoff that is taken: the one that it has, and the one that it has otherwise.

    It is the playbook's name where that is taken once, otherwise the name and the step's key (`shell-3`). Handoffs that
    have nothing but defaults do not count beside others. That of a step without a playbook has one label only.
    """
    telling = {number for number, handoff in step.handoffs.items() if _tells(handoff)}
    all_of, telling_of = (Counter(sources[number][0] for number in numbers) for numbers in (step.handoffs, telling))
    found = {}
    for number in step.handoffs:
        name, key = sources[number]
        alone = (telling_of if number in telling else all_of)[name] == 1
        label = f"{name or 'step'}-{key}"
        found[number] = (name, label) if name and alone else (label, name)
    return found


def _tells(handoff: BaseModel) -> bool:
    return getattr(handoff, "version", 1) != 1 or bool(_dumped(handoff, _told(handoff), Digests(), without=True))


def _told(handoff: BaseModel) -> set[str]:
    silent = {"delivers"} if getattr(handoff, "creates", None) else {"delivers", "creates"}
    return set(type(handoff).model_fields) - silent  # another text is not a change


def _label(key: str) -> str:
    """Return the label of the handoff that a component belongs to; "" for one of something else."""
    return key.removeprefix(_TAKEN).partition(".")[0] if key.startswith(_TAKEN) else ""


def _renamed(key: str, old: str, new: str) -> str:
    return f"{_TAKEN}{new}{key.removeprefix(_TAKEN + old)}" if _label(key) == old else key


def _same_step(label: str, other: str) -> bool:
    """Return whether a handoff that was recorded as `other` is surely that of the step: its key was in its label."""
    return other.startswith(f"{label}-")


def _models(
    step: StepInput, labels: Mapping[int, tuple[str, str]], counting: frozenset[str]
) -> Iterator[tuple[str, BaseModel, set[str]]]:
    """Return the settings and the handoffs that are taken, each with the prefix of its components and its fields."""
    yield "field:", step.settings, set(counting)
    for number, handoff in step.handoffs.items():
        yield f"{_TAKEN}{labels[number][0]}.", handoff, _told(handoff)


def _leaves(model: BaseModel, only: set[str]) -> tuple[_Parts, _Parts, dict[str, Callable[[], Any]]]:
    """Return the leaves of a model, those without defaults, and of the large ones among both how to get the value."""
    digests, large = Digests(), dict[str, Callable[[], Any]]()
    full, least = (_dumped(model, only, digests, without=without) for without in (False, True))

    def fold(place: Place, value: Any) -> Any:  # noqa: ANN401 - JSON has no better name
        inside: Any = least
        for key in place[:-1]:
            inside = inside.get(key, {}) if isinstance(inside, dict) else {}
        if not isinstance(inside, dict) or inside.get(place[-1]) != value:
            return value  # a default in it may be one that a later version added: compared by all that is in it
        inside[place[-1]] = digest = Digest(f"{DIGEST}{digests.digest(value)}")
        large[".".join(key.translate(_ESCAPES) for key in place)] = partial(digests.loaded, value)
        return digest

    slimmed = slim(full, fold, root=False)
    return _parts(slimmed), _parts(least), large


def _dumped(model: BaseModel, only: set[str], digests: Digests, *, without: bool) -> dict[str, Any]:
    return model.model_dump(mode="json", include=only, exclude_defaults=without, context=digests)


def _parts(dumped: object) -> _Parts:
    return {path: leaf for path, leaf in flat(dumped).items() if path}


def _inside(key: str, load: Callable[[], Any]) -> _Parts:
    """Return the components that a large value had before it was one."""
    return flat(load(), key)


def _declared(declaration: Declaration) -> _Parts:
    one = {each.name: fingerprint(replace(each, replicas=1)) for each in declaration.workloads}
    parts = {f"workload:{name}": digest for name, digest in one.items()}
    parts |= {f"replicas:{each.name}": str(each.replicas) for each in declaration.workloads if each.replicas != 1}
    parts |= {f"server:{each.kind} {each.database}".rstrip(): "wanted" for each in declaration.servers}
    if declaration.production:
        parts |= {f"workload:{PRODUCTION}": fingerprint(declaration.production)}
    return parts


def _carried_out_anyhow(job: Job) -> Job:
    """Return the job without how it is carried out."""
    return replace(_by_itself(job), timeout=None, retries=0)


def _by_itself(job: Job) -> Job:
    """Return the job without what counts by its contents."""
    return replace(job, inputs=(), creates=(), gives=(), hides=(), takes=(), secrets=())


def _between(least: Any, old: Any, full: Any) -> bool:  # noqa: ANN401 - JSON has no better name
    """Return whether `old` is `full` but for fields that have their default there, and which `least` lacks; `least` is
    None where all of `full` is a default.
    """
    if isinstance(old, dict) and isinstance(full, dict):
        telling = least or {}
        known = all(key in full and _between(telling.get(key), old[key], full[key]) for key in old)
        return known and telling.keys() <= old.keys()
    if isinstance(old, list) and isinstance(full, list):
        return len(old) == len(full) and all(map(_between, least or [None] * len(full), old, full))
    return bool(old == full)


def plain(value: object) -> Any:  # noqa: ANN401 - JSON has no better name
    """Return a value as JSON types. A dataclass keeps its type's name: a `SecretFile` is not the `ConfigFile` of that
    name.
    """
    if value is None or type(value) in _PLAIN:
        return value
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        kind = type(value).__name__
        told = {each.name: getattr(value, each.name) for each in fields(value) if _counts(kind, each, value)}
        return {"type": kind} | {name: plain(inner) for name, inner in told.items()}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list | AbstractSet):
        inner = [plain(each) for each in value]
        return sorted(inner) if isinstance(value, AbstractSet) else inner
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def canonical(value: object) -> str:
    """Return a value as JSON with sorted keys and no spaces."""
    return json_of(plain(value))


def fingerprint(value: object) -> str:
    """Return the first 32 hexadecimal digits of the SHA-256 of a value's canonical JSON."""
    return _sha256(canonical(value))[:32]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def flat(value: object, prefix: str = "") -> dict[str, str]:
    """Return the leaves of a value by dotted path, each as JSON: `endpoint.port` -> `"http"`.

    A dot in a key is escaped, so that `{"a.b": 1}` and `{"a": {"b": 1}}` differ. An empty object inside is a leaf.
    """
    return dict(_flat(plain(value), prefix))


def _flat(value: object, prefix: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and (value or not prefix):
        for key, each in value.items():
            name = str(key).translate(_ESCAPES)
            yield from _flat(each, f"{prefix}.{name}" if prefix else name)
    else:
        yield prefix, value if isinstance(value, Digest) else canonical(value)


def unescaped(path: str) -> str:
    r"""Return a path as it was written before dots were escaped: `values.image\.tag` -> `values.image.tag`."""
    return re.sub(r"\\(.)", r"\1", path)


def _counts(kind: str, each: Field[Any], value: object) -> bool:
    if each.name in _ALWAYS.get(kind, "").split():
        return True
    default = each.default_factory() if each.default_factory is not MISSING else each.default
    return bool(getattr(value, each.name) != default)
