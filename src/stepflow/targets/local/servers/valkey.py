"""Valkey with a password and an append-only file."""

from __future__ import annotations

import json

from stepflow.targets.local.layout import Layout
from stepflow.targets.local.servers.programs import find
from stepflow.targets.local.spec import Probe, Process, digest_of
from stepflow.targets.ports import HOST
from stepflow.targets.secretfiles import secret_text
from stepflow.targets.wholefile import write_whole

PORTS: tuple[str, ...] = ("valkey",)


def define(layout: Layout, numbers: dict[str, int]) -> Process:
    """Say how to run it; writes its configuration."""
    folder, data = layout.configs / "valkey", layout.data / "valkey"
    for each in (folder, data):
        each.mkdir(exist_ok=True, mode=0o700)
    file = folder / "valkey.conf"
    lines = (
        f"bind {HOST}",
        f"port {numbers['valkey']}",
        f"requirepass {secret_text(layout.secrets, 'valkey')}",
        f"dir {json.dumps(str(data), ensure_ascii=False)}",  # its quoting is JSON's for what a path can hold
        "appendonly yes",
        'save ""',
        "daemonize no",
    )
    text = "\n".join(lines) + "\n"
    write_whole(file, text)
    return Process(
        name="valkey",
        owner="valkey",
        kind="server",
        command=(find("valkey").path, str(file)),
        env={},
        cwd="/",
        log=str(layout.log("valkey")),
        ready=Probe("valkey", numbers["valkey"], interval=0.05),
        ports=numbers,
        configuration=digest_of(text),
        url=f"redis://{HOST}:{numbers['valkey']}",
        data=("valkey",),
    )
