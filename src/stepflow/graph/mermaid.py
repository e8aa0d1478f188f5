"""The graph as a Mermaid flowchart, as GitHub shows it."""

from __future__ import annotations

import re
from itertools import pairwise

from stepflow.graph.analysis import Graph
from stepflow.graph.words import cut, one_line

_LABEL = 40


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
