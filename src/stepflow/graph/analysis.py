"""The workflow as a graph: waves of steps that can run at once, and the critical path. The one user of networkx."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from stepflow.workflow import Edge, Step, Workflow


@dataclass(frozen=True, slots=True)
class StepNode:
    """A step, and its outcome in a run (empty: no run is shown)."""

    step: Step
    status: str = ""


@dataclass(frozen=True, slots=True)
class Graph:
    """An analysed workflow. Wave 0 relies on nothing; each later one only on the waves before it."""

    workflow: Workflow
    nodes: Mapping[int, StepNode]  # by step number
    edges: tuple[Edge, ...]
    waves: tuple[tuple[int, ...], ...]
    critical_path: tuple[int, ...]  # a longest chain of steps; the one through the lowest numbers

    def incoming(self) -> Mapping[int, list[Edge]]:
        """Return the edges by their target."""
        found: dict[int, list[Edge]] = {number: [] for number in self.nodes}
        for edge in self.edges:
            found[edge.target].append(edge)
        return found

    def summary(self) -> str:
        """Format how many steps and waves there are, and how many steps can run at once."""
        steps, waves = len(self.nodes), len(self.waves)
        widest = max((len(wave) for wave in self.waves), default=0)
        parts = [f"{steps} {'step' if steps == 1 else 'steps'}", f"{waves} {'wave' if waves == 1 else 'waves'}"]
        return " \u00b7 ".join([*parts, f"at most {widest} at once"])


def build(workflow: Workflow, statuses: Mapping[int, str] | None = None) -> Graph:
    """Analyse a workflow; `statuses` are the outcomes of a run by step number. Linear in steps and edges."""
    import networkx as nx  # noqa: PLC0415 - 0.2 s, and only pictures need it

    numbers = {step.number for step in workflow.steps}
    edges = tuple(edge for edge in workflow.edges if {edge.source, edge.target} <= numbers)
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from(sorted(numbers))
    graph.add_edges_from((edge.source, edge.target) for edge in edges)
    waves = tuple(tuple(sorted(wave)) for wave in nx.topological_generations(graph))
    seen = statuses or {}
    return Graph(
        workflow=workflow,
        nodes={step.number: StepNode(step, seen.get(step.number, "")) for step in workflow.steps},
        edges=edges,
        waves=waves,
        critical_path=tuple(nx.dag_longest_path(graph)) if edges else (),
    )


def as_json(graph: Graph) -> str:
    """Return `{"nodes", "edges", "waves", "critical_path"}`; a node has `status` only when a run is shown."""
    nodes = [
        {
            "step": number,
            "title": node.step.title,
            "playbook": node.step.playbook,
            "prompt": node.step.prompt,
            "handoff": node.step.handoff,
            "line": node.step.span.line,
        }
        | ({"status": node.status} if node.status else {})
        for number, node in graph.nodes.items()
    ]
    edges = [{"from": edge.source, "to": edge.target, "kind": edge.kind, "reason": edge.reason} for edge in graph.edges]
    return json.dumps(
        {"nodes": nodes, "edges": edges, "waves": graph.waves, "critical_path": graph.critical_path},
        indent=2,
        ensure_ascii=False,
    )
