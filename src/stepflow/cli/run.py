"""`stepflow run`: build and start what a document describes."""

from __future__ import annotations

from typing import Annotated

import typer

from stepflow.cli.options import Accepted, Deadline, NoVerify, RefuseUndeclared, TargetName, gather, seconds


def command(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The workflow: `workflow.md`, or `FILE#heading`.")],
    *,
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="The platform's name; by default the document's title.")
    ] = "",
    target: TargetName = "",
    jobs: Annotated[int, typer.Option("--jobs", "-j", metavar="N", min=1, help="How many steps at once.")] = 8,
    out: Annotated[
        str, typer.Option("--out", metavar="DIR", help="Where the source is rendered; by default `./<name>/`.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and do nothing.")] = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop everything at the first failure.")] = False,
    deadline: Deadline = "",
    accept_unchanged: Accepted = None,
    strict: RefuseUndeclared = False,
    no_verify: NoVerify = False,
    json: Annotated[bool, typer.Option("--json", help="One event a line on stdout.")] = False,
    **options: list[str] | None,
) -> int:
    """Run a document: render, deploy and verify its steps.

    What is up to date is left alone; what changed is run again, with the steps that rely on it where that matters.

    Example: `stepflow run workflow.md`
    """
    from stepflow.cli import execute, state  # noqa: PLC0415 - keeps `--help` quick
    from stepflow.engine import Options  # noqa: PLC0415 - likewise
    from stepflow.targets import DEFAULT  # noqa: PLC0415 - keeps `--help` quick

    target = target or DEFAULT
    given = gather(target, options)
    platform = state.platform(file, name=name, out=out, on=target, options=given, strict=strict)
    accepted = execute.steps_named(platform, accept_unchanged or ())
    if dry_run:
        return execute.show_plan(platform, accepted=accepted)
    resume = state.say("resume", platform.site.platform)
    within, verify = seconds("--deadline", deadline), not no_verify
    how = Options(jobs=jobs, fail_fast=fail_fast, deadline=within, resume=resume, accepted=accepted, verify=verify)
    return execute.execute(platform, how, json=json)
