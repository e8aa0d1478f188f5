"""A container with all that only this machine knows filled in, and what makes one differ from another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

from stepflow.targets.docker.container import Build, Container, HostPort, Secret, Text

SALT = "label-salt"
"""A secret of the platform's own: with it, a hash in a label tells nobody what a secret is that could be guessed."""
_DIGITS = 12  # of a part's hash: enough to tell two versions of the same part apart


@dataclass(frozen=True, slots=True)
class Filling:
    """Knows what the placeholders of a text stand for."""

    secret: Callable[[str], str]
    port: Callable[[HostPort], int]

    def text(self, text: Text) -> str:
        """Put a text together. What it gives may hold secrets."""
        return "".join(self._piece(piece, self.secret) for piece in text)

    def hashed(self, text: Text) -> str:
        """Give a hash of a text, made without its secrets' own texts."""
        return _hash("".join(self._piece(piece, self._sealed) for piece in text))

    def _sealed(self, name: str) -> str:
        return _hash(self.secret(SALT) + self.secret(name))

    def _piece(self, piece: str | Secret | HostPort, secret: Callable[[str], str]) -> str:
        match piece:
            case str():
                return piece
            case Secret():
                return secret(piece.name)
            case HostPort():
                return str(self.port(piece))


@dataclass(frozen=True, slots=True)
class Wanted:
    """A container as it shall be on this engine."""

    container: Container
    image: str  # its id, `sha256:...`
    parts: Mapping[str, str]  # what it is made of, in words -> hash
    published: Mapping[str, int] = field(default_factory=dict)  # port -> its number on this machine, where it matters

    @property
    def in_place(self) -> bool:
        """Tell whether two of it cannot run at once: its data or its port on this machine is for one."""
        container = self.container
        return container.kind != "workload" or bool(container.volumes) or bool(self.published)

    def instance(self, number: int) -> str:
        """Name a copy; of what there is only one of, it has the same name."""
        return f"{self.container.name}-{number}" if self.container.kind == "workload" else self.container.name


def want(
    container: Container, image: str, filling: Filling, published: Mapping[str, int], data: Mapping[str, str]
) -> Wanted:
    """Fill a container in. Raises `PermanentError` for a placeholder of something that does not exist.

    `data` stands for the data of each server that it uses: where they are others, its database and tables are gone,
    and it has to make them again.
    """
    image_is = (
        f"{container.image.context} was built anew"
        if isinstance(container.image, Build)
        else container.image.partition("@")[0]
    )
    shape = {
        "user": container.user,
        "limits": asdict(container.limits),
        "volumes": [asdict(volume) for volume in container.volumes],
        "temporary folders": container.tmpfs,
        "ports": [sorted((each.name, each.number) for each in container.listens), dict(published)],
        "healthcheck": container.health,
        "probe": asdict(container.ready) if container.ready else None,
        "way to be stopped": [container.stop_signal, container.stop_grace, container.drain],
    }
    parts = {
        f"image is another: {image_is}": _hash(image),
        "command changed": _hash(json.dumps([filling.hashed(text) for text in container.command])),
        **{f"variable `{name}` changed": filling.hashed(text) for name, text in sorted(container.env.items())},
        **{f"configuration `{_short(file.path)}` changed": filling.hashed(file.content) for file in container.files},
        **{f"{what} changed": _hash(json.dumps(value, sort_keys=True)) for what, value in shape.items()},
        **{f"server `{name}` has other data": _hash(birth) for name, birth in data.items()},
    }
    return Wanted(container, image, parts, published)


def _short(path: str) -> str:
    return path.rpartition("/")[2]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
