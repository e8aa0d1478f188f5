"""What this machine has and lacks for the Docker target, as `stepflow doctor` shows it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stepflow.errors import StepflowError
from stepflow.targets.contract import Finding
from stepflow.targets.docker.identity import DockerIdentity
from stepflow.targets.docker_api.client import Engine
from stepflow.targets.identity import ID, PLATFORM, STATE, read

DISK = 5 * 1024**3  # bytes that images, volumes and logs of the reference platform need
MEMORY = 3 * 1024**3  # bytes that it needs to run
_UNIT = 1024**3
_ARCHITECTURES = ("x86_64", "aarch64")  # for which all images of the table exist


def examine() -> tuple[Finding, ...]:
    """Ask the engine about itself."""
    try:
        engine = Engine()
        version = engine.ask_now(lambda api: api.version())
        info = engine.ask_now(lambda api: api.info())
        layers = engine.ask_now(lambda api: api.df())["LayersSize"]
        listed = engine.ask_now(lambda api: api.containers(all=True, filters={"label": [ID]}))
    except StepflowError as error:
        return (Finding("docker engine", ok=False, detail=error.message, remedy=error.hint),)
    found = (_engine(engine.host, version, info), _architecture(info), _memory(info), _disk(info, layers))
    return (*found, *_leftovers(listed))


def _engine(host: str, version: Mapping[str, Any], info: Mapping[str, Any]) -> Finding:
    rootless = any("rootless" in option for option in info.get("SecurityOptions") or ())
    how = "rootless" if rootless else "as root"
    detail = f"{version['Version']}, API {version['ApiVersion']}, {info['Driver']}, {how}, at {host}"
    limits = {"memory": "MemoryLimit", "processors": "CpuCfsQuota", "processes": "PidsLimit"}
    lacking = [what for what, name in limits.items() if not info[name]]
    if lacking:
        detail += f"; it cannot limit {', '.join(lacking)}"
    return Finding("docker engine", ok=True, detail=detail)


def _architecture(info: Mapping[str, Any]) -> Finding:
    linux = info["OSType"] == "linux"
    detail = f"{info['OSType']} {info['Architecture']}, {info['NCPU']} processors"
    if not linux:
        return Finding("docker system", ok=False, detail=detail, remedy="switch the engine to Linux containers")
    known = info["Architecture"] in _ARCHITECTURES
    return Finding("docker system", ok=known, detail=detail, remedy=f"images exist for {', '.join(_ARCHITECTURES)}")


def _memory(info: Mapping[str, Any]) -> Finding:
    total = info["MemTotal"]
    detail = f"{total / _UNIT:.1f} GiB for all containers"
    return Finding("docker memory", ok=total >= MEMORY, detail=detail, remedy=f"give it {MEMORY / _UNIT:.0f} GiB")


def _disk(info: Mapping[str, Any], layers: int) -> Finding:
    root = Path(info["DockerRootDir"])
    used = f"images take {layers / _UNIT:.1f} GiB"
    try:
        free = shutil.disk_usage(root).free
    except OSError:  # the engine is in a virtual machine, or its folder is closed to this user
        return Finding("docker disk", ok=True, detail=used)
    detail = f"{free / _UNIT:.1f} GiB free in {root}, {used}"
    remedy = f"make {DISK / _UNIT:.0f} GiB free: `docker system df` shows what takes it"
    return Finding("docker disk", ok=free >= DISK, detail=detail, remedy=remedy)


def _leftovers(listed: list[Mapping[str, Any]]) -> Iterator[Finding]:
    """Yield the platforms whose state directory is gone: `stepflow down` does not know of them any more."""
    lost: dict[str, list[Mapping[str, Any]]] = {}
    for each in listed:
        if not _known(each["Labels"]):
            lost.setdefault(each["Labels"][ID], []).append(each)
    for number, containers in sorted(lost.items()):
        labels = containers[0]["Labels"]
        name = labels.get(PLATFORM, "")
        count = f"{len(containers)} {'container' if len(containers) == 1 else 'containers'}"
        label = f"label={ID}={number}"
        yield Finding(
            f"docker {name}",
            ok=False,
            detail=f"{count} of the platform `{name}`, whose state `{labels.get(STATE, '')}` is gone",
            remedy=f"`docker rm -fv $(docker ps -aq --filter {label})`, "
            f"`docker network rm $(docker network ls -q --filter {label})`, "
            f"`docker volume rm $(docker volume ls -q --filter {label})`",
        )


def _known(labels: Mapping[str, str]) -> bool:
    try:
        return read(Path(labels.get(STATE, "")), DockerIdentity.target)[0] == labels[ID]
    except OSError:  # another user's
        return True
