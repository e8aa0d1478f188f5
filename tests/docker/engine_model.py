"""A Docker engine in memory: applies the calls that the target makes, records them, and shows what comes of them.

It does what a real engine was seen to do, as far as the Docker target looks: a name has to be free, an image to exist;
a container is in its network from its first start on; a port that nothing chose gets some number.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from stepflow.targets.building.image import BASE_LABEL, IMAGE
from stepflow.targets.docker import execute, host_ports, observed, probe
from stepflow.targets.docker.identity import DockerIdentity
from stepflow.targets.docker_api.errors import GONE, TAKEN, EngineRefusedError
from stepflow.targets.identity import ID, KIND, NAME
from stepflow.targets.images import IMAGES

Raw = dict[str, Any]
_INFO = {
    "ID": "model", "DockerRootDir": "/model", "NCPU": 4,
    "MemoryLimit": True, "SwapLimit": True, "PidsLimit": True, "CpuCfsQuota": True,
}  # fmt: skip
_CONFIG: Raw = {"Env": ["PATH=/usr/bin", "LANG=C"], "Entrypoint": ["/entry"], "WorkingDir": "/app/"}  # of images
_NEVER = "0001-01-01T00:00:00Z"


class Accepted:
    """The answer to a call that the SDK does not have."""

    def raise_for_status(self) -> None:
        """Accept."""


@dataclass
class Api:
    """What the target asks of the SDK's client."""

    containers_: dict[str, Raw] = field(default_factory=dict)
    networks_: dict[str, Raw] = field(default_factory=dict)
    volumes_: dict[str, Raw] = field(default_factory=dict)
    images_: list[Raw] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)  # what, and to what
    hung: set[str] = field(default_factory=set)  # ids of containers that run and do not answer
    taken: set[int] = field(default_factory=set)  # ports that other programs of the machine have
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    base_url: str = "http+docker://model"
    api_version: str = "1.41"
    timeout: int = 1

    def info(self) -> Mapping[str, Any]:
        return _INFO

    def containers(self, **asked: Any) -> list[Raw]:  # noqa: ANN401 - as the SDK
        filters: Mapping[str, Any] = asked.get("filters", {})
        found = [each for each in self.containers_.values() if asked.get("all") or each["State"]["Status"] == "running"]
        wanted = [text.partition("=") for text in filters.get("label", ())]
        found = [each for each in found if all_in(each["Config"]["Labels"], wanted)]
        port = filters.get("publish")
        listed = [
            {
                "Id": each["Id"], "Names": [each["Name"]], "Labels": each["Config"]["Labels"], "ImageID": each["Image"],
                "Ports": [{"PublicPort": number} for number in _numbers(each)],
            }
            for each in found
        ]  # fmt: skip
        return [each for each in listed if not port or int(port) in {p["PublicPort"] for p in each["Ports"]}]

    def inspect_container(self, container: str) -> Raw:
        by_name = (each["Id"] for each in self.containers_.values() if each["Name"] == f"/{container}")
        return copy.deepcopy(self._container(next(by_name, container)))

    def create_container_from_config(self, config: Raw, name: str) -> Raw:
        if any(each["Name"] == f"/{name}" for each in self.containers_.values()):
            raise EngineRefusedError(TAKEN, f"the name {name} is taken")
        if config["Image"] not in {each["Id"] for each in self.images_}:
            raise EngineRefusedError(GONE, f"no such image: {config['Image']}")
        number = f"c{next(self.numbers)}" + "0" * 12
        network = config["HostConfig"]["NetworkMode"]
        self.containers_[number] = {
            "Id": number, "Name": f"/{name}", "Image": config["Image"], "RestartCount": 0,
            "State": {"Status": "created", "StartedAt": _NEVER, "ExitCode": 0, "OOMKilled": False, "Error": ""},
            "Config": _merged({key: config[key] for key in config.keys() - {"HostConfig", "NetworkingConfig"}}),
            "HostConfig": copy.deepcopy(config["HostConfig"]),
            "NetworkSettings": {"Ports": {}, "Networks": {network: {"NetworkID": ""}}},
        }  # fmt: skip
        self._did("create", number)
        return {"Id": number}

    def put_archive(self, container: str, path: str, data: bytes) -> bool:
        del path, data
        self._did("files", container)
        return True

    def start(self, container: str) -> None:
        raw = self._container(container)
        network = raw["HostConfig"]["NetworkMode"]
        if network not in self.networks_:
            raise EngineRefusedError(GONE, f"network {network} not found")
        bindings = {
            inside: [{"HostIp": "127.0.0.1", "HostPort": each["HostPort"] or str(40000 + next(self.numbers))}]
            for inside, [each] in raw["HostConfig"]["PortBindings"].items()
        }
        for [each] in bindings.values():
            if int(each["HostPort"]) in self.taken:
                raise EngineRefusedError(
                    500, f"Bind for 127.0.0.1:{each['HostPort']} failed: port is already allocated"
                )
        self._did("start", container)
        self.hung.discard(container)
        raw["NetworkSettings"] = {
            "Ports": bindings,
            "Networks": {network: {"NetworkID": self.networks_[network]["Id"]}},
        }
        raw["State"] |= {"Status": "running", "StartedAt": "2026-11-22T20:46:29.169524288Z", "Error": ""}
        if raw["Config"]["Labels"].get(KIND) == "setup":  # it succeeds at once
            self._ended(raw, 0)

    def unpause(self, container: str) -> None:
        self._did("unpause", container)
        self._container(container)["State"]["Status"] = "running"

    def restart(self, container: str, timeout: int) -> None:
        del timeout
        self._did("restart", container)
        self.hung.discard(container)
        self._container(container)["State"]["Status"] = "running"

    def stop(self, container: str, timeout: int) -> None:
        del timeout
        self._did("stop", container)
        self._ended(self._container(container), 0)

    def remove_container(self, container: str, *, force: bool, v: bool) -> None:
        del force, v
        self._container(container)
        self._did("remove", container)
        del self.containers_[container]

    def update_container(self, container: str, restart_policy: Raw) -> None:
        self._did("policy", container)
        self._container(container)["HostConfig"]["RestartPolicy"] = restart_policy

    def post(self, url: str, json: Raw, timeout: int) -> Accepted:
        del timeout
        container = url.split("/")[-2]
        self._did("limits", container)
        self._container(container)["HostConfig"] |= json
        return Accepted()

    def exec_create(self, container: str, command: Sequence[str]) -> Raw:
        del command
        return {"Id": container}

    def exec_start(self, container: str) -> bytes:
        return b"" if container not in self.hung else b"no answer"

    def exec_inspect(self, container: str) -> Raw:
        return {"ExitCode": int(container in self.hung)}

    def logs(self, container: str, **_: object) -> bytes:
        del container
        return b""

    def networks(self, names: Sequence[str]) -> list[Raw]:
        return [each for name, each in self.networks_.items() if name in names]

    def create_network(self, name: str, *, driver: str, labels: Raw, check_duplicate: bool) -> Raw:
        del driver, check_duplicate
        self.calls.append(("create network", name))
        self.networks_[name] = {"Id": f"n{next(self.numbers)}", "Name": name, "Labels": labels}
        return self.networks_[name]

    def volumes(self) -> Raw:
        return {"Volumes": list(self.volumes_.values())}

    def create_volume(self, name: str, labels: Raw) -> Raw:
        self.calls.append(("create volume", name))
        return self.volumes_.setdefault(name, {"Name": name, "Labels": labels})

    def images(self) -> list[Raw]:
        return self.images_

    def inspect_image(self, reference: str) -> Raw:
        found = next((each for each in self.images_ if reference in {each["Id"], *each["RepoTags"]}), None)
        if found is None:
            raise EngineRefusedError(GONE, f"no such image: {reference}")
        return {**found, "Config": _CONFIG}

    def pull(self, repository: str, tag: str, *, stream: bool, decode: bool) -> Iterator[Raw]:
        del stream, decode
        pinned = tag.startswith("sha256:")
        known = next((each.tag for each in IMAGES.values() if each.digest == tag), tag)
        self.calls.append(("pull", f"{repository}:{known}"))
        self.have_image([] if pinned else [f"{repository}:{tag}"], [f"{repository}@{tag}"] if pinned else [])
        yield {"status": "done"}

    def remove_image(self, reference: str) -> None:
        image = next((each for each in self.images_ if reference in each["RepoTags"]), None)
        if image is None:
            raise EngineRefusedError(GONE, "no such image")
        if image["Id"] in {each["Image"] for each in self.containers_.values()}:
            raise EngineRefusedError(TAKEN, "a container uses it")
        self.calls.append(("remove image", reference))
        self.images_.remove(image)

    def have_image(self, tags: list[str], digests: list[str], labels: Raw | None = None) -> Raw:
        """Have another image under these names."""
        for each in self.images_:
            each["RepoTags"] = [tag for tag in each["RepoTags"] if tag not in tags]
        number = next(self.numbers)
        self.images_.append({
            "Id": f"sha256:{number}", "RepoTags": tags, "RepoDigests": digests, "Labels": labels, "Created": number,
        })  # fmt: skip
        return self.images_[-1]

    def end(self, name: str, code: int) -> None:
        """Let a container end by itself."""
        self._ended(self.named(name), code)

    def named(self, name: str) -> Raw:
        """Return a container by its name."""
        return next(each for each in self.containers_.values() if each["Name"] == f"/{name}")

    @staticmethod
    def called(raw: Raw) -> str:
        """Return what a container is called in `calls`, by its labels: its name may have been changed by hand."""
        labels = raw["Config"]["Labels"]
        number = labels["dev.stepflow.number"]
        return str(labels[NAME]) + (f"-{number}" if number != "0" else "")

    def _ended(self, raw: Raw, code: int) -> None:
        raw["State"] |= {"Status": "exited", "ExitCode": code}
        raw["NetworkSettings"]["Ports"] = {}

    def _container(self, container: str) -> Raw:
        if container not in self.containers_:
            raise EngineRefusedError(GONE, f"no such container: {container}")
        return self.containers_[container]

    def _did(self, what: str, container: str) -> None:
        self.calls.append((what, self.called(self._container(container))))


def _merged(config: Raw) -> Raw:
    """Return what a container is created with, and the rest from its image."""
    given = {text.partition("=")[0] for text in config["Env"]}
    rest = [text for text in _CONFIG["Env"] if text.partition("=")[0] not in given]
    return {**_CONFIG, "WorkingDir": "/app", **config, "Env": [*config["Env"], *rest]}


def all_in(labels: Mapping[str, str] | None, wanted: Sequence[tuple[str, str, str]]) -> bool:
    """Return whether labels are among those of a thing."""
    return all((labels or {}).get(name, None if equals else "") == value for name, equals, value in wanted)


def _numbers(raw: Raw) -> list[int]:
    return [int(each["HostPort"]) for bound in raw["NetworkSettings"]["Ports"].values() for each in bound]


class ModelEngine:
    """Stands in for the engine's client."""

    host = "unix:///model.sock"

    def __init__(self) -> None:
        self.api = Api()
        for each in IMAGES.values():
            self.api.have_image([f"{each.repository}:{each.tag}"], [])
        self.sources: dict[str, int] = {}  # version of what is in a folder

    async def ask(self, call: Callable[[Api], Any]) -> Any:  # noqa: ANN401 - whatever the call gives
        return call(self.api)

    def ask_now(self, call: Callable[[Api], Any]) -> Any:  # noqa: ANN401 - as above
        return call(self.api)

    async def info(self) -> Mapping[str, Any]:
        return self.api.info()

    async def config(self, image: str) -> Mapping[str, Any] | None:
        """Return what containers have from an image; None when it is gone."""
        there = any(each["Id"] == image for each in self.api.images_)
        return self.api.inspect_image(image)["Config"] if there else None

    async def stream(self, call: Callable[[Api], Iterator[Any]]) -> AsyncGenerator[Any]:
        for item in call(self.api):
            yield item

    async def build(self, engine: object, who: DockerIdentity, site: object, folder: str, say: object) -> str:
        """Build an image where there is none of this content."""
        del engine, site, say
        self.api.calls.append(("build", folder))
        reference = f"{who.prefix}/{folder}:v{self.sources.get(folder, 1)}"
        if not any(reference in each["RepoTags"] for each in self.api.images_):
            python = next(
                each for each in self.api.images_ if any(tag.startswith("python:") for tag in each["RepoTags"])
            )
            labels = {ID: who.id, KIND: IMAGE, NAME: folder, BASE_LABEL: python["Id"]}
            self.api.have_image([reference], [], labels)
        return reference

    async def request(self, port: int, path: str) -> tuple[int, str]:
        """Answer an HTTP request to a port of the machine."""
        for each in self.api.containers_.values():
            if each["State"]["Status"] == "running" and port in _numbers(each):
                if each["Id"] in self.api.hung:
                    return 503, f"{path} is not well"
                return 200, "well"
        raise ConnectionRefusedError

    def free(self, port: int) -> bool:
        """Return whether a port of the machine can be had."""
        return port not in self.api.taken

    def stand_in(self, patch: pytest.MonkeyPatch) -> None:
        """Replace what leads out of the model: the machine's ports, HTTP and building."""
        patch.setattr(execute, "image_for", self.build)
        patch.setattr(execute, "_STEP", 0.0)
        patch.setattr(execute, "_STEP_INSIDE", 0.0)
        patch.setattr(probe, "request", self.request)
        patch.setattr(host_ports, "free", self.free)
        patch.setattr(host_ports, "by", lambda _: "")
        patch.setattr(observed, "free", self.free)
