"""The Docker target: containers of a Docker engine, whose images `stepflow.targets.building` makes.

Where to look, each module knowing only those of earlier lines:

- whose things are: `identity`; which engine has them: `home`;
- what is wanted, pure: `container` (the value), `define`, `resolve`, `servers`, `limits`; as `compose.yaml`: `compose`;
- what there is: `look` gives containers with the `record` in their labels; `probe` asks them, `observe` sums them up;
- what is done: `reconcile` (pure) compares `wanted` with it; `apply` decides on the order, `execute` does it, by
  `make` for one container and `wait` until it is ready; `remove` undoes it;
- what people see: `target` (the face), `live`, `logs`, `findings`.
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
    from stepflow.targets.docker.findings import examine  # noqa: PLC0415 - likewise

    del options
    return examine()


PROVIDER = Provider(
    "docker", _open, _doctor, options=IMAGE_OPTIONS, handles="containers", keeps="its volumes and images"
)
