"""One pod's life on the node: volumes, containers, probes, restarts, and its end."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from docker.errors import APIError, ImageNotFound

from onenode.apply import now
from onenode.kinds import Object
from onenode.node.containers import MissingError, config, host_config, lay
from onenode.node.engine import Engine
from onenode.node.probes import Asker
from onenode.objects import Objects, with_conditions

_AGAIN = 0.5  # seconds until what is missing is looked for again
_BACKOFF = (0.0, 1.0, 2.0, 4.0, 8.0)  # seconds before a restart; a real node begins with 10
_WORDS = {"startupProbe": "Startup", "readinessProbe": "Readiness", "livenessProbe": "Liveness"}


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


@dataclass(slots=True)
class Container:
    """What is known of a pod's container, through all its restarts."""

    spec: Object
    state: Object = field(default_factory=lambda: {"waiting": {"reason": "ContainerCreating"}})
    last: Object = field(default_factory=dict)
    id: str = ""
    image: str = ""
    previous: str = ""  # the engine's container that ran before
    restarts: int = 0
    started: bool = False
    ready: bool = False

    def note_wait(self, reason: str, message: str) -> None:
        """Note why it does not run."""
        self._become({"waiting": {"reason": reason, "message": message}})

    def note_run(self, identity: str) -> None:
        """Note that it runs; without probes it is ready by that."""
        self._become({"running": {"startedAt": now()}})
        self.id = identity
        self.started = "startupProbe" not in self.spec
        self.ready = self.started and "readinessProbe" not in self.spec

    def note_end(self, code: int, *, out_of_memory: bool) -> None:
        """Note how it ended."""
        self._become({"terminated": {
            "exitCode": code, "reason": "OOMKilled" if out_of_memory else "Error" if code else "Completed",
            "startedAt": self.state["running"]["startedAt"], "finishedAt": now(), "containerID": f"docker://{self.id}",
        }})  # fmt: skip
        self.started = self.ready = False

    def _become(self, state: Object) -> None:
        if "terminated" in self.state:
            self.last = self.state
        self.state = state

    def status(self) -> Object:
        """Return it as a container status."""
        return {
            "name": self.spec["name"], "image": self.spec["image"], "imageID": self.image, "state": self.state,
            "lastState": self.last, "ready": self.ready, "started": self.started, "restartCount": self.restarts,
        } | ({"containerID": f"docker://{self.id}"} if self.id else {})  # fmt: skip


class Pod:
    """Runs the one container of a pod until the pod is deleted."""

    def __init__(self, place: Place, body: Object) -> None:
        self._place, self._body = place, body
        self.uid, self._name = body["metadata"]["uid"], body["metadata"]["name"]
        spec = body["spec"]
        if len(spec["containers"]) > 1 or "initContainers" in spec or spec["restartPolicy"] != "Always":
            raise NotImplementedError(f"pod `{self._name}` needs what the tests' node does not do: see its README.md")
        self.main = Container(spec["containers"][0])

    async def live(self) -> None:
        """Run the container again and again."""
        self._write_status()
        folders = await self._volumes()
        while True:
            await self._find_image()
            await self._start(folders)
            await self._until_it_ends()
            await self._back_off()

    async def end(self, grace: float) -> None:
        """End the container: the hook, then SIGTERM, after `grace` seconds SIGKILL; then remove what the pod had."""
        if "running" in self.main.state:
            self._event("Killing", f"Stopping container {self.main.spec['name']}")
            hook = self.main.spec.get("lifecycle", {}).get("preStop")
            begun = asyncio.get_running_loop().time()
            if hook and grace > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(grace):
                        await self._asker().hook(hook)
            left = grace - (asyncio.get_running_loop().time() - begun)
            await self._place.engine.stop(self.main.id, max(left, 2 if grace else 0))
        for each in filter(None, (self.main.id, self.main.previous)):
            await self._place.engine.remove(each)
        shutil.rmtree(self._place.root / "pods" / self.uid, ignore_errors=True)

    async def _volumes(self) -> dict[str, Path]:
        while True:
            try:
                return lay(self._place.objects.store, self._body, self._place.root)
            except MissingError as error:
                self._event("FailedMount", str(error), warning=True)
                await asyncio.sleep(_AGAIN)

    async def _find_image(self) -> None:
        """Wait until the image is there: nothing is pulled."""
        image = self.main.spec["image"]
        while True:
            with suppress(ImageNotFound):
                found = await self._place.engine.ask(lambda api: api.inspect_image(image))
                self.main.image = str(found["Id"])
                self._event("Pulled", f'Container image "{image}" already present on machine')
                return
            said = f'failed to pull and unpack image "{image}": failed to resolve image: nothing is pulled in tests'
            self._event("Failed", f'Failed to pull image "{image}": {said}', warning=True)
            self.main.note_wait("ErrImagePull", said)
            self._write_status()
            await asyncio.sleep(_AGAIN)

    async def _start(self, folders: dict[str, Path]) -> None:
        """Create and start a container; the last one stays for its log."""
        place, main = self._place, self.main
        if main.previous:
            await place.engine.remove(main.previous)
        main.previous = main.id
        name = f"{self._name}_{self._body['metadata']['namespace']}_{main.spec['name']}_{main.restarts}"
        what = config(main.spec, self._body, place.address, place.node)
        how = host_config(main.spec, self._body, folders, place.gateway)
        while True:
            made = ""
            try:
                made = await place.engine.create(name, what, how, {"name": place.network, "address": place.address})
                await place.engine.ask(lambda api, made=made: api.start(made))  # type: ignore[misc]
            except APIError as error:
                if made:
                    await place.engine.remove(made)
                self._event("Failed", f"Error: {error.explanation}", warning=True)
                main.note_wait("CreateContainerError", str(error.explanation))
                self._write_status()
                await asyncio.sleep(_AGAIN)
            else:
                break
        main.note_run(made)
        self._event("Started", "Container started")
        self._write_status()

    async def _until_it_ends(self) -> None:
        probing = [asyncio.create_task(each) for each in self._probes()]
        try:
            state = await self._place.engine.wait(self.main.id)
        finally:
            for task in probing:
                task.cancel()
        self.main.note_end(int(state["ExitCode"]), out_of_memory=bool(state.get("OOMKilled")))
        self._write_status()

    def _probes(self) -> Iterator[Coroutine[Any, Any, None]]:
        return (self._probe(name) for name in _WORDS if name in self.main.spec)

    async def _probe(self, name: str) -> None:
        """Ask a probe until the container ends: it makes the container started or ready, or no longer ready."""
        main, probe = self.main, self.main.spec[name]
        while name != "startupProbe" and not main.started:  # noqa: ASYNC110 - another probe decides
            await asyncio.sleep(0.05)
        await asyncio.sleep(probe.get("initialDelaySeconds", 0))
        good = bad = 0
        while True:
            wrong = await self._asker().ask(probe)
            good, bad = (0, bad + 1) if wrong else (good + 1, 0)
            if wrong:
                self._event("Unhealthy", f"{_WORDS[name]} probe failed: {wrong}", warning=True)
            if name == "startupProbe" and good:
                main.started = True
                main.ready = "readinessProbe" not in main.spec
            elif name == "readinessProbe" and (good >= probe["successThreshold"] or bad >= probe["failureThreshold"]):
                main.ready = not wrong
            self._write_status()
            if name == "startupProbe" and good:
                return
            await asyncio.sleep(probe["periodSeconds"])

    def _asker(self) -> Asker:
        ports = {each["name"]: each["containerPort"] for each in self.main.spec.get("ports", ()) if "name" in each}
        return Asker(self._place.engine, self.main.id, self._place.address, ports)

    async def _back_off(self) -> None:
        wait = _BACKOFF[min(self.main.restarts, len(_BACKOFF) - 1)]
        name = f"{self._name}_{self._body['metadata']['namespace']}({self.uid})"
        container = self.main.spec["name"]
        if wait:
            self._event("BackOff", f"Back-off restarting failed container {container} in pod {name}", warning=True)
            said = f"back-off {wait:g}s restarting failed container={container} pod={name}"
            self.main.note_wait("CrashLoopBackOff", said)
            self._write_status()
            await asyncio.sleep(wait)
        self.main.restarts += 1

    def _write_status(self) -> None:
        live, address, main = self._place.objects.store.same(self._body), self._place.address, self.main
        if live is None:
            return
        why: Object = {}
        if not main.ready:
            why = {"reason": "ContainersNotReady", "message": f"containers with unready status: [{main.spec['name']}]"}
        truth = "True" if main.ready else "False"
        conditions = with_conditions(
            live,
            {"type": "Initialized", "status": "True"},
            {"type": "Ready", "status": truth, **why},
            {"type": "ContainersReady", "status": truth, **why},
        )
        self._place.objects.status(
            live, phase="Running" if main.id else "Pending", podIP=address, podIPs=[{"ip": address}],
            hostIP="127.0.0.1", startTime=live["status"].get("startTime", now()), qosClass="Burstable",
            containerStatuses=[main.status()], conditions=conditions,
        )  # fmt: skip

    def _event(self, reason: str, message: str, *, warning: bool = False) -> None:
        self._place.objects.event(self._body, reason, message, "kubelet", warning=warning)
