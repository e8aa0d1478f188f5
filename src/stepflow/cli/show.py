"""`stepflow show`: what a document says."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from stepflow.workflow import Edge, Step, Text, Workflow

_LABEL = 12  # columns


def command(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The workflow: `workflow.md`, or `FILE#heading`.")],
    *,
    json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Show what a document says: title, overview, steps with their fields, outcomes and patterns, with their lines.

    Example: `stepflow show workflow.md`
    """
    from stepflow.workflow import load  # noqa: PLC0415 - keeps `--help` quick

    workflow = load(file)
    sys.stdout.write((as_json(workflow) if json else as_text(workflow)) + "\n")


def as_text(workflow: Workflow) -> str:
    """Format the workflow as text, as wide as the terminal, between 40 and 100 columns."""
    wide = max(40, min(100, shutil.get_terminal_size().columns))
    lines = [workflow.title, f"{workflow.span.file}:{workflow.span.line}"]
    if workflow.overview:
        lines += ["", *textwrap.wrap(workflow.overview, wide)]
    facts = [("complexity", workflow.complexity), ("duration", workflow.duration)]
    if any(text for _, text in facts):
        lines.append("")
    lines += [f"{label:<{_LABEL}}{_with_line(text)}" for label, text in facts if text]
    for step in workflow.steps:
        lines += ["", f"{step.number}. {step.title or 'Step'} (line {step.span.line})"]
        incoming = [edge for edge in workflow.edges if edge.target == step.number]
        for label, value in _facts(step, incoming):
            lines += _labelled(label, value, wide)
    for heading, texts in (("expected outcomes", workflow.outcomes), ("patterns", workflow.patterns)):
        if texts:
            lines += ["", heading, *(f"  {_with_line(text)}" for text in texts)]
    return "\n".join(line.rstrip() for line in lines)


def as_json(workflow: Workflow) -> str:
    """Format the workflow as JSON; every part of the document has its line."""
    import json  # noqa: PLC0415 - keeps `--help` quick

    incoming: dict[int, list[Edge]] = {}
    for edge in workflow.edges:
        incoming.setdefault(edge.target, []).append(edge)
    return json.dumps(
        {
            "name": workflow.name,
            "title": workflow.title,
            "file": workflow.file,
            "line": workflow.span.line,
            "overview": workflow.overview,
            "complexity": _text(workflow.complexity),
            "duration": _text(workflow.duration),
            "steps": [_step(step, incoming.get(step.number, [])) for step in workflow.steps],
            "outcomes": [_text(text) for text in workflow.outcomes],
            "patterns": [_text(text) for text in workflow.patterns],
        },
        indent=2,
        ensure_ascii=False,
    )


def _facts(step: Step, incoming: list[Edge]) -> Iterator[tuple[str, str]]:
    if step.id:
        yield "id", step.id
    yield "playbook", step.playbook or "none"
    yield "prompt", step.prompt
    if step.handoff:
        yield "hands off", step.handoff
    for edge in incoming:
        yield "relies on", f"step {edge.source}" + (f": {edge.reason}" if edge.reason else "")
    if step.repo:
        yield "repo", step.repo
    for given in step.inputs.values():
        yield given.key, given.value


def _labelled(label: str, value: str, wide: int) -> Iterator[str]:
    head = f"   {label:<{_LABEL}}"
    for line in value.split("\n"):
        for part in textwrap.wrap(line, wide - _LABEL - 3) if len(line) > wide - _LABEL - 3 else [line]:
            yield head + part
            head = " " * (_LABEL + 3)


def _with_line(text: Text) -> str:
    return f"{text.value} (line {text.span.line})"


def _text(text: Text | None) -> dict[str, Any] | None:
    return {"text": text.value, "line": text.span.line} if text else None


def _step(step: Step, incoming: list[Edge]) -> dict[str, Any]:
    return {
        "step": step.number,
        "title": step.title,
        "id": step.id,
        "line": step.span.line,
        "playbook": step.playbook,
        "prompt": step.prompt,
        "handoff": step.handoff,
        "repo": step.repo,
        "relies_on": [{"step": edge.source, "reason": edge.reason, "line": edge.span.line} for edge in incoming],
        "inputs": {given.key: {"value": given.value, "line": given.span.line} for given in step.inputs.values()},
    }
