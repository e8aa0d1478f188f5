"""The graph as one SVG: boxes in waves, curves for dependencies, a dashed bus for collected handoffs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

from stepflow.graph.analysis import Graph, StepNode
from stepflow.graph.layout import GraphLayout, place
from stepflow.graph.words import cut, markup, one_line, wrap
from stepflow.workflow import Edge

_BOX_WIDTH, _BOX_HEIGHT = 268.0, 70.0
_GAP_X, _GAP_Y = 28.0, 76.0
_MARGIN, _HEAD = 28.0, 64.0
_PORT = _BOX_WIDTH / 2 - 26  # from the middle of a box to where a bus comes in or goes out
_LANE = 22.0  # from one bus of collected handoffs to the next
_TITLE_COLUMNS, _LABEL_COLUMNS = 25, 42

STYLE = """
.sf{--page:#fff;--box:#fff;--edge:#8b95a5;--line:#d4d9e1;--text:#1b2330;--soft:#647084;--accent:#2f6fed;--tint:#eef3fe;
--good:#1a7f4b;--bad:#c9302c;--wait:#9a6700;font-family:system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
@media (prefers-color-scheme:dark){.sf{--page:#12161d;--box:#1a202a;--edge:#76839a;--line:#343d4b;--text:#e8ecf2;
--soft:#9aa6b8;--accent:#77a5ff;--tint:#202d47;--good:#4cc38a;--bad:#ff7b72;--wait:#e3b341}}
.sf .page{fill:var(--page)}.sf text{fill:var(--text);font-size:13px}.sf .soft{fill:var(--soft);font-size:11.5px}
.sf .head{font-size:18px;font-weight:650}.sf .title{font-weight:600}
.sf .mono{font-family:ui-monospace,"SF Mono",Menlo,"DejaVu Sans Mono",monospace;font-size:11px;fill:var(--soft)}
.sf .why{font-size:11px;fill:var(--soft);paint-order:stroke;stroke:var(--page);stroke-width:4px;stroke-linejoin:round}
.sf .end{text-anchor:end}
.sf .box{fill:var(--box);stroke:var(--line);stroke-width:1.25}.sf .critical .box{stroke:var(--accent);stroke-width:1.75}
.sf .badge{fill:var(--tint)}.sf .number{font-size:12px;font-weight:700;fill:var(--accent);text-anchor:middle}
.sf .edge{fill:none;stroke:var(--edge);stroke-width:1.5}.sf .edge.critical{stroke:var(--accent);stroke-width:2.25}
.sf .collects{stroke-dasharray:5 4;stroke-width:1.25}.sf .tip{fill:var(--edge)}.sf .tip.critical{fill:var(--accent)}
.sf .band{stroke:var(--line);stroke-width:1;stroke-dasharray:1 5}
.sf .status{font-size:11px;font-weight:650;text-anchor:end}
.sf .good{fill:var(--good)}.sf .bad{fill:var(--bad)}.sf .wait{fill:var(--wait)}
"""
_MOOD: Mapping[str, str] = {"done": "good", "reused": "good", "failed": "bad", "stopped": "bad", "skipped": "wait"}


def as_svg(graph: Graph, *, heading: bool = True) -> str:
    """Draw the graph as a document of its own, light or dark as the reader prefers; text stays text."""
    layout = place(graph, step_width=_BOX_WIDTH + _GAP_X, edge_width=_GAP_X)
    buses = _buses(graph)
    inner = max((layout.x[number, 0, 0] for number in graph.nodes), default=0.0) + (_BOX_WIDTH + _GAP_X) / 2
    inner = max([inner, *layout.x.values()])
    wide = max(2 * _MARGIN + inner + (_LANE * len(buses) + 10 if buses else 0), 360.0)
    high = _top(len(graph.waves)) - _GAP_Y + _MARGIN
    top = 0.0 if heading else _HEAD
    size = f'width="{wide:.0f}" height="{high - top:.0f}" viewBox="0 {top:.0f} {wide:.0f} {high - top:.0f}"'
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="sf" role="img" aria-labelledby="sf-title" {size}>',
        f'<title id="sf-title">{markup(graph.workflow.title)}</title>',
        f"<style>{STYLE}</style>",
        f'<rect class="page" y="{top:.0f}" width="100%" height="100%"/>',
        *(_heading(graph, wide) if heading else ()),
    ]
    return (
        "\n".join([*head, *_edges(graph, layout), *_collected(buses, layout, inner), *_boxes(graph, layout), "</svg>"])
        + "\n"
    )


def _top(wave: int) -> float:
    return _HEAD + _MARGIN + wave * (_BOX_HEIGHT + _GAP_Y)


def _place(graph_layout: GraphLayout, number: int) -> float:
    """Return the middle of a step's box."""
    return _MARGIN + graph_layout.x[number, 0, 0]


def _heading(graph: Graph, wide: float) -> Iterator[str]:
    columns = int((wide - 2 * _MARGIN) / 9.5)
    yield f'<text class="head" x="{_MARGIN}" y="38">{markup(cut(one_line(graph.workflow.title), columns))}</text>'
    path = " \u2192 ".join(str(number) for number in graph.critical_path)
    words = graph.summary() + (f" \u00b7 critical path {path}" if path else "")
    yield f'<text class="soft" x="{_MARGIN}" y="58">{markup(cut(words, int((wide - 2 * _MARGIN) / 6)))}</text>'


def _boxes(graph: Graph, layout: GraphLayout) -> Iterator[str]:
    for wave, numbers in enumerate(graph.waves):
        for number in numbers:
            x = _place(layout, number) - _BOX_WIDTH / 2
            yield from _box(graph.nodes[number], x, _top(wave), critical=number in graph.critical_path)


def _box(node: StepNode, x: float, y: float, *, critical: bool) -> Iterator[str]:
    step = node.step
    lines = wrap(one_line(step.title) or f"Step {step.number}", _TITLE_COLUMNS, 2)
    first = y + (29 if len(lines) == 1 else 21)
    yield f'<g class="{"step critical" if critical else "step"}">'
    yield f"<title>{markup(f'Step {step.number}: {step.title}. {step.prompt}')}</title>"
    yield f'<rect class="box" x="{x:.1f}" y="{y:.1f}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="11"/>'
    yield f'<circle class="badge" cx="{x + 25:.1f}" cy="{y + _BOX_HEIGHT / 2:.1f}" r="14"/>'
    yield f'<text class="number" x="{x + 25:.1f}" y="{y + _BOX_HEIGHT / 2 + 4.5:.1f}">{step.number}</text>'
    for index, line in enumerate(lines):
        yield f'<text class="title" x="{x + 48:.1f}" y="{first + 16 * index:.1f}">{markup(line)}</text>'
    name = cut(one_line(step.playbook or "no playbook"), 21 if node.status else 30)
    below = first + 16 * len(lines) + 2
    yield f'<text class="mono" x="{x + 48:.1f}" y="{below:.1f}">{markup(name)}</text>'
    if node.status:
        mood = _MOOD.get(node.status, "wait")
        status = markup(cut(one_line(node.status), 10))
        yield f'<text class="status {mood}" x="{x + _BOX_WIDTH - 12:.1f}" y="{below:.1f}">{status}</text>'
    yield "</g>"


def _edges(graph: Graph, layout: GraphLayout) -> Iterator[str]:
    layer = {number: wave for wave, numbers in enumerate(graph.waves) for number in numbers}
    critical = set(pairwise(graph.critical_path))
    relied = [edge for edge in graph.edges if edge.kind == "relies"]
    for edge in sorted(relied, key=lambda edge: (edge.source, edge.target) in critical):
        mark = " critical" if (edge.source, edge.target) in critical else ""
        keys = layout.routes[edge.source, edge.target]
        middle = [(_MARGIN + layout.x[key], _top(key[2])) for key in keys[1:-1]]
        start = (_place(layout, edge.source), _top(layer[edge.source]) + _BOX_HEIGHT)
        end = (_place(layout, edge.target), _top(layer[edge.target]))
        yield f"<g><title>{markup(_sentence(edge))}</title>"
        yield f'<path class="edge{mark}" d="{_curve(start, middle, end)}"/>{_tip(end, mark)}</g>'
        if edge.reason:
            # Where edges meet, they differ by the end that they start from.
            at = 0.5 if not middle else 0.3
            to = middle[0] if middle else end
            x, y = start[0] + (to[0] - start[0]) * at + 8, start[1] + (to[1] - start[1]) * at + 3
            label = markup(cut(one_line(edge.reason), _LABEL_COLUMNS))
            yield f'<text class="why" x="{x:.1f}" y="{y:.1f}">{label}</text>'


def _curve(start: tuple[float, float], middle: list[tuple[float, float]], end: tuple[float, float]) -> str:
    """Draw down from box to box: an S in each gap, straight through the layers between."""
    path, (x, y) = f"M{start[0]:.1f} {start[1]:.1f}", start
    for mx, my in middle:
        half = (my - y) / 2
        path += f" C{x:.1f} {y + half:.1f} {mx:.1f} {my - half:.1f} {mx:.1f} {my:.1f} V{my + _BOX_HEIGHT:.1f}"
        x, y = mx, my + _BOX_HEIGHT
    half = (end[1] - y) / 2
    return f"{path} C{x:.1f} {y + half:.1f} {end[0]:.1f} {end[1] - 7 - half:.1f} {end[0]:.1f} {end[1] - 7:.1f}"


def _tip(end: tuple[float, float], mark: str = "") -> str:
    x, y = end
    return f'<path class="tip{mark}" d="M{x - 5:.1f} {y - 9:.1f}L{x + 5:.1f} {y - 9:.1f}L{x:.1f} {y:.1f}Z"/>'


def _buses(graph: Graph) -> dict[int, list[Edge]]:
    """Return the steps that collect, each with its edges: each gets one bus."""
    buses: dict[int, list[Edge]] = {}
    for edge in graph.edges:
        if edge.kind == "collects":
            buses.setdefault(edge.target, []).append(edge)
    return buses


def _collected(buses: Mapping[int, list[Edge]], layout: GraphLayout, inner: float) -> Iterator[str]:
    """Draw each bus: out of the bottom of what is collected, to a lane at the right, down and into the step that
    collects.

    What several edges share is drawn once, else their dashes would add up to a solid line.
    """
    layer = {point.step: wave for wave, points in enumerate(layout.layers) for point in points}
    for index, (target, edges) in enumerate(buses.items()):
        lane = _MARGIN + inner + _LANE * index + 6
        into, above = _place(layout, target) + _PORT, _top(layer[target]) - 20
        joined: set[int] = set()
        for edge in sorted(edges, key=lambda edge: (layer[edge.source], layout.x[edge.source, 0, 0])):
            out, wave = _place(layout, edge.source) + _PORT, layer[edge.source]
            below = _top(wave) + _BOX_HEIGHT
            way = f"M{out:.1f} {below:.1f}V{below + 8:.1f}q0 8 8 8"
            if wave not in joined:
                way += f"H{lane - 8:.1f}q8 0 8 8"
            if not joined:
                way += f"V{above - 8:.1f}q0 8 -8 8H{into + 8:.1f}q-8 0 -8 8V{above + 13:.1f}"
            joined.add(wave)
            yield f'<g><title>{markup(_sentence(edge))}</title><path class="edge collects" d="{way}"/></g>'
        yield _tip((into, _top(layer[target])))
        words = "1 handoff" if len(edges) == 1 else f"{len(edges)} handoffs"
        yield f'<text class="why end" x="{lane - 10:.1f}" y="{above - 7:.1f}">collects {words}</text>'


def _sentence(edge: Edge) -> str:
    verb = "relies on" if edge.kind == "relies" else "collects from"
    return f"Step {edge.target} {verb} step {edge.source}" + (f": {edge.reason}" if edge.reason else "")
