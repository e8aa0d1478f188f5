"""Ports are chosen once, kept, and never those of another program."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil
import pytest

from stepflow.errors import PermanentError, TemporaryError
from stepflow.targets.local import ports
from stepflow.targets.local.layout import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path)
    made.prepare()
    return made


def test_a_port_that_was_chosen_is_kept(layout: Layout) -> None:
    first = ports.choose(layout, "users-1/http")
    assert ports.LOWEST <= first.number < ports.HIGHEST
    assert ports.choose(layout, "users-1/http") == first
    assert ports.choose(layout, "users-2/http").number != first.number
    assert ports.read(layout)["users-1/http"] == first.number


def test_a_wish_is_granted_when_the_port_is_free(layout: Layout) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        wish = probe.getsockname()[1]
    assert ports.choose(layout, "gateway-1/http", wish) == (wish, "")


def test_the_next_free_port_is_taken_instead_of_a_wish_that_is_not_and_it_is_said(layout: Layout) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        wish = holder.getsockname()[1]
        number, remark = ports.choose(layout, "gateway-1/http", wish)
    assert wish < number <= wish + 200
    name = psutil.Process().name()
    assert remark == f"port {wish} is taken by `{name}` (pid {os.getpid()}): `gateway-1/http` gets {number} instead"


def test_two_keys_never_get_one_number_even_while_no_one_listens(layout: Layout) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        wish = probe.getsockname()[1]
    numbers = {ports.choose(layout, f"gateway-{copy}/http", wish).number for copy in range(5)}
    assert len(numbers) == 5


def test_a_port_that_is_taken_is_an_error_that_names_the_process_and_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder, pytest.raises(PermanentError) as failure:
        ports.demand(number := holder.getsockname()[1], "nats")
    name = psutil.Process().name()
    assert failure.value.message == f"port {number} of `nats` is taken by `{name}` (pid {os.getpid()})"
    assert "`stepflow down`" in failure.value.hint
    ports.demand(number, "nats")


def test_only_the_ports_that_were_taken_are_forgotten_when_nothing_runs(layout: Layout) -> None:
    kept = ports.choose(layout, "users-1/http").number
    lost = ports.choose(layout, "orders-1/http").number
    with socket.create_server(("127.0.0.1", lost)):
        ports.forget_taken(layout, (kept, lost))
        assert ports.choose(layout, "orders-1/http").number != lost
    assert ports.choose(layout, "users-1/http").number == kept


def test_a_process_whose_port_was_taken_before_it_ran_has_another_one_at_once(layout: Layout) -> None:
    lost = ports.choose(layout, "orders-1/http").number
    with socket.create_server(("127.0.0.1", lost)), pytest.raises(TemporaryError) as failure:
        ports.yield_to(layout, lost, "orders-1")
    another = ports.read(layout)["orders-1/http"]
    assert another != lost
    taken = f"port {lost} of `orders-1` was taken by `{psutil.Process().name()}` (pid {os.getpid()})"
    assert failure.value.message == f"{taken} before it could listen; it gets {another}"
