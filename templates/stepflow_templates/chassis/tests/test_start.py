"""What a start costs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_what_is_rarely_needed_is_not_loaded_at_the_start() -> None:
    """Websockets of nats-py, OTLP's messages and the HTTP client wait until somebody uses them."""
    program = "import sys, chassis.app; print(*sys.modules)"
    env = {"PYTHONPATH": str(Path(__file__).parents[1] / "src"), "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "nats.aio.client" in loaded
    assert not loaded & {"aiohttp", "google.protobuf", "httpx2", "chassis.otlp", "opentelemetry.proto", "requests"}
