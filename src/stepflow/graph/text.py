"""The graph as text: lines for a terminal, a Mermaid flowchart as GitHub shows it, and Graphviz."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from stepflow.graph.analysis import Graph
from stepflow.graph.words import cut, one_line, width
from stepflow.workflow import Edge

CRITICAL = "*"
_LINES = {"\u251c\u2500 ": "|- ", "\u2514\u2500 ": "`- ", "\u2502  ": "|  ", " \u2192 ": " -> ", " \u00b7 ": ", "}
_LABEL = 40


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
    right = "  ".join(part for part in (node.step.playbook or "(no playbook)", one_line(node.status)) if part)
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


def as_mermaid(graph: Graph) -> str:
    """Draw the graph: `collects` edges dotted, the critical path with thick borders."""
    lines = ["flowchart TD"]
    for number, node in graph.nodes.items():
        words = [f"{number} \u00b7 {node.step.title}" if node.step.title else f"Step {number}"]
        words += [part for part in (node.step.playbook, node.status) if part]
        lines.append(f'  s{number}["{"<br/>".join(_text(word) for word in words)}"]')
    for edge in graph.edges:
        label = f'|"{_text(cut(one_line(edge.reason), _LABEL))}"|' if edge.reason and edge.kind == "relies" else ""
        arrow = "-->" if edge.kind == "relies" else "-.->"
        lines.append(f"  s{edge.source} {arrow}{label} s{edge.target}")
    if graph.critical_path:
        lines.append("  classDef critical stroke-width:3px")
        lines.append(f"  class {','.join(f's{number}' for number in graph.critical_path)} critical")
        steps = set(pairwise(graph.critical_path))
        thick = [str(index) for index, edge in enumerate(graph.edges) if (edge.source, edge.target) in steps]
        lines.append(f"  linkStyle {','.join(thick)} stroke-width:3px")
    return "\n".join(lines) + "\n"


def _text(text: str) -> str:
    """Escape every character that Mermaid, Markdown or HTML might interpret as its number."""
    return re.sub(r"[^\w .,:/()\u00b7\u2026-]", lambda match: f"#{ord(match[0])};", one_line(text))


def as_dot(graph: Graph) -> str:
    """Draw the graph: one rank a wave, `collects` edges dashed, the critical path bold."""
    lines = [
        "digraph workflow {",
        f"  label={_quoted(graph.workflow.title)}",
        "  rankdir=TB",
        '  node [shape=box, style=rounded, fontname="sans-serif"]',
        '  edge [fontname="sans-serif", fontsize=10]',
    ]
    for number, node in graph.nodes.items():
        words = [f"{number}  {node.step.title}".strip(), node.step.playbook or "", node.status]
        label = "\\n".join(_escaped(word) for word in words if word)
        bold = ", penwidth=2" if number in graph.critical_path else ""
        lines.append(f'  s{number} [label="{label}"{bold}]')
    lines += [f"  {{ rank=same; {'; '.join(f's{number}' for number in wave)} }}" for wave in graph.waves]
    critical = set(pairwise(graph.critical_path))
    for edge in graph.edges:
        style = [f"tooltip={_quoted(edge.reason)}"] if edge.reason else []
        if edge.kind == "collects":
            style += ["style=dashed", "constraint=false", "color=gray50"]
        elif edge.reason:
            style.append(f"label={_quoted(edge.reason)}")
        if (edge.source, edge.target) in critical:
            style.append("penwidth=2")
        lines.append(f"  s{edge.source} -> s{edge.target}" + (f" [{', '.join(style)}]" if style else ""))
    return "\n".join([*lines, "}"]) + "\n"


def _escaped(text: str) -> str:
    return one_line(text).replace("\\", "\\\\").replace('"', '\\"')


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'
