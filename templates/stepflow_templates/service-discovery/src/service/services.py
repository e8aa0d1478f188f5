"""Services as the gateway sees them: their addresses and routes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from service.registry import HEALTH_PATH, ORIGIN, Instance, Registry


@dataclass(frozen=True, slots=True)
class Service:
    """A service that runs, or has run: one without instances keeps its routes, so that they answer 503 and not 404."""

    name: str
    routes: tuple[str, ...] = ()
    public: tuple[str, ...] = ()
    health: str = HEALTH_PATH
    instances: tuple[Instance, ...] = ()  # that may get requests, in order
    foreign: bool = False  # registered from outside, through the Consul API

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Host and port of each instance."""
        return tuple((each.address, each.port) for each in self.instances)


def known_services(registry: Registry, before: Mapping[str, Service]) -> dict[str, Service]:
    """Every service of the registry, and of `before` those that have left it, by name."""
    present = {name: _service(name, instances) for name, instances in registry.services().items()}
    absent = {name: replace(old, instances=()) for name, old in before.items()}
    return dict(sorted({**absent, **present}.items()))


def _service(name: str, registered: list[Instance]) -> Service:
    """A service of the platform consists of its own copies: another instance registered under its name is ignored."""
    foreign = all(each.meta.get(ORIGIN) == "consul" for each in registered)
    instances = registered if foreign else [each for each in registered if each.meta.get(ORIGIN) != "consul"]
    return Service(
        name=name,
        routes=_union(each.routes for each in instances),
        public=_union(each.public for each in instances),
        health=instances[0].health,
        foreign=foreign,
        instances=tuple(each for each in instances if each.status != "critical"),
    )


def _union(groups: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(sorted({text for group in groups for text in group}))
