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

import json
from collections.abc import Mapping

from stepflow.targets.contract import Finding, Option, Provider, Site, Target
from stepflow.targets.images import OPTIONS as IMAGE_OPTIONS
from stepflow.targets.images import require_known


def _open(site: Site) -> Target:
    from stepflow.targets.kubernetes.target import KubernetesTarget  # noqa: PLC0415 - loads the client

    require_known(site.options)
    return KubernetesTarget(site)


def _doctor(options: Mapping[str, str]) -> tuple[Finding, ...]:
    from stepflow.targets.kubernetes.doctor import examine  # noqa: PLC0415 - likewise

    return examine(options)


def _values(file: str) -> str:
    from stepflow.targets.kubernetes.options.valuesfile import read  # noqa: PLC0415 - loads pydantic and yaml

    return read(file)


_OPTIONS = (
    Option(
        "context",
        "NAME",
        "Which context of the kubeconfig; by default the current one, if it is a local cluster.",
        doctor=True,
        meaning=None,
    ),
    Option("namespace", "NAME", "The platform's namespace; by default `<platform>-<id>`.", meaning=None),
    Option(
        "values",
        "FILE",
        "What the cluster is told: storage, servers of your own, host name.",
        read=_values,
        meaning=json.loads,
        production=True,
    ),
)

PROVIDER = Provider(
    "kubernetes",
    _open,
    _doctor,
    options=tuple(sorted((*IMAGE_OPTIONS, *_OPTIONS), key=lambda option: option.name)),
    handles="pods",
    keeps="its volumes, secrets, images and namespace",
)
