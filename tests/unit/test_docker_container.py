"""What a container means, and whether it is well, is the same for whoever asks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from stepflow.handoff import SecretFile
from stepflow.targets.docker.container import Container, File, HostPort, meaning
from stepflow.targets.docker.define import define
from stepflow.workload import HttpProbe, Port, Workload


def _define(command: tuple[str, ...], port: Port, ready: HttpProbe) -> Container:
    workload = Workload("orders", command, ready, context="orders", ports=(port,), env={"X": SecretFile("key")})
    return define(workload, {}, options={}, digest="abc")


def test_containers_mean_the_same_exactly_when_nothing_but_their_number_differs() -> None:
    made = _define(("python", "-m", "service"), Port(), HttpProbe("/ready"))
    assert meaning(replace(made, replicas=7), "sha256:1") == meaning(made, "sha256:1")
    assert meaning(replace(made, image="other-name-of-it"), "sha256:1") == meaning(made, "sha256:1")
    others = (
        replace(made, digest="d"),
        replace(made, command=(("python", "-m"), ("service",))),
        replace(made, stop_grace=1.0),
        replace(made, env={**made.env, "X": ("secret-key",)}),
        replace(made, files=(File(made.files[0].path, (HostPort("key", "http"),)),)),
        replace(made, files=(File(made.files[0].path, ("key",)),)),
        replace(made, ready=HttpProbe("/")),
    )
    meanings = {meaning(made, "sha256:1"), meaning(made, "sha256:2"), *(meaning(each, "sha256:1") for each in others)}
    assert len(meanings) == len(others) + 2


def test_a_meaning_is_the_same_in_every_process() -> None:
    script = (
        "from stepflow.targets.docker.servers import server\n"
        "from stepflow.targets.docker.container import meaning\n"
        "print(meaning(server('valkey', {}), 'sha256:1'), end='')"
    )
    runs = [subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True) for _ in "12"]
    assert len(runs[0].stdout) == 32
    assert runs[0].stdout == runs[1].stdout


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
            return subprocess.run([found, *arguments], capture_output=True, check=False, timeout=5).returncode

        assert asked("/ready?a=b") == 0
        assert asked("/other") == 1
        assert asked("/$(true)") == 1
    assert asked("/ready?a=b") == 1
