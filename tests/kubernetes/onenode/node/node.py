"""The node itself: it takes the pods that it is given, and has a network with names for each namespace."""

from __future__ import annotations

import asyncio
import traceback
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from docker.errors import APIError

from onenode.controllers.ownership import ended
from onenode.kinds import Object
from onenode.managers import now
from onenode.node.engine import Engine
from onenode.node.names import NameServer
from onenode.node.pod import Place, Pod
from onenode.objects import Objects

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_FIRST = 10  # the first address that a pod gets


class Network:
    """A namespace's network: its name, who answers for names, and which addresses are free."""

    def __init__(self, name: str, config: Object, server: asyncio.BaseTransport) -> None:
        self.name, self.gateway, self._server = name, config["Gateway"], server
        self._hosts = list(IPv4Network(config["Subnet"]).hosts())[_FIRST:]
        self._next = 0

    def address(self) -> str:
        """Give an address that has not been given for long."""
        self._next = (self._next + 1) % len(self._hosts)
        return str(self._hosts[self._next])

    def close(self) -> None:
        """Answer no longer."""
        self._server.close()


class Node:
    """Runs pods for ever."""

    def __init__(self, objects: Objects, engine: Engine, root: Path) -> None:
        self._objects, self._engine, self._root = objects, engine, root
        self.name = ""
        self.pods: dict[str, Pod] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._lives: set[asyncio.Task[None]] = set()
        self._networks: dict[str, Network] = {}
        self._lock = asyncio.Lock()

    async def join(self) -> None:
        """Become a node of the cluster; it is called like the engine's machine."""
        info: dict[str, Any] = await self._engine.ask(lambda api: api.info())
        self.name = info["Name"]
        labels = {"kubernetes.io/hostname": self.name, "kubernetes.io/os": "linux"}
        able = {"cpu": "4", "memory": "16Gi", "pods": "110", "ephemeral-storage": "50Gi"}
        self._objects.create({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": self.name, "labels": labels},
            "spec": {},
            "status": {
                "allocatable": able, "capacity": able, "images": [],
                "addresses": [
                    {"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": self.name},
                ],
                "conditions": [
                    {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastTransitionTime": now()}
                ],
                "nodeInfo": {
                    "containerRuntimeVersion": f"docker://{info['ServerVersion']}", "kubeletVersion": "v1.36.2",
                    "architecture": _ARCHITECTURES.get(info["Architecture"], info["Architecture"]),
                    "operatingSystem": "linux", "osImage": info["OperatingSystem"], "kubeProxyVersion": "",
                    "kernelVersion": info["KernelVersion"], "machineID": "", "systemUUID": "", "bootID": "",
                },
            },
        }, "kubelet")  # fmt: skip

    async def run(self) -> None:
        """Take pods and give them up, as the API says; when this is cancelled nothing is done for them any more."""
        try:
            await self._take()
        finally:
            tasks = [*self._tasks.values(), *self._lives]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _take(self) -> None:
        while True:
            version = self._objects.store.version
            there = {pod["metadata"]["uid"]: pod for pod in self._objects.store.list("Pod")}
            for uid, body in there.items():
                if body["spec"].get("nodeName") == self.name and uid not in self._tasks and not ended(body):
                    self._tasks[uid] = asyncio.create_task(self._whole_life(body))
            namespaces = {each["metadata"]["name"] for each in self._objects.store.list("Namespace")}
            for gone in set(self._networks) - namespaces:
                await self._leave(self._networks.pop(gone))
            await self._objects.store.changed(version, 5)

    async def _whole_life(self, body: Object) -> None:
        uid, namespace, name = body["metadata"]["uid"], body["metadata"]["namespace"], body["metadata"]["name"]
        try:
            network = await self._network(namespace)
            place = Place(
                self._objects, self._engine, self._root, self.name, network.name, network.gateway, network.address()
            )
            pod = self.pods[uid] = Pod(place, body)
            living = asyncio.create_task(pod.live())
            self._lives.add(living)
            living.add_done_callback(self._lives.discard)
            grace = await self._deleted(uid, namespace, name)
            await self._end(pod, living, uid, grace)
        except Exception:  # noqa: BLE001 - one pod that cannot be run must be seen, and must not stop the others
            traceback.print_exc()
        finally:
            self.pods.pop(uid, None)
            self._tasks.pop(uid, None)

    async def _end(self, pod: Pod, living: asyncio.Task[None], uid: str, grace: float) -> None:
        namespace, name = pod.body["metadata"]["namespace"], pod.body["metadata"]["name"]
        if not any("running" in run.state for run in pod.runs):
            living.cancel()
        ending = asyncio.create_task(pod.end(grace))
        while not ending.done():  # who does not want to wait any longer deletes it once more
            version = self._objects.store.version
            found = self._objects.store.find("Pod", namespace, name)
            if (found is None or found["metadata"]["uid"] != uid) and grace > 0:
                grace = 0
                await asyncio.gather(*(self._engine.stop(run.id, 0) for run in pod.runs if run.id))
            change = asyncio.create_task(self._objects.store.changed(version, 5))
            await asyncio.wait([ending, change], return_when=asyncio.FIRST_COMPLETED)
            change.cancel()
        living.cancel()
        with suppress(asyncio.CancelledError):
            await living
        found = self._objects.store.find("Pod", namespace, name)
        if found and found["metadata"]["uid"] == uid:
            self._objects.store.remove(found)

    async def _deleted(self, uid: str, namespace: str, name: str) -> float:
        """Wait until a pod is deleted, and give its grace; one that is gone has none."""
        while True:
            version = self._objects.store.version
            found = self._objects.store.find("Pod", namespace, name)
            if found is None or found["metadata"]["uid"] != uid:
                return 0
            if "deletionTimestamp" in found["metadata"]:
                return float(found["metadata"]["deletionGracePeriodSeconds"])
            await self._objects.store.changed(version, 60)

    async def _network(self, namespace: str) -> Network:
        async with self._lock:
            if namespace not in self._networks:
                name = f"{self._engine.mark}-{namespace}"
                config = await self._engine.network(name)
                server, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                    lambda: NameServer(self._objects.store), local_addr=(config["Gateway"], 53)
                )
                self._networks[namespace] = Network(name, config, server)
            return self._networks[namespace]

    async def _leave(self, network: Network) -> None:
        network.close()
        with suppress(APIError):
            await self._engine.ask(lambda api: api.remove_network(network.name))
