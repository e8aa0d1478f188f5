"""A run that is killed after every single change that it makes in a cluster is finished by the next, the same way."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
from cluster_fixtures import Cluster
from onenode_fixtures import SOME_CLUSTER

from stepflow.handoff import SecretFile
from stepflow.targets import open_target
from stepflow.targets.contract import Desired, Site
from stepflow.targets.kubernetes.api.client import Client
from stepflow.targets.kubernetes.api.transport import Transport
from stepflow.targets.kubernetes.state.identity import KubernetesIdentity
from stepflow.workload import Declaration, HttpProbe, Server, Workload

pytestmark = SOME_CLUSTER

HELLO = Path(__file__).parents[1] / "data" / "hello"
KINDS = (
    *(("v1", kind) for kind in ("Secret", "Service", "ServiceAccount", "ConfigMap")),
    *(("apps/v1", kind) for kind in ("Deployment", "StatefulSet")),
    ("networking.k8s.io/v1", "NetworkPolicy"), ("policy/v1", "PodDisruptionBudget"),
)  # fmt: skip
_READS = {"GET"}


class KilledError(BaseException):
    """Stands for SIGKILL: nothing of stepflow catches it."""


class Life:
    """Lets a process make so many changes, and nothing after them."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.left: int | None = None
        self._lock, self._over = Lock(), asyncio.Event()
        self._loop = asyncio.get_running_loop()
        send = Transport.send

        def counted(wire: Transport, method: str, *arguments: Any, **named: Any) -> object:  # noqa: ANN401 - as `Transport.send`
            with self._lock:
                if self.left == 0:
                    self._loop.call_soon_threadsafe(self._over.set)
                    raise KilledError
                if self.left is not None and method not in _READS:
                    self.left -= 1
            return send(wire, method, *arguments, **named)

        patch.setattr(Transport, "send", counted)

    async def short(self, work: Callable[[], Coroutine[Any, Any, object]]) -> int:
        """Do it in lives of one change each; gives how many were needed."""
        lives = 0
        while True:
            lives, self.left = lives + 1, 1
            self._over.clear()
            working, over = asyncio.create_task(work()), asyncio.create_task(self._over.wait())
            await asyncio.wait([working, over], return_when=asyncio.FIRST_COMPLETED)
            over.cancel()
            if not self._over.is_set():
                self.left = None
                await working
                return lives
            working.cancel()  # whatever it still wants to do as it ends, it cannot
            await asyncio.wait([working])
            if not working.cancelled():
                working.exception()
            self.left = None


class Bench:
    """A service with a secret, and a server."""

    def __init__(self, root: Path, context: str) -> None:
        self.site = Site("cut", root / "state", root / "out", {"context": context})
        self.context = context
        shutil.copytree(HELLO, self.site.out / "hello")

    async def apply(self, digest: str) -> None:
        secret = {"KEY_FILE": SecretFile("key")}
        front = Workload("front", ("python", "-m", "service"), HttpProbe("/"), context="hello", env=secret)
        declaration = Declaration((front,), (Server("valkey"),))
        await open_target("kubernetes", self.site).apply(Desired(declaration, {"front": digest}), lambda _: None)

    async def remove(self) -> None:
        await open_target("kubernetes", self.site).remove(None, data=True)

    async def states(self) -> dict[str, tuple[str, str, int]]:
        seen = await open_target("kubernetes", self.site).observe()
        return {name: (each.state, each.digest, each.ready) for name, each in seen.items()}

    async def objects(self) -> set[tuple[str, str]]:
        client = Client(self.context)
        try:
            listed = [(kind, await client.list(version, kind, self.namespace)) for version, kind in KINDS]
        finally:
            client.close()
        return {(kind, each["metadata"]["name"]) for kind, found in listed for each in found}

    @property
    def namespace(self) -> str:
        return KubernetesIdentity.of(self.site).prefix


@pytest.fixture
async def bench(some_cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    for name, value in some_cluster.env.items():
        monkeypatch.setenv(name, value)
    made = Bench(tmp_path, some_cluster.context)
    yield made
    await made.remove()


@pytest.mark.timeout(600)
async def test_whatever_a_run_was_doing_when_it_was_killed_the_next_one_reaches_the_same_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.apply("1")
    whole = await bench.objects()
    await bench.remove()
    life = Life(monkeypatch)

    made = await life.short(lambda: bench.apply("1"))
    assert made > len(whole), "each object took a life of its own, and the last found nothing to do"
    assert await bench.objects() == whole
    assert await bench.states() == {"front": ("ready", "1", 1), "valkey": ("ready", "", 1)}

    assert await life.short(lambda: bench.apply("1")) == 1, "what is there already is not written again"
    assert await life.short(lambda: bench.apply("2")) > 1
    assert await bench.objects() == whole
    assert (await bench.states())["front"] == ("ready", "2", 1)

    assert await life.short(bench.remove) > 1
    assert await bench.states() == {}
    assert await bench.objects() == set()
