"""Making one container: its volumes, the container itself, its files in it; not started yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from operator import methodcaller
from typing import Any

from stepflow.errors import PermanentError, TemporaryError
from stepflow.targets.docker import archive
from stepflow.targets.docker.container import FILES, Container
from stepflow.targets.docker.platform import FOREIGN, Platform
from stepflow.targets.docker.record import labels, record
from stepflow.targets.docker.wanted import Filling, Wanted
from stepflow.targets.engine.errors import TAKEN, RefusedError
from stepflow.targets.ports import HOST

_SECOND = 1_000_000_000  # nanoseconds, the engine's unit
_MIB = 1024 * 1024
_TMPFS = "rw,noexec,nosuid,nodev,size=64m,mode=1777"
_LOGS = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}


async def make(platform: Platform, wanted: Wanted, number: int, filling: Filling) -> str:
    """Make a container, give its id. It keeps nothing running until it was ready once: see `keep_running`.

    Raises `PermanentError` when its name is taken by a container that is not stepflow's.
    """
    container, instance, engine = wanted.container, wanted.instance(number), platform.engine
    for volume in container.volumes:
        await platform.volume(platform.identity.volume(volume.name), container.name)
    info = await engine.info()
    open_filling = replace(filling, secret=_secretly(container.name))
    create = _creation(platform, wanted, number, open_filling, info)
    try:
        made: str = (await engine.ask(create))["Id"]
    except RefusedError as error:
        raise await _name_taken(platform, instance, error) from error
    user, _, group = container.user.partition(":")
    texts = {file.path.removeprefix(f"{FILES}/"): filling.text(file.content) for file in container.files}
    if texts:
        packed = archive.files(texts, int(group or user))
        await engine.ask(lambda api: api.put_archive(made, FILES, packed))
    for volume in container.volumes:
        if volume.folder:
            folder = archive.folder(volume.folder, int(user), int(group or user))
            await engine.ask(methodcaller("put_archive", made, volume.path, folder))
    return made


async def keep_running(platform: Platform, container: str) -> None:
    """Have the engine start a container again whenever it ends: it was ready, so it can be.

    `always`: under `unless-stopped` an engine that was killed leaves those down that ended with it.
    """
    await platform.engine.ask(
        lambda api: api.update_container(container, restart_policy={"Name": "always", "MaximumRetryCount": 0})
    )


def _creation(
    platform: Platform, wanted: Wanted, number: int, filling: Filling, info: Mapping[str, Any]
) -> Callable[[Any], dict[str, Any]]:
    container, identity = wanted.container, platform.identity
    instance = wanted.instance(number)
    whose = {**identity.labels(container.kind, container.name), **labels(record(wanted, number))}
    environment = {name: filling.text(text) for name, text in container.env.items()}
    if container.kind == "workload":
        environment |= {"INSTANCE": instance, "ADVERTISE_HOST": instance}

    def create(api: Any) -> dict[str, Any]:  # noqa: ANN401 - the SDK has no types
        made: dict[str, Any] = api.create_container(
            wanted.image,
            [filling.text(text) for text in container.command] or None,
            name=identity.container(instance),
            hostname=instance,
            user=container.user,
            environment=environment,
            ports=[each.number for each in container.listens],
            labels=whose,
            healthcheck=_healthcheck(container),
            stop_signal=container.stop_signal,
            use_config_proxy=False,  # that of `~/.docker/config.json` may hold a password, and cuts off neighbours
            host_config=api.create_host_config(**_host(platform, wanted, info)),
            networking_config=api.create_networking_config(
                {identity.prefix: api.create_endpoint_config(aliases=[container.name])}
            ),
        )
        return made

    return create


def _host(platform: Platform, wanted: Wanted, info: Mapping[str, Any]) -> dict[str, Any]:
    """Say how it may use the machine: as little as it needs."""
    container, identity = wanted.container, platform.identity
    data = [(identity.volume(volume.name), volume.path) for volume in container.volumes]
    # Without a name: its files are this container's alone, and the engine removes them with it, in one call.
    files = {"Type": "volume", "Target": FILES, "VolumeOptions": {"Labels": identity.labels("files", container.name)}}
    return {
        "network_mode": identity.prefix,
        "mounts": [
            *({"Type": "volume", "Source": name, "Target": path} for name, path in data),
            files,
        ],
        "tmpfs": dict.fromkeys(container.tmpfs, _TMPFS),
        "port_bindings": {each.number: (HOST, wanted.published.get(each.name)) for each in container.listens},
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "init": True,  # reaps what a service leaves behind, and passes signals on
        "log_config": _LOGS,
        "restart_policy": {"Name": "no"},
        **_limits(container, info),
    }


def _limits(container: Container, info: Mapping[str, Any]) -> dict[str, int]:
    """Say how much it may use, as far as the engine can hold it to that: a rootless one often cannot."""
    limits, held = container.limits, {}
    if info["MemoryLimit"]:
        held["mem_limit"] = limits.memory * _MIB
    if info["MemoryLimit"] and info["SwapLimit"]:
        held["memswap_limit"] = limits.memory * _MIB
    if info["PidsLimit"]:
        held["pids_limit"] = limits.pids
    if info["CpuCfsQuota"]:
        held["nano_cpus"] = int(min(limits.cpus, info["NCPU"]) * _SECOND)
    return held


def _healthcheck(container: Container) -> Mapping[str, Any]:
    if not container.health or container.kind == "setup":
        return {"Test": ["NONE"]}
    return {
        "Test": ["CMD", *container.health],
        "Interval": 10 * _SECOND,
        "Timeout": 5 * _SECOND,
        "Retries": 3,
        "StartPeriod": int(container.deadline * _SECOND),
    }


async def _name_taken(platform: Platform, instance: str, error: RefusedError) -> PermanentError | TemporaryError:
    if error.status != TAKEN:
        return error
    name = platform.identity.container(instance)
    there = await platform.engine.ask(lambda api: api.inspect_container(name))
    if platform.identity.owns(there["Config"]["Labels"]):
        return TemporaryError(f"the container `{name}` was made by somebody else at the same time", delay=0.5)
    return PermanentError(f"there is a container `{name}` on the engine that is not stepflow's", hint=FOREIGN)


def _secretly(name: str) -> Callable[[str], str]:
    def refuse(secret: str) -> str:
        raise PermanentError(f"`{name}` would show the secret `{secret}` in its command or environment")

    return refuse
