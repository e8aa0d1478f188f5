"""The options of a target: from the command line into the record, and from there to every later command."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import types
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from stepflow.cli import main
from stepflow.errors import MachineError
from stepflow.playbook import Playbook, StepInput
from stepflow.registry import Registry, resolve
from stepflow.targets import GROUP, installed, provider
from stepflow.targets.contract import Observed, Option, Provider, Site, Target
from stepflow.testing import FakeTarget
from stepflow.workload import Declaration, HttpProbe, Workload

DOCUMENT = """\
# Shop

## Step 1: Orders
- Playbook: orders
- Prompt: sell

## Step 2: Words
- Playbook: words
- Prompt: say
"""
MIRROR = "postgres=mirror.example:5000/postgres:18@sha256:0"


class Orders(Playbook):
    """One workload."""

    name = "orders"
    summary = "Orders."

    def declare(self, step: StepInput) -> Declaration:
        del step
        return Declaration((Workload("orders", ("python",), HttpProbe("/ready"), context="orders"),))

    def render(self, step: StepInput) -> dict[str, bytes]:
        del step
        return {"orders/app.py": b""}


class Words(Playbook):
    """No workload."""

    name = "words"
    summary = "Words."

    def declare(self, step: StepInput) -> Declaration:
        del step
        return Declaration()


class Offer(Registry):
    """Knows the two."""

    def load(self, name: str) -> Playbook:
        return {"orders": Orders, "words": Words}[name]()


@dataclass
class Opened:
    """The targets in memory, with the options that each was opened with, in order."""

    targets: dict[str, FakeTarget] = field(default_factory=dict)
    options: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    away: str = ""  # a target whose engine does not answer

    def provider(self, name: str) -> Provider:
        """Return what offers a target in memory."""
        offered: Provider = sys.modules[f"a_fake_{name}"].PROVIDER
        return offered

    def module(self, offered: Provider) -> types.ModuleType:
        name = offered.name
        self.targets[name] = FakeTarget(name=name)

        def open_target(site: Site) -> Target:
            if self.away == name:
                raise MachineError("no engine answers at unix:///run/docker.sock", hint="`systemctl start docker`")
            self.options.append((name, dict(site.options)))
            return self.targets[name]

        module = types.ModuleType(f"a_fake_{name}")
        keeps = "its volumes" if offered.options else ""
        module.PROVIDER = replace(offered, open=open_target, keeps=keeps)  # type: ignore[attr-defined]
        return module


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Have a document, and three targets that take different options."""
    made = Opened()
    real = {name: provider(name) for name in installed()}
    for name, offered in real.items():
        monkeypatch.setitem(sys.modules, f"a_fake_{name}", made.module(offered))
    entries = {name: (EntryPoint(name, f"a_fake_{name}:PROVIDER", GROUP),) for name in real}
    monkeypatch.setattr("stepflow.targets.installed", lambda: entries)
    monkeypatch.setattr("stepflow.cli.state.require", lambda workflow, **_: resolve(workflow, Offer(())))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.md").write_text(DOCUMENT, encoding="utf-8")
    return made


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """Call a command and give what it says: stdout, or stderr when it is to fail."""
    capsys.readouterr()
    assert main(arguments) == code
    out, err = capsys.readouterr()
    return err if code else out


def on_docker(capsys: pytest.CaptureFixture[str], *arguments: str, command: str = "run") -> str:
    return said(capsys, command, "w.md", "--target", "docker", *arguments)


def test_options_reach_the_target_and_every_later_command(opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("--base-image", "python:3.14-slim", "--registry", "r.example/team/", "--image", MIRROR)
    on_docker(capsys, *given, "--image", "nats=n:1")
    wanted = {
        "base-image": "python:3.14-slim",
        "image.nats": "n:1",
        "image.postgres": "mirror.example:5000/postgres:18@sha256:0",
        "registry": "r.example/team",
    }
    later = (("status",), ("verify",), ("open",), ("logs", "orders"), ("down",), ("resume",))
    for command in later:
        opened.options.clear()
        main(command)
        assert ("docker", wanted) in opened.options, command
    assert json.loads(said(capsys, "runs", "--json"))["runs"][0]["options"] == wanted
    assert json.loads(said(capsys, "status", "--json"))["options"] == wanted


def on_kubernetes(capsys: pytest.CaptureFixture[str], *arguments: str, command: str = "run") -> str:
    return said(capsys, command, "w.md", "--target", "kubernetes", *arguments)


def test_cluster_options_reach_the_target_and_the_record_the_values_by_what_they_say(
    opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("v.yaml").write_text("nats: {size: 1Gi, nodes: 3}\nstorage: {class: fast}\n")
    on_kubernetes(capsys, "--context", "arn:aws:eks:x:1:cluster/y", "--namespace", "team", "--values", "v.yaml")
    wanted = {
        "context": "arn:aws:eks:x:1:cluster/y",
        "namespace": "team",
        "values": '{"nats":{"size":"1Gi"},"storage":{"class":"fast"}}',
    }
    Path("v.yaml").unlink()  # not needed any longer
    for command in ("status", "verify", "down", "resume"):
        opened.options.clear()
        main([command])
        assert ("kubernetes", wanted) in opened.options, command


def test_changed_value_is_the_plans_cause_by_its_name_and_replaces_no_workload(
    opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    del opened
    Path("v.yaml").write_text("nats: {size: 1Gi}\n")
    on_kubernetes(capsys, "--values", "v.yaml")
    assert "reuse\n" in on_kubernetes(capsys, "--values", "v.yaml", command="plan")
    Path("v.yaml").write_text("nats: {size: 2Gi}\nstorage: {class: fast}\n")
    plan = on_kubernetes(capsys, "--values", "v.yaml", command="plan")
    assert '      option `values.nats.size` changed "1Gi" -> "2Gi"\n' in plan
    assert '      option `values.storage.class` set to "fast"\n' in plan
    assert "      keep     orders: unchanged and ready\n" in plan


def test_where_a_platform_is_makes_no_step_another(opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    del opened
    on_kubernetes(capsys, "--context", "kind-a", "--namespace", "team")
    plan = on_kubernetes(capsys, command="plan")
    assert "1 Orders" in plan
    assert "rerun" not in plan


def test_cluster_options_are_refused_by_targets_that_have_no_cluster(
    opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, "run", "w.md", "--target", "docker", "--context", "kind-a", code=2) == (
        "error: the target docker does not take `--context`\n"
        "hint: leave it out, or add `--target kubernetes`; docker takes: `--base-image`, `--image`, `--registry`\n"
    )
    assert opened.options == []


def test_wrong_values_file_is_told_at_its_line_before_anything_is_done(
    opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("v.yaml").write_text("nats:\n  nodes: 2\n")
    assert said(capsys, "run", "w.md", "--target", "kubernetes", "--values", "v.yaml", code=2) == (
        "v.yaml:2:10: error[SF403]: `nats.nodes` is 2, but should be 1, 3 or 5\n"
        " 2 |   nodes: 2\n"
        "   |          ^\n"
        "\n"
        "error: 1 error in the values file\n"
    )
    assert opened.options == []
    assert not Path(".stepflow").exists()


def test_changed_option_is_the_plans_cause_where_there_is_a_workload(
    opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    on_docker(capsys)
    assert "reuse\n" in on_docker(capsys, command="plan")
    plan = on_docker(capsys, "--base-image", "b:1", command="plan")
    assert "  rerun\n      option `base-image` set to b:1\n" in plan
    assert "      replace  orders: what it is made from changed\n" in plan
    assert re.search(r"2 Words +reuse", plan)
    on_docker(capsys, "--base-image", "b:1")
    assert opened.targets["docker"].applied == {"orders": 2}
    assert "option `base-image` changed b:1 -> b:2\n" in on_docker(capsys, "--base-image", "b:2", command="plan")
    assert "option `base-image` no longer set\n" in on_docker(capsys, command="plan")


def test_image_of_another_server_or_program_replaces_no_workload(
    opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    del opened
    on_docker(capsys)
    assert "keep     orders: unchanged and ready\n" in on_docker(capsys, "--image", MIRROR, command="plan")
    assert "replace  orders" in on_docker(capsys, "--image", "python=p:1", command="plan")


def test_option_that_the_target_does_not_take_is_refused_before_anything_is_done(
    opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, "run", "w.md", "--base-image", "b:1", code=2) == (
        "error: the target local does not take `--base-image`\n"
        "hint: leave it out, or add `--target docker` or `--target kubernetes`; local takes: none\n"
    )
    assert said(capsys, "plan", "w.md", "--image", MIRROR, code=2) == (
        "error: the target local does not take `--image postgres`\n"
        "hint: leave it out, or add `--target docker` or `--target kubernetes`; local takes: none\n"
    )
    assert opened.options == []
    assert not Path(".stepflow").exists()


_AS_DOCKER_TAKES_IT = "hint: give it as `docker pull` takes it: without `https://`, without spaces\n"


@pytest.mark.parametrize(
    ("given", "error", "hint"),
    [
        (
            ("--image", "postgres"),
            "error: `--image postgres` needs NAME=REF\n",
            "hint: such as `--image postgres=mirror.example/postgres:18`\n",
        ),
        (
            ("--registry", "https://r.example"),
            "error: `https://r.example` cannot be the value of `--registry`\n",
            _AS_DOCKER_TAKES_IT,
        ),
        (("--base-image", "b 1"), "error: `b 1` cannot be the value of `--base-image`\n", _AS_DOCKER_TAKES_IT),
    ],
)
def test_value_that_cannot_be_meant_is_refused_with_what_can(
    opened: Opened, capsys: pytest.CaptureFixture[str], given: tuple[str, str], error: str, hint: str
) -> None:
    assert said(capsys, "run", "w.md", "--target", "docker", *given, code=2) == error + hint
    assert opened.options == []


def test_target_whose_extra_is_not_installed_is_refused_with_what_to_install(
    opened: Opened, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(_: Site) -> Target:
        raise ModuleNotFoundError("No module named 'docker'", name="docker")

    monkeypatch.setattr("a_fake_docker.PROVIDER", replace(provider("docker"), open=lacking))
    expected = "error: target `docker` needs the package `docker`\nhint: `pip install 'stepflow-cli[docker]'`\n"
    assert said(capsys, "run", "w.md", "--target", "docker", code=3) == expected
    assert said(capsys, "plan", "w.md", "--target", "docker", code=3) == expected
    assert opened.targets["docker"].applied == {}


def test_engine_that_does_not_answer_ends_a_run_before_anything_is_done(
    opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    opened.targets["docker"].lacking = MachineError(
        "no engine answers at unix:///run/docker.sock", hint="`systemctl start docker`"
    )
    assert "create   orders: it does not exist" in on_docker(capsys, command="plan")
    assert said(capsys, "run", "w.md", "--target", "docker", code=3) == (
        "error: no engine answers at unix:///run/docker.sock\nhint: `systemctl start docker`\n"
    )
    assert not Path("shop").exists()
    assert said(capsys, "runs", code=2).startswith("error: there is no platform in this directory\n")


def test_plan_where_no_one_can_look_takes_the_record_for_what_is_there_and_says_so(
    opened: Opened, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_docker(capsys)

    async def away(_: FakeTarget) -> dict[str, Observed]:
        raise MachineError("no engine answers at unix:///run/docker.sock")

    monkeypatch.setattr(FakeTarget, "observe", away)
    capsys.readouterr()
    assert main(["plan", "w.md", "--target", "docker"]) == 0
    out, err = capsys.readouterr()
    assert "not looked at: planned from the last run's record\n" in out
    assert "      unchanged, not looked at: reused\n" in out
    assert out.endswith("nothing to do, by the record\n")
    assert "healthy" not in out
    assert err == (
        "hint: planned from the last run's record; the target could not be inspected: "
        "no engine answers at unix:///run/docker.sock\n"
    )
    assert "replace  orders: what it is made from changed" in on_docker(capsys, "--base-image", "b:1", command="plan")
    assert said(capsys, "run", "w.md", "--target", "docker", code=3) == (
        "error: no engine answers at unix:///run/docker.sock\n"
    )
    assert opened.targets["docker"].applied == {"orders": 1}


class Inside(FakeTarget):
    """A target whose addresses are not this machine's."""

    @asynccontextmanager
    async def reach(self, wish: int | None = None) -> AsyncIterator[str]:
        self.lines["reach"] = ["opened"]
        yield f"http://127.0.0.1:{wish or 8080}/"
        self.lines["reach"].append("closed")


def test_open_leads_into_a_cluster_until_ctrl_c_and_ends_cleanly(
    opened: Opened, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = opened.targets["kubernetes"] = Inside(name="kubernetes")
    on_kubernetes(capsys)

    def show(url: str) -> bool:
        assert url == "http://127.0.0.1:9999/"
        os.kill(os.getpid(), signal.SIGINT)  # the user looked, and presses Ctrl-C
        return True

    monkeypatch.setattr("webbrowser.open", show)
    capsys.readouterr()
    assert main(["open", "--port", "9999"]) == 0
    assert capsys.readouterr() == ("http://127.0.0.1:9999/\n", "forwarding to `shop`; Ctrl-C to stop\n")
    assert target.lines["reach"] == ["opened", "closed"]


def test_open_takes_a_port_only_where_it_leads_somewhere(opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    del opened
    on_docker(capsys)
    assert said(capsys, "open", "--port", "9999", code=2) == (
        "error: the page of `shop` already has an address: http://orders.fake.invalid:8000\nhint: leave `--port` out\n"
    )


def test_platform_is_not_made_a_second_time_while_its_first_target_cannot_be_asked(
    opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    on_docker(capsys)
    opened.away = "docker"
    assert said(capsys, "run", "w.md", code=3) == (
        "error: `shop` last ran on docker, which cannot be reached to check: "
        "no engine answers at unix:///run/docker.sock\n"
        "hint: fix that, then run `stepflow down`, or give another `--name`\n"
    )
    assert opened.targets["local"].applied == {}


def test_down_says_what_it_leaves_and_removes_outside_of_the_state(
    opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    del opened
    on_docker(capsys)
    assert said(capsys, "down") == (
        "removed orders\n"
        "left its volumes, and `.stepflow/shop`: data, secrets and the record; `stepflow down --data` removes them\n"
        "left `./shop`: the source is yours\n"
    )
    assert said(capsys, "down", "--data") == (
        "nothing of `shop` was running\n"
        "removed its volumes, and `.stepflow/shop`: data, secrets, logs and the record of runs\n"
        "left `./shop`: the source is yours\n"
    )


def test_option_about_builds_replaces_nothing_that_is_not_built(
    opened: Opened, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    del opened
    gateway = Workload("gateway", ("envoy",), HttpProbe("/ready"))
    monkeypatch.setattr(Orders, "declare", lambda *_: Declaration((gateway,)))
    on_docker(capsys)
    plan = on_docker(capsys, "--base-image", "b:1", "--registry", "r.example/x", command="plan")
    assert "keep     gateway: unchanged and ready\n" in plan
    assert "replace  gateway" in on_docker(capsys, "--image", "envoy=e:1", command="plan")


def test_ids_of_containers_are_texts_whatever_digits_they_have(
    opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    on_docker(capsys)
    docker = opened.targets["docker"]
    docker.observed["orders"] = replace(docker.observed["orders"], handles=("012345678901",))
    [orders] = json.loads(said(capsys, "status", "--json"))["services"]
    assert orders["containers"] == ["012345678901"]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("jobs", "which the command has itself"),
        ("help", "which the command has itself"),
        ("No.1", "which is not lower-case words with `-`"),
    ],
)
def test_option_of_a_target_that_cannot_be_typed_is_refused_and_the_plugin_is_blamed(
    opened: Opened, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, what: str
) -> None:
    monkeypatch.setattr("a_fake_docker.PROVIDER", replace(provider("docker"), options=(Option(name, "X", "An x."),)))
    assert said(capsys, "run", "w.md", "--target", "docker", code=3) == (
        f"error: the target `docker` of `a_fake_docker` has an option `--{name}`, {what}\n"
        "hint: rename the option in `a_fake_docker`, or uninstall it\n"
    )
    assert opened.options == []
    assert "plan for `shop` on local" in said(capsys, "plan", "w.md"), "it breaks only itself"


def test_option_that_two_targets_take_is_read_as_the_one_that_is_named_declares_it(
    opened: Opened, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, several = Option("class", "ZONE", "One zone."), Option("class", "NAME=Z", "Zones.", several=True)
    monkeypatch.setattr("a_fake_docker.PROVIDER", replace(opened.provider("docker"), options=(several,)))
    monkeypatch.setattr("a_fake_kubernetes.PROVIDER", replace(opened.provider("kubernetes"), options=(one,)))
    on_kubernetes(capsys, "--class", "west", command="plan")
    on_docker(capsys, "--class", "a=west", "--class", "b=east", command="plan")
    assert opened.options == [
        ("kubernetes", {"class": "west"}),
        ("docker", {"class.a": "west", "class.b": "east"}),
    ]
    assert said(capsys, "plan", "w.md", "--target", "docker", "--class", "west", code=2) == (
        "error: `--class west` needs NAME=Z\nhint: Zones.\n"
    )
    shown = said(capsys, "plan", "--help")
    assert "With --target docker or kubernetes" in shown
    assert "docker: Zones. kubernetes: One zone." in shown


def test_help_names_the_targets_that_are_installed(
    opened: Opened, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    del opened
    assert "stepflow doctor --target docker" in said(capsys, "doctor", "--help")
    entries = {name: (EntryPoint(name, "a_fake_docker:PROVIDER", GROUP),) for name in ("local", "ship")}
    monkeypatch.setattr("stepflow.targets.installed", lambda: entries)
    assert "stepflow doctor --target ship" in said(capsys, "doctor", "--help")
