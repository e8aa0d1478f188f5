"""The rendered tree's `compose.yaml`: the same platform for `docker compose up`, without stepflow.

Pure: from what the steps declare to the files that say so, by way of the same containers that the Docker target makes.
Where that target writes secrets and files into volumes itself, here a service `setup` does it before all others start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stepflow.targets import images
from stepflow.targets.contract import Desired
from stepflow.targets.docker.compose.document import described
from stepflow.targets.docker.desired import containers
from stepflow.targets.resolution import resolution
from stepflow.workload import Declaration


def documents(platform: str, declarations: Sequence[Declaration], options: Mapping[str, str]) -> Mapping[str, bytes]:
    """Return `compose.yaml` and what its `setup` is built from, by their paths in the rendered tree.

    `options` are the target's. Returns nothing where nothing is to be run. Raises `PermanentError` for a workload that
    cannot be one, or refers to something that is not declared, `UsageError` for an option that is not an image.
    """
    workloads = {workload.name: workload for declaration in declarations for workload in declaration.workloads}
    servers = dict.fromkeys(server for declaration in declarations for server in declaration.servers)
    whole = Declaration(tuple(workloads.values()), tuple(servers))
    base = images.image(images.BASE, options)
    return described(platform, containers(resolution(Desired(whole)), options, {}), str(base))
