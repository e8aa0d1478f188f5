"""The workload of a service that is built on the chassis."""

from __future__ import annotations

from collections.abc import Mapping

from stepflow.handoff import ServerFile, Value
from stepflow.workload import HttpProbe, Port, Workload


def chassis_workload(
    name: str,
    env: Mapping[str, Value],
    *,
    context: str = "",
    module: str = "service",
    ports: tuple[Port, ...] = (Port(),),
    data: tuple[str, ...] = (),
    replicas: int = 1,
    database: str = "",
) -> Workload:
    """Return the workload that runs `module` of the rendered folder `context` (by default `name`), with the probes of
    the chassis and NATS in its environment; with a `database` also its URL and the command that migrates it.
    """
    servers: dict[str, Value] = {"NATS_URL_FILE": ServerFile("nats")}
    if database:
        servers["DATABASE_URL_FILE"] = ServerFile("postgres", database)
    return Workload(
        name=name,
        context=context or name,
        command=("python", "-m", module),
        ready=HttpProbe("/health/ready"),
        live=HttpProbe("/health/live"),
        ports=ports,
        env={**servers, **env},
        data=data,
        replicas=replicas,
        migrate=("python", "-m", "chassis.migrate", module) if database else (),
    )
