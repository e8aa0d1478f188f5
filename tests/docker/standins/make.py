"""Make the stand-ins in an engine: `python -m standins.make [DOCKER_HOST]` with this folder's parent on PYTHONPATH."""

from __future__ import annotations

import io
import sys
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import docker
from docker.errors import BuildError, ImageNotFound

from standins.debian import NotMade, Root, tarball
from standins.recipes import RECIPES, Recipe

LABEL = "dev.stepflow.stand-in"
"""Its value is the digest of the recipe."""
Say = Callable[[str], object]


def make(client: docker.DockerClient, say: Say) -> None:
    """Make each image that is missing or of another recipe, reporting it to `say`. Raises `NotMade`."""
    for recipe in RECIPES:
        if _label(client, recipe.image) != recipe.digest:
            say(f"making {recipe.image} (once)")
            _build(client, recipe, _root(client, recipe.root, say))


def _label(client: docker.DockerClient, image: str) -> str | None:
    try:
        labels: Mapping[str, str] = client.images.get(image).labels
    except ImageNotFound:
        return None
    return labels.get(LABEL)


def _root(client: docker.DockerClient, root: Root, say: Say) -> str:
    """Import a root file system as an image and return its name."""
    name = f"stepflow-tests/{root.name}"
    image = f"{name}:{root.digest}"
    if _label(client, image) is None:
        say(f"making a root of Debian with {', '.join(root.packages)} (once)")
        client.api.import_image_from_file(
            str(tarball(root)), repository=name, tag=root.digest, changes=[f"LABEL {LABEL}={root.digest}"]
        )
        for tag in (tag for found in client.images.list(name) for tag in found.tags if tag != image):
            client.images.remove(tag, force=True)
    return image


def _build(client: docker.DockerClient, recipe: Recipe, root: str) -> None:
    try:
        client.images.build(
            fileobj=_context(recipe), custom_context=True, network_mode="none", tag=recipe.image, rm=True, forcerm=True,
            buildargs={"ROOT": root, "VERSION": recipe.version}, labels={LABEL: recipe.digest},
        )  # fmt: skip
    except BuildError as error:
        said = "".join(line.get("stream", "") for line in error.build_log).splitlines()
        raise NotMade(f"{recipe.image} was not built: {error.msg}\n" + "\n".join(said[-15:])) from error


def _context(recipe: Recipe) -> io.BytesIO:
    """Pack the build context: the recipe's own files, and the server out of its wheel."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for file in sorted(recipe.folder.iterdir()):
            tar.add(file, file.name, filter=_plain)
        for name, path in recipe.server().items():
            tar.add(path, name, filter=_plain)
    packed.seek(0)
    return packed


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out compiled Python and this machine's owners, times and umask, so that the engine's cache fits."""
    if Path(member.name).name == "__pycache__":
        return None
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    host = sys.argv[1] if len(sys.argv) > 1 else None
    make(docker.DockerClient(base_url=host, timeout=300) if host else docker.from_env(timeout=300), print)
