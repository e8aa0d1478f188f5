"""The Docker target: containers of a Docker engine, whose images `stepflow.targets.building` makes.

Where to look, each module knowing only those of earlier lines:

- whose things are: `identity`; what is desired, pure: `container` (the value), `servers`, `desired` (from a
  declaration); as `compose.yaml`: `compose`;
- what there is: `inspected` (one container, with the record in its labels), `probe` (is it ready?), `observed` (all);
- what has to be done, pure: `filled` (what is desired, on this machine), `drift` (how a copy differs), `reconcile`;
- doing it: `host_ports`, `platform`, `create`; `execute` carries out one action, `backend` all of a step;
- undoing it: `remove`; what people see: `target` (the face), `live`, `logs`, `doctor`.
"""

from __future__ import annotations

from collections.abc import Mapping

from stepflow.targets.contract import Finding, Provider, Site, Target
from stepflow.targets.images import OPTIONS as IMAGE_OPTIONS
from stepflow.targets.images import require_known


def _open(site: Site) -> Target:
    from stepflow.targets.docker.target import DockerTarget  # noqa: PLC0415 - loads the SDK

    require_known(site.options)
    return DockerTarget(site)


def _doctor(options: Mapping[str, str]) -> tuple[Finding, ...]:
    from stepflow.targets.docker.doctor import examine  # noqa: PLC0415 - likewise

    del options
    return examine()


PROVIDER = Provider(
    "docker",
    _open,
    _doctor,
    options=IMAGE_OPTIONS,
    handles="containers",
    containers=True,
    keeps="its volumes and images",
)
