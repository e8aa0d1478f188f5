"""The one table of images that are not built: official ones, by tag and digest.

A digest is that of the multi-platform index; what a tag stands for moves, so the digest is what is pulled, and the tag
tells people what it is. Each pair is one that public repositories pin.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from stepflow.errors import UsageError
from stepflow.targets.contract import Option

if TYPE_CHECKING:  # `stepflow --help` lists the options and loads no pydantic for it
    from stepflow.workload import Workload

BASE = "python"
"""What services are built on; replaced by the option `base-image`."""
PREFIX = "image."
"""What the option that replaces another image begins with: `image.postgres`."""

_REFERENCE = re.compile(
    r"(?P<repository>(?:[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]+)?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True, slots=True)
class Image:
    """An image in a registry; `str()` gives the reference that every engine understands."""

    repository: str
    tag: str = ""
    digest: str = ""  # `sha256:…`; "" where none is known

    def __str__(self) -> str:
        return self.repository + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def qualified(self) -> str:
        """The reference with its registry spelled out, for engines that know no usual one."""
        first, slash, _ = self.repository.partition("/")
        if slash and (first == "localhost" or "." in first or ":" in first):
            return str(self)
        return f"docker.io/{self}" if slash else f"docker.io/library/{self}"


IMAGES: Mapping[str, Image] = {
    BASE: Image(
        "python",
        "3.13.15-slim-trixie",
        "sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b",
    ),
    "nats": Image(
        "nats",
        "2.14.6-alpine",
        "sha256:ad7a43eb7e3337c3c38ce5d784d1461791f95f730f252d2b25eee699752a0ca3",
    ),
    "postgres": Image(
        "postgres",
        "18.6-trixie",
        "sha256:5a5a84b19854a9ffaa54082c166ff4ec27473a361e496e5ea167f298f2da9722",
    ),
    "valkey": Image(
        "valkey/valkey",
        "9.1.2",
        "sha256:418652cfb58ef879d4978c33553735d7147016032d5aefaa14c828e611eb9dfd",
    ),
    "envoy": Image(
        "envoyproxy/envoy",
        "v1.39.3",
        "sha256:dd85940439de19a0b6ae8419610363ea0ad351d9a994ea007161c206ec1e1865",
    ),
}

_REGISTRY = re.compile(r"([\w.-]+|\[[0-9a-fA-F:]+\])(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*", re.ASCII)
"""What a reference to an image may begin with."""


def _built(name: str, workload: Workload) -> bool:
    del name
    return bool(workload.context)


def _runs(name: str, workload: Workload) -> bool:
    return name == workload.command[0]


def _reference(option: str, value: str) -> str:
    if "://" in value or any(character.isspace() for character in value):
        hint = "give it as `docker pull` takes it: without `https://`, without spaces"
        raise UsageError(f"`{value}` cannot be the value of `--{option}`", hint=hint)
    return value


def _registry(value: str) -> str:
    registry = _reference("registry", value.rstrip("/"))
    if registry and not _REGISTRY.fullmatch(registry):
        hint = "`--registry HOST/PATH`, the path in lower case and without a tag: `ghcr.io/team`"
        raise UsageError(f"`{registry}` cannot be the value of `--registry`", hint=hint)
    return registry


OPTIONS: tuple[Option, ...] = (
    Option(
        "base-image",
        "IMAGE",
        "What the services' images are built from.",
        read=partial(_reference, "base-image"),
        concerns=_built,
    ),
    Option(
        "image",
        "NAME=REF",
        "Another image for a server: `postgres=mirror.example/postgres:18`. Repeatable.",
        read=partial(_reference, "image"),
        several=True,
        example="postgres=mirror.example/postgres:18",
        concerns=_runs,
    ),
    Option("registry", "HOST/PATH", "Where the services' images are pushed.", read=_registry, concerns=_built),
)
"""What a target that runs images takes."""


def image(name: str, options: Mapping[str, str]) -> Image:
    """Return the image for a server, a program or the base of services: the table's, or what an option puts instead.

    Raises `UsageError` for an option that is not a reference.
    """
    option = "base-image" if name == BASE else PREFIX + name
    if option not in options:
        return IMAGES[name]
    return parse(options[option], option)


def require_known(options: Mapping[str, str]) -> None:
    """Raise `UsageError` for an option that replaces an image which there is not, or by something that is none."""
    replaceable = tuple(name for name in IMAGES if name != BASE)
    for option, given in options.items():
        if option == "base-image":
            parse(given, option)
        elif option.startswith(PREFIX):
            name = option.removeprefix(PREFIX)
            if name == BASE:
                raise UsageError(f"`{name}` is what services are built on", hint=f"`--base-image {given}`")
            if name not in replaceable:
                raise UsageError(f"no image is called `{name}`", hint=f"one of: {', '.join(replaceable)}")
            parse(given, option)


def reference(text: str) -> Image | None:
    """Take a reference apart, `repository[:tag][@sha256:…]`; None when it is not one."""
    found = _REFERENCE.fullmatch(text)
    return Image(found["repository"], found["tag"] or "", found["digest"] or "") if found else None


def parse(text: str, option: str) -> Image:
    """Take a reference apart. Raises `UsageError`, naming the option it came by, for what is not one."""
    found = reference(text)
    if found is None:
        hint = "write it as `postgres:18` or `registry.example/postgres:18@sha256:…`"
        raise UsageError(f"`{text}`, given for `{option}`, is not an image", hint=hint)
    return found
