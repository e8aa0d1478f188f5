"""`stepflow credentials`: how to sign in."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from stepflow.errors import UsageError


def command(
    *,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Which platform; by default the only one.")] = "",
    json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> None:
    """Show how to sign in: the administrator, the OAuth2 clients.

    They were created by a run with random secrets, which are kept in files that only you can read.

    Example: `stepflow credentials --json`
    """
    import json as encoder  # noqa: PLC0415 - the option has its name

    from stepflow.cli import state  # noqa: PLC0415 - keeps `--help` quick
    from stepflow.engine import last_attempts  # noqa: PLC0415 - likewise
    from stepflow.handoff import SecretFile  # noqa: PLC0415 - likewise

    picked = state.pick(name)
    with state.journal(picked) as journal:
        steps = sorted((each for each in last_attempts(journal).values() if each.stood), key=lambda each: each.number)
    handoffs = [each.handoff for each in steps if each.handoff]
    found = [each for handoff in handoffs for each in handoff.get("credentials", ())]
    if not found:
        raise UsageError(f"no step of `{picked}` hands off credentials", hint=f"`{state.say('runs', picked)}`")
    live = state.target(picked).live()
    told: dict[str, Any] = {"admin": None, "clients": []}
    for each in found:
        secret = live.secret(SecretFile(each["secret"]["name"]))
        if each["kind"] == "admin":
            told["admin"] = told["admin"] or {"email": each["identity"], "password": secret}
        else:
            told["clients"].append({"client_id": each["identity"], "client_secret": secret})
    if json:
        sys.stdout.write(encoder.dumps(told, indent=2) + "\n")
        return
    if told["admin"]:
        sys.stdout.write(f"administrator  {told['admin']['email']}\n     password  {told['admin']['password']}\n")
    for client in told["clients"]:
        sys.stdout.write(f"client id      {client['client_id']}\n       secret  {client['client_secret']}\n")
