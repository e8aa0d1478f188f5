"""Tiny wheels, and a Python to make them for: a package index in a folder."""

from __future__ import annotations

import socket
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from packaging.utils import canonicalize_name

from stepflow.targets.building.interpreter import Interpreter

FOR = Interpreter(
    machine="x86_64",
    libc="manylinux",
    minor=36,
    markers={
        "implementation_name": "cpython",
        "implementation_version": "3.13.1",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": "3.13.1",
        "python_version": "3.13",
        "sys_platform": "linux",
    },
)


@dataclass(frozen=True)
class Wheel:
    """A package with one module, which says its version."""

    name: str
    version: str
    tag: str = "py3-none-any"
    hash: str = ""

    @property
    def file(self) -> str:
        return f"{self.name}-{self.version}-{self.tag}.whl"

    def write(self, folder: Path) -> Wheel:
        """Put it into a folder; give it with the hash that a lock would have."""
        info = f"{self.name}-{self.version}.dist-info"
        with zipfile.ZipFile(folder / self.file, "w") as archive:
            archive.writestr(f"{self.name}.py", f"version = {self.version!r}\n")
            archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {self.name}\nVersion: {self.version}\n")
            archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {self.tag}\n")
            archive.writestr(f"{info}/RECORD", "")
        digest = sha256((folder / self.file).read_bytes()).hexdigest()
        return Wheel(self.name, self.version, self.tag, f"sha256:{digest}")

    def pinned(self) -> str:
        """Return its line in a lock."""
        return f"{self.name}=={self.version} --hash={self.hash}\n"


def closed_port() -> int:
    """Return a port on loopback without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextmanager
def index(house: Path) -> Iterator[str]:
    """Serve a folder of wheels as a package index on loopback; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            *_, last = self.path.rstrip("/").split("/")
            file = house / last
            names = [each.name for each in house.glob("*.whl") if canonicalize_name(each.name.split("-")[0]) == last]
            links = "".join(f'<a href="/files/{name}">{name}</a>' for name in names)
            body = file.read_bytes() if last.endswith(".whl") else f"<!doctype html>{links}".encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/zip" if last.endswith(".whl") else "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/simple"
        finally:
            server.shutdown()
            thread.join()
