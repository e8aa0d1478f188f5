"""The Kubernetes target: objects in one namespace of any conformant cluster.

Where to look, each module knowing only those of earlier lines:

- whose things are: `identity`; where they are: `kubeconfig`, `context`, `home`; what is told of a cluster: `values`,
  read by `valuesfile`;
- what is wanted, pure: `manifests` (objects), `wanted` (in units that are waited for), `compare` (what they mean);
  `named` finds what the values name and nobody declares;
- the way to a cluster: `kinds`, `errors`, `wire`, `client`; to its pods: `forward`;
- what there is: `sight`; why it is not ready, pure: `diagnose`; `observe` sums it up;
- images: `images` has them built, pushed, or brought into `nodes` by `ways`, `tee` and `load`;
- what is done: `place` knows where; `apply` decides on the order, `make` has objects as they are wanted, `rollout`
  waits, `rollback` goes back, `prune` removes what is no longer wanted; `secrets` finds what this machine lost;
  `remove` undoes it;
- what people see: `target` (the face), `live`, `logs`; `reach` leads a port there; `preview` says what would change, by
  `differences`; `findings` is for `doctor`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # nothing of the client is loaded before the target is opened
    from stepflow.targets import Finding, Site, Target

OPTIONS: tuple[str, ...] = ("base-image", "context", "image", "namespace", "registry", "values")
KEEPS = "its volumes, secrets, images and namespace"


def open_target(site: Site) -> Target:
    """Open the platform of a site; nothing happens yet. Raises `UsageError` for an option that cannot be."""
    from stepflow.targets.images import require_known  # noqa: PLC0415 - as above
    from stepflow.targets.kubernetes.target import KubernetesTarget  # noqa: PLC0415 - likewise

    require_known(site.options)
    return KubernetesTarget(site)


def doctor(options: Mapping[str, str] = MappingProxyType({})) -> tuple[Finding, ...]:
    """Say what this machine, and the cluster that the option `context` names, have and lack."""
    from stepflow.targets.kubernetes.findings import examine  # noqa: PLC0415 - as above

    return examine(options)
