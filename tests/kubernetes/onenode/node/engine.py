"""The Docker engine that the node's containers run in; its blocking calls in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from docker import APIClient
from docker.errors import APIError, NotFound
from docker.types import IPAMConfig, IPAMPool
from psutil import net_if_addrs

from onenode.kinds import Object

LABEL = "stepflow-tests.cluster"
T = TypeVar("T")


class Engine:
    """The calls of the engine that the node makes; everything that it creates is labelled with `mark`."""

    def __init__(self, host: str, mark: str) -> None:
        self.api = APIClient(base_url=host, version="auto", timeout=3600, num_pools=200)
        self.mark = mark
        self._threads = ThreadPoolExecutor(200)

    async def ask(self, call: Callable[[APIClient], T]) -> T:
        """Make one call in a thread. Raises docker's errors."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, self.api)

    async def create(self, name: str, config: Object, host: Object, network: Object) -> str:
        """Create a container and return its id."""

        def made(api: APIClient) -> str:
            endpoint = {network["name"]: api.create_endpoint_config(ipv4_address=network["address"])}
            answer = api.create_container(
                name=name, labels={LABEL: self.mark}, host_config=api.create_host_config(**host),
                networking_config=api.create_networking_config(endpoint), **config,
            )  # fmt: skip
            return str(answer["Id"])

        return await self.ask(made)

    async def network(self, name: str) -> Object:
        """Create a network and return its subnet and gateway, which nothing else on this machine has."""

        def made(api: APIClient) -> Object:
            for number in range(256):
                config = {"Subnet": f"10.214.{number}.0/24", "Gateway": f"10.214.{number}.1"}
                taken = {each.address for every in net_if_addrs().values() for each in every}
                if config["Gateway"] in taken:
                    continue
                pool = IPAMPool(subnet=config["Subnet"], gateway=config["Gateway"])
                with suppress(APIError):  # another cluster took it first
                    api.create_network(name, labels={LABEL: self.mark}, ipam=IPAMConfig(pool_configs=[pool]))
                    return config
            raise RuntimeError("10.214.0.0/16 is full of networks: `docker network prune`")

        return await self.ask(made)

    async def run_in(self, container: str, command: list[str], patience: float) -> tuple[int, str]:
        """Run a command in a container; returns its exit code and output. Raises `TimeoutError`."""

        def ran(api: APIClient) -> tuple[int, str]:
            made = api.exec_create(container, command)
            output: bytes = api.exec_start(made["Id"])
            return int(api.exec_inspect(made["Id"])["ExitCode"] or 0), output.decode(errors="replace")

        async with asyncio.timeout(patience):
            return await self.ask(ran)

    async def wait(self, container: str) -> Object:
        """Wait until a container has ended, and return its state."""
        with suppress(NotFound):
            await self.ask(lambda api: api.wait(container))
            found = await self.ask(lambda api: api.inspect_container(container))
            state: Object = found["State"]
            return state
        return {"ExitCode": 137, "OOMKilled": False}

    async def stop(self, container: str, grace: float) -> None:
        """Ask a container to end, and kill it after `grace` seconds."""
        with suppress(APIError):
            if grace > 0:
                await self.ask(lambda api: api.stop(container, timeout=int(grace)))
            else:
                await self.ask(lambda api: api.kill(container))

    async def remove(self, container: str) -> None:
        """Remove a container and its anonymous volumes."""
        with suppress(APIError):
            await self.ask(lambda api: api.remove_container(container, force=True, v=True))

    async def close(self) -> None:
        """Remove everything that was created here."""
        label: dict[str, Any] = {"label": f"{LABEL}={self.mark}"}
        found = await self.ask(lambda api: api.containers(all=True, filters=label))
        await asyncio.gather(*(self.remove(each["Id"]) for each in found))
        for network in await self.ask(lambda api: api.networks(filters=label)):
            with suppress(APIError):
                await self.ask(lambda api, which=network["Id"]: api.remove_network(which))  # type: ignore[misc]
        self.api.close()
        self._threads.shutdown(wait=False)
