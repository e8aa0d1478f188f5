"""The page that lies beside the bundle: how to bring it to a cluster, and back."""

from __future__ import annotations

from stepflow.targets.kubernetes.bundle import Bundle, RequiredSecret, entry

_OVERLAYS = "orchestration/kubernetes/overlays"


def readme(bundle: Bundle, count: int, wanted: tuple[RequiredSecret, ...]) -> str:
    """Describe a bundle of so many objects, and the Secrets that it wants."""
    return f"""# {bundle.name} on Kubernetes

{count} objects, made from what the steps of the workflow declared, in three ways that render the same:

| where | what |
|---|---|
| `kubernetes/base` | what all share, one YAML stream for each component, in the order of application |
| `kubernetes/overlays/production` | the base with autoscalers, quota and default limits; images come from a registry |
| `kubernetes/overlays/development` | a copy of each on one small node, from images that were loaded into it |
| `chart` | a Helm chart; with its own values it renders the production overlay |

No file in here holds a secret. `stepflow run … --target kubernetes` applies all of this by itself; these files are for
those who bring it to a cluster in another way. The commands are typed in the folder above this one.

{_bring(bundle)}
{_later(bundle)}
The NetworkPolicies deny what no workload refers to. A service that calls an address outside the cluster (an SMTP
relay, an SMS provider) needs an egress rule of its own.

## Secrets that it needs

| Secret | key |
|---|---|
{_rows(wanted)}
"""


def _bring(bundle: Bundle) -> str:
    space, contexts = bundle.namespace, bundle.contexts()
    builds = "\n".join(f"docker build -t {bundle.image(each)} -f {each}/Dockerfile ." for each in contexts)
    pushes = "\n".join(f"docker push {bundle.image(each)}" for each in contexts)
    loads = " ".join(bundle.image(each) for each in contexts)
    return f"""## Bring it

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

or, instead of the last line, `helm install {space} orchestration/chart --namespace {space}`. The chart goes into any
namespace: `make_secrets.py` takes its name, too.

**On a laptop**, with kind (`minikube image load` of minikube, `docker save … | sudo k3s ctr images import -` of k3s):

```console
kind load docker-image {loads}
kubectl apply -k {_OVERLAYS}/development
```

The order does not matter from here on: Jobs make the databases and migrate them, services wait for what they need.
`kubectl -n {space} get pods -w` shows it.

{_entry(bundle)}
"""


def _registry(bundle: Bundle) -> str:
    if bundle.registry:
        return f", `{bundle.registry.rstrip('/')}`"
    return (
        ". These names are Docker Hub's: name yours by the step's field `registry` and run it again, or by\n"
        "`newName` or `images.<name>.repository`, as below"
    )


def _later(bundle: Bundle) -> str:
    space, contexts = bundle.namespace, bundle.contexts()
    return f"""\
**A new version**: Jobs cannot be changed, and each has another name when its image is another one. Where a tag stayed
and the image changed, first `kubectl -n {space} delete jobs --all`: they do nothing a second time.

**Images by digest**, or of another name: write into an overlay's `kustomization.yaml`, for each image that you pushed,

```yaml
images:
  - name: {bundle.image(contexts[0]).rpartition(":")[0] if contexts else "registry.example.org/shop/service"}
    newName: registry.example.org/{contexts[0] if contexts else "service"}
    digest: sha256:…
```

or set `images.<name>.repository` and `.digest` of the chart. NATS, PostgreSQL, Valkey and Envoy are named by digest
already. A chart whose images were loaded into the nodes takes `--set pullPolicy=IfNotPresent`.

**Take it away** in this order, so that nothing is in the way of what ends before it:

```console
kubectl -n {space} delete ingress,horizontalpodautoscaler --all
kubectl -n {space} delete deployments,jobs --all
kubectl -n {space} delete statefulsets --all
kubectl delete -k {_OVERLAYS}/production
```

The last line deletes the namespace, and with it the data and the Secrets; leave it out to keep them. What Helm brought
goes by `helm uninstall {space} --namespace {space}`, which leaves volumes, Secrets and the namespace.
"""


def _rows(wanted: tuple[RequiredSecret, ...]) -> str:
    return "\n".join(f"| `{each.secret}` | `{each.key}` |" for each in wanted)


def _entry(bundle: Bundle) -> str:
    found = entry(bundle)
    if found is None:
        return ""
    gateway, port = found
    forward = f"kubectl -n {bundle.namespace} port-forward service/{gateway} {port}"
    return (
        f"**The gateway**: `{forward}`, or by an Ingress with TLS:\n"
        "`--set entry.host=shop.example.org --set entry.tlsSecret=…` of the chart."
    )
