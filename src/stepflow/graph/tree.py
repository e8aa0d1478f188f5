"""The graph as lines of text: wave by wave, each step with what it relies on and why."""

from __future__ import annotations

from collections.abc import Iterator

from stepflow.graph.analysis import Graph
from stepflow.graph.words import cut, one_line, width
from stepflow.workflow import Edge

CRITICAL = "*"
_LINES = {"\u251c\u2500 ": "|- ", "\u2514\u2500 ": "`- ", "\u2502  ": "|  ", " \u2192 ": " -> ", " \u00b7 ": ", "}


def as_tree(graph: Graph, columns: int = 80, *, plain: bool = False) -> str:
    """Draw the graph within so many columns. `plain` uses no character beyond ASCII for the lines."""
    incoming = graph.incoming()
    lines = [cut(one_line(graph.workflow.title), columns), cut(graph.summary(), columns)]
    for index, wave in enumerate(graph.waves):
        last_wave = index == len(graph.waves) - 1
        lines.append(f"{_branch(last=last_wave)}wave {index + 1}")
        stem = "   " if last_wave else "\u2502  "
        for number in wave:
            last = number == wave[-1]
            lines.append(stem + _branch(last=last) + _step(graph, number, columns - 6))
            below = stem + ("   " if last else "\u2502  ") + "     "
            lines += [cut(below + why, columns) for why in _reasons(incoming[number])]
    if graph.critical_path:
        path = " \u2192 ".join(str(number) for number in graph.critical_path)
        lines += ["", cut(f"{CRITICAL} critical path: {path}", columns)]
    text = "\n".join(line.rstrip() for line in lines)
    if plain:
        for fancy, simple in _LINES.items():
            text = text.replace(fancy, simple)
        text = text.encode("ascii", "replace").decode()
    return text + "\n"


def _branch(*, last: bool) -> str:
    return "\u2514\u2500 " if last else "\u251c\u2500 "


def _step(graph: Graph, number: int, columns: int) -> str:
    node = graph.nodes[number]
    mark = CRITICAL if number in graph.critical_path else " "
    right = "  ".join(part for part in (node.step.playbook or "(no playbook)", node.status) if part)
    room = max(10, columns - width(right) - 7)
    title = cut(one_line(node.step.title) or f"Step {number}", room)
    return f"{mark} {number:>2} {title}{' ' * (room - width(title))}  {right}"


def _reasons(edges: list[Edge]) -> Iterator[str]:
    for edge in edges:
        if edge.kind == "relies":
            yield f"relies on {edge.source}" + (f": {one_line(edge.reason)}" if edge.reason else "")
    collected = [str(edge.source) for edge in edges if edge.kind == "collects"]
    if collected:
        yield f"collects {', '.join(collected)}"
