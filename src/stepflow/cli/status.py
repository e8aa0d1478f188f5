"""`stepflow status`: what runs right now, and where."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from stepflow.targets.contract import Observed


def command(
    *,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Which platform; by default the only one.")] = "",
    json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> None:
    """Show what runs right now and where it answers.

    Example: `stepflow status`
    """
    import asyncio  # noqa: PLC0415 - keeps `--help` quick
    import json as encoder  # noqa: PLC0415 - the option has its name

    from stepflow.cli import state  # noqa: PLC0415 - as above
    from stepflow.cli.patience import patiently  # noqa: PLC0415 - as above
    from stepflow.targets import endpoints  # noqa: PLC0415 - as above
    from stepflow.targets.contract import Snapshot  # noqa: PLC0415 - as above

    picked = state.pick(name)
    run = state.last_run(picked)
    made = state.made_workloads(picked)
    looking = patiently(state.target(picked).observe(), run.target) if made else None
    observed = asyncio.run(looking) if looking else Snapshot({})
    if json:
        services = [service(each, run.target) for each in observed.values()]
        told = {"run": run.number, "target": run.target, "options": dict(run.options)}
        told |= {"where": observed.where} if observed.where else {}
        told |= {"endpoints": endpoints(observed), "services": services}
        sys.stdout.write(encoder.dumps(told, indent=2) + "\n")
    else:
        where = "".join(f", {kind} `{name}`" for kind, name in observed.where.items())
        sys.stdout.write(f"`{picked}` on {run.target}{where}, last run {run.number}: {state.ending(picked, run)}\n")
        empty = [] if observed else [f"  nothing is running: {state.why_nothing_runs(picked)}"]
        sys.stdout.writelines(f"{line}\n" for line in (*table(observed.values()), *empty))
        sys.stdout.flush()
        if made and not observed:
            sys.stderr.write(f"hint: `{state.say('resume', picked)}` starts it again\n")
        elif any(each.state in {"stopped", "failed"} for each in observed.values()):
            sys.stderr.write(f"hint: `{state.say('resume', picked)}` starts what is down\n")


def service(observed: Observed, target: str) -> dict[str, Any]:
    """Return what `--json` says of one workload or server."""
    from stepflow.targets import provider  # noqa: PLC0415 - keeps `--help` quick

    offered = provider(target)
    handles = [int(each) if offered.numeric and each.isdecimal() else each for each in observed.handles]
    return {
        "name": observed.name,
        "kind": observed.kind,
        "state": observed.state,
        "replicas": observed.replicas,
        "scaled": observed.scaled,
        "ready": observed.ready,
        "url": observed.url,
        offered.handles: handles,
        "restarts": observed.restarts,
        "detail": observed.detail,
        "log": observed.log,
    }


def table(observed: Iterable[Observed]) -> Iterable[str]:
    """Return a line for each, the gateway first."""
    rows = sorted(observed, key=lambda each: (each.kind == "server", each.name != "gateway", each.name))
    width = max((len(each.name) for each in rows), default=0)
    for each in rows:
        notes = [each.detail] if each.detail and each.state != "ready" else []
        if each.restarts:
            notes.append("restarted once" if each.restarts == 1 else f"restarted {each.restarts} times")
        count = f"{each.ready}/{each.scaled or each.replicas}"
        line = f"  {each.name:<{width}}  {each.state:<8}  {count}  {each.url}  {', '.join(notes)}"
        yield line.rstrip()
