"""Templates as text: a small, bounded dialect of Jinja in a sandbox.

A template may print declared variables, choose (`if`), repeat (`for`) and use the filters below. It cannot assign,
call, include, concatenate or follow attributes, so neither its source nor its data can make it run long or
grow large: every loop turn is counted, the output is cut off at a limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, UndefinedError, meta, nodes
from jinja2.filters import FILTERS as JINJA_FILTERS
from jinja2.sandbox import ImmutableSandboxedEnvironment

from service.money import money
from service.text import clean

MAX_SOURCE = 20_000  # characters of one part
MAX_OUTPUT = 200_000  # characters of one rendered part
MAX_TURNS = 2_000  # loop turns of one part, inner loops counted
FILTERS = (
    "capitalize",
    "default",
    "escape",
    "e",
    "first",
    "last",
    "length",
    "lower",
    "round",
    "title",
    "trim",
    "upper",
)
ALLOWED = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.For, nodes.Name, nodes.Const),
    *(nodes.Getattr, nodes.Getitem, nodes.Filter, nodes.Test, nodes.Compare, nodes.Operand, nodes.Keyword),
    *(nodes.And, nodes.Or, nodes.Not, nodes.CondExpr),
)
WORDS = {nodes.Call: "a call", nodes.Assign: "`set`", nodes.Include: "`include`", nodes.Import: "`import`"}
WORDS |= {nodes.Concat: "`~`", nodes.Add: "`+`", nodes.Mul: "`*`", nodes.Macro: "`macro`", nodes.Extends: "`extends`"}
TICK = "_turn"


class BadTemplateError(ValueError):
    """A template or its data is wrong; `part` is `subject`, `text`, `html`, `variables` or `data`."""

    def __init__(self, part: str, message: str) -> None:
        """Keep the part beside the message."""
        super().__init__(f"{part}: {message}")
        self.part = part
        self.message = message


@dataclass(frozen=True, slots=True)
class Variable:
    """A value that a template needs; one that is not required is empty when it is missing."""

    name: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class Source:
    """The text of one template version. E-mail has a subject; only e-mail has HTML."""

    subject: str
    text: str
    html: str
    variables: tuple[Variable, ...]

    def parts(self) -> tuple[tuple[str, str], ...]:
        """Return the source of each part, by name."""
        return (("subject", self.subject), ("text", self.text), ("html", self.html))


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a recipient reads. The subject is one line."""

    subject: str
    text: str
    html: str


class _Turns:
    """Counts the loop turns of one rendering."""

    def __init__(self, part: str) -> None:
        self.part = part
        self.left = MAX_TURNS

    def __call__(self) -> str:
        self.left -= 1
        if self.left < 0:
            raise BadTemplateError(self.part, f"more than {MAX_TURNS} loop turns")
        return ""


def _environment(*, autoescape: bool) -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        autoescape=autoescape, undefined=StrictUndefined, keep_trailing_newline=True, cache_size=0
    )
    environment.filters = {name: JINJA_FILTERS[name] for name in FILTERS} | {"money": money}
    environment.globals = {}
    return environment


PLAIN = _environment(autoescape=False)
HTML = _environment(autoescape=True)


def check(source: Source, channel: str = "email") -> None:
    """Reject a template that could never be rendered. Raises `BadTemplateError` naming the part and the line."""
    if channel == "email" and not source.subject.strip():
        raise BadTemplateError("subject", "an e-mail needs one")
    if channel != "email" and source.html:
        raise BadTemplateError("html", f"{channel} has text only")
    declared = {variable.name for variable in source.variables}
    for variable in source.variables:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", variable.name) or variable.name == "loop":
            raise BadTemplateError("variables", f"`{variable.name}` is not a name: use a-z, 0-9 and _, first a letter")
    for part, text in source.parts():
        tree = _parse(part, text)
        unknown = sorted(meta.find_undeclared_variables(tree) - declared - {TICK})
        if unknown:
            raise BadTemplateError(part, f"uses `{unknown[0]}`, which `variables` does not declare")
        _compile(part, text)


def render(source: Source, data: Mapping[str, Any]) -> Rendered:
    """Render a template. Raises `BadTemplateError` when a required variable is missing or a limit is exceeded."""
    missing = [v.name for v in source.variables if v.required and data.get(v.name) in (None, "")]
    if missing:
        raise BadTemplateError("data", f"`{'`, `'.join(missing)}` missing")
    values = {variable.name: data.get(variable.name, "") for variable in source.variables}
    subject, text, html = (_fill(part, body, values) for part, body in source.parts())
    return Rendered(one_line(subject), text, html)


def one_line(text: str) -> str:
    """Make text safe for a header: control characters and line breaks become single spaces."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _parse(part: str, text: str) -> nodes.Template:
    if len(text) > MAX_SOURCE:
        raise BadTemplateError(part, f"{len(text)} characters; the limit is {MAX_SOURCE}")
    try:
        tree = (HTML if part == "html" else PLAIN).parse(text)
    except TemplateSyntaxError as error:
        raise BadTemplateError(part, f"line {error.lineno}: {error.message}") from None
    except RecursionError:
        raise BadTemplateError(part, "nested too deeply") from None
    for node in tree.find_all(nodes.Node):
        _allow(part, node)
    for loop in tree.find_all(nodes.For):
        loop.body.insert(0, nodes.Output([nodes.Call(nodes.Name(TICK, "load"), [], [], None, None)]))
    return tree


def _allow(part: str, node: nodes.Node) -> None:
    if not isinstance(node, ALLOWED):
        what = WORDS.get(type(node), f"`{type(node).__name__.lower()}`")
        raise BadTemplateError(part, f"line {node.lineno}: {what} is not available in templates")
    if isinstance(node, nodes.For) and node.recursive:
        raise BadTemplateError(part, f"line {node.lineno}: a recursive loop is not available in templates")
    if isinstance(node, nodes.Filter) and node.name not in PLAIN.filters:
        known = ", ".join(sorted(PLAIN.filters))
        raise BadTemplateError(part, f"line {node.lineno}: no filter `{node.name}`; there are {known}")
    if isinstance(node, nodes.Name) and node.name == TICK:
        raise BadTemplateError(part, f"line {node.lineno}: `{TICK}` is reserved")


@lru_cache(maxsize=256)
def _compile(part: str, text: str) -> Template:
    environment = HTML if part == "html" else PLAIN
    try:
        return environment.from_string(_parse(part, text))
    except TemplateSyntaxError as error:
        raise BadTemplateError(part, f"line {error.lineno}: {error.message}") from None
    except RecursionError:
        raise BadTemplateError(part, "nested too deeply") from None


def _fill(part: str, text: str, values: Mapping[str, Any]) -> str:
    template = _compile(part, text)
    try:
        return _bounded(part, template.generate({**values, TICK: _Turns(part)}))
    except BadTemplateError:
        raise
    except UndefinedError as error:
        raise BadTemplateError(part, str(error.message)) from None
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise BadTemplateError(part, f"cannot be filled in with this data: {error}") from None


def _bounded(part: str, chunks: Iterable[str]) -> str:
    kept, size = [], 0
    for chunk in chunks:
        size += len(chunk)
        if size > MAX_OUTPUT:
            raise BadTemplateError(part, f"more than {MAX_OUTPUT} characters of output")
        kept.append(chunk)
    return clean("".join(kept))
