"""What `doctor` finds decides about its exit code only where it was asked, or is the default."""

from __future__ import annotations

import sys
import types
from importlib.metadata import EntryPoint

import pytest

from stepflow.cli import main
from stepflow.targets import GROUP
from stepflow.targets.contract import Finding, Provider
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
