"""One pod's life on the node: volumes, containers, probes, restarts, and its end."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from docker.errors import APIError, ImageNotFound, NotFound

from onenode.kinds import Object
from onenode.node import containers, probes
from onenode.node.engine import Engine
from onenode.node.status import Run, tell
from onenode.node.volumes import MissingError, lay
from onenode.objects import Objects

_AGAIN = 0.5  # seconds until what is missing is looked for again
_BACKOFF = (0.0, 1.0, 2.0, 4.0, 8.0)  # seconds before a restart; a real node begins with 10
_CANNOT_START = 128


@dataclass(frozen=True, slots=True)
class Place:
    """Where a pod runs."""

    objects: Objects
    engine: Engine
    root: Path
    node: str
    network: str
    gateway: str
    address: str


class Pod:
    """Runs a pod until it is deleted."""

    def __init__(self, place: Place, body: Object) -> None:
        self._place, self.body = place, body
        self._first = [Run(each) for each in body["spec"].get("initContainers", ())]
        self.runs = [Run(each) for each in body["spec"]["containers"]]
        self._failing = asyncio.Event()  # its liveness probe
        self._count = 0

    async def live(self) -> None:
        """Run it; ends when it will not run again."""
        self._tell()
        folders = await self._volumes()
        always = self.body["spec"]["restartPolicy"] != "Never"
        for run in self._first:
            while await self._once(run, folders) != 0:
                if not always:
                    return
                await self._back_off(run)
        [main] = self.runs
        while True:
            code = await self._once(main, folders)
            if self.body["spec"]["restartPolicy"] == "Never" or (
                self.body["spec"]["restartPolicy"] == "OnFailure" and code == 0
            ):
                return
            await self._back_off(main)

    async def end(self, grace: float) -> None:
        """End its containers: the hook, then SIGTERM, after `grace` seconds SIGKILL; then forget it."""
        for run in self.runs:
            if "running" in run.state:
                self._event("Killing", f"Stopping container {run.spec['name']}")
                await self._stop(run, grace)
        for run in (*self._first, *self.runs):
            for each in filter(None, (run.id, run.previous)):
                await self._place.engine.remove(each)
        shutil.rmtree(self._place.root / "pods" / self.body["metadata"]["uid"], ignore_errors=True)

    def container(self, name: str, *, previous: bool) -> str:
        """Give the id of a container, or of the one before it; "" where there is none."""
        for run in (*self.runs, *self._first):
            if name in ("", run.spec["name"]):
                return run.previous if previous else run.id
        return ""

    async def _stop(self, run: Run, grace: float) -> None:
        hook = run.spec.get("lifecycle", {}).get("preStop")
        begun = asyncio.get_running_loop().time()
        if hook and grace > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await probes.hook(self._place.engine, run.id, self._place.address, self._ports(run.spec), hook)
        left = grace - (asyncio.get_running_loop().time() - begun)
        await self._place.engine.stop(run.id, max(left, 2 if grace else 0))

    async def _volumes(self) -> dict[str, Path]:
        while True:
            try:
                return lay(self._place.objects.store, self.body, self._place.root)
            except MissingError as error:
                self._event("FailedMount", str(error), warning=True)
                await asyncio.sleep(_AGAIN)

    async def _once(self, run: Run, folders: dict[str, Path]) -> int:
        """Run a container to its end and give its exit code."""
        run.image = await self._image(run)
        made = await self._made(run, folders)
        if run.id:
            run.last = {"terminated": run.state["terminated"]} if "terminated" in run.state else run.last
            if run.previous:
                await self._place.engine.remove(run.previous)
            run.previous = run.id
        run.id = made
        try:
            await self._place.engine.ask(lambda api: api.start(made))
        except APIError as error:
            said = str(error.explanation)
            self._event("Failed", f"Error: {said}", warning=True)
            run.ended(_CANNOT_START, "1970-01-01T00:00:00Z", reason="StartError", message=said)
            self._tell()
            return _CANNOT_START
        run.runs(made)
        self._event("Started", "Container started")
        self._tell()
        return await self._ended(run)

    async def _ended(self, run: Run) -> int:
        begun, self._failing = run.state["running"]["startedAt"], asyncio.Event()
        asking = [asyncio.create_task(each) for each in self._probing(run)]
        waiting = asyncio.create_task(self._place.engine.wait(run.id))
        sick = asyncio.create_task(self._failing.wait())
        try:
            await asyncio.wait([waiting, sick], return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                await self._stop(run, self.body["spec"]["terminationGracePeriodSeconds"])
            state = await waiting
        finally:
            for task in (*asking, sick):
                task.cancel()
        run.ended(int(state["ExitCode"]), begun, memory=bool(state.get("OOMKilled")))
        self._tell()
        return int(state["ExitCode"])

    def _probing(self, run: Run) -> Iterator[object]:
        ports = self._ports(run.spec)

        async def asked(name: str) -> None:
            probe = run.spec[name]
            while name != "startupProbe" and not run.started:  # noqa: ASYNC110 - another probe decides
                await asyncio.sleep(0.05)

            def passed() -> None:
                run.started = run.started or name == "startupProbe"
                run.ready = run.started and (name == "readinessProbe" or run.ready or "readinessProbe" not in run.spec)
                self._tell()

            def failed() -> None:
                run.ready = run.ready and name != "readinessProbe"
                if name != "readinessProbe" and not self._failing.is_set():
                    word = name.removesuffix("Probe")
                    self._event("Killing", f"Container {run.spec['name']} failed {word} probe, will be restarted")
                    self._failing.set()
                self._tell()

            async def ask() -> str:
                return await probes.once(self._place.engine, run.id, self._place.address, ports, probe)

            await probes.keep_asking(
                name, probe, ask, passed, failed, lambda said: self._event("Unhealthy", said, warning=True)
            )

        return (asked(name) for name in ("startupProbe", "readinessProbe", "livenessProbe") if name in run.spec)

    async def _image(self, run: Run) -> str:
        """Wait until the image is there, and give its id."""
        image = run.spec["image"]
        reason = "ErrImagePull"
        while True:
            with suppress(ImageNotFound, NotFound):
                found = await self._place.engine.ask(lambda api: api.inspect_image(image))
                self._event(
                    "Pulled", f'Container image "{image}" already present on machine and can be accessed by the pod'
                )
                return str(found["Id"])
            said = f'failed to pull and unpack image "{image}": failed to resolve image: nothing is pulled in tests'
            if run.spec["imagePullPolicy"] == "Never":
                reason, said = (
                    "ErrImageNeverPull",
                    f'Container image "{image}" is not present with pull policy of Never',
                )
            elif reason == "ErrImagePull":
                self._event("Pulling", f'Pulling image "{image}"')
                self._event("Failed", f'Failed to pull image "{image}": {said}', warning=True)
            else:
                said = f'Back-off pulling image "{image}": ErrImagePull: {said}'
                self._event("BackOff", f'Back-off pulling image "{image}"')
            self._event("Failed", f"Error: {reason}", warning=True)
            run.waits(reason, said)
            self._tell()
            reason = {"ErrImagePull": "ImagePullBackOff"}.get(reason, reason)
            await asyncio.sleep(_AGAIN)

    async def _made(self, run: Run, folders: dict[str, Path]) -> str:
        place = self._place
        while True:
            try:
                variables = containers.environment(place.objects.store, self.body, run.spec, place.address, place.node)
                await self._check_user(run)
                config = containers.config(run.spec, self.body, variables)
                host = containers.host_config(run.spec, self.body, folders, place.gateway)
                self._count += 1
                metadata = self.body["metadata"]
                name = f"{metadata['name']}_{metadata['namespace']}_{run.spec['name']}_{self._count}"
                made = await place.engine.create(name, config, host, {"name": place.network, "address": place.address})
            except (MissingError, APIError) as error:
                reason = "CreateContainerConfigError" if isinstance(error, MissingError) else "CreateContainerError"
                said = str(error) if isinstance(error, MissingError) else str(error.explanation)
                self._event("Failed", f"Error: {said}", warning=True)
                run.waits(reason, said)
                self._tell()
                await asyncio.sleep(_AGAIN)
            else:
                self._event("Created", "Container created")
                return made

    async def _check_user(self, run: Run) -> None:
        security = self.body["spec"].get("securityContext", {}) | run.spec.get("securityContext", {})
        if not security.get("runAsNonRoot") or "runAsUser" in security:
            return
        found = await self._place.engine.ask(lambda api: api.inspect_image(run.spec["image"]))
        user = str(found["Config"].get("User") or "").partition(":")[0]
        if user in ("", "0", "root"):
            raise MissingError("container has runAsNonRoot and image will run as root")

    async def _back_off(self, run: Run) -> None:
        wait = _BACKOFF[min(run.restarts, len(_BACKOFF) - 1)]
        if wait:
            name = (
                f"{self.body['metadata']['name']}_{self.body['metadata']['namespace']}({self.body['metadata']['uid']})"
            )
            said = f"ack-off restarting failed container {run.spec['name']} in pod {name}"
            self._event("BackOff", f"B{said}", warning=True)
            run.last = {"terminated": run.state["terminated"]}
            run.waits(
                "CrashLoopBackOff", f"back-off {wait:g}s restarting failed container={run.spec['name']} pod={name}"
            )
            self._tell()
            await asyncio.sleep(wait)
        run.restarts += 1

    @staticmethod
    def _ports(spec: Object) -> dict[str, int]:
        return {each["name"]: each["containerPort"] for each in spec.get("ports", ()) if "name" in each}

    def _tell(self) -> None:
        tell(self._place.objects, self.body, self._place.address, self._first, self.runs)

    def _event(self, reason: str, message: str, *, warning: bool = False) -> None:
        self._place.objects.event(self.body, reason, message, "kubelet", warning=warning)
