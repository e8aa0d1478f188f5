"""What makes a node of NATS ready, asked of the real server: three nodes, by the probe of the manifests."""

from __future__ import annotations

import asyncio
import resource
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import nats
import pytest
from manifest_cases import ALL, objects, one, release
from nats.js.api import StreamConfig
from nats.js.client import JetStreamContext

from stepflow.targets.local.programs import find

pytestmark = [pytest.mark.platform, pytest.mark.timeout(600)]
NODES = 3
LARGE = 64 * 1024
(CONTAINER,) = one(objects(release(ALL), ALL), "StatefulSet", "nats")["spec"]["template"]["spec"]["containers"]
READY = CONTAINER["readinessProbe"]
OVERLOOKED = "/healthz?js-server-only=true"


class Cluster:
    """Three nodes on this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._client, self._monitor, self._route = ([_free() for _ in range(NODES)] for _ in range(3))
        self.nodes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, number: int, most: int = resource.RLIM_INFINITY) -> None:
        """Start a node, none of whose files may grow beyond `most` bytes: to it, the disk is full then."""
        routes = ", ".join(f"nats://127.0.0.1:{port}" for port in self._route)
        config = self._folder / f"{number}.conf"
        config.write_text(
            f"server_name: n{number}\nlisten: 127.0.0.1:{self._client[number]}\n"
            f"http: 127.0.0.1:{self._monitor[number]}\nlame_duck_grace_period: 1s\nlame_duck_duration: 30s\n"
            f'jetstream {{ store_dir: "{self._folder / str(number)}", max_file_store: 1GiB, max_mem: 64MiB }}\n'
            f"cluster {{ name: c, listen: 127.0.0.1:{self._route[number]}, routes: [{routes}] }}\n"
        )
        program = str(find("nats").path)
        self.nodes[number] = subprocess.Popen(
            [program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        resource.prlimit(self.nodes[number].pid, resource.RLIMIT_FSIZE, (most, most))

    def stop(self, number: int) -> None:
        """Stop a node as the cluster does: it sends its clients away first."""
        self.nodes[number].send_signal(signal.SIGUSR2)
        self.nodes[number].wait(60)

    def answers(self, number: int, path: str = READY["httpGet"]["path"]) -> bool:
        """Return whether the probe succeeds."""
        try:
            return httpx2.get(f"http://127.0.0.1:{self._monitor[number]}{path}", timeout=3).status_code == 200
        except httpx2.TransportError:
            return False

    async def until(self, holds: Callable[[], bool], seconds: float = 120) -> float:
        """Wait until something holds; return the seconds that it took."""
        start = time.monotonic()
        while not await asyncio.to_thread(holds):
            assert time.monotonic() - start < seconds
            await asyncio.sleep(0.05)
        return time.monotonic() - start

    async def stream(self) -> JetStreamContext:
        """Return a client of the first two nodes, and a stream with a copy on all three."""

        async def silent(_: Exception) -> None:
            pass

        servers = [f"nats://127.0.0.1:{port}" for port in self._client[:2]]
        self.client = await nats.connect(servers, error_cb=silent, max_reconnect_attempts=-1)
        found: JetStreamContext = self.client.jetstream(timeout=2)
        await found.add_stream(StreamConfig(name="orders", subjects=["orders.>"], num_replicas=NODES))
        return found


def _free() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    for each in made.nodes.values():
        each.kill()
        each.wait()


async def publish(stream: JetStreamContext, count: int) -> None:
    """Publish so many messages; one whose storing was not confirmed is said again, and counts once."""
    for name in (secrets.token_hex(8) for _ in range(count)):
        while True:
            with suppress(nats.errors.Error, TimeoutError):
                await stream.publish("orders.x", b"x" * 2000, headers={"Nats-Msg-Id": name})
                break
            await asyncio.sleep(0.1)


async def test_node_that_cannot_write_its_streams_is_not_ready_and_the_others_are(cluster: Cluster) -> None:
    for number in range(NODES):
        cluster.start(number, most=LARGE if number == 2 else resource.RLIM_INFINITY)
    await cluster.until(lambda: all(map(cluster.answers, range(NODES))))
    stream = await cluster.stream()
    await publish(stream, 100)
    await cluster.until(lambda: [cluster.answers(number) for number in range(NODES)] == [True, True, False])
    assert cluster.answers(2, OVERLOOKED)
    await cluster.client.close()


async def test_three_nodes_are_replaced_one_after_the_other_and_each_gets_ready_again(cluster: Cluster) -> None:
    """The next one goes only when the streams of the one before have caught up, as a StatefulSet does it."""
    for number in range(NODES):
        cluster.start(number)
    await cluster.until(lambda: all(map(cluster.answers, range(NODES))))
    stream = await cluster.stream()
    patience = READY["periodSeconds"] * READY["failureThreshold"]
    for number in reversed(range(NODES)):
        await publish(stream, 50)
        await asyncio.to_thread(cluster.stop, number)
        others = [each for each in range(NODES) if each != number]
        lost = await cluster.until(lambda others=others: all(map(cluster.answers, others)))  # type: ignore[misc]
        assert lost < patience
        await publish(stream, 50)
        cluster.start(number)
        await cluster.until(lambda number=number: cluster.answers(number))  # type: ignore[misc]
    assert (await stream.stream_info("orders")).state.messages == NODES * 100
    await cluster.client.close()
