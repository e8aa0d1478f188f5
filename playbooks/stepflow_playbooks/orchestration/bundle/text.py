"""Objects as YAML: readable, without anchors, the same for the same objects."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import yaml

_FASTEST = yaml.CSafeDumper if yaml.__with_libyaml__ else yaml.SafeDumper  # ten times as fast
_Dumper: Any = type("_Dumper", (_FASTEST,), {"__doc__": "Writes a text of several lines line by line."})
_ELSEWHERE = re.compile(r"[-+]?(0[xob])?[0-9a-fA-F_.]*[0-9][0-9a-fA-F_.]*([eE][-+]?[0-9]+)?|[yYnN]")
"""Texts that other readers of YAML take for numbers or truths, and this writer would not quote."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else "'" if _ELSEWHERE.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def stream(documents: Sequence[Any]) -> str:
    """Give one YAML stream of several documents."""
    return str(yaml.dump_all(_plain(documents), Dumper=_Dumper, sort_keys=False, explicit_start=True, width=120))


def document(value: Any) -> str:  # noqa: ANN401 - any JSON
    """Give one YAML document."""
    return str(yaml.dump(_plain(value), Dumper=_Dumper, sort_keys=False, width=120))


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Go through JSON, which leaves no value shared: YAML would write it as an anchor."""
    return json.loads(json.dumps(value))
