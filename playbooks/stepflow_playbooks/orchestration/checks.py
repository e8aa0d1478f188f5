"""How the bundle, the replicas and the containers of a platform are verified."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping

from stepflow.errors import PermanentError, TemporaryError
from stepflow.playbook import Check, Evidence
from stepflow.targets.kubernetes.bundle import TARGET, Bundle, replicas
from stepflow.workload import Live

from .bundle.files import FOLDER, MANIFESTS
from .bundle.validate import objects_in, problems, repeated

SHOWN = 3
"""How many problems an error spells out."""
_RUNNING, _SCALED = 20.0, 240.0
"""Seconds in which the declared replicas are ready, and those that an autoscaler adds, which decides every 15 s."""
_PRODUCTION = (f"{MANIFESTS}/base/", f"{MANIFESTS}/overlays/production/")


def bundle_checks(files: Callable[[], Mapping[str, bytes]], version: str, target: str) -> tuple[Check, ...]:
    """Return the checks that the bundle on disk is complete and that Kubernetes would accept every object of it.

    Asked when the step is done, and again at the end of a run, where it answers an expected outcome; without a timeout,
    since it works and waits for nothing. `files` returns the bundle as it was rendered.
    """

    async def run(live: Live) -> Evidence:
        return await asyncio.to_thread(_validated, live, files(), version, target)

    proves = ("Auto-scaling Kubernetes deployment",)
    return (
        Check("the Kubernetes bundle is valid", run, timeout=None, of_files=True),
        Check("the platform is ready for Kubernetes", run, proves=proves, when="run", timeout=None),
    )


def _validated(live: Live, files: Mapping[str, bytes], version: str, target: str) -> Evidence:
    on_disk = {path: (live.out / path).read_bytes() for path in files if (live.out / path).is_file()}
    missing = sorted(files.keys() - on_disk.keys())
    if missing:
        raise PermanentError(f"missing in {live.out}: {', '.join(missing)}", hint="`stepflow run` renders them again")
    manifests = objects_in({path: text for path, text in on_disk.items() if path.startswith(MANIFESTS)})
    whole = [(path, item) for path, item in manifests if path.startswith(_PRODUCTION)]
    _require_none(f"Kubernetes {version} would reject", problems(manifests, version) + repeated(whole), live)
    scalers = Counter(item["kind"] for _, item in whole)["HorizontalPodAutoscaler"]
    applied = "applied to the cluster" if target == TARGET else f"rendered and validated, not applied on `{target}`"
    edited = ", ".join(path for path in sorted(files) if on_disk[path] != files[path])
    said = f"{_counted(len(whole), 'object')} valid for Kubernetes {version}, {scalers} of them autoscalers; {applied}"
    return f"{said}; not as this document renders them (edited, or older): {edited}" if edited else said


def _counted(count: int, word: str) -> str:
    """Return a number of things in words: "1 object", "2 objects"."""
    return f"{count} {word if count == 1 else f'{word}s'}"


def _require_none(what: str, found: list[str], live: Live) -> None:
    if found:
        more = f" (and {len(found) - SHOWN} more)" if len(found) > SHOWN else ""
        raise PermanentError(
            f"{what}: {'; '.join(found[:SHOWN])}{more}",
            hint=f"correct the file below {live.out / FOLDER}, or delete it and `stepflow run` again",
        )


def replicas_check(bundle: Bundle, target: str) -> Check:
    """Return the check that every workload has the replicas that it declares; in a cluster, those of production."""
    production = target == TARGET
    desired = replicas(bundle) if production else {each.name: each.workload.replicas for each in bundle.workloads}

    async def run(live: Live) -> Evidence:
        short: list[str] = []
        total = 0
        for name, least in desired.items():
            ready = sum(instance.state == "ready" for instance in live.instances(name))
            total += ready
            if ready < least:
                short.append(f"{name} has {ready} of {least}")
        if short:
            raise TemporaryError(f"not all replicas are ready: {', '.join(short)}")
        source = "as production requires" if production else "as declared"
        said = f"{_counted(total, 'replica')} of {_counted(len(desired), 'workload')}"
        return f"{said} {'is' if total == 1 else 'are'} ready, {source}"

    return Check("every workload has its replicas", run, timeout=_SCALED if production else _RUNNING)


def containers_check(bundle: Bundle, *, containers: bool) -> Check:
    """Return the check that every service has a Dockerfile and, on a target with containers, runs in one."""
    services = tuple(workload for workload in bundle.workloads if workload.workload.context)
    contexts = bundle.contexts()

    async def run(live: Live) -> Evidence:
        missing = [c for c in contexts if not await asyncio.to_thread((live.out / c / "Dockerfile").is_file)]
        if missing:
            raise PermanentError(
                f"no Dockerfile in {', '.join(f'{live.out}/{context}' for context in missing)}",
                hint="`stepflow run` renders them again",
            )
        if not containers:
            each = "the service" if len(contexts) == 1 else f"each of the {len(contexts)} services"
            return f"{each} has its Dockerfile; no image was built on `{live.target}`"
        running = {each.name: len(live.instances(each.name)) for each in services}
        absent = sorted(name for name, count in running.items() if not count)
        if absent:
            raise TemporaryError(f"no container of {', '.join(absent)} is running")
        total = sum(running.values())
        said = f"{_counted(total, 'container')} of {_counted(len(contexts), 'image')} built here"
        return f"{said} {'runs' if total == 1 else 'run'} on `{live.target}`"

    return Check(
        "every service can be built as a container image", run, proves=("Containerized microservices",), when="run"
    )
