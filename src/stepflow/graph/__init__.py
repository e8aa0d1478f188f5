"""Pictures of a workflow: which step relies on which, which can run at once, and the critical path."""

from stepflow.graph.analysis import Graph, StepNode, as_json, build
from stepflow.graph.page import as_html
from stepflow.graph.svg import as_svg
from stepflow.graph.text import as_dot, as_mermaid, as_tree

__all__ = ["Graph", "StepNode", "as_dot", "as_html", "as_json", "as_mermaid", "as_svg", "as_tree", "build"]
