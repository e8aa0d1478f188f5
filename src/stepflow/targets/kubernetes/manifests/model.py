"""What all objects of a platform share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from stepflow.errors import PermanentError
from stepflow.targets.addresses import Numbers
from stepflow.targets.kubernetes.api.kinds import Object
from stepflow.targets.kubernetes.options.values import FromSecret, Values
from stepflow.workload import ServerKind

from .slot import Slot

__all__ = ["Component", "ComponentPart", "Object", "Release"]

ComponentPart = Literal["platform", "server", "database", "migration", "service"]


@dataclass(frozen=True, slots=True)
class Release:
    """What all objects of one platform share, as released into one namespace of a cluster."""

    name: str
    namespace: str
    built: Mapping[str, str]  # reference of the image of a folder of the rendered tree
    official: Mapping[str, str]  # reference of the image of a server or program, by its name
    numbers: Numbers  # ports of all workloads that are known
    id: str = ""  # 6 hex digits; "" in files, which belong to no platform until they are applied
    values: Values = field(default_factory=Values)
    pull: str = "IfNotPresent"  # or `Always`; images that were loaded into nodes are in no registry
    host: Slot | None = None  # the entry's host name where a chart leaves it open

    def image(self, name: str) -> str:
        """Return the image of a server or program. Raises `PermanentError` where none is known."""
        if name not in self.official:
            known = ", ".join(f"`{each}`" for each in sorted(self.official))
            raise PermanentError(f"no image is known for `{name}`", hint=f"known: {known or 'none'}")
        return self.official[name]

    def external(self, kind: ServerKind, database: str = "") -> FromSecret | None:
        """Return where the URL of a server of the user's own is; None when the platform brings it along."""
        match kind:
            case "nats":
                return self.values.nats.external
            case "valkey":
                return self.values.valkey.external
            case "postgres":
                return self.values.postgres.external.get(database)


@dataclass(frozen=True, slots=True)
class Component:
    """Whose an object is, as its labels say it."""

    name: str
    part: ComponentPart
    owner: str = ""  # what is declared and removed as one thing; by default `name`
    flows: str = ""  # the component whose network policies its pods share; by default `name`
    instance: str = ""  # the name of the controller; by default `name`

    @property
    def whose(self) -> str:
        """The owner's name."""
        return self.owner or self.name
