"""The Kubernetes target: objects in one namespace of any conformant cluster.

Where to look:

- `api`: the way to a cluster: its client, contexts, errors, ports that lead to pods;
- `manifests`: what is desired as objects, pure, and how an object drifts from that;
- `state`: a platform's identity and location, its observed state, and why it is not ready;
- `loading`: images, built, pushed, or brought into nodes;
- `converge`: compares what is desired with what there is (`reconcile`, pure), executes the actions (`execute`), waits
  (`rollout`), rolls back (`rollback`) and removes (`remove`);
- `access`: what checks and people reach: addresses, logs, a forwarded page;
- `options`: the settings of a cluster; `doctor` examines one; `bundle` is the public face for plugins that write
  objects to files; `target` is the target's face.
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
        "Settings for the cluster: storage, your own servers, host name.",
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
    containers=True,
    shared=True,
    keeps="its volumes and secrets, images that nothing else uses, and its namespace if stepflow made it",
)
