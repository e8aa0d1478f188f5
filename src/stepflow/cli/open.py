"""`stepflow open`: show the platform in the browser."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from stepflow.errors import UsageError

if TYPE_CHECKING:
    from stepflow.targets.contract import Inward


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
    from stepflow.targets import endpoints  # noqa: PLC0415 - likewise
    from stepflow.targets.contract import Inward  # noqa: PLC0415 - likewise

    picked = state.pick(name)
    target = state.target(picked) if state.made_workloads(picked) else None
    if isinstance(target, Inward):
        asyncio.run(_lead(target, picked, port))
        return
    urls = endpoints(asyncio.run(target.observe())) if target else {}
    if not urls:
        raise UsageError(f"`{picked}` has no page to open", hint=f"`{state.say('status', picked)}` shows what runs")
    url = urls.get("gateway") or next(iter(urls.values()))
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
