"""`stepflow open`: show the platform in the browser."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from stepflow.errors import UsageError


def command(
    *,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Which platform; by default the only one.")] = "",
) -> None:
    """Open the platform's page in the browser.

    Prints its address, which is the gateway's.

    Example: `stepflow open`
    """
    import asyncio  # noqa: PLC0415 - keeps `--help` quick
    import webbrowser  # noqa: PLC0415 - likewise

    from stepflow.cli import places  # noqa: PLC0415 - likewise
    from stepflow.targets import endpoints  # noqa: PLC0415 - likewise

    picked = places.pick(name)
    observed = asyncio.run(places.target(picked).observe()) if places.made_workloads(picked) else {}
    urls = endpoints(observed)
    if not urls:
        raise UsageError(f"`{picked}` has no page to open", hint=f"`{places.say('status', picked)}` shows what runs")
    url = urls.get("gateway") or next(iter(urls.values()))
    sys.stdout.write(f"{url}\n")
    if not webbrowser.open(url):
        sys.stderr.write("hint: no browser was found; open the address by hand\n")
