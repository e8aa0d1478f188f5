"""The options that `run` and `plan` hand on to the target; a target says which of them it takes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from stepflow.errors import UsageError

_PANEL = "Images"

TargetName = Annotated[
    str, typer.Option("--target", metavar="TARGET", help="Where it runs: `local` (processes) or `docker`.")
]
BaseImage = Annotated[
    str,
    typer.Option(
        "--base-image", metavar="IMAGE", help="What the services' images are built from.", rich_help_panel=_PANEL
    ),
]
Registry = Annotated[
    str,
    typer.Option(
        "--registry", metavar="HOST/PATH", help="Where the services' images are pushed.", rich_help_panel=_PANEL
    ),
]
Images = Annotated[
    list[str] | None,
    typer.Option(
        "--image",
        metavar="NAME=REF",
        help="Another image for a server: `postgres=mirror.example/postgres:18`. Repeatable.",
        rich_help_panel=_PANEL,
    ),
]


def gather(*, base_image: str = "", registry: str = "", images: Iterable[str] = ()) -> dict[str, str]:
    """Give what was set, as `Site.options` holds it. Raises `UsageError` for what cannot be meant."""
    given = {"base-image": base_image, "registry": registry.rstrip("/")}
    for each in images:
        name, _, reference = each.partition("=")
        if not (name and reference):
            hint = "`--image NAME=REF`, for example `--image postgres=mirror.example/postgres:18`"
            raise UsageError(f"`--image {each}` does not say which image stands for what", hint=hint)
        given[f"image.{name}"] = reference
    for option, value in given.items():
        if "://" in value or any(character.isspace() for character in value):
            hint = "give it as `docker pull` takes it: without `https://`, without spaces"
            raise UsageError(f"`{value}` cannot be the value of `--{option.partition('.')[0]}`", hint=hint)
    return {option: value for option, value in given.items() if value}
