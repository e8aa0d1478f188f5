"""References resolve to what a process on this machine needs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from stepflow.errors import PermanentError
from stepflow.handoff import ConfigFile, DataDir, Endpoint, SecretFile, ServerFile
from stepflow.targets.contract import Desired, Site
from stepflow.targets.local.desired import Unit, View, define, units
from stepflow.targets.local.layout import Layout
from stepflow.targets.local.observed import LocalState
from stepflow.targets.local.programs import Program
from stepflow.targets.resolution import resolution
from stepflow.targets.resolved import resolve
from stepflow.workload import Declaration, HttpProbe, Port, Workload

OTHERS = {
    "users": {"http": 21000},
    "nats": {"nats": 22000},
    "postgres": {"postgres": 23000},
    "valkey": {"valkey": 24000},
}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path / "state")
    made.prepare()
    return made


def _view(layout: Layout, **changes: Any) -> View:  # noqa: ANN401 - whatever a Workload takes
    workload = Workload("orders", ("python", "-m", "service"), HttpProbe("/"), **changes)
    return View(layout, resolve(workload), "orders-2", {"http": 25000}, OTHERS)


def _unit(workload: Workload) -> Unit:
    [unit] = units(resolution(Desired(Declaration((workload,)), {workload.name: "d"})))
    return unit


@pytest.mark.parametrize(
    ("endpoint", "text"),
    [
        (Endpoint("users"), "http://127.0.0.1:21000"),
        (Endpoint("users", path="/health"), "http://127.0.0.1:21000/health"),
        (Endpoint("users", part="host"), "127.0.0.1"),
        (Endpoint("users", part="port"), "21000"),
        (Endpoint("users", part="address"), "127.0.0.1:21000"),
        (Endpoint("orders", part="bind"), "127.0.0.1"),
        (Endpoint("users", part="public", path="/health"), "http://127.0.0.1:21000/health"),
        (Endpoint("orders"), "http://127.0.0.1:25000"),
    ],
)
def test_an_endpoint_is_an_address_on_this_machine_and_its_own_is_the_copys(
    layout: Layout, endpoint: Endpoint, text: str
) -> None:
    assert _view(layout).text(endpoint) == text


def test_an_endpoint_that_does_not_exist_is_refused_with_what_there_is(layout: Layout) -> None:
    with pytest.raises(PermanentError, match="there is no workload `payments`") as failure:
        _view(layout).text(Endpoint("payments"))
    assert failure.value.hint == "there are: `users`, `nats`, `postgres`, `valkey`"
    with pytest.raises(PermanentError, match="`users` has no port `admin`") as failure:
        _view(layout).text(Endpoint("users", "admin"))
    assert failure.value.hint == "it has: `http`"


def test_a_server_is_a_file_that_holds_its_url_and_one_that_no_step_declares_is_refused(layout: Layout) -> None:
    path = _view(layout).text(ServerFile("postgres", "orders"))
    assert path == str(layout.secrets / "postgres-orders.url")
    unknown = View(layout, _view(layout).resolved, "orders-1", {"http": 25000}, {})
    with pytest.raises(PermanentError, match="workload `orders` refers to `nats`, which no step declares"):
        unknown.text(ServerFile("nats"))


def test_a_config_is_json_with_its_references_resolved_and_ports_as_numbers(layout: Layout) -> None:
    boot: Any = {
        "port": Endpoint("users", part="port"),
        "list": [Endpoint("orders", part="address"), 1, None, True, {"secret": SecretFile("key")}],
        "text": "{{ never a template }}",
    }
    view = _view(layout, configs={"boot.json": boot}, env={"BOOT": ConfigFile("boot.json")})
    assert view.text(ConfigFile("boot.json")) == str(layout.configs / "orders-2" / "boot.json")
    secret = str(layout.secrets / "key")
    expected = ["127.0.0.1:25000", 1, None, True, {"secret": secret}]
    assert json.loads(view.files()["boot.json"]) == {"port": 21000, "list": expected, "text": "{{ never a template }}"}


def test_a_data_directory_is_below_the_platforms_data(layout: Layout) -> None:
    assert _view(layout).text(DataDir("warehouse")) == str(layout.data / "warehouse")
    with pytest.raises(PermanentError, match="cannot be a file name"):
        _view(layout).text(DataDir("../../etc"))


def test_a_workload_is_told_who_it_is_and_nothing_of_the_users_environment(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not for services")
    workload = Workload(
        "orders",
        ("python", "-m", "service"),
        HttpProbe("/"),
        context="orders",
        ports=(Port(), Port("admin", 9000, env="ADMIN_PORT")),
        env={"USERS": Endpoint("users")},
        needs=("users",),
    )
    site = Site("p", layout.state, tmp_path / "out")
    own = {"http": 25000, "admin": 25001}
    chosen = {f"{name}-1/{port}": n for name, ports in OTHERS.items() for port, n in ports.items()}
    now = LocalState(ports=chosen, programs={"python": Program(sys.executable, "3.12.1")})
    process = define(site, layout, _unit(workload), 2, own=own, now=now).process
    told = {"HOST", "PORT", "ADMIN_PORT", "ADVERTISE_HOST", "SERVICE", "INSTANCE", "USERS"}
    assert {name: process.env[name] for name in told} == {
        "HOST": "127.0.0.1",
        "PORT": "25000",
        "ADMIN_PORT": "25001",
        "ADVERTISE_HOST": "127.0.0.1",
        "SERVICE": "orders",
        "INSTANCE": "orders-2",
        "USERS": "http://127.0.0.1:21000",
    }
    assert process.env["PYTHONPATH"] == f"{tmp_path}/out/orders/src:{tmp_path}/out/chassis/src"
    assert "AWS_SECRET_ACCESS_KEY" not in process.env
    assert (process.command, process.program) == ((sys.executable, "-m", "service"), "python 3.12.1")
    assert (process.cwd, process.after) == (f"{tmp_path}/out/orders", ("users",))


def test_a_probe_of_a_port_that_is_not_declared_is_refused() -> None:
    workload = Workload("orders", ("python",), HttpProbe("/", port="admin"))
    expected = "a probe of `orders` uses port `admin`, which `orders` does not declare"
    with pytest.raises(PermanentError, match=expected):
        resolve(workload)


def test_nothing_is_written_while_references_are_resolved(layout: Layout) -> None:
    before = sorted(layout.state.rglob("*"))
    for value in (SecretFile("key"), ServerFile("nats"), DataDir("warehouse"), ConfigFile("boot.json")):
        _view(layout).text(value)
    assert sorted(layout.state.rglob("*")) == before
