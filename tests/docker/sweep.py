"""Removes from the tests' engine what killed tests left; what makes the next run fast stays."""

from __future__ import annotations

import docker

_OURS = "dev.stepflow.id"  # the product's label on all that it makes
_KEPT = "72h"  # layers that no image has any more


def sweep(client: docker.DockerClient) -> None:
    """Remove all containers, networks and volumes, and the images of platforms but not their layers."""
    for container in client.containers.list(all=True):
        container.remove(force=True, v=True)
    client.networks.prune()
    for volume in client.volumes.list():
        volume.remove(force=True)
    for image in client.images.list(filters={"label": _OURS}):
        client.images.remove(image.id, force=True, noprune=True)
    client.images.prune(filters={"dangling": True, "until": _KEPT})
