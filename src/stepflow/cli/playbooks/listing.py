"""How playbooks are listed and shown: for people, and as JSON."""

from __future__ import annotations

import inspect
import json
import shutil
import textwrap
from collections.abc import Iterator
from typing import Any

from stepflow.playbook import Playbook
from stepflow.registry import Plugin, installed
from stepflow.workflow import spoken_key


def all_as_text() -> str:
    """Format one line for each playbook; that of a broken one says why."""
    plugins = installed().plugins()
    if not plugins:
        return "no playbook is installed"
    wide = max(len(plugin.name) for plugin in plugins)
    room = max(30, shutil.get_terminal_size().columns - wide - 2)
    lines = []
    for plugin in plugins:
        words = plugin.playbook.summary if plugin.playbook else f"broken: {plugin.error}"
        first, *rest = textwrap.wrap(words, room) or [""]
        lines += [f"{plugin.name:<{wide}}  {first}", *(" " * (wide + 2) + line for line in rest)]
    return "\n".join([*lines, "", "`stepflow playbooks show NAME` shows what one takes and gives"])


def all_as_json() -> str:
    """Format `{"playbooks": [{name, package, version, summary, error}]}`."""
    return json.dumps({"playbooks": [_row(plugin) for plugin in installed().plugins()]}, indent=2, ensure_ascii=False)


def one_as_json(playbook: Playbook) -> str:
    """Format all about a playbook, with the JSON Schemas of its settings and its handoff."""
    facts = {
        "name": playbook.name,
        "version": playbook.version,
        "summary": playbook.summary,
        "settings": playbook.settings.model_json_schema(),
        "features": [
            {"name": each.name, "words": each.words, "summary": each.summary, "always": each.always}
            for each in playbook.features
        ],
        "takes": [
            {"handoff": each.handoff.__name__, "required": each.required, "collects": each.collects}
            for each in playbook.takes
        ],
        "gives": {"handoff": playbook.gives.__name__, "schema": playbook.gives.model_json_schema()},
    }
    return json.dumps(facts, indent=2, ensure_ascii=False)


def one_as_text(playbook: Playbook) -> str:
    """Format all about a playbook as text."""
    lines = [f"{playbook.name} {playbook.version}", playbook.summary, "", "inputs"]
    lines += _inputs(playbook) or ["  none"]
    if playbook.features:
        lines += ["", "features, and the words of a prompt that select them"]
        for feature in playbook.features:
            always = " (always on)" if feature.always else ""
            lines += [f"  {feature.name}{always}: {feature.summary}", f"    {', '.join(feature.words)}"]
    lines += ["", "takes"]
    for each in playbook.takes:
        how = "collects every earlier" if each.collects else "from the steps it relies on, a"
        lines.append(f"  {how} {each.handoff.__name__}" + (" (required)" if each.required else ""))
    lines += [] if playbook.takes else ["  nothing"]
    lines += ["", f"gives a {playbook.gives.__name__}", *_fields(playbook.gives.model_json_schema())]
    lines += ["", "JSON Schema of the inputs", json.dumps(playbook.settings.model_json_schema(), indent=2)]
    return "\n".join(lines)


def _inputs(playbook: Playbook) -> list[str]:
    lines = []
    for name, field in playbook.settings.model_fields.items():
        key = spoken_key(name)
        default = "required" if field.is_required() else f"default {field.get_default(call_default_factory=True)!r}"
        kind = inspect.formatannotation(field.annotation)
        lines.append(f"  {key} ({kind}, {default}): {field.description or ''}".rstrip(": "))
    return lines


def _fields(schema: dict[str, Any]) -> Iterator[str]:
    for name, about in schema.get("properties", {}).items():
        kind = about.get("type") or about.get("$ref", "").rpartition("/")[2] or "any"
        yield f"  {name}: {kind}"


def _row(plugin: Plugin) -> dict[str, str]:
    made = plugin.playbook
    return {
        "name": plugin.name,
        "package": plugin.package,
        "version": made.version if made else "",
        "summary": made.summary if made else "",
        "error": plugin.error,
    }
