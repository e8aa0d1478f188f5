"""Whether a container is healthy is the same for every caller."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from stepflow.handoff import SecretFile
from stepflow.targets.docker.container import Container
from stepflow.targets.docker.desired import define
from stepflow.targets.resolved import resolve
from stepflow.workload import HttpProbe, Port, Workload


def _define(command: tuple[str, ...], port: Port, ready: HttpProbe) -> Container:
    workload = Workload("orders", command, ready, context="orders", ports=(port,), env={"X": SecretFile("key")})
    return define(resolve(workload), {}, {}, "abc")


@contextmanager
def _answering() -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(204 if self.path == "/ready?a=b" else 503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("command", [("python", "-m", "service"), ("envoy", "-c", "x")])
def test_the_health_check_of_a_container_asks_what_the_probe_asks(command: tuple[str, ...]) -> None:
    with _answering() as number:

        def asked(path: str) -> int:
            program, *arguments = _define(command, Port("http", number), HttpProbe(path)).health
            found = sys.executable if program == "python" else program
            return subprocess.run([found, *arguments], capture_output=True, check=False, timeout=60).returncode

        assert asked("/ready?a=b") == 0
        assert asked("/other") == 1
        assert asked("/$(true)") == 1
    assert asked("/ready?a=b") == 1
