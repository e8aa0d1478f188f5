"""`stepflow plan`: what a run would do, and why."""

from __future__ import annotations

from typing import Annotated

import typer

from stepflow.cli.options import Accepted, RefuseUndeclared, TargetName, gather


def command(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The workflow: `workflow.md`, or `FILE#heading`.")],
    *,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="The platform's name.")] = "",
    target: TargetName = "",
    out: Annotated[
        str, typer.Option("--out", metavar="DIR", help="Where the source is rendered; by default `./<name>/`.")
    ] = "",
    accept_unchanged: Accepted = None,
    strict: RefuseUndeclared = False,
    **options: list[str] | None,
) -> int:
    """Show what a run would do to each step, and why.

    Changes nothing.

    Example: `stepflow plan workflow.md`
    """
    from stepflow.cli import execute, state  # noqa: PLC0415 - keeps `--help` quick
    from stepflow.targets import DEFAULT  # noqa: PLC0415 - keeps `--help` quick

    target = target or DEFAULT
    given = gather(target, options)
    platform = state.platform(file, name=name, out=out, on=target, options=given, strict=strict)
    return execute.show_plan(platform, accepted=execute.steps_named(platform, accept_unchanged or ()))
