"""Every reference of every built-in playbook, whatever its prompt asks for, leads somewhere inside the network."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepflow import DISTRIBUTION
from stepflow.playbook import Playbook
from stepflow.registry import installed
from stepflow.targets.addresses import CLIENT_PORTS
from stepflow.targets.contract import Desired
from stepflow.targets.docker.container import DATA, FILES, Container, HostPort, Pieces
from stepflow.targets.docker.desired import containers
from stepflow.targets.resolution import resolution
from stepflow.testing import PlaybookContract
from stepflow.workload import Declaration, Workload

NAMES = sorted(plugin.name for plugin in installed().plugins() if plugin.package == DISTRIBUTION)
PLACE = re.compile(rf"{FILES}/[\w.-]+|{DATA}/[\w.-]+/[\w.-]+|(?:http|nats|redis|postgresql)://[^/\s\"]+")


@dataclass
class _Steps(PlaybookContract):
    """Makes steps of a playbook as its contract suite does."""

    name: str

    def playbook(self) -> Playbook:
        return installed().load(self.name)


def _declare(name: str, features: frozenset[str] | None = None) -> Declaration:
    steps = _Steps(name)
    return steps.playbook().declare(steps.step(features))


WORKLOADS: Mapping[str, Workload] = {each.name: each for name in NAMES for each in _declare(name).workloads}
KNOWN = {name: {port.name: port.number for port in each.ports} for name, each in WORKLOADS.items()}
ADDRESSES = {f"{name}:{number}" for name, ports in KNOWN.items() for number in ports.values()}
SERVERS = {f"{kind}:{number}" for kind, number in CLIENT_PORTS.items()}


def _told(container: Container) -> Iterator[Pieces]:
    yield from container.command
    yield from container.env.values()
    yield from (file.content for file in container.files)


def _leads_nowhere(container: Container) -> list[str]:
    there = {file.path for file in container.files}
    there |= {f"{volume.path}/{volume.folder}" for volume in container.volumes}
    found = []
    for text in _told(container):
        known = "".join(piece if isinstance(piece, str) else "?" for piece in text)
        for place in PLACE.findall(known):
            address = place.rpartition("/")[2].rpartition("@")[2]
            if place not in there and address not in ADDRESSES | SERVERS | {"127.0.0.1:?"}:
                found.append(f"{container.name}: {place}")
        named = [piece for piece in text if isinstance(piece, HostPort)]
        found += [str(piece) for piece in named if piece.port not in KNOWN.get(piece.workload, {})]
    return found


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_every_reference_leads_somewhere(name: str, data: st.DataObject) -> None:
    offered = sorted(feature.name for feature in installed().load(name).features)
    features = data.draw(st.frozensets(st.sampled_from(offered)) if offered else st.just(frozenset[str]()))
    for container in containers(resolution(Desired(_declare(name, features))), {}, KNOWN):
        assert _leads_nowhere(container) == []


def test_a_place_that_is_not_there_is_seen() -> None:
    container = containers(resolution(Desired(_declare("user-service"))), {}, KNOWN)[-1]
    container.env["NOWHERE"] = (f"{FILES}/secret-nothing",)  # type: ignore[index]  # a dict, in fact
    assert _leads_nowhere(container) == [f"{container.name}: {FILES}/secret-nothing"]
