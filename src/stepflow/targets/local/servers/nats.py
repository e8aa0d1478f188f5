"""NATS with JetStream: one account, its password in a 0600 file, messages below the platform's data."""

from __future__ import annotations

import json

from stepflow.targets.addresses import NATS_USER
from stepflow.targets.local.layout import Layout
from stepflow.targets.local.servers.programs import find
from stepflow.targets.local.spec import Probe, Process, digest_of
from stepflow.targets.ports import HOST
from stepflow.targets.secretfiles import secret_text
from stepflow.targets.wholefile import write_whole

SYNC = "1s"  # NATS's default of 2 min survives kill -9, but loses what it acknowledged when the power fails


def define(layout: Layout, numbers: dict[str, int]) -> Process:
    """Say how to run it; writes its configuration."""
    folder = layout.configs / "nats"
    folder.mkdir(exist_ok=True, mode=0o700)
    configuration = {
        "server_name": "stepflow",
        "listen": f"{HOST}:{numbers['nats']}",
        "http": f"{HOST}:{numbers['monitor']}",
        "jetstream": {"store_dir": str(layout.data / "nats"), "sync_interval": SYNC},
        "authorization": {"user": NATS_USER, "password": secret_text(layout.secrets, "nats")},
    }
    file = folder / "nats.conf"
    text = json.dumps(configuration, indent=1, ensure_ascii=False)  # its format takes JSON, but no `\\u00fc`
    write_whole(file, text)
    return Process(
        name="nats",
        owner="nats",
        kind="server",
        command=(find("nats").path, "-c", str(file)),
        env={},
        cwd="/",
        log=str(layout.log("nats")),
        ready=Probe("http", numbers["monitor"], "/healthz", interval=0.05),
        ports=numbers,
        configuration=digest_of(text),
        url=f"nats://{HOST}:{numbers['nats']}",
        data=("nats",),
    )


PORTS: tuple[str, ...] = ("nats", "monitor")
