"""What a container's labels record, for whoever comes later: from which it was made, and how to ask and to stop it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from stepflow.targets.docker.container import Container, Kind
from stepflow.targets.docker.wanted import Wanted
from stepflow.workload import HttpProbe

DIGEST = "dev.stepflow.digest"  # the engine's
NUMBER = "dev.stepflow.number"  # of this copy; 0 where there is only one
MEANING = "dev.stepflow.meaning"  # JSON: what it is made of, in words -> hash
CARE = "dev.stepflow.care"  # JSON: the rest of a `Record`


@dataclass(frozen=True, slots=True)
class Record:
    """How to look after a container, whoever made it."""

    kind: Kind
    owner: str
    number: int = 0
    digest: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)
    listens: Mapping[str, int] = field(default_factory=dict)  # port -> its number inside
    published: Mapping[str, int] = field(default_factory=dict)  # port -> its number on this machine, where it matters
    ready: HttpProbe | None = None
    health: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    grace: float = 15.0
    drain: int | None = None
    deadline: float = 60.0

    @property
    def instance(self) -> str:
        """Its name within the platform."""
        return f"{self.owner}-{self.number}" if self.kind == "workload" else self.owner


def record(wanted: Wanted, number: int) -> Record:
    """Say of a copy of what is wanted how to look after it."""
    container: Container = wanted.container
    return Record(
        kind=container.kind,
        owner=container.name,
        number=number,
        digest=container.digest,
        parts=wanted.parts,
        listens={each.name: each.number for each in container.listens},
        published=wanted.published,
        ready=container.ready,
        health=container.health,
        needs=container.needs,
        grace=container.stop_grace,
        drain=container.drain,
        deadline=container.deadline,
    )


_LABELLED = ("kind", "owner", "number", "digest", "parts")  # those with a label of their own


def labels(record: Record) -> dict[str, str]:
    """Write it down; the labels that say whose the container is come on top."""
    care = {name: value for name, value in asdict(record).items() if name not in _LABELLED}
    return {
        DIGEST: record.digest,
        NUMBER: str(record.number),
        MEANING: json.dumps(dict(record.parts), sort_keys=True),
        CARE: json.dumps(care, sort_keys=True),
    }


def read(labels: Mapping[str, str], kind: Kind, owner: str) -> Record:
    """Read it again; what another version of stepflow did not write has its default."""
    care: dict[str, Any] = json.loads(labels.get(CARE, "{}"))
    probe = care.get("ready")
    return Record(
        kind=kind,
        owner=owner,
        number=int(labels.get(NUMBER, "0")),
        digest=labels.get(DIGEST, ""),
        parts=json.loads(labels.get(MEANING, "{}")),
        listens=care.get("listens", {}),
        published=care.get("published", {}),
        ready=HttpProbe(**probe) if probe else None,
        health=tuple(care.get("health", ())),
        needs=tuple(care.get("needs", ())),
        grace=care.get("grace", 15.0),
        drain=care.get("drain"),
        deadline=care.get("deadline", 60.0),
    )
