"""The page beside the bundle: how to apply it to a cluster, and how to remove it."""

from __future__ import annotations

from stepflow.targets.kubernetes.bundle import Bundle, RequiredSecret, entry

_OVERLAYS = "orchestration/kubernetes/overlays"


def readme(bundle: Bundle, count: int, required: tuple[RequiredSecret, ...]) -> str:
    """Return the page of a bundle with `count` objects, which refer to the `required` Secrets."""
    return f"""# {bundle.name} on Kubernetes

{count} objects, made from what the steps of the workflow declare, in three forms that render the same:

| where | what |
|---|---|
| `kubernetes/base` | what both overlays share: one YAML stream for each component, in the order of application |
| `kubernetes/overlays/production` | the base with autoscalers, quota and default limits; images come from a registry |
| `kubernetes/overlays/development` | one replica of everything on one small node, from images loaded into it |
| `chart` | a Helm chart; with its own values it renders the production overlay |

No file contains a secret. `stepflow run … --target kubernetes` applies all of this by itself; use these files to apply
it in another way. Run the commands in the parent folder of this one.

{_apply(bundle)}
{_later(bundle)}
The NetworkPolicies deny everything that no workload refers to. A service that calls an address outside the cluster (an
SMTP relay, an SMS provider) needs its own egress rule.

## Required Secrets

| Secret | key |
|---|---|
{_rows(required)}
"""


def _apply(bundle: Bundle) -> str:
    space, contexts = bundle.namespace, bundle.contexts()
    builds = "\n".join(f"docker build -t {bundle.image(each)} -f {each}/Dockerfile ." for each in contexts)
    pushes = "\n".join(f"docker push {bundle.image(each)}" for each in contexts)
    loads = " ".join(bundle.image(each) for each in contexts)
    return f"""## Apply

```console
{builds}
kubectl apply -f orchestration/kubernetes/base/00-namespace.yaml
python3 orchestration/make_secrets.py | kubectl create -f -
```

**Production**, from a registry{_registry(bundle)}:

```console
{pushes}
kubectl apply -k {_OVERLAYS}/production
```

or, instead of the last line, `helm install {space} orchestration/chart --namespace {space}`. The chart can be
installed in any namespace; pass its name to `make_secrets.py`, too.

**On a laptop**, with kind (for minikube `minikube image load`, for k3s `docker save … | sudo k3s ctr images import -`):

```console
kind load docker-image {loads}
kubectl apply -k {_OVERLAYS}/development
```

From here on, order does not matter: Jobs create and migrate the databases, and services wait for what they need.
Watch it with `kubectl -n {space} get pods -w`.

{_entry(bundle)}
"""


def _registry(bundle: Bundle) -> str:
    if bundle.registry:
        return f", `{bundle.registry.rstrip('/')}`"
    return (
        ". These names belong to Docker Hub: set the step's field `registry` and run it again, or use\n"
        "`newName` or `images.<name>.repository`, as below"
    )


def _later(bundle: Bundle) -> str:
    space, contexts = bundle.namespace, bundle.contexts()
    return f"""\
**A new version**: Jobs are immutable, so a Job with another image has another name. If the image changed but not its
tag, first run `kubectl -n {space} delete jobs --all`: the Jobs are idempotent.

**Images by digest**, or with another name: add to an overlay's `kustomization.yaml`, for each image that you pushed,

```yaml
images:
  - name: {bundle.image(contexts[0]).rpartition(":")[0] if contexts else "registry.example.org/shop/service"}
    newName: registry.example.org/{contexts[0] if contexts else "service"}
    digest: sha256:…
```

or set `images.<name>.repository` and `.digest` of the chart. NATS, PostgreSQL, Valkey and Envoy are already pinned by
digest. If the images were loaded into the nodes, pass `--set pullPolicy=IfNotPresent` to the chart.

**Remove it** in this order, so that nothing disappears that something else needs to stop:

```console
kubectl -n {space} delete ingress,horizontalpodautoscaler --all
kubectl -n {space} delete deployments,jobs --all
kubectl -n {space} delete statefulsets --all
kubectl delete -k {_OVERLAYS}/production
```

The last line deletes the namespace with its data and Secrets; leave it out to keep them. Remove what Helm installed
with `helm uninstall {space} --namespace {space}`, which keeps volumes, Secrets and the namespace.
"""


def _rows(required: tuple[RequiredSecret, ...]) -> str:
    return "\n".join(f"| `{each.secret}` | `{each.key}` |" for each in required)


def _entry(bundle: Bundle) -> str:
    found = entry(bundle)
    if found is None:
        return ""
    gateway, port = found
    forward = f"kubectl -n {bundle.namespace} port-forward service/{gateway} {port}"
    return (
        f"**The gateway**: `{forward}`, or an Ingress with TLS: pass\n"
        "`--set entry.host=shop.example.org --set entry.tlsSecret=…` to the chart."
    )
