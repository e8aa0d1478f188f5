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

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # nothing of the SDK is loaded before the target is opened
    from stepflow.targets import Finding, Site, Target

OPTIONS: tuple[str, ...] = ("base-image", "image", "registry")
KEEPS = "its volumes and images"


def open_target(site: Site) -> Target:
    """Open the platform of a site; nothing happens yet. Raises `UsageError` for an option that names no image."""
    from stepflow.targets.docker.target import DockerTarget  # noqa: PLC0415 - as above
    from stepflow.targets.images import require_known  # noqa: PLC0415 - likewise

    require_known(site.options)
    return DockerTarget(site)


def doctor() -> tuple[Finding, ...]:
    """Say what this machine has and lacks for the Docker target."""
    from stepflow.targets.docker.findings import examine  # noqa: PLC0415 - as above

    return examine()
