"""The node itself: it runs the pods assigned to it, and each namespace has a network with names of its own."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import traceback
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, cast

from docker.errors import APIError

from onenode.apply import now
from onenode.kinds import Object
from onenode.node.engine import Engine
from onenode.node.pod import Place, Pod
from onenode.objects import Objects, Store, leaving, ready

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_FIRST = 10  # the first address that a pod gets
_DOMAIN = ".svc.cluster.local"
_A, _IN = 1, 1  # the type and class of an address (RFC 1035)
_NO_SUCH_NAME = 3


class Node:
    """Runs pods until it is cancelled."""

    def __init__(self, objects: Objects, engine: Engine, root: Path) -> None:
        self._objects, self._store, self._engine, self._root = objects, objects.store, engine, root
        self._name = ""
        self.pods: dict[str, Pod] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._networks: dict[str, Network] = {}
        self._lock = asyncio.Lock()
        self._count = 0

    async def join(self) -> None:
        """Become a node of the cluster, named like the engine's machine."""
        info: dict[str, Any] = await self._engine.ask(lambda api: api.info())
        self._name = info["Name"]
        able = {"cpu": "4", "memory": "16Gi", "pods": "110", "ephemeral-storage": "50Gi"}
        self._objects.create({
            "apiVersion": "v1", "kind": "Node", "spec": {},
            "metadata": {
                "name": self._name, "labels": {"kubernetes.io/hostname": self._name, "kubernetes.io/os": "linux"},
            },
            "status": {
                "allocatable": able, "capacity": able, "images": [],
                "addresses": [
                    {"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": self._name},
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
        """Start and end pods as the API says; when this is cancelled, nothing is done for them any longer."""
        try:
            while True:
                version = self._store.version
                for body in self._store.list("Pod"):
                    uid = body["metadata"]["uid"]
                    if body["spec"].get("nodeName") == self._name and uid not in self._tasks:
                        self._tasks[uid] = asyncio.create_task(self._whole_life(body))
                namespaces = {each["metadata"]["name"] for each in self._store.list("Namespace")}
                for gone in set(self._networks) - namespaces:
                    await self._networks.pop(gone).remove(self._engine)
                await self._store.changed(version, 5)
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _whole_life(self, body: Object) -> None:
        uid = body["metadata"]["uid"]
        try:
            network = await self._network(body["metadata"]["namespace"])
            pod = self.pods[uid] = Pod(
                Place(
                    self._objects, self._engine, self._root, self._name, network.name, network.gateway,
                    network.address(),
                ),
                body,
            )  # fmt: skip
            await self._live_and_end(pod, body)
        except Exception as error:  # noqa: BLE001 - one pod that cannot be run must be seen, and must not stop the others
            traceback.print_exc()
            await self._give_up(body, f"the tests' node cannot run it: {type(error).__name__}: {error}")
        finally:
            self.pods.pop(uid, None)
            self._tasks.pop(uid, None)

    async def _give_up(self, body: Object, message: str) -> None:
        """Report why a pod is not run, and leave it at that until it is deleted."""
        state = {"waiting": {"reason": "CreateContainerError", "message": message}}
        told = [
            {"name": each["name"], "image": each["image"], "imageID": "", "state": state, "lastState": {},
             "ready": False, "started": False, "restartCount": 0}
            for each in body["spec"]["containers"]
        ]  # fmt: skip
        self._objects.status(body, phase="Pending", containerStatuses=told)
        await self._deleted(body, asyncio.get_running_loop().create_future())
        if left := self._store.same(body):
            self._store.remove(left)

    async def _live_and_end(self, pod: Pod, body: Object) -> None:
        living = asyncio.create_task(pod.live())
        try:
            grace = await self._deleted(body, living)
            if "running" not in pod.main.state:
                living.cancel()
            await pod.end(grace)
        finally:
            living.cancel()
            with suppress(asyncio.CancelledError):
                await living
        if left := self._store.same(body):
            self._store.remove(left)

    async def _deleted(self, body: Object, living: asyncio.Future[None]) -> float:
        """Wait until a pod is deleted, and return its grace in seconds; one that is gone has none."""
        while not living.done():
            version = self._store.version
            found = self._store.same(body)
            if found is None:
                return 0
            if leaving(found):
                return float(found["metadata"]["deletionGracePeriodSeconds"])
            await self._store.changed(version, 5)
        return 0  # it failed, and raises when it is awaited

    async def _network(self, namespace: str) -> Network:
        async with self._lock:
            if namespace not in self._networks:
                self._count += 1  # one of a namespace that was deleted may still be going
                name = f"{self._engine.mark}-{namespace}-{self._count}"
                config = await self._engine.network(name)
                server, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                    lambda: NameServer(self._store), local_addr=(config["Gateway"], 53)
                )
                self._networks[namespace] = Network(name, config, server)
            return self._networks[namespace]


class Network:
    """A namespace's network: its name, its name server, and which addresses are free."""

    def __init__(self, name: str, config: Object, server: asyncio.BaseTransport) -> None:
        self.name, self.gateway, self._server = name, config["Gateway"], server
        self._hosts = list(IPv4Network(config["Subnet"]).hosts())[_FIRST:]
        self._next = 0

    def address(self) -> str:
        """Return the address that was used longest ago."""
        self._next = (self._next + 1) % len(self._hosts)
        return str(self._hosts[self._next])

    async def remove(self, engine: Engine) -> None:
        """Stop the name server and remove the network."""
        self._server.close()
        with suppress(APIError):
            await engine.ask(lambda api: api.remove_network(self.name))


class NameServer(asyncio.DatagramProtocol):
    """Answers questions for addresses (RFC 1035); of every other name it says that it does not exist."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer one question."""
        name, end = _question(data)
        found = _addresses(self._store, name)
        kind = int.from_bytes(data[end : end + 2])
        listed = random.sample(found, len(found)) if found and kind == _A else []
        code = _NO_SUCH_NAME if found is None else 0
        head = data[:2] + struct.pack(">HHHHH", 0x8580 | code, 1, len(listed), 0, 0)
        records = b"".join(struct.pack(">HHHIH", 0xC00C, _A, _IN, 0, 4) + socket.inet_aton(each) for each in listed)
        assert self._transport is not None
        self._transport.sendto(head + data[12 : end + 4] + records, addr)


def _question(data: bytes) -> tuple[str, int]:
    """Return the name that a question is about, and where it ends."""
    parts, at = [], 12
    while data[at]:
        parts.append(data[at + 1 : at + 1 + data[at]].decode(errors="replace"))
        at += 1 + data[at]
    return ".".join(parts), at + 1


def _addresses(store: Store, name: str) -> list[str] | None:
    """Resolve `[POD.]SERVICE.NAMESPACE.svc.cluster.local`; None for a name that means nothing."""
    parts = name.lower().removesuffix(_DOMAIN).split(".")
    *host, service, namespace = parts if len(parts) in (2, 3) else ("", "")
    body = store.find("Service", namespace, service)
    if body is None or not name.lower().endswith(_DOMAIN):
        return None
    selector, early = body["spec"]["selector"].items(), body["spec"].get("publishNotReadyAddresses", False)
    found = [
        pod["status"]["podIP"]
        for pod in store.list("Pod", namespace)
        if selector <= pod["metadata"]["labels"].items()
        and (not host or (pod["spec"].get("hostname"), pod["spec"].get("subdomain")) == (host[0], service))
        and pod["status"].get("podIP")
        and (ready(pod) or (early and not leaving(pod)))
    ]
    return found or (None if host else [])
