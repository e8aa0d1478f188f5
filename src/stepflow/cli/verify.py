"""`stepflow verify`: hold the running platform against the document's expected outcomes once more."""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def command(
    *,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Which platform; by default the only one.")] = "",
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the evidence in full.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The outcomes as JSON.")] = False,
) -> int:
    """Answer the document's expected outcomes once more.

    Repeats the journeys through the running platform that a run ends with, and not beside a run: some of them kill
    what others walk through. The exit code is 1 when one fails.

    Example: `stepflow verify`
    """
    import asyncio  # noqa: PLC0415 - keeps `--help` quick
    import json as encoder  # noqa: PLC0415 - the option has its name
    from dataclasses import asdict  # noqa: PLC0415 - as above

    from stepflow.cli import places, verifying  # noqa: PLC0415 - as above
    from stepflow.engine import held  # noqa: PLC0415 - as above

    picked = places.pick(name)
    run = places.last_run(picked)
    platform = places.again(run, picked)
    with held(platform.site.state):
        outcomes = asyncio.run(verifying.outcomes(platform, run.number))
    if json:
        sys.stdout.write(encoder.dumps({"outcomes": [asdict(each) for each in outcomes]}, indent=2) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in verifying.lines(outcomes, run.number, verbose=verbose))
    return int(any(each.verdict == "failed" for each in outcomes))
