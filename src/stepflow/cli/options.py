"""The options that `run` and `plan` hand on to the target; a target says which of them it takes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

import typer

from stepflow.errors import UsageError

_REGISTRY = re.compile(r"([\w.-]+|\[[0-9a-fA-F:]+\])(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*", re.ASCII)
"""What a reference to an image may begin with."""
_PANEL = "Images"
_KUBERNETES = "Kubernetes"

TargetName = Annotated[
    str,
    typer.Option(
        "--target", metavar="TARGET", help="Where it runs: `local` (processes), `docker` (containers) or `kubernetes`."
    ),
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
Context = Annotated[
    str,
    typer.Option(
        "--context",
        metavar="NAME",
        help="Which context of the kubeconfig; by default the current one, if it is a local cluster.",
        rich_help_panel=_KUBERNETES,
    ),
]
Namespace = Annotated[
    str,
    typer.Option(
        "--namespace",
        metavar="NAME",
        help="The platform's namespace; by default `<platform>-<id>`.",
        rich_help_panel=_KUBERNETES,
    ),
]
Values = Annotated[
    str,
    typer.Option(
        "--values",
        metavar="FILE",
        help="What the cluster is told: storage, servers of your own, host name.",
        rich_help_panel=_KUBERNETES,
    ),
]


def gather(*, base_image: str = "", registry: str = "", images: Iterable[str] = ()) -> dict[str, str]:
    """Give what was set about images, as `Site.options` holds it. Raises `UsageError` for what cannot be meant."""
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
    if given["registry"] and not _REGISTRY.fullmatch(given["registry"]):
        hint = "`--registry HOST/PATH`, the path in lower case and without a tag: `ghcr.io/team`"
        raise UsageError(f"`{given['registry']}` cannot be the value of `--registry`", hint=hint)
    return {option: value for option, value in given.items() if value}


def cluster(*, context: str = "", namespace: str = "", values: str = "") -> dict[str, str]:
    """Give what was set about a cluster, as `Site.options` holds it: not the values file's name, but what it says.

    Raises `UsageError` when that file cannot be read, `DocumentError` with all that is wrong in it.
    """
    given = {"context": context, "namespace": namespace}
    if values:
        from stepflow.targets.kubernetes.valuesfile import read  # noqa: PLC0415 - keeps `--help` quick

        given["values"] = read(values)
    return {option: value for option, value in given.items() if value}
