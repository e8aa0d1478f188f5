"""`stepflow open`: show the platform in the browser."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from stepflow.errors import StepflowError, UsageError

if TYPE_CHECKING:
    from stepflow.targets.contract import Inward, Target


def command(
    *,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Which platform; by default the only one.")] = "",
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            metavar="N",
            min=0,
            max=65535,
            show_default=False,
            help="Which local port leads to a platform that is not on this machine, 0 for any; by default a usual one.",
        ),
    ] = None,
) -> None:
    """Open the platform's page in the browser.

    Prints its address, which is the gateway's. One that is not on this machine is reachable while the command runs.

    Example: `stepflow open`
    """
    import asyncio  # noqa: PLC0415 - keeps `--help` quick

    from stepflow.cli import state  # noqa: PLC0415 - likewise

    picked = state.pick(name)
    if not state.made_workloads(picked):
        hint = f"`{state.say('status', picked)}` shows what runs"
        raise UsageError(f"`{picked}` has no page to open: {state.why_nothing_runs(picked)}", hint=hint)
    asyncio.run(_open(state.target(picked), picked, port))


async def _open(target: Target, picked: str, port: int | None) -> None:
    from stepflow.cli import state  # noqa: PLC0415 - as above
    from stepflow.cli.patience import patiently  # noqa: PLC0415 - as above
    from stepflow.targets import endpoints  # noqa: PLC0415 - as above
    from stepflow.targets.contract import Inward  # noqa: PLC0415 - as above

    observed = await patiently(target.observe(), target.name)
    resume = f"`{state.say('resume', picked)}` starts"
    if not observed:
        problem = f"`{picked}` has no page to open: {state.why_nothing_runs(picked)}"
        raise UsageError(problem, hint=f"{resume} it again")
    if isinstance(target, Inward):
        await _lead(target, picked, port)
        return
    urls = endpoints(observed)
    if not urls:
        hint = f"`{state.say('status', picked)}` shows what runs"
        raise UsageError(f"`{picked}` has no page to open: nothing that runs has an address", hint=hint)
    page, url = next(iter(urls.items()))
    if not observed[page].ready:
        why = f"`{page}` is {observed[page].state}" + (f": {observed[page].detail}" if observed[page].detail else "")
        raise StepflowError(f"the page of `{picked}`, {url}, does not answer: {why}", hint=f"{resume} what is down")
    if port is not None:
        raise UsageError(f"the page of `{picked}` already has an address: {url}", hint="leave `--port` out")
    _show(url)


async def _lead(target: Inward, picked: str, port: int | None) -> None:
    """Forward to the page until Ctrl-C."""
    import asyncio  # noqa: PLC0415 - as above

    from stepflow.engine import interruptible  # noqa: PLC0415 - as above

    over = asyncio.Event()
    with interruptible(lambda _: over.set()):
        async with target.reach(port) as url:
            _show(url)
            sys.stderr.write(f"forwarding to `{picked}`; Ctrl-C to stop\n")
            sys.stderr.flush()
            await over.wait()


def _show(url: str) -> None:
    import webbrowser  # noqa: PLC0415 - as above

    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()
    if not webbrowser.open(url):
        sys.stderr.write("hint: no browser was found; open the address yourself\n")
