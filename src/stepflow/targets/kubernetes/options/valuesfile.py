"""The `--values` file: read once, each problem reported with its line, and recorded with the run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import cast, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from stepflow.errors import Diagnostic, DocumentError, Span, UsageError
from stepflow.targets.kubernetes.options.values import KEY, LABEL, NAME, NETWORK, SIZE, Values

_LARGEST = 65536  # bytes
_SHOWN = 40  # characters of a wrong value
_SHAPES = {  # by pattern
    SIZE: "a size such as `512Mi` or `20Gi`",
    NETWORK: "an address range such as `10.20.0.0/16`",
    KEY: "the key of a Secret: letters, digits, `-`, `_` and `.`",
    LABEL: "a name of at most 63 of a-z, 0-9 and `-`",
    NAME: "a name of a-z, 0-9, `-` and `.`",
}
_START = yaml.Mark("", 0, 0, 0, None, 0)
_KINDS = {
    "model_type": "a map: its fields, indented below it",
    "model_attributes_type": "a map: its fields, indented below it",
    "mapping_type": "a map: its fields, indented below it",
    "tuple_type": "a list: each item begins with `- `",
    "too_short": "a list with at least one item",
    "string_type": "a string; put it in quotes",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "`true` or `false`",
    "bool_parsing": "`true` or `false`",
}


class _ValuesText:
    """A values file: its text and its YAML nodes, which have positions."""

    def __init__(self, file: str, text: str) -> None:
        self.file, self.lines = file, text.splitlines()
        self.root: yaml.Node | None = None

    def problem(self, code: str, mark: yaml.Mark, message: str, hint: str = "", *, length: int = 1) -> Diagnostic:
        source = self.lines[mark.line] if mark.line < len(self.lines) else ""
        span = Span(self.file, mark.line + 1, mark.column + 1, length)
        return Diagnostic(code, "error", span, message, hint, source)


def read(file: str) -> str:
    """Return a values file as canonical JSON without the defaults; "" if it has nothing else.

    Raises `UsageError` for a file that cannot be read, `DocumentError` with all problems in it.
    """
    source = _ValuesText(file, _read(file))
    raw = _parse(source)
    try:
        values = Values.model_validate({} if raw is None else raw, strict=False)
    except ValidationError as error:
        found = _problems(source, error.errors(include_url=False))
        raise _refused(*sorted(found, key=lambda each: (each.span.line, each.span.column))) from error
    said = values.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return json.dumps(said, sort_keys=True, separators=(",", ":")) if said else ""


def values_of(options: Mapping[str, str]) -> Values:
    """Return the values of a run. Raises `UsageError` if the recorded values do not fit this version of stepflow."""
    try:
        return Values.model_validate_json(options.get("values") or "{}")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        problem = f"the recorded values of the run no longer fit: `{place}`: {first['msg']}"
        raise UsageError(problem, hint="`stepflow run FILE --values FILE` with the file as it is now") from error


def _read(file: str) -> str:
    try:
        text = Path(file).read_bytes()
        if len(text) > _LARGEST:
            raise UsageError(f"`{file}` is too large for a values file: {len(text)} bytes", hint=f"at most {_LARGEST}")
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"`{file}` is not UTF-8 text: byte {error.start + 1}", hint="save it as UTF-8") from error
    except OSError as error:
        hint = "`--values FILE`: docs/kubernetes-target.md lists its fields"
        raise UsageError(f"the values file `{file}` cannot be read: {error.strerror}", hint=hint) from error


def _parse(source: _ValuesText) -> object:
    """Read YAML as plain values, and keep its nodes, which have positions."""
    try:
        text = "\n".join(source.lines)
        for event in yaml.parse(text, yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):  # a few of them can expand without limit
                mark = cast("yaml.Mark", event.start_mark)
                raise _refused(source.problem("SF401", mark, "aliases are not supported", "write the value out"))
        loader = yaml.SafeLoader(text)
        source.root = loader.get_single_node()
        if source.root is None:
            return None
        twice = tuple(_twice(source, source.root))
        if twice:
            raise _refused(*twice)
        value: object = loader.construct_document(source.root)
    except yaml.MarkedYAMLError as error:
        said = " ".join(f"{error.context or ''} {error.problem or ''}".split())
        mark = error.problem_mark or error.context_mark or _START
        raise _refused(source.problem("SF401", mark, f"this is not YAML: {said}")) from error
    except RecursionError as error:
        raise _refused(source.problem("SF401", _START, "this is nested too deeply")) from error
    except (yaml.YAMLError, ValueError) as error:  # a character that YAML does not allow; an impossible date
        said = " ".join(str(error).split())
        raise _refused(source.problem("SF401", _START, f"this is not YAML: {said}")) from error
    return value


def _refused(*problems: Diagnostic) -> DocumentError:
    return DocumentError(problems, "the values file")


def _twice(source: _ValuesText, node: yaml.Node) -> Iterator[Diagnostic]:
    """Find duplicate keys: YAML forbids them, but its parser takes the last one."""
    if isinstance(node, yaml.SequenceNode):
        for each in node.value:
            yield from _twice(source, each)
    elif isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                message = f"`{name}` occurs twice, first in line {seen[name]}"
                yield source.problem("SF401", key.start_mark, message, "remove one of them", length=len(name))
            seen.setdefault(name, key.start_mark.line + 1)
            yield from _twice(source, value)


def _problems(source: _ValuesText, errors: list[ErrorDetails]) -> Iterator[Diagnostic]:
    """Yield one diagnostic per place: pydantic reports one error for each type that a value may have."""
    told: set[tuple[int, int]] = set()
    for error in errors:
        key, value, path = _place(source, error["loc"])
        at = key if error["type"] == "extra_forbidden" and key else value
        mark = at.start_mark if at else _START
        if (mark.line, mark.column) in told and error["type"] != "missing":
            continue
        told.add((mark.line, mark.column))
        length = at.end_mark.column - mark.column if at and at.end_mark.line == mark.line else 1
        code = "SF402" if error["type"] == "extra_forbidden" else "SF403"
        message, hint = _said(error, path)
        yield source.problem(code, mark, message, hint, length=max(1, length))


def _place(source: _ValuesText, loc: tuple[int | str, ...]) -> tuple[yaml.Node | None, yaml.Node | None, str]:
    """Return key, value and path (`nats.size`) of a place in the file, or of the nearest one that exists."""
    key: yaml.Node | None = None
    value, path = source.root, ""
    for part in loc:
        if isinstance(value, yaml.MappingNode):
            pair = next((pair for pair in value.value if str(pair[0].value) == str(part)), None)
            if pair is None:
                break
            key, value = pair
            path += f".{part}" if path else str(part)
        elif isinstance(value, yaml.SequenceNode) and isinstance(part, int) and part < len(value.value):
            key, value = None, value.value[part]
            path += f"[{part}]"
    return key, value, path


def _said(error: ErrorDetails, path: str) -> tuple[str, str]:
    """Format what is wrong with a value, and a hint."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return f"`{path}` is not a field of a values file", _fields(error["loc"])
    if kind == "missing":
        return (f"`{path}` needs" if path else "it needs") + f" `{error['loc'][-1]}`", ""
    if kind == "value_error":
        said = str(context.get("error", error["msg"]))
        return (f"`{path}`: {said}" if path else said), ""
    given = json.dumps(error["input"], default=str, skipkeys=True)[:_SHOWN]
    what = _SHAPES.get(str(context.get("pattern"))) or _KINDS.get(kind)
    if what is None:
        what = error["msg"].removeprefix("Input should be ").removeprefix("'' or ").replace("'", "`")
    return f"{f'`{path}`' if path else 'the file'} is {given}, but should be {what}", ""


def _fields(loc: tuple[int | str, ...]) -> str:
    """Format the hint for an unknown field: the closest field, or else all fields of that place."""
    model: type[BaseModel] = Values
    for part in loc[:-1]:
        named = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
        model = _model(named.get(str(part)), model)
    names = [field.alias or name for name, field in model.model_fields.items()]
    near = get_close_matches(str(loc[-1]), names, n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else "one of: " + ", ".join(f"`{name}`" for name in names)


def _model(annotation: object, here: type[BaseModel]) -> type[BaseModel]:
    """Return the model in a field's type (`X`, `X | None`, `tuple[X, ...]`, `Mapping[str, X]`), or else `here`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for each in get_args(annotation) if (found := _model(each, here)) is not here), here)
