"""A cluster or an engine that takes a connection and never answers: the wait is told, and Ctrl-C ends it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from onenode.api import CONTEXT, kubeconfig

from stepflow.errors import TemporaryError
from stepflow.targets.kubernetes.api import transport
from stepflow.targets.kubernetes.api.client import Client

EXAMPLE = Path(__file__).parents[2] / "examples/microservices/workflow.md"
STEPFLOW = Path(sys.executable).with_name("stepflow")


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A port that takes connections, from which nothing reads."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def config(tmp_path: Path, listening: socket.socket) -> Path:
    file = tmp_path / "kubeconfig"
    file.write_text(kubeconfig(listening.getsockname()[1]))
    return file


def waiting(target: str, cwd: Path, **environment: str) -> tuple[int, list[str]]:
    """Run a workflow on a target, press Ctrl-C at the first line on standard error; return the code and all lines."""
    shutil.copy(EXAMPLE, cwd / "w.md")
    env = {**os.environ, **environment}
    call = [STEPFLOW, "run", "w.md", "--target", target]
    with subprocess.Popen(call, cwd=cwd, env=env, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        lines = [run.stderr.readline()]
        run.send_signal(signal.SIGINT)
        lines += run.stderr.readlines()
        return run.wait(10), lines


def test_run_on_a_mute_cluster_says_what_it_waits_for_and_ends_at_ctrl_c(tmp_path: Path, config: Path) -> None:
    code, lines = waiting("kubernetes", tmp_path, KUBECONFIG=str(config))
    assert (code, lines) == (130, ["waiting for the target `kubernetes` to answer; Ctrl-C stops that\n"])
    assert list((tmp_path / ".stepflow").iterdir()) == []


def test_run_on_a_mute_engine_says_what_it_waits_for_and_ends_at_ctrl_c(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(tmp_path / "engine.sock"))
        engine.listen()
        code, lines = waiting("docker", tmp_path, DOCKER_HOST=f"unix://{tmp_path}/engine.sock")
    assert (code, lines) == (130, ["waiting for the target `docker` to answer; Ctrl-C stops that\n"])


async def test_cluster_that_does_not_answer_in_time_is_asked_once(
    listening: socket.socket, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(config))
    monkeypatch.setattr(transport, "_PATIENCE_TO_READ", 0.1)
    client = Client(CONTEXT)
    with pytest.raises(TemporaryError) as late:
        await client.version()
    client.close()
    assert late.value.message == f"the cluster at {client.address} did not answer in time"
    assert late.value.hint == "is it stopped or overloaded? `kubectl get --raw /version` shows whether it answers"
    listening.settimeout(0)
    listening.accept()[0].close()
    with pytest.raises(BlockingIOError):
        listening.accept()
