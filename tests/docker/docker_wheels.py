"""Tiny wheels, and a Python to make them for: a package index in a folder."""

from __future__ import annotations

import socket
import zipfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from stepflow.targets.docker.interpreter import Interpreter

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
        """Give its line in a lock."""
        return f"{self.name}=={self.version} --hash={self.hash}\n"


def closed_port() -> int:
    """Give a port on loopback where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
