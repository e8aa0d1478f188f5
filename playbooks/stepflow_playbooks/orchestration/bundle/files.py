"""The bundle as files: one YAML document stream a component, a kustomization, and the list of Secrets it needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib import resources

import yaml

from .model import Object, Platform
from .namespace import namespace_objects
from .network import network_policies
from .secrets import RequiredSecret, required_secrets
from .servers import server_objects
from .workloads import workload_objects

FOLDER = "orchestration"
MANIFESTS = f"{FOLDER}/kubernetes"
KUSTOMIZATION = "kustomization.yaml"
SECRETS_LIST = f"{FOLDER}/required-secrets.json"
SECRETS_SCRIPT = f"{FOLDER}/make_secrets.py"
README = f"{FOLDER}/README.md"
_DUMPER = yaml.CSafeDumper if yaml.__with_libyaml__ else yaml.SafeDumper  # ten times as fast


def manifests(platform: Platform) -> dict[str, list[Object]]:
    """Give all objects by file name, in the order in which they are applied."""
    found = {"00-namespace.yaml": namespace_objects(platform), "10-network-policies.yaml": network_policies(platform)}
    found |= {f"20-{kind}.yaml": server_objects(platform, kind) for kind in platform.server_kinds()}
    found |= {f"30-{workload.name}.yaml": workload_objects(platform, workload) for workload in platform.workloads}
    return found


def bundle_paths(objects: Mapping[str, list[Object]]) -> tuple[str, ...]:
    """Give the paths of the bundle that holds these manifests, in order."""
    manifest_paths = (f"{MANIFESTS}/{name}" for name in (*objects, KUSTOMIZATION))
    return tuple(sorted((*manifest_paths, SECRETS_LIST, SECRETS_SCRIPT, README)))


def bundle_files(platform: Platform) -> dict[str, bytes]:
    """Give the bundle: path below the rendered tree to content. The same platform gives the same bytes."""
    objects = manifests(platform)
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": platform.namespace,
        "resources": list(objects),
    }
    wanted = required_secrets(platform)
    secrets = {"namespace": platform.namespace, "secrets": [asdict(secret) for secret in wanted]}
    script = resources.files(__package__).joinpath("make_secrets.py").read_bytes()
    return {
        **{f"{MANIFESTS}/{name}": _yaml(items) for name, items in objects.items()},
        f"{MANIFESTS}/{KUSTOMIZATION}": _yaml([kustomization]),
        SECRETS_LIST: (json.dumps(secrets, indent=2) + "\n").encode(),
        SECRETS_SCRIPT: script,
        README: _readme(platform, objects, wanted).encode(),
    }


def _yaml(items: list[Object]) -> bytes:
    # The way through JSON leaves no value shared, which YAML would write as an anchor.
    documents = json.loads(json.dumps(items))
    return yaml.dump_all(documents, Dumper=_DUMPER, sort_keys=False, explicit_start=True, width=120).encode()


def _readme(platform: Platform, objects: Mapping[str, list[Object]], wanted: tuple[RequiredSecret, ...]) -> str:
    count = sum(map(len, objects.values()))
    rows = "\n".join(f"| `{s.secret}` | `{s.key}` |" for s in wanted)
    contexts = sorted({workload.context for workload in platform.workloads if workload.context})
    prefix = f"{platform.registry.rstrip('/')}/" if platform.registry else ""
    builds = "\n".join(
        f"docker build -t {prefix}{platform.namespace}/{context}:{platform.image_tag} -f {context}/Dockerfile ."
        for context in contexts
    )
    return f"""# {platform.name} on Kubernetes

{count} objects, made from what the steps of the workflow declared. No file in here holds a secret.
This run did not apply them. To do so, in the folder above this one:

```console
{builds}
kubectl apply -f orchestration/kubernetes/00-namespace.yaml
python orchestration/make_secrets.py | kubectl create -f -
kubectl apply -k orchestration/kubernetes
kubectl -n {platform.namespace} get pods -w
```

Push the images (or load them into the nodes of kind, k3s or minikube) before the last line. There is no Ingress in the
bundle: reach the gateway with `kubectl -n {platform.namespace} port-forward service/gateway 8080`, or add your own.

PostgreSQL makes its databases when its volume is empty. A database that a later run adds is yours to create.
The NetworkPolicies deny what no workload refers to. A service that calls an address outside the cluster (an SMTP
relay, an SMS provider) needs an egress rule of its own.

## Secrets that it needs

| Secret | key |
|---|---|
{rows}
"""
