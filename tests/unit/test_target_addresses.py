"""An address is text for each viewpoint, and a server's keeps its password apart."""

from __future__ import annotations

from typing import Any

import pytest

from stepflow.errors import PermanentError
from stepflow.handoff import Endpoint, ServerFile
from stepflow.targets.addresses import endpoint, role, server_url
from stepflow.targets.resolved import resolve
from stepflow.workload import HttpProbe, Workload

NUMBERS = {"users": {"http": 8000, "admin": 9901}}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Endpoint("users"), "http://users:8000"),
        (Endpoint("users", "admin", path="/ready"), "http://users:9901/ready"),
        (Endpoint("users", part="public"), "http://users:8000"),
        (Endpoint("users", part="host"), "users"),
        (Endpoint("users", part="port"), "8000"),
        (Endpoint("users", part="address"), "users:8000"),
    ],
)
def test_an_endpoint_is_what_the_viewpoint_calls_it(value: Endpoint, text: str) -> None:
    assert endpoint(value, "users", NUMBERS) == text


def test_an_endpoint_that_does_not_exist_is_refused_with_what_there_is() -> None:
    with pytest.raises(PermanentError, match="there is no workload `payments`") as failure:
        endpoint(Endpoint("payments"), "payments", NUMBERS)
    assert failure.value.hint == "there are: `users`"
    with pytest.raises(PermanentError, match="`users` has no port `grpc`") as failure:
        endpoint(Endpoint("users", "grpc"), "users", NUMBERS)
    assert failure.value.hint == "it has: `http`, `admin`"


@pytest.mark.parametrize(
    ("file", "url"),
    [
        (ServerFile("nats"), ("nats://stepflow:", "nats", "@nats:4222")),
        (ServerFile("valkey"), ("redis://:", "valkey", "@nats:4222/0")),
        (ServerFile("postgres"), ("postgresql://postgres:", "postgres", "@nats:4222/postgres")),
        (ServerFile("postgres", "orders"), ("postgresql://orders:", "postgres-orders", "@nats:4222/orders")),
    ],
)
def test_a_servers_address_names_the_secret_that_belongs_into_it(file: ServerFile, url: tuple[str, str, str]) -> None:
    assert server_url(file, "nats", 4222) == url


@pytest.mark.parametrize("name", ["postgres", "", "Orders", 'x"; DROP', "a-b", "1a", "a" * 42])
def test_a_name_that_cannot_be_a_database_is_refused(name: str) -> None:
    with pytest.raises(PermanentError, match="cannot be a database's name") as failure:
        role(name)
    assert failure.value.hint == "use lower-case letters, digits and `_`"


def test_references_are_found_in_the_command_the_environment_and_the_configurations() -> None:
    users, orders, nats, orders_db = (
        Endpoint("users"),
        Endpoint("orders"),
        ServerFile("nats"),
        ServerFile("postgres", "o"),
    )
    configs: Any = {"a.json": {"list": [1, {"deep": users}]}}
    workload = Workload("orders", ("python", nats), HttpProbe("/"), env={"A": orders, "B": orders_db}, configs=configs)
    resolved = resolve(workload)
    assert resolved.server_files == (nats, orders_db)
    assert resolved.endpoints == (orders, users)
    assert resolved.neighbours == ("users",)
