"""What a start costs."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from chassis.testing.servers import free_port


def test_what_is_rarely_needed_is_not_loaded_at_the_start() -> None:
    """Websockets of nats-py, OTLP's messages and the HTTP client are loaded on first use."""
    program = "import sys, chassis.app; print(*sys.modules)"
    env = {"PYTHONPATH": str(Path(__file__).parents[1] / "src"), "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "nats.aio.client" in loaded
    assert not loaded & {"aiohttp", "google.protobuf", "httpx2", "chassis.otlp", "opentelemetry.proto", "requests"}


@pytest.mark.parametrize(("answer", "code"), [(b"200 OK", 0), (b"503 Service Unavailable", 1)])
def test_the_probe_of_an_image_says_by_its_exit_code_whether_the_service_is_ready(answer: bytes, code: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, running_probe(server.getsockname()[1]) as probe:
        connection, _ = server.accept()
        with connection:
            assert connection.recv(100).startswith(b"GET /health/ready HTTP/1.0\r\n")
            connection.sendall(b"HTTP/1.1 " + answer + b"\r\n\r\n")
        assert probe.wait(60) == code


def test_the_probe_of_an_image_says_why_no_one_answers() -> None:
    with running_probe(free_port()) as probe:
        _, said = probe.communicate(timeout=60)
    assert probe.returncode == 1
    assert said == f"not ready: [Errno {errno.ECONNREFUSED}] Connection refused\n"


def running_probe(port: int) -> subprocess.Popen[str]:
    program = Path(__file__).parents[1] / "src" / "chassis" / "probe.py"
    command = [sys.executable, "-I", "-S", str(program)]
    return subprocess.Popen(command, env={"PORT": str(port)}, stderr=subprocess.PIPE, text=True)
