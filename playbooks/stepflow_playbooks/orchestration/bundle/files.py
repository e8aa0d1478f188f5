"""The bundle as files: one YAML document stream a component, a kustomization, and the list of Secrets it needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib import resources

import yaml

from stepflow.targets.kubernetes.manifests.foundation import foundation
from stepflow.targets.kubernetes.manifests.jobs import database_objects, migration_objects
from stepflow.targets.kubernetes.manifests.model import Object
from stepflow.targets.kubernetes.manifests.production import production_objects
from stepflow.targets.kubernetes.manifests.secrets import RequiredSecret, required_secrets
from stepflow.targets.kubernetes.manifests.servers import server_objects
from stepflow.targets.kubernetes.manifests.workloads import workload_objects
from stepflow.workload import Workload

from .model import Bundle

FOLDER = "orchestration"
MANIFESTS = f"{FOLDER}/kubernetes"
KUSTOMIZATION = "kustomization.yaml"
SECRETS_LIST = f"{FOLDER}/required-secrets.json"
SECRETS_SCRIPT = f"{FOLDER}/make_secrets.py"
README = f"{FOLDER}/README.md"
_DUMPER = yaml.CSafeDumper if yaml.__with_libyaml__ else yaml.SafeDumper  # ten times as fast


def manifests(bundle: Bundle) -> dict[str, list[Object]]:
    """Give all objects by file name, in the order in which they are applied."""
    platform = bundle.platform
    found = {"00-namespace.yaml": foundation(platform)}
    found |= {"10-production.yaml": production_objects(platform, bundle.production)}
    found |= {f"20-{kind}.yaml": server_objects(platform, kind) for kind in bundle.server_kinds()}
    databases = [item for database in bundle.databases() for item in database_objects(platform, database)]
    found |= {"25-databases.yaml": databases} if databases else {}
    return found | {f"30-{each.name}.yaml": _workload(bundle, each) for each in bundle.workloads}


def _workload(bundle: Bundle, workload: Workload) -> list[Object]:
    """Give the objects of a workload; the number of copies of one that scales is its autoscaler's."""
    *others, controller = workload_objects(bundle.platform, workload, "")
    if workload.name in bundle.production.scaled:
        del controller["spec"]["replicas"]
    return [*others, *migration_objects(bundle.platform, workload), controller]


def bundle_paths(objects: Mapping[str, list[Object]]) -> tuple[str, ...]:
    """Give the paths of the bundle that holds these manifests, in order."""
    manifest_paths = (f"{MANIFESTS}/{name}" for name in (*objects, KUSTOMIZATION))
    return tuple(sorted((*manifest_paths, SECRETS_LIST, SECRETS_SCRIPT, README)))


def bundle_files(bundle: Bundle) -> dict[str, bytes]:
    """Give the bundle: path below the rendered tree to content. The same platform gives the same bytes."""
    objects = manifests(bundle)
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": bundle.namespace,
        "resources": list(objects),
    }
    wanted = required_secrets(bundle.platform, bundle.declaration)
    secrets = {"namespace": bundle.namespace, "secrets": [asdict(secret) for secret in wanted]}
    script = resources.files(__package__).joinpath("make_secrets.py").read_bytes()
    return {
        **{f"{MANIFESTS}/{name}": _yaml(items) for name, items in objects.items()},
        f"{MANIFESTS}/{KUSTOMIZATION}": _yaml([kustomization]),
        SECRETS_LIST: (json.dumps(secrets, indent=2) + "\n").encode(),
        SECRETS_SCRIPT: script,
        README: _readme(bundle, objects, wanted).encode(),
    }


def _yaml(items: list[Object]) -> bytes:
    # The way through JSON leaves no value shared, which YAML would write as an anchor.
    documents = json.loads(json.dumps(items))
    return yaml.dump_all(documents, Dumper=_DUMPER, sort_keys=False, explicit_start=True, width=120).encode()


def _readme(bundle: Bundle, objects: Mapping[str, list[Object]], wanted: tuple[RequiredSecret, ...]) -> str:
    count = sum(map(len, objects.values()))
    rows = "\n".join(f"| `{s.secret}` | `{s.key}` |" for s in wanted)
    contexts = sorted({workload.context for workload in bundle.workloads if workload.context})
    builds = "\n".join(f"docker build -t {bundle.image(context)} -f {context}/Dockerfile ." for context in contexts)
    return f"""# {bundle.name} on Kubernetes

{count} objects, made from what the steps of the workflow declared. No file in here holds a secret.
This run did not apply them. To do so, in the folder above this one:

```console
{builds}
kubectl apply -f orchestration/kubernetes/00-namespace.yaml
python orchestration/make_secrets.py | kubectl create -f -
kubectl apply -k orchestration/kubernetes
kubectl -n {bundle.namespace} get pods -w
```

Push the images (or load them into the nodes of kind, k3s or minikube) before the last line. There is no Ingress in the
bundle: reach the gateway with `kubectl -n {bundle.namespace} port-forward service/gateway 8080`, or add your own.

The NetworkPolicies deny what no workload refers to. A service that calls an address outside the cluster (an SMTP
relay, an SMS provider) needs an egress rule of its own.

## Secrets that it needs

| Secret | key |
|---|---|
{rows}
"""
