"""How an orchestration step is verified."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping

from stepflow.errors import PermanentError, TemporaryError
from stepflow.playbook import Check, Evidence
from stepflow.targets.kubernetes.manifests.model import Object
from stepflow.workload import Live, Workload

from .bundle.files import FOLDER, MANIFESTS, bundle_files, manifests
from .bundle.model import Bundle
from .bundle.validate import objects_in, problems

SHOWN = 3
"""How many problems an error spells out."""
IN_CONTAINERS = ("docker", "kubernetes")
"""The targets that run each copy of a service in a container of its own image."""


def bundle_checks(platform: Bundle, version: str, target: str) -> tuple[Check, ...]:
    """Check that the bundle on disk is the rendered one, and that Kubernetes would take every object of it.

    Asked when the step is done, and again at the end of a run, where it answers an expected outcome.
    """

    async def run(live: Live) -> Evidence:
        return await asyncio.to_thread(_validated, live, platform, version, target)

    proves = ("Auto-scaling Kubernetes deployment",)
    return (
        Check("the Kubernetes bundle is valid", run),
        Check("the platform is ready for Kubernetes", run, proves=proves, when="run"),
    )


def _validated(live: Live, platform: Bundle, version: str, target: str) -> Evidence:
    files = bundle_files(platform)
    on_disk = {path: (live.out / path).read_bytes() for path in files if (live.out / path).is_file()}
    missing = sorted(files.keys() - on_disk.keys())
    if missing:
        raise PermanentError(f"missing in {live.out}: {', '.join(missing)}", hint="`stepflow run` renders them again")
    edited = {path: on_disk[path] for path in sorted(files) if on_disk[path] != files[path]}
    objects = _objects(platform, edited)
    found = problems(objects, version)
    if found:
        more = f" (and {len(found) - SHOWN} more)" if len(found) > SHOWN else ""
        raise PermanentError(
            f"Kubernetes {version} would refuse: {'; '.join(found[:SHOWN])}{more}",
            hint=f"mend the file below {live.out / FOLDER}, or delete it and `stepflow run` again",
        )
    kinds = Counter(item["kind"] for _, item in objects)
    scaled = kinds["HorizontalPodAutoscaler"]
    said = (
        f"{len(objects)} objects valid for Kubernetes {version}, {scaled} of them autoscalers; rendered, not applied on"
    )
    return f"{said} `{target}`" + (f"; edited by hand: {', '.join(edited)}" if edited else "")


def _objects(platform: Bundle, edited: Mapping[str, bytes]) -> list[tuple[str, Object]]:
    """Give the objects of the bundle: those of edited files as they lie there, the others as they were rendered."""
    rendered = {f"{MANIFESTS}/{name}": items for name, items in manifests(platform).items()}
    same = [(path, item) for path, items in rendered.items() if path not in edited for item in items]
    return same + objects_in(edited)


def replicas_check(workloads: tuple[Workload, ...]) -> Check:
    """Check that every workload has as many ready copies as it declares."""

    async def run(live: Live) -> Evidence:
        short: list[str] = []
        total = 0
        for workload in workloads:
            ready = sum(instance.state == "ready" for instance in live.instances(workload.name))
            total += ready
            if ready < workload.replicas:
                short.append(f"{workload.name} has {ready} of {workload.replicas}")
        if short:
            raise TemporaryError(f"not all copies are ready: {', '.join(short)}")
        return f"{total} copies of {len(workloads)} workloads are ready, each as many as declared"

    return Check("every workload has its replicas", run)


def containers_check(platform: Bundle) -> Check:
    """Check that every service has what it takes to build an image of it and, where it did, runs from it."""
    services = tuple(workload for workload in platform.workloads if workload.context)
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
        copies = {each.name: len(live.instances(each.name)) for each in services}
        absent = sorted(name for name, count in copies.items() if not count)
        if absent:
            raise TemporaryError(f"no container of {', '.join(absent)} runs")
        return f"{sum(copies.values())} containers of {len(contexts)} images built here run on `{live.target}`"

    return Check(
        "every service can be built as a container image", run, proves=("Containerized microservices",), when="run"
    )
