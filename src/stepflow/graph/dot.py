"""The graph for Graphviz."""

from __future__ import annotations

from itertools import pairwise

from stepflow.graph.analysis import Graph
from stepflow.graph.words import one_line


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
