"""The servers that tests run."""

from __future__ import annotations

import socket
import sys

import pytest

from chassis.testing.servers import free_port


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing could listen on a port that is kept")
def test_a_free_port_is_kept_for_the_server_that_it_was_taken_for() -> None:
    port = free_port()
    with socket.socket() as other, pytest.raises(OSError, match="Address already in use"):
        other.bind(("127.0.0.1", port))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 60)
    for _ in range(2):  # a server that is started again as well
        with socket.create_server(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port), 60):
            pass
