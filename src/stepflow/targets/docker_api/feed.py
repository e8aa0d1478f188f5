"""Runs a command in a container and gives it what it reads: how an image gets into a node that is a container."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress

from docker import APIClient
from docker.utils.socket import frames_iter

from stepflow.targets.docker_api.client import Engine


def feed(engine: Engine, container: str, command: tuple[str, ...], pieces: Iterable[bytes]) -> tuple[int, str]:
    """Run a command with these pieces as its standard input; gives its exit code and what it said; blocking.

    Raises as `Engine.ask` does, and whatever getting the next piece raises.
    """
    return engine.ask_now(lambda api: _fed(api, container, command, pieces))


def _fed(api: APIClient, container: str, command: tuple[str, ...], pieces: Iterable[bytes]) -> tuple[int, str]:
    made = api.exec_create(container, command, stdin=True, user="0")["Id"]
    stream = api.exec_start(made, socket=True)
    connection: socket.socket = getattr(stream, "_sock", stream)
    connection.settimeout(None)  # an import may think for as long as it likes
    try:
        with suppress(BrokenPipeError, ConnectionResetError):  # it ended early, and its words say why
            for piece in pieces:
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)
        said = b"".join(data for _, data in frames_iter(stream, tty=False))
    finally:
        stream.close()
        connection.close()
    return int(api.exec_inspect(made)["ExitCode"] or 0), said.decode(errors="replace")
