"""All objects of a platform, by component, in the order in which they are applied."""

from __future__ import annotations

from stepflow.targets.kubernetes.manifests.foundation import foundation
from stepflow.targets.kubernetes.manifests.jobs import database_objects, migration_objects
from stepflow.targets.kubernetes.manifests.model import Object
from stepflow.targets.kubernetes.manifests.production import copies, production_objects
from stepflow.targets.kubernetes.manifests.servers import server_objects
from stepflow.targets.kubernetes.manifests.workloads import workload_objects
from stepflow.workload import Production, Workload

from .model import Bundle
from .policies.sight import Sight

Manifests = dict[str, list[Object]]
"""Component, with a number in front that says its place -> its objects, in order."""


def manifests(bundle: Bundle) -> Manifests:
    """Give all objects. Raises `PermanentError` for a reference to what no step declares, or a name that cannot be."""
    platform, production = bundle.platform, bundle.production
    namespace, *shared = foundation(platform)
    found = {"00-namespace": [namespace], "05-foundation": shared}  # Secrets come between them
    found |= {"10-production": _production(bundle, production)} if production else {}
    found |= {f"20-{kind}": server_objects(platform, kind) for kind in bundle.server_kinds()}
    databases = [item for database in bundle.databases() for item in database_objects(platform, database)]
    found |= {"25-databases": databases} if databases else {}
    found |= {f"30-{each.name}": _workload(bundle, production, each) for each in bundle.workloads}
    return _exact(found)


def every(found: Manifests) -> list[Object]:
    """Give the objects of all components, in order."""
    return [item for items in found.values() for item in items]


def _exact(found: Manifests) -> Manifests:
    """Leave out the policies of pods that this platform has not, e.g. of a gateway that no step declares."""
    sight = Sight(every(found))
    return {name: [item for item in items if _applies(sight, item)] for name, items in found.items()}


def _applies(sight: Sight, item: Object) -> bool:
    if item["kind"] != "NetworkPolicy":
        return True
    return bool(sight.selected(item["metadata"]["namespace"], item["spec"]["podSelector"]))


def _production(bundle: Bundle, production: Production) -> list[Object]:
    """Leave autoscalers out where they have nothing to choose: the count is in the manifest then."""
    made = production_objects(bundle.platform, production)
    return [item for item in made if production.automatic or item["kind"] != "HorizontalPodAutoscaler"]


def _workload(bundle: Bundle, production: Production | None, workload: Workload) -> list[Object]:
    *others, controller = workload_objects(bundle.platform, workload, "")
    if production and workload.name in production.scaled:
        least, _ = copies(production, workload)
        controller["spec"]["replicas"] = least
        if production.automatic:
            del controller["spec"]["replicas"]  # the autoscaler's
    return [*others, *migration_objects(bundle.platform, workload), controller]
