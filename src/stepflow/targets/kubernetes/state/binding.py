"""Where a platform is: its context, its namespace, and which cluster that was when the first thing was made there."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace

from stepflow.errors import PermanentError, UsageError
from stepflow.targets.contract import Site
from stepflow.targets.kubernetes.api.context import choose, others
from stepflow.targets.kubernetes.api.kubeconfig import read
from stepflow.targets.kubernetes.state.identity import KubernetesIdentity
from stepflow.targets.wholefile import write_whole

_FILE = "home.json"
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_OF_THE_CLUSTER = re.compile(r"default|kube-.*")


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a platform's objects are."""

    context: str  # of the kubeconfig
    namespace: str
    server: str  # URL of the cluster's API
    cluster: str = ""  # what the cluster cannot lose without being another: the uid of `kube-system`


def find(site: Site, who: KubernetesIdentity) -> Binding:
    """Return where a platform is or is to be created, from its options or its record; asks no cluster.

    Raises `UsageError` for a context that does not exist, or is not local and was not named, for a namespace that
    cannot be used, and for a context or namespace other than the platform's.
    """
    asked = site.options.get("context", "")
    namespace = wished(site.options.get("namespace", ""))
    made = recorded(who)
    if made is None:
        context = choose(read(), asked)
        return Binding(context.name, namespace or who.prefix, context.server)
    if namespace not in {"", made.namespace}:
        raise UsageError(
            f"`{who.platform}` is in the namespace `{made.namespace}`, not in `{namespace}`",
            hint=f"leave `--namespace` out, or make another platform there with another `--name`{_down(who)}",
        )
    found = read()
    if not asked and found.contexts and made.context not in found.contexts:
        gone = f"`{who.platform}` is in the cluster of the context `{made.context}`"
        otherwise = f"`stepflow run FILE --context NAME` if it was renamed; {others(found)}"
        raise UsageError(f"{gone}, which the kubeconfig no longer has", hint=f"is `KUBECONFIG` right? {otherwise}")
    context = choose(found, asked or made.context)
    return replace(made, context=context.name, server=context.server)


def wished(namespace: str) -> str:
    """Return a namespace that a platform can have. Raises `UsageError` for any other."""
    if namespace and not _NAMESPACE.fullmatch(namespace):
        hint = "use at most 63 of a-z, 0-9 and `-`, as in `--namespace shop`"
        raise UsageError(f"`{namespace}` cannot be the name of a namespace", hint=hint)
    if _OF_THE_CLUSTER.fullmatch(namespace):
        hint = "name one of its own, or leave `--namespace` out: `<platform>-<id>` is made then"
        raise UsageError(f"the namespace `{namespace}` is the cluster's own", hint=hint)
    return namespace


def recorded(who: KubernetesIdentity) -> Binding | None:
    """Return where a platform was made; None when nothing was made yet. Raises `PermanentError` for a spoilt record."""
    file = who.private / _FILE
    try:
        return Binding(**json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        hint = f"`{who.listing(who.state)}` shows where it is; `rm {file}`, then `stepflow run` with `--context`"
        raise PermanentError(f"`{file}` does not say where the platform is", hint=hint) from error


def settle(who: KubernetesIdentity, found: Binding, cluster: str) -> Binding:
    """Record where a platform is, before anything is made there; `cluster` is what tells the cluster from any other.

    Raises `UsageError` when the platform is in another cluster, behind whatever name.
    """
    made = recorded(who)
    if made is not None and not same(made, found, cluster):
        by = f"`{made.context}`" + (f", now `{found.context}`," if found.context != made.context else "")
        raise UsageError(
            f"`{who.platform}` is in the cluster that was at {made.server} (context {by}), "
            f"not in the one at {found.server}",
            hint="`--context NAME` with one that leads there, or make another one here with another `--name`",
        )
    there = replace(found, cluster=cluster or (made.cluster if made else ""))
    if there != made:
        write_whole(who.private / _FILE, json.dumps(asdict(there), indent=2) + "\n")
    return there


def forget(who: KubernetesIdentity) -> None:
    """Forget where a platform was; before its id is forgotten: a platform with another id may be elsewhere."""
    (who.private / _FILE).unlink(missing_ok=True)


def same(made: Binding, found: Binding, cluster: str) -> bool:
    """Return whether this is the cluster of the platform: by its uid, or where that is hidden, by address."""
    if made.cluster and cluster:
        return made.cluster == cluster
    return made.server == found.server


def _down(who: KubernetesIdentity) -> str:
    return f"; `stepflow down --data` removes `{who.platform}` from where it is"
