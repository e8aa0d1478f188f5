"""The cluster's names: a Service's stands for the addresses of its ready pods, a pod's in a Service for its own."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from typing import cast

from onenode.controllers.ownership import ended, leaving, ready
from onenode.kinds import Object
from onenode.selectors import selects
from onenode.store import Store

_DOMAIN = ".svc.cluster.local"
_A, _IN = 1, 1
_NO_SUCH_NAME = 3


def addresses(store: Store, name: str) -> list[str] | None:
    """Resolve a whole name; None where it means nothing."""
    head, found, rest = name.rstrip(".").lower().rpartition(_DOMAIN)
    if not found or rest:
        return None
    parts = head.split(".")
    if len(parts) not in (2, 3):
        return None
    *host, service, namespace = parts
    body = store.find("Service", namespace, service)
    if body is None:
        return None
    if body["spec"]["type"] == "ExternalName":
        return None
    pods = _behind(store, body)
    if host:
        pods = [
            pod for pod in pods if pod["spec"].get("subdomain") == service and pod["spec"].get("hostname") == host[0]
        ]
        return [pod["status"]["podIP"] for pod in pods] or None
    return [pod["status"]["podIP"] for pod in pods]


def _behind(store: Store, service: Object) -> list[Object]:
    early = service["spec"].get("publishNotReadyAddresses", False)
    return [
        pod
        for pod in store.list("Pod", service["metadata"]["namespace"])
        if selects(service["spec"].get("selector"), pod["metadata"].get("labels", {}))
        and pod.get("status", {}).get("podIP")
        and not ended(pod)
        and (ready(pod) or (early and not leaving(pod)))
    ]


class NameServer(asyncio.DatagramProtocol):
    """Answers questions for addresses (RFC 1035); says of all else that it does not exist."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer one question."""
        name, end = _name(data)
        kind = int.from_bytes(data[end : end + 2])
        found = addresses(self._store, name)
        listed = random.sample(found, len(found)) if found and kind == _A else []
        code = _NO_SUCH_NAME if found is None else 0
        head = data[:2] + struct.pack(">HHHHH", 0x8580 | code, 1, len(listed), 0, 0)
        records = b"".join(struct.pack(">HHHIH", 0xC00C, _A, _IN, 0, 4) + socket.inet_aton(each) for each in listed)
        assert self._transport is not None
        self._transport.sendto(head + data[12 : end + 4] + records, addr)


def _name(data: bytes) -> tuple[str, int]:
    parts, at = [], 12
    while data[at]:
        parts.append(data[at + 1 : at + 1 + data[at]].decode(errors="replace"))
        at += 1 + data[at]
    return ".".join(parts), at + 1
