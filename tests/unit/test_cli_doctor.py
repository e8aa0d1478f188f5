"""What `doctor` finds decides about its exit code only where it was asked, or is the default."""

from __future__ import annotations

import fcntl
import json
import socket
import sys
import types
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from stepflow.cli import main
from stepflow.targets import GROUP
from stepflow.targets.contract import Finding, Provider
from stepflow.targets.local.doctor import examine
from stepflow.testing import FakeTarget

LACKING = Finding("engine", ok=False, detail="nothing listens at /run/docker.sock", remedy="start it")
FINE = Finding("memory", ok=True, detail="7.0 GiB available", remedy="buy some")


def offer(monkeypatch: pytest.MonkeyPatch, **targets: tuple[Finding, ...]) -> None:
    """Have targets that find this; nothing at all: the target's package is not there."""
    for name, found in targets.items():
        module = types.ModuleType(f"a_fake_{name}")

        def doctor(_: object, name: str = name, found: tuple[Finding, ...] = found) -> tuple[Finding, ...]:
            if not found:
                raise ModuleNotFoundError(name=name)
            return found

        offered = Provider(name, lambda _: FakeTarget(), doctor)
        module.PROVIDER = offered  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
    entries = {name: (EntryPoint(name, f"a_fake_{name}:PROVIDER", GROUP),) for name in targets}
    monkeypatch.setattr("stepflow.targets.installed", lambda: entries)
    monkeypatch.setattr("shutil.which", lambda _: "/bin/bash")


def test_target_that_is_not_the_default_is_said_to_be_unavailable_and_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(monkeypatch, local=(FINE,), docker=(FINE, LACKING))
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out == (
        "ok     bash    /bin/bash\n"
        "\n"
        "target local, the default: available\n"
        "ok     memory  7.0 GiB available\n"
        "\n"
        "target docker: not available\n"
        "ok     memory  7.0 GiB available\n"
        "lacks  engine  nothing listens at /run/docker.sock\n"
        "               hint: start it\n"
    )


def test_target_that_is_asked_about_has_to_be_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(monkeypatch, local=(LACKING,), docker=(FINE,))
    assert main(["doctor", "--target", "docker"]) == 0
    assert "local" not in capsys.readouterr().out
    assert main(["doctor", "--target", "local"]) == 3


def test_default_target_has_to_be_there(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    offer(monkeypatch, local=(FINE, LACKING), docker=(FINE,))
    assert main(["doctor"]) == 3
    assert "target local, the default: not available\n" in capsys.readouterr().out


def test_target_whose_extra_is_not_installed_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(monkeypatch, local=(FINE,), docker=())
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.endswith(
        "target docker: not available\n"
        "lacks  extra docker  target `docker` needs the package `docker`\n"
        "                     hint: `pip install 'stepflow-cli[docker]'`\n"
    )
    assert main(["doctor", "--target", "docker"]) == 3


def test_doctor_of_an_unknown_target_names_those_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(monkeypatch, local=(FINE,), docker=(FINE,))
    assert main(["doctor", "--target", "podman"]) == 2
    assert capsys.readouterr().err == "error: unknown target `podman`\nhint: one of: local, docker\n"


def test_hint_of_doctor_does_not_send_to_doctor_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lacking = Finding("engine", ok=False, detail="none", remedy="start it; `stepflow doctor --target docker`")
    offer(monkeypatch, local=(FINE,), docker=(lacking,))
    assert main(["doctor", "--target", "docker"]) == 3
    assert capsys.readouterr().out.endswith("lacks  engine  none\n               hint: start it\n")


def test_port_of_a_platform_that_runs_in_this_directory_is_not_called_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = tmp_path / ".stepflow/shop/local"
    private.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with socket.socket() as listening, (private / "alive.lock").open("w") as lock:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)
        port = listening.getsockname()[1]
        monkeypatch.setattr("stepflow.targets.local.doctor.GATEWAY", port)
        (private / "ports.json").write_text(json.dumps({"gateway-1/http": port}), encoding="utf-8")
        found = {each.name: each.detail for each in examine()}
        assert found[f"port {port}"].startswith("taken")
        assert found[f"port {port}"].endswith(": the next free one is used instead")
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = {each.name: each.detail for each in examine()}
        assert found[f"port {port}"] == "used by `gateway-1` of `shop`, which runs in this directory"
