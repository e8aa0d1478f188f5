"""What holds for every document: it reads back as printed, any text gives diagnostics, places lie in the file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from stepflow import markdown
from stepflow.errors import Diagnostic, Span
from stepflow.graph import as_dot, as_html, as_json, as_mermaid, as_svg, as_tree, build
from stepflow.markdown import Source
from stepflow.registry import Registry, check
from stepflow.workflow import Edge, Field, Step, Text, Workflow, format_workflow, parse
from stepflow.workflow.values import clean

REFERENCE = (Path(__file__).parents[2] / "examples/microservices/workflow.md").read_text()
NOWHERE = Span("w.md", 1)
PLAIN = st.text(st.characters(codec="utf-8", categories=("L", "N")) | st.sampled_from(" ,&'()!?/"), min_size=1)
LINES = st.sampled_from(
    [
        "# T", "## Step 1 ##", "### Step 2: Two", "## Step 1:One", "Step 3\n---", "Step 4\n===", "```markdown", "```",
        "~~~~", "````md", "- Playbook: shell", "- Prompt: do", "- RelyPreviousStep: yes", "- RelyPreviousStep: Step 9",
        "- RelyPreviousStep: Steps 1 and 2 - why, Step 3", "* Handoff:", "  more", "\tmore", "    code", "", " ",
        "- Prompt", "1. Repo: none", "> quote", "> ## Step 5", "<!-- hidden", "-->", "<div>", "***", "[a]: b",
        "## Dependency Chain Analysis", "- Step 2 -> Step 1 (why)", "Step 1 \u2192 Step 1", "- Step 3 => 2, 1: why",
        "**Dependencies**: Mixed (5 dependent, 3 independent steps)", "## Expected Outcomes", "- \u2705 It works",
        "-\u00a0Prompt: nbsp", "- **Prompt**: bold", "- `Prompt`: code", "\ufeff# T", "- A: ```", "  ```bash", "  ```",
        "**Prompt:** bold", "__Repo:__ none", "> - Prompt: quoted", "| Prompt | p |", "## Step 2a", "### Details",
        "All steps are independent", "- RelyPreviousStep: yes (Step 1)", "- RelyPreviousStep: Steps 1\u20133 - why",
        "- RelyPreviousStep: yes - see Step 1", "- Depends On: 1", "Steps 1-2 -> Step 3, Step 4 (why)", "\tcode  ",
        "- Step 3 needs Step 1", "Payment (Step 2) -> none", "- Prompt: make  ",
    ]
)  # fmt: skip
WILD = st.one_of(
    st.text(),
    st.text(st.sampled_from("#-*+>`~:=_ \t\n\r\u00a0\u2028\x0c\x00Step0123456789"), max_size=200),
    st.lists(LINES, max_size=30).map("\n".join),
    st.lists(LINES, max_size=30).map("\r\n".join),
    st.integers(0, len(REFERENCE)).map(lambda end: REFERENCE[:end]),
    st.tuples(st.integers(0, len(REFERENCE)), st.text(max_size=5)).map(
        lambda at: REFERENCE[: at[0]] + at[1] + REFERENCE[at[0] :]
    ),
)


def bare(workflow: Workflow) -> dict[str, object]:
    """Return a workflow without places and file name."""
    return cast("dict[str, object]", without_places(asdict(workflow)))


def without_places(value: object) -> object:
    if isinstance(value, dict):
        return {key: without_places(inner) for key, inner in value.items() if key not in {"span", "value_span", "file"}}
    return [without_places(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def spans(workflows: tuple[Workflow, ...], diagnostics: tuple[Diagnostic, ...]) -> Iterator[Span]:
    """Return every place that a parse result names."""
    yield from (found.span for found in diagnostics)
    for workflow in workflows:
        yield workflow.span
        yield from (edge.span for edge in workflow.edges)
        yield from (text.span for text in (*workflow.outcomes, *workflow.patterns))
        yield from (text.span for text in (workflow.complexity, workflow.duration) if text)
        for step in workflow.steps:
            yield step.span
            for field in (*step.fields.values(), *step.inputs.values()):
                yield from (field.span, field.value_span)


def plain_line(text: str) -> str:
    return " ".join(text.split()).strip(" ,&'()!?/")


@st.composite
def values(draw: st.DrawFn) -> str:
    """Draw the text of a field as a document can hold it."""
    text = draw(st.text() | st.lists(LINES, max_size=6).map("\n".join))
    text = Source(text.replace("\r", "")).text
    for _ in range(6):
        text, before = clean(f" {text}"), text
        if text == before:
            break
    assume(text and text == clean(f" {text}"))
    return text


@st.composite
def workflows(draw: st.DrawFn) -> Workflow:
    """Draw a workflow whose edges stand in its dependency section."""
    numbers = draw(st.lists(st.integers(0, 99), min_size=1, max_size=6, unique=True).map(sorted))
    steps = []
    for number in numbers:
        title = plain_line(draw(PLAIN))
        texts = {"prompt": ("Prompt", draw(values()))}
        if draw(st.booleans()):
            texts["handoff"] = ("Handoff", draw(values()))
        inputs = {"maxitems": Field("Max Items", draw(values()), NOWHERE, NOWHERE)} if draw(st.booleans()) else {}
        playbook = draw(st.none() | st.sampled_from(["shell", "user-service"]))
        if playbook:
            texts["playbook"] = ("Playbook", playbook)
        fields = {key: Field(name, value, NOWHERE, NOWHERE) for key, (name, value) in texts.items()}
        handoff = texts["handoff"][1] if "handoff" in texts else ""
        steps.append(Step(number, title, playbook, texts["prompt"][1], handoff, None, inputs, fields, NOWHERE))
    pairs = [(a, b) for b in numbers for a in numbers if a < b]
    chosen = (
        sorted(draw(st.sets(st.sampled_from(pairs), min_size=1)), key=lambda pair: (pair[1], pair[0])) if pairs else []
    )
    edges = tuple(Edge(a, b, plain_line(draw(PLAIN)).replace("(", "").replace(")", ""), NOWHERE) for a, b in chosen)
    title = plain_line(draw(PLAIN)) or "A title"
    outcomes = tuple(Text(word, NOWHERE) for word in draw(st.lists(st.sampled_from(["It works", "It is fast"]))))
    return Workflow("", title, "w.md", tuple(steps), edges, "An overview.", outcomes=outcomes)


@given(workflows())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_a_printed_workflow_reads_back_as_itself(workflow: Workflow) -> None:
    """`parse(format_workflow(w)) == w`, but for the places and the name that follows from the title."""
    read, diagnostics = parse(format_workflow(workflow), "w.md")
    assert [found for found in diagnostics if found.severity == "error"] == []
    assert len(read) == 1
    expected, got = bare(workflow), bare(read[0])
    assert got | {"name": ""} == expected
    again, _ = parse(format_workflow(read[0]), "w.md")
    assert bare(again[0]) == got


@pytest.mark.parametrize("form", [0, 1])
def test_the_reference_document_reads_back_as_itself(form: int) -> None:
    """So does the reference document, with its fences and flags; and what was printed stays as it is."""
    text = REFERENCE if form == 0 else format_workflow(parse(REFERENCE, "w.md")[0][0])
    workflow = parse(text, "w.md")[0][0]
    assert bare(parse(format_workflow(workflow), "w.md")[0][0]) == bare(workflow)


@given(WILD)
@example("```\n## Step 1\n- Prompt: x")
@example("-\n- \n1.\n")
@example("## Step 1\n- Prompt:\n\n  ```\n  a\n")
@settings(max_examples=400, deadline=None)
def test_any_text_gives_diagnostics_with_places_in_the_file(text: str) -> None:
    """No text raises; every place is inside of the file; a document without a step is told so once."""
    found, problems = parse(text, "w.md")
    source = Source(text)
    lines = source.text.split("\n")
    for span in spans(found, problems):
        assert 1 <= span.line <= len(lines), span
        assert 1 <= span.column <= len(lines[span.line - 1]) + 1, span
        assert span.length >= 1
        assert span.column + span.length - 1 <= max(1, len(lines[span.line - 1]) + 1), span
    for problem in problems:
        assert problem.source == lines[problem.span.line - 1]
        assert problem.message
    assert found or [problem.code for problem in problems][:1] == ["SF101"]


@given(WILD)
@settings(max_examples=150, deadline=None)
def test_order_respects_edges_and_every_picture_can_be_drawn(text: str) -> None:
    """An edge runs from a lower number to a higher one and from an earlier wave to a later; no picture raises."""
    found, _ = check(text, "w.md", Registry(()))
    for workflow in found:
        graph = build(workflow)
        wave = {number: index for index, numbers in enumerate(graph.waves) for number in numbers}
        assert set(wave) == {step.number for step in workflow.steps}
        for edge in graph.edges:
            assert edge.source < edge.target
            assert wave[edge.source] < wave[edge.target]
        for draw in (as_tree, as_mermaid, as_dot, as_svg, as_html, as_json):
            assert draw(graph).strip()


@given(WILD)
@settings(max_examples=300, deadline=None)
def test_items_that_need_no_parser_are_where_the_parser_finds_them(text: str) -> None:
    """The short cut through plain lists cuts the text exactly as mistune does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(markdown, "_SIMPLE", {})
        slow = Source(text).blocks()
    assert Source(text).blocks() == slow
