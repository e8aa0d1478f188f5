"""`stepflow graph`: which step relies on which."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from stepflow.graph import Graph
    from stepflow.registry import ResolvedWorkflow


_WIDEST = 1000  # columns; `COLUMNS` may say anything


class Format(StrEnum):
    """The formats of a graph."""

    tree = "tree"
    mermaid = "mermaid"
    dot = "dot"
    svg = "svg"
    html = "html"
    json = "json"


def command(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The workflow: `workflow.md`, or `FILE#heading`.")],
    *,
    form: Annotated[
        Format, typer.Option("--format", metavar="FORMAT", help="tree, mermaid, dot, svg, html or json.")
    ] = Format.tree,
    run: Annotated[bool, typer.Option("--run", help="Show what happened in the last run.")] = False,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="With --run: which platform.")] = "",
) -> None:
    """Show which step relies on which, and which can run at once.

    Example: `stepflow graph workflow.md --format html > graph.html`
    """
    from stepflow import graph  # noqa: PLC0415 - keeps `--help` quick
    from stepflow.registry import resolve  # noqa: PLC0415 - likewise
    from stepflow.workflow import load  # noqa: PLC0415 - likewise

    resolved = resolve(load(file))
    made = graph.build(resolved.workflow, _outcomes(name, file, resolved) if run else None)
    if form is Format.tree:
        _print_tree(made)
        return
    writers: Mapping[Format, Callable[[Graph], str]] = {
        Format.mermaid: graph.as_mermaid,
        Format.dot: graph.as_dot,
        Format.svg: graph.as_svg,
        Format.html: graph.as_html,
        Format.json: graph.as_json,
    }
    sys.stdout.write(writers[form](made).rstrip("\n") + "\n")


def _outcomes(name: str, file: str, resolved: ResolvedWorkflow) -> Mapping[int, str]:
    """Return what became of each step in the platform's last run."""
    from stepflow.cli import state  # noqa: PLC0415 - only an overlay needs the journal

    return state.last_run(state.pick(name or state.meant(file, resolved))).steps


def _print_tree(made: Graph) -> None:
    """Print the tree; colour only repeats what the text says."""
    from rich.console import Console  # noqa: PLC0415 - keeps `--help` quick
    from rich.text import Text  # noqa: PLC0415 - likewise

    from stepflow.graph import as_tree  # noqa: PLC0415 - likewise

    console = Console(highlight=False, soft_wrap=True)
    columns = max(60, min(console.width, _WIDEST))
    plain = not (console.encoding or "").lower().startswith("utf")
    text = Text(as_tree(made, columns, plain=plain).rstrip("\n"))
    text.highlight_regex(r"(?m)^.*$(?=\n.* at most \d+ at once$)", "bold")
    text.highlight_regex(r"(?m)(?<=[─-] )wave \d+$", "bold cyan")
    text.highlight_regex(r"(?m)relies on .*$|collects .*$", "dim")
    text.highlight_regex(r"(?m)^[│├└─|` -]*\* +\d+ ", "bold")
    text.highlight_regex(r"(?m)  (?:done|reused)$", "green")
    text.highlight_regex(r"(?m)  (?:failed|stopped)$", "red")
    console.print(text)
