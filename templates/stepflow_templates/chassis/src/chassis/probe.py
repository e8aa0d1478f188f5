"""Asks the service in this container whether it is ready; exit code 0 if it is. The HEALTHCHECK of its image runs it.

It imports next to nothing, since it is started every few seconds: `python -I -S probe.py`.
"""

from __future__ import annotations

import os
import socket
import sys

_REQUEST = b"GET /health/ready HTTP/1.0\r\n\r\n"
_PATIENCE = 2.0  # seconds


def ready(port: int) -> bool:
    """Return whether the service on this port reports ready. Raises `OSError` when it does not answer."""
    with socket.create_connection(("127.0.0.1", port), _PATIENCE) as connection:
        connection.sendall(_REQUEST)
        return connection.recv(64).split(b" ")[1:2] == [b"200"]


if __name__ == "__main__":
    try:
        sys.exit(not ready(int(os.environ["PORT"])))
    except OSError as error:
        sys.exit(f"not ready: {error}")
