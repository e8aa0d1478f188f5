"""Objects as YAML: readable, without anchors, the same for the same objects; and as templates of Helm, slots open."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import yaml

from stepflow.targets.kubernetes.bundle import Slot

_FASTEST: Any = yaml.CSafeDumper if yaml.__with_libyaml__ else yaml.SafeDumper  # 3 times as fast
_WIDTH, _UNLIMITED = 120, 1 << 30
_ELSEWHERE = re.compile(r"[-+]?(0[xob])?[0-9a-fA-F_.]*[0-9][0-9a-fA-F_.]*([eE][-+]?[0-9]+)?|[yYnN]")
"""Texts that other readers of YAML take for numbers or booleans, and PyYAML would not quote."""


_VERBATIM = re.compile("xVERBATIMx([0-9a-f]+)x")


class JsonSlot(Slot):
    """A slot whose pipeline returns a number or a mapping instead of a text."""


class Merge:
    """The key `<<` (https://yaml.org/type/merge.html), whose mapping becomes part of the one that it is in."""


MERGE = Merge()


class _Dumper(_FASTEST):  # type: ignore[misc]  # one of two classes
    def ignore_aliases(self, data: object) -> bool:
        del data
        return True


class _TemplateDumper(_Dumper):
    """Writes a slot as an action of a template, and other text so that it contains none, both in hexadecimal digits."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else "'" if _ELSEWHERE.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _default(dumper: yaml.SafeDumper, slot: Slot) -> yaml.ScalarNode:
    return _text(dumper, str(slot))


def _slot(dumper: yaml.SafeDumper, slot: Slot) -> yaml.ScalarNode:
    # `quote` escapes what YAML does not allow in a text; `toJson` leaves U+007F to U+009F as they are.
    written = "toJson" if isinstance(slot, JsonSlot) else "quote"
    return _verbatim(dumper, f"{{{{ {slot.expression} | {written} }}}}")


def _without_actions(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    if "{{" not in text and not _VERBATIM.search(text):
        return _text(dumper, text)
    node = yaml.ScalarNode("tag:yaml.org,2002:str", text, style='"')
    quoted = yaml.serialize(node, Dumper=_FASTEST, width=_UNLIMITED).rstrip("\n")
    return _verbatim(dumper, quoted.replace("{{", r"{\x7B"))


def _verbatim(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Return a word without quotes that `template` replaces with the text: the fast emitter writes no text as it is."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", f"xVERBATIMx{text.encode().hex()}x")


def _merge(dumper: yaml.SafeDumper, _: Merge) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:merge", "<<")


_Dumper.add_representer(str, _text)
_Dumper.add_representer(Slot, _default)
_TemplateDumper.add_representer(str, _without_actions)
_TemplateDumper.add_representer(Slot, _slot)
_TemplateDumper.add_representer(JsonSlot, _slot)
_TemplateDumper.add_representer(Merge, _merge)


def stream(documents: Sequence[Any]) -> str:
    """Return one YAML stream of several documents; slots are their defaults."""
    return str(yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, explicit_start=True, width=_WIDTH))


def document(value: Any) -> str:  # noqa: ANN401 - any JSON
    """Return one YAML document; slots are their defaults."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=_WIDTH))


def template(item: Any) -> str:  # noqa: ANN401 - any JSON
    """Return the Helm template of one document of a stream."""
    text = yaml.dump(item, Dumper=_TemplateDumper, sort_keys=False, explicit_start=True, width=_WIDTH)
    return _VERBATIM.sub(lambda found: bytes.fromhex(found[1]).decode(), text)
