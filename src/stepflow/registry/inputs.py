"""What a step asks of its playbook: typed settings and features, each problem with its line."""

from __future__ import annotations

import json
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from difflib import get_close_matches
from typing import Any, Union

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from stepflow.blame import blaming
from stepflow.errors import Diagnostic
from stepflow.playbook import Feature, Playbook, Settings
from stepflow.workflow import FORMAT_KEYS, SYNONYMS, Field, Step, excerpt, normalise_key, spoken_key

DEFAULT = "default"


FEATURES = "features"
_WRONG = 8  # values of a field that do not fit
_SENTENCE = 300  # characters of what is said of one
_NOTHING = frozenset({"", "none", "null", "<none>"})
_PLAIN = {  # instead of pydantic's words about parsing
    "int_parsing": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_parsing": "should be a number",
    "bool_parsing": "should be `yes` or `no`",
}
_APART = re.compile(r"[-\s]+")
_BULLET = re.compile(r"^\s*[-*+]\s+")


def select(features: Iterable[Feature], prompt: str) -> Mapping[str, str]:
    """Return the features that are on, each with the words of the prompt that selected it, or `default`.

    A feature is on when the prompt names it with one of its words, or when it is `always`. Only a playbook without
    any `always` feature whose prompt names none gets all of its features: a plain "build an order service" builds a
    complete one. Nothing else is guessed; the typed field `Features` overrides the prompt entirely.
    """
    offered = tuple(features)
    chosen: dict[str, str] = {}
    for feature in offered:
        words = named(feature, prompt)
        if words:
            chosen[feature.name] = ", ".join(words)
        elif feature.always:
            chosen[feature.name] = DEFAULT
    return chosen or dict.fromkeys((feature.name for feature in offered), DEFAULT)


def named(feature: Feature, prompt: str) -> tuple[str, ...]:
    """Return the words of the prompt that name a feature, verbatim, each once, without parts of another."""
    found = (match.group(0) for word in feature.words if word.strip() for match in _pattern(word).finditer(prompt))
    spelled: dict[str, str] = {}  # each word as it is written first: no more of them than the feature has
    for each in found:
        spelled.setdefault(_APART.sub("-", each).lower(), " ".join(each.split()))
    words = tuple(spelled.values())
    return tuple(each for each in words if not any(each in other and each != other for other in words))


def _pattern(word: str) -> re.Pattern[str]:
    parts = [re.escape(part) for part in re.split(r"[-\s]+", word) if part]
    return re.compile(r"(?<!\w)" + r"(?:[-\s]+)?".join(parts) + r"(?!\w)", re.IGNORECASE)


def read_settings(playbook: Playbook, step: Step) -> tuple[Settings, tuple[Diagnostic, ...]]:
    """Read the step's inputs as the playbook's settings.

    Values are text, so they are read leniently: `yes`/`no`/`on`/`off` and numbers, lists with commas or bullets, JSON
    for nested values, `none` where None is allowed. Where the result is invalid, the diagnostics say why, and the
    settings are the playbook's defaults, unvalidated, so that other problems can still be found.
    """
    model = playbook.settings
    names = {normalise_key(name): name for name in model.model_fields}
    problems = [
        unknown_input(playbook, given)
        for given in unexplained(step)
        if normalise_key(given.key) not in names and not _is_features(playbook, normalise_key(given.key))
    ]
    values = {
        names[key]: _from_text(given.value, model.model_fields[names[key]].annotation)
        for key, given in step.inputs.items()
        if key in names
    }
    with blaming("playbook", playbook.name, f"to read the inputs of step {step.number}"):
        try:
            return model.model_validate(values), tuple(problems)
        except ValidationError as error:
            wrong = error.errors(include_url=False)
    spans = {names[key]: given for key, given in step.inputs.items() if key in names}
    for name, details in _by_name(wrong).items():
        problems += [_invalid(playbook, step, name, detail, spans) for detail in details[:_WRONG]]
        if len(details) > _WRONG and name in spans:
            message = (
                f"{len(details) - _WRONG} more values of `{spans[name].key}` do not fit playbook `{playbook.name}`"
            )
            problems.append(Diagnostic("SF303", "error", spans[name].value_span, message))
    return model.model_construct(), tuple(problems)


def _by_name(wrong: Iterable[ErrorDetails]) -> Mapping[str, list[ErrorDetails]]:
    """Group what is wrong by the setting that it is about; "" is none."""
    found: dict[str, list[ErrorDetails]] = {}
    for detail in wrong:
        found.setdefault(str(detail["loc"][0]) if detail["loc"] else "", []).append(detail)
    return found


def read_features(playbook: Playbook, step: Step) -> tuple[Mapping[str, str] | None, tuple[Diagnostic, ...]]:
    """Read the field `Features`, which overrides the prompt: the features it names, or None without such a field."""
    given = step.inputs.get(FEATURES)
    if given is None or not _is_features(playbook, FEATURES):
        return None, ()
    offered = {normalise_key(feature.name): feature.name for feature in playbook.features}
    wanted = dict.fromkeys(word for word in _items(given.value) if word.lower() not in _NOTHING)
    known = {offered[normalise_key(word)]: f"{given.key}: {word}" for word in wanted if normalise_key(word) in offered}
    unknown = [word for word in wanted if normalise_key(word) not in offered]
    names = [feature.name for feature in playbook.features]
    problems = [
        Diagnostic(
            "SF304",
            "error",
            given.value_span,
            f"playbook `{playbook.name}` has no feature `{excerpt(word)}`",
            _did_you_mean(word, names),
        )
        for word in unknown[:_WRONG]
    ]
    if len(unknown) > _WRONG:
        message = f"playbook `{playbook.name}` has none of {len(unknown) - _WRONG} more features that are named"
        problems.append(Diagnostic("SF304", "error", given.value_span, message))
    return known, tuple(problems)


def unexplained(step: Step) -> list[Field]:
    """Return the inputs without the one that the parser already took for a misspelt `Prompt`."""
    near = [] if "prompt" in step.fields else get_close_matches("prompt", step.inputs, n=1, cutoff=0.7)
    return [given for key, given in step.inputs.items() if key not in near]


def misspelt_keys(step: Step) -> list[Field]:
    """Return the inputs that are nearly a key of the format: all that can be said while the playbook is unknown."""
    return [
        given
        for given in unexplained(step)
        if normalise_key(given.key) in SYNONYMS or get_close_matches(normalise_key(given.key), FORMAT_KEYS, cutoff=0.8)
    ]


def unknown_input(playbook: Playbook | None, given: Field) -> Diagnostic:
    """Report a field that neither the format nor the playbook knows, and which one may be meant."""
    own = [spoken_key(name) for name in playbook.settings.model_fields] if playbook else []
    if playbook and _is_features(playbook, FEATURES):
        own.append("Features")
    message = f"`{given.key}` is not a field of a step, and the step has no playbook that could take it as an input"
    if playbook:
        message = f"playbook `{playbook.name}` has no input `{given.key}`"
    return Diagnostic("SF302", "error", given.span, message, _did_you_mean(given.key, own + list(FORMAT_KEYS.values())))


def _is_features(playbook: Playbook, key: str) -> bool:
    return key == FEATURES and bool(playbook.features) and FEATURES not in playbook.settings.model_fields


def _did_you_mean(word: str, offered: Sequence[str]) -> str:
    by_key = {normalise_key(name): name for name in offered}
    if (meant := SYNONYMS.get(normalise_key(word))) in offered:
        return f"did you mean `{meant}`?"
    close = get_close_matches(normalise_key(word), by_key, n=1, cutoff=0.6)
    if close:
        return f"did you mean `{by_key[close[0]]}`?"
    return "one of: " + ", ".join(f"`{name}`" for name in offered)


def _invalid(playbook: Playbook, step: Step, name: str, detail: ErrorDetails, given: Mapping[str, Field]) -> Diagnostic:
    about = playbook.settings.model_fields.get(name)
    hint = (about.description or "") if about else ""
    if name not in given:
        if detail["type"] != "missing":
            message = f"inputs of playbook `{playbook.name}`: {_sentence(detail)}"
            return Diagnostic("SF303", "error", step.span, message, hint)
        key = spoken_key(name)
        message = f"step {step.number} lacks the input `{key}` that playbook `{playbook.name}` needs"
        return Diagnostic("SF305", "error", step.span, message, f"add `- {key}: ...`" + (f": {hint}" if hint else ""))
    field = given[name]
    message = f"`{field.key}: {excerpt(field.value)}` does not fit playbook `{playbook.name}`: {_sentence(detail)}"
    return Diagnostic("SF303", "error", field.value_span, message, hint)


def _sentence(detail: ErrorDetails) -> str:
    if detail["type"] in _PLAIN:
        return _PLAIN[detail["type"]]
    words = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return excerpt(words[:1].lower() + words[1:], _SENTENCE)


def _from_text(text: str, annotation: Any) -> Any:  # noqa: ANN401 - any type may annotate a setting
    """Read text as its annotation requires; what cannot be read stays text, for pydantic to report."""
    options = _options(annotation)
    if type(None) in options and text.strip().lower() in _NOTHING:
        return None
    for option in options:
        origin = typing.get_origin(option) or option
        if not isinstance(origin, type) or issubclass(origin, str):
            continue
        if issubclass(origin, (Mapping, BaseModel)):
            return _json(text)
        if issubclass(origin, (Sequence, AbstractSet)):
            if text.strip().lower() in _NOTHING:
                return []
            return _json(text) if text.lstrip().startswith("[") else list(_items(text))
    return text.strip()


def _options(annotation: Any) -> tuple[Any, ...]:  # noqa: ANN401 - likewise
    if typing.get_origin(annotation) in (Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def _json(text: str) -> Any:  # noqa: ANN401 - JSON is anything
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # the latter: nested too deeply
        return text


def _items(text: str) -> Iterable[str]:
    parts = (_BULLET.sub("", part).strip() for part in re.split(r"[,\n]", text))
    return (part for part in parts if part)
