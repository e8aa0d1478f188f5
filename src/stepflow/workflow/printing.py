"""Prints a workflow as a document that reads back as the same workflow."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stepflow.workflow.fields import normalise_key
from stepflow.workflow.model import Edge, Field, Step, Workflow
from stepflow.workflow.values import clean


def format_workflow(workflow: Workflow) -> str:
    """Print a workflow as Markdown: `parse(format_workflow(w))` returns `w` again, except for the places.

    Its `collects` edges are left out: they come from the playbooks, not the document.
    """
    lines = [f"# {workflow.title}", ""]
    for label, text in (("Complexity Level", workflow.complexity), ("Duration Estimate", workflow.duration)):
        if text:
            lines += [f"**{label}**: {text.value}  "]
    if workflow.overview:
        lines += ["", "## Overview", "", workflow.overview]
    lines += ["", "## Workflow Steps"]
    for step in workflow.steps:
        lines += _step(step)
    relies = [edge for edge in workflow.edges if edge.kind == "relies"]
    if relies:
        lines += ["", "## Dependency Chain Analysis", "", *(_arrow(edge) for edge in relies)]
    for heading, texts in (
        ("Expected Outcomes", workflow.outcomes),
        ("Architecture Patterns Demonstrated", workflow.patterns),
    ):
        if texts:
            lines += ["", f"## {heading}", "", *(f"- {text.value}" for text in texts)]
    return "\n".join(lines) + "\n"


def _step(step: Step) -> Iterator[str]:
    yield ""
    yield f"### Step {step.number}: {step.title}".rstrip(": ")
    yield ""
    for field in (*step.fields.values(), *step.inputs.values()):
        yield from _field(field)


def _field(field: Field) -> Iterator[str]:
    first, *rest = field.value.split("\n")
    hanging = "\n".join([f" {first}", *(f"  {line}" if line else "" for line in rest)])
    if clean(hanging, nested=normalise_key(field.key) == "prompt") == field.value:
        yield f"- {field.key}:{hanging}".rstrip(" ")
        return
    longest = max((len(run) for run in re.findall(r"`+", field.value)), default=0)
    mark = "`" * max(3, longest + 1)
    yield f"- {field.key}:"
    for line in (mark, *field.value.split("\n"), mark):
        yield f"  {line}".rstrip() if not line else f"  {line}"


def _arrow(edge: Edge) -> str:
    return f"- Step {edge.target} \u2192 Step {edge.source}" + (f" ({edge.reason})" if edge.reason else "")
