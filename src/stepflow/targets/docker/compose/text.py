"""Text in a compose file: what is data and what compose puts in.

Compose replaces `$NAME` and `${NAME}` in every value of a document, and `$$` by `$`. Whatever comes from a workflow or
a playbook is data; only a `Variable` made here is left to compose.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from stepflow.errors import PermanentError
from stepflow.targets.docker.container import HostPort, Pieces, Secret

_NOT_IN_A_NAME = re.compile(r"[^A-Z0-9]+")
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./@-]*")
_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*")
_ENTRY = re.compile(r"(?<!:\n)^(?= {0,2}\S)", re.MULTILINE)
_ONE_LINE = 80  # characters of a list that still reads well in one line
_WIDE = 1 << 20  # columns: nothing is broken into several lines


@dataclass(frozen=True, slots=True)
class Variable:
    """A value that the one who starts the platform may set, in the environment or in `.env`."""

    name: str
    default: str

    def __str__(self) -> str:
        return f"${{{self.name}:-{self.default}}}"


@dataclass(frozen=True, slots=True)
class Joined:
    """Text with variables in it."""

    pieces: tuple[str | Variable, ...]

    def __str__(self) -> str:
        return "".join(literal(piece) if isinstance(piece, str) else str(piece) for piece in self.pieces)


YamlNode = str | int | bool | None | Variable | Joined | list["YamlNode"] | dict[str, "YamlNode"]
"""A document before its texts are made safe."""
Ports = Mapping[HostPort, Variable]
"""The published ports of a platform and the variables that choose their numbers."""


def port_variable(port: HostPort, number: int) -> Variable:
    """Return the variable that chooses the number of a published port: `GATEWAY_HTTP_PORT`."""
    return Variable(_name(f"{port.workload}_{port.port}_port"), str(number))


def image(reference: str, name: str = "") -> YamlNode:
    """Return an image's reference and let a variable replace it, `POSTGRES_IMAGE` or the given one."""
    if not _REFERENCE.fullmatch(reference):
        return reference
    repository = reference.partition("@")[0].rpartition("/")[2].partition(":")[0]
    return Variable(name or _name(f"{repository}_image"), reference)


def _name(text: str) -> str:
    name = _NOT_IN_A_NAME.sub("_", text.upper())
    return f"_{name}" if name[0].isdigit() else name


def literal(text: str) -> str:
    """Double each `$`, so that compose returns the text as it is."""
    return text.replace("$", "$$")


def joined(text: Pieces, ports: Ports) -> Joined:
    """Join a text's pieces. Raises `PermanentError` for a secret, or a port that is not published."""
    return Joined(tuple(piece if isinstance(piece, str) else _variable(piece, ports) for piece in text))


def _variable(piece: Secret | HostPort, ports: Ports) -> Variable:
    if isinstance(piece, Secret):
        raise PermanentError(f"the secret `{piece.name}` may stand in a file only", hint="pass it as a `SecretFile`")
    return published(piece, ports)


def published(port: HostPort, ports: Ports) -> Variable:
    """Return the variable of a port. Raises `PermanentError` for one that is not published."""
    if port not in ports:
        raise PermanentError(
            f"`{port.workload}` does not publish its port `{port.port}`", hint="declare it `published=True`"
        )
    return ports[port]


class _Dumper(yaml.SafeDumper):
    """Block style, no anchors, and quotes round all that another YAML version could read as something else."""

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: FBT001 - its signature
        del indentless
        super().increase_indent(flow, False)  # noqa: FBT003 - its signature


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    plain = _PLAIN.fullmatch(text) and isinstance(yaml.safe_load(text), str)  # `no` is a boolean in YAML 1.1
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


def _list(dumper: yaml.SafeDumper, items: list[object]) -> yaml.Node:
    short = all(isinstance(item, str) for item in items) and sum(len(str(item)) for item in items) < _ONE_LINE
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=short)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)


def dumped(document: YamlNode) -> str:
    """Format a document as YAML, keys sorted, sections and their entries set apart by blank lines.

    Every value in it is data but for its variables.
    """
    text = yaml.dump(_finished(document), Dumper=_Dumper, allow_unicode=True, width=_WIDE)
    return _ENTRY.sub("\n", text)


def _finished(node: YamlNode) -> object:
    match node:
        case str():
            return literal(node)
        case Variable() | Joined():
            return str(node)
        case list():
            return [_finished(inner) for inner in node]
        case dict():
            return {key: _finished(inner) for key, inner in node.items()}  # compose leaves keys as they are
        case _:
            return node
