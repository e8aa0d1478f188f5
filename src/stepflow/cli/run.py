"""`stepflow run`: make a document true."""

from __future__ import annotations

from typing import Annotated

import typer

from stepflow.cli import options


def command(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The workflow: `workflow.md`, or `FILE#heading`.")],
    *,
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="What to call the platform; by default as the document.")
    ] = "",
    target: options.TargetName = "local",
    jobs: Annotated[int, typer.Option("--jobs", "-j", metavar="N", min=1, help="How many steps at once.")] = 8,
    out: Annotated[
        str, typer.Option("--out", metavar="DIR", help="Where the source is rendered; by default `./<name>/`.")
    ] = "",
    base_image: options.BaseImage = "",
    registry: options.Registry = "",
    image: options.Images = None,
    context: options.Context = "",
    namespace: options.Namespace = "",
    values: options.Values = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and do nothing.")] = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop everything at the first failure.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One event a line on stdout.")] = False,
) -> int:
    """Make a document true: render, deploy and verify its steps.

    What stands already is left alone, and what changed is done again, with what relies on it where that matters.

    Example: `stepflow run workflow.md`
    """
    from stepflow.cli import carry, places  # noqa: PLC0415 - keeps `--help` quick
    from stepflow.engine import Options  # noqa: PLC0415 - likewise

    given = options.gather(base_image=base_image, registry=registry, images=image or ())
    given |= options.cluster(context=context, namespace=namespace, values=values)
    platform = places.platform(file, name=name, out=out, on=target, options=given)
    if dry_run:
        return carry.show_plan(platform)
    how = Options(jobs=jobs, fail_fast=fail_fast, resume=places.say("resume", platform.site.platform))
    return carry.carry(platform, how, json=json)
