"""A port of this machine is free, or a process has it."""

from __future__ import annotations

import os
import socket

import psutil

from stepflow.targets.ports import by, free


def test_a_port_is_free_until_someone_listens_and_then_it_is_said_who() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        number = holder.getsockname()[1]
        assert not free(number)
        assert by(number) == f" by `{psutil.Process().name()}` (pid {os.getpid()})"
    assert free(number)
    assert not by(number)


def test_a_listener_on_all_addresses_counts_too() -> None:
    with socket.create_server(("", 0)) as holder:
        assert not free(holder.getsockname()[1])
