"""Pictures of a workflow: complete, harmless, readable."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from stepflow.graph import Graph, as_dot, as_html, as_json, as_mermaid, as_svg, as_tree, build
from stepflow.graph.layout import fit, place
from stepflow.graph.words import cut, width, wrap
from stepflow.workflow import Edge, Workflow, load, parse

REFERENCE = Path(__file__).parents[2] / "examples/microservices/workflow.md"
NASTY = '</text></title><script>alert(1)</script> "quoted" `x` \\ | --> &lt; \x1b[31m \u202e]'
SVG = "{http://www.w3.org/2000/svg}"


def reference() -> Graph:
    """Return the reference workflow with some collected handoffs and outcomes."""
    workflow = load(str(REFERENCE))
    collected = tuple(Edge(n, 8, "collects", workflow.span, "collects") for n in (1, 2, 3, 4, 5, 6))
    return build(replace(workflow, edges=workflow.edges + collected), {1: "done", 2: "failed", 4: "skipped"})


def nasty() -> Workflow:
    """Return a workflow whose every text tries to break out of the picture."""
    text = (
        f"# {NASTY}\n\n**Complexity**: {NASTY}\n\n## Overview\n{NASTY}\n\n## Expected Outcomes\n- {NASTY}\n\n"
        f"## Step 1: {NASTY}\n- Playbook: {NASTY}\n- Prompt: {NASTY}\n\n## Step 2\n- Prompt: p\n"
        f"- RelyPreviousStep: Step 1 - {NASTY}\n"
    )
    return parse(text, NASTY)[0][0]


def test_waves_and_critical_path_of_the_reference_document() -> None:
    graph = reference()
    assert graph.waves == ((1, 3, 5), (2,), (4,), (6,), (7,), (8,))
    assert graph.critical_path == (1, 2, 4, 6, 7, 8)


def test_json_has_nodes_edges_waves_and_the_critical_path() -> None:
    made = json.loads(as_json(reference()))
    assert set(made) == {"nodes", "edges", "waves", "critical_path"}
    assert made["nodes"][1] | {"prompt": "", "handoff": ""} == {
        "step": 2,
        "title": "User Management Service",
        "playbook": "user-service",
        "prompt": "",
        "handoff": "",
        "line": 20,
        "status": "failed",
    }
    assert made["edges"][0] == {"from": 1, "to": 2, "kind": "relies", "reason": "user service needs service discovery"}
    assert sum(edge["kind"] == "collects" for edge in made["edges"]) == 6
    assert "status" not in json.loads(as_json(build(load(str(REFERENCE)))))["nodes"][0]


@pytest.mark.parametrize("columns", [60, 80, 132])
@pytest.mark.parametrize("plain", [False, True])
def test_the_tree_fits_the_terminal_and_says_everything(columns: int, *, plain: bool) -> None:
    tree = as_tree(reference(), columns, plain=plain)
    assert max(width(line) for line in tree.splitlines()) <= columns
    assert tree.isascii() is plain
    for words in ("wave 6", "collects 1, 2, 3, 4, 5, 6", "done", "failed", "skipped"):
        assert words in tree
    for step in reference().workflow.steps:
        assert f" {step.number} " in tree
        assert step.playbook in tree
        assert step.title[:9] in tree  # the rest is cut where the terminal is narrow
    assert tree.rstrip().endswith(
        "1 -> 2 -> 4 -> 6 -> 7 -> 8" if plain else "1 \u2192 2 \u2192 4 \u2192 6 \u2192 7 \u2192 8"
    )


def test_the_svg_shows_every_step_every_reason_and_collected_edges_dashed() -> None:
    root = ET.fromstring(as_svg(reference()))  # noqa: S314 - it was made one line above
    texts = [element.text or "" for element in root.iter(f"{SVG}text")]
    titles = [element.text or "" for element in root.iter(f"{SVG}title")]
    assert [text for text in texts if re.fullmatch(r"\d", text)] == ["1", "3", "5", "2", "4", "6", "7", "8"]
    assert "Step 2 relies on step 1: user service needs service discovery" in titles
    assert "Step 8 collects from step 5: collects" in titles
    dashed = [path for path in root.iter(f"{SVG}path") if "collects" in path.get("class", "")]
    assert len(dashed) == 6
    assert {"done", "failed", "skipped", "collects 6 handoffs"} <= set(texts)


def test_boxes_of_the_svg_do_not_overlap_and_lie_inside_of_it() -> None:
    text = "".join(
        f"## Step {n}\n- Prompt: p\n"
        + (f"- RelyPreviousStep: Step {n // 3 + 1}, Step {n - 1}\n" if n > 4 and n % 3 else "")
        for n in range(1, 40)
    )
    root = ET.fromstring(as_svg(build(parse(text, "w.md")[0][0])))  # noqa: S314 - it was made in this line
    boxes = [
        tuple(float(box.get(name, "")) for name in ("x", "y", "width", "height"))
        for box in root.iter(f"{SVG}rect")
        if box.get("class") == "box"
    ]
    assert len(boxes) == 39
    for index, (x, y, w, h) in enumerate(boxes):
        assert x >= 0
        assert x + w <= float(root.get("width", ""))
        assert y + h <= float(root.get("height", ""))
        assert not [o for o in boxes[index + 1 :] if abs(o[0] - x) < w and abs(o[1] - y) < h]


def test_a_long_edge_gets_a_lane_beside_the_steps_it_passes() -> None:
    text = "## Step 1\n- Prompt: p\n## Step 2\n- Prompt: p\n## Step 3\n- Prompt: p\n- RelyPreviousStep: Steps 1 and 2\n"
    layout = place(build(parse(text, "w.md")[0][0]), step_width=100, edge_width=20)
    assert abs(layout.x[1, 3, 1] - layout.x[2, 0, 0]) >= 60


def test_positions_are_the_nearest_that_keep_the_distances() -> None:
    assert fit([0, 0], [1, 1], [5, 5]) == [-5, 5]
    assert fit([0, 100], [1, 1], [5, 5]) == [0, 100]
    assert fit([10, 0, 50], [1, 3, 1], [5, 5, 5]) == [-5, 5, 50]


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on") or name in {"href", "src"}]


def test_text_of_the_document_is_text_in_every_picture() -> None:
    graph = build(nasty(), {1: NASTY})
    page, svg = as_html(graph), as_svg(graph)
    seen = _Tags()
    seen.feed(page)
    assert "script" not in seen.tags
    assert seen.handlers == []
    assert "&lt;script&gt;alert(1)" in page
    assert [element.tag for element in ET.fromstring(svg).iter() if element.tag.endswith("script")] == []  # noqa: S314 - as above
    for text in (page, svg, as_mermaid(graph), as_dot(graph), as_tree(graph)):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "<script" not in text or text.startswith(("digraph", "<"))
    assert re.fullmatch(r'(?:[^"]|"(?:[^"\\]|\\.)*")*', as_dot(graph))
    assert "<script" not in as_mermaid(graph)
    assert all(line.count('"') in {0, 2} for line in as_mermaid(graph).splitlines())


def test_the_page_loads_nothing_and_has_a_light_and_a_dark_form() -> None:
    page = as_html(reference())
    assert "default-src 'none'" in page
    assert "prefers-color-scheme:dark" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    assert page.count("<tr>") == 9


def test_words_are_cut_and_wrapped_by_columns_not_characters() -> None:
    assert cut("\u65e5\u672c\u8a9e\u65e5\u672c\u8a9e", 7) == "\u65e5\u672c\u8a9e\u2026"
    assert wrap("one two three four five", 9, 2) == ["one two", "three fo\u2026"]
    assert wrap("unbreakable-as-it-is", 9, 2) == ["unbreaka\u2026"]
    assert wrap("", 9, 2) == []


def test_a_workflow_of_one_step_can_be_drawn_in_every_form() -> None:
    graph = build(parse("## Step 1\n- Prompt: p\n", "w.md")[0][0])
    assert graph.critical_path == ()
    assert "1 step \u00b7 1 wave" in as_tree(graph)
    for draw in (as_mermaid, as_dot, as_svg, as_html, as_json):
        assert draw(graph)
