"""Guard rails for every test: nothing leaves this machine."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import settings

settings.register_profile("stepflow", deadline=None)  # no test asserts a time
settings.load_profile("stepflow")

pytest_plugins = ("docker_fixtures", "cluster_fixtures", "onenode_fixtures")


def _is_loopback(host: object) -> bool:
    try:
        return ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        return host in {"localhost", ""}


@pytest.fixture(autouse=True)
def loopback_only(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that connects to anything but loopback fails, and says where it wanted to go.

    One that is marked `cluster` gets a cluster from the caller, wherever that is.
    """
    if request.node.get_closest_marker("cluster"):
        return
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: tuple[str, int]) -> None:
        if self.family in {socket.AF_INET, socket.AF_INET6} and not _is_loopback(address[0]):
            pytest.fail(f"this test wanted to connect to {address[0]}:{address[1]}; tests use loopback only")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
