"""How an orchestration step is verified."""

from __future__ import annotations

import asyncio
from collections import Counter

from stepflow.errors import PermanentError, TemporaryError
from stepflow.playbook import Check, Evidence
from stepflow.targets.kubernetes.manifests.production import copies
from stepflow.workload import Live

from .bundle.files import FOLDER, MANIFESTS, bundle_files
from .bundle.model import Bundle
from .bundle.policies.suite import findings, names
from .bundle.validate import objects_in, problems, repeated

SHOWN = 3
"""How many problems an error spells out."""
CLUSTER = "kubernetes"
IN_CONTAINERS = ("docker", CLUSTER)
"""The targets that run each copy of a service in a container of its own image."""
_RUNNING, _SCALED = 20.0, 240.0
"""Seconds in which copies that are declared are there, and those that an autoscaler adds, which looks every 15 s."""
_PRODUCTION = (f"{MANIFESTS}/base/", f"{MANIFESTS}/overlays/production/")


def bundle_checks(bundle: Bundle, version: str, target: str) -> tuple[Check, ...]:
    """Check that the bundle on disk is the rendered one, that Kubernetes would take every object of it, and that it
    breaks no rule of good practice.

    Asked when the step is done, and again at the end of a run, where it answers an expected outcome.
    """

    async def run(live: Live) -> Evidence:
        return await asyncio.to_thread(_validated, live, bundle, version, target)

    proves = ("Auto-scaling Kubernetes deployment",)
    return (
        Check("the Kubernetes bundle is valid", run),
        Check("the platform is ready for Kubernetes", run, proves=proves, when="run"),
    )


def _validated(live: Live, bundle: Bundle, version: str, target: str) -> Evidence:
    files = bundle_files(bundle)
    on_disk = {path: (live.out / path).read_bytes() for path in files if (live.out / path).is_file()}
    missing = sorted(files.keys() - on_disk.keys())
    if missing:
        raise PermanentError(f"missing in {live.out}: {', '.join(missing)}", hint="`stepflow run` renders them again")
    manifests = objects_in({path: text for path, text in on_disk.items() if path.startswith(MANIFESTS)})
    whole = [(path, item) for path, item in manifests if path.startswith(_PRODUCTION)]
    _require_none(f"Kubernetes {version} would refuse", problems(manifests, version) + repeated(whole), live)
    broken = findings([item for _, item in whole])
    _require_none("against good practice", [str(each) for each in broken if not each.rule.decided_by], live)
    return _evidence(
        f"{len(whole)} objects valid for Kubernetes {version} and clean by {len(names())} rules",
        f"{Counter(item['kind'] for _, item in whole)['HorizontalPodAutoscaler']} of them autoscalers; "
        + ("applied to the cluster" if target == CLUSTER else f"rendered and validated, not applied on `{target}`"),
        sorted({f"{each.rule.decided_by} against {each.rule.names[0]}" for each in broken}),
        [path for path in sorted(files) if on_disk[path] != files[path]],
    )


def _require_none(what: str, found: list[str], live: Live) -> None:
    if found:
        more = f" (and {len(found) - SHOWN} more)" if len(found) > SHOWN else ""
        raise PermanentError(
            f"{what}: {'; '.join(found[:SHOWN])}{more}",
            hint=f"mend the file below {live.out / FOLDER}, or delete it and `stepflow run` again",
        )


def _evidence(said: str, applied: str, choices: list[str], edited: list[str]) -> Evidence:
    more = f"; decided by {', '.join(choices)}" if choices else ""
    return f"{said}, {applied}{more}" + (f"; edited by hand: {', '.join(edited)}" if edited else "")


def replicas_check(bundle: Bundle, target: str) -> Check:
    """Check that every workload has as many ready copies as it declares; in a cluster, as production asks for."""
    production = bundle.production if target == CLUSTER else None
    wanted = {each.name: copies(production, each)[0] if production else each.replicas for each in bundle.workloads}

    async def run(live: Live) -> Evidence:
        short: list[str] = []
        total = 0
        for name, least in wanted.items():
            ready = sum(instance.state == "ready" for instance in live.instances(name))
            total += ready
            if ready < least:
                short.append(f"{name} has {ready} of {least}")
        if short:
            raise TemporaryError(f"not all copies are ready: {', '.join(short)}")
        asked = "production asks for" if production else "declared"
        return f"{total} copies of {len(wanted)} workloads are ready, each as many as {asked}"

    return Check("every workload has its replicas", run, timeout=_SCALED if production else _RUNNING)


def containers_check(bundle: Bundle) -> Check:
    """Check that every service has what it takes to build an image of it and, where it did, runs from it."""
    services = tuple(workload for workload in bundle.workloads if workload.context)
    contexts = sorted({workload.context for workload in services})

    async def run(live: Live) -> Evidence:
        missing = [c for c in contexts if not await asyncio.to_thread((live.out / c / "Dockerfile").is_file)]
        if missing:
            raise PermanentError(
                f"no Dockerfile in {', '.join(f'{live.out}/{context}' for context in missing)}",
                hint="`stepflow run` renders them again",
            )
        if live.target not in IN_CONTAINERS:
            return f"each of the {len(contexts)} services has its Dockerfile; no image was built on `{live.target}`"
        running = {each.name: len(live.instances(each.name)) for each in services}
        absent = sorted(name for name, count in running.items() if not count)
        if absent:
            raise TemporaryError(f"no container of {', '.join(absent)} runs")
        return f"{sum(running.values())} containers of {len(contexts)} images built here run on `{live.target}`"

    return Check(
        "every service can be built as a container image", run, proves=("Containerized microservices",), when="run"
    )
