"""From a declaration, which knows no machine, to the containers that carry it out."""

from __future__ import annotations

import re
from collections.abc import Mapping

from stepflow.errors import PermanentError
from stepflow.targets.addresses import CLIENT_PORTS, Numbers
from stepflow.targets.docker.container import Build, Container, Listen, Text
from stepflow.targets.docker.limits import LIMITS
from stepflow.targets.docker.resolve import EVERYWHERE, Resolver
from stepflow.targets.docker.servers import database, server, setup_name
from stepflow.targets.envoy import ARGUMENTS
from stepflow.targets.images import image
from stepflow.targets.references import server_files
from stepflow.workload import Declaration, Workload

_NAME = re.compile(r"[a-z]([a-z0-9-]{0,48}[a-z0-9])?")
_PYTHON = {"PYTHONDONTWRITEBYTECODE": ("1",), "PYTHONUNBUFFERED": ("1",)}  # the root file system is read-only
_ASK_IN_PYTHON = (
    "import sys, http.client as http; sys.tracebacklimit = 0; _, port, path, timeout = sys.argv; "
    "asked = http.HTTPConnection('127.0.0.1', int(port), timeout=float(timeout)); asked.request('GET', path); "
    "sys.exit(asked.getresponse().status // 100 != 2)"
)
_ASK_IN_BASH = (
    'exec 3<>"/dev/tcp/127.0.0.1/$0" && '
    'printf "GET %s HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n" "$1" >&3 && '
    'read -r -t "$2" _ status _ <&3 && [[ $status == 2* ]]'
)


def containers(
    declaration: Declaration, known: Numbers, *, options: Mapping[str, str], digests: Mapping[str, str]
) -> tuple[Container, ...]:
    """Give the servers that are declared or referred to, what makes their databases, and the workloads.

    `known` holds the ports of workloads that earlier declarations made; `digests` the engine's, by workload. Raises
    `PermanentError` for what a workload refers to and is not there, `UsageError` for an image that is none.
    """
    wanted = {(each.kind, each.database) for each in declaration.servers}
    wanted |= {(file.kind, file.database) for each in declaration.workloads for file in server_files(each)}
    kinds = sorted({kind for kind, _ in wanted})
    databases = sorted(name for kind, name in wanted if kind == "postgres" and name)
    numbers = {**known, **{each.name: _numbers(each) for each in declaration.workloads}}
    return (
        *(server(kind, options) for kind in kinds),
        *(database(name, options) for name in databases),
        *(define(each, numbers, options=options, digest=digests.get(each.name, "")) for each in declaration.workloads),
    )


def define(workload: Workload, numbers: Numbers, *, options: Mapping[str, str], digest: str) -> Container:
    """Give a workload's container; what differs between its copies (`INSTANCE`, `ADVERTISE_HOST`) is left out."""
    resolver = Resolver(workload, numbers)
    program = _program(workload)
    envoy = program == "envoy"
    return Container(
        name=_name(workload),
        kind="workload",
        image=str(image("envoy", options)) if envoy else Build(workload.context),
        command=(*map(resolver.text, workload.command), *((word,) for word in (ARGUMENTS if envoy else ()))),
        limits=LIMITS["envoy" if envoy else "service"],
        env=_environment(resolver, {} if envoy else _PYTHON),
        files=resolver.files(),
        volumes=resolver.volumes(),
        listens=tuple(Listen(p.name, p.number, p.number if p.published else None) for p in workload.ports),
        health=_health(workload, in_bash=envoy),
        ready=workload.ready,
        needs=_needs(workload),
        replicas=workload.replicas,
        stop_grace=workload.stop_grace,
        drain=_numbers(workload).get("admin") if envoy else None,
        deadline=workload.ready.deadline,
        digest=digest,
    )


def _program(workload: Workload) -> str:
    program = str(workload.command[0])
    if program != "envoy" and not workload.context:
        raise PermanentError(
            f"workload `{workload.name}` runs `{program}`, for which no image is known",
            hint="known is `envoy`; any other program needs a `context` with a Dockerfile",
        )
    return program


def _name(workload: Workload) -> str:
    taken = workload.name in CLIENT_PORTS or workload.name.startswith(setup_name(""))
    if taken or not _NAME.fullmatch(workload.name):
        raise PermanentError(
            f"`{workload.name}` cannot be a container's name",
            hint="use up to 50 lower-case letters, digits and `-`, and not the name of a server or `database-…`",
        )
    return workload.name


def _numbers(workload: Workload) -> dict[str, int]:
    return {port.name: port.number for port in workload.ports}


def _environment(resolver: Resolver, base: Mapping[str, Text]) -> dict[str, Text]:
    workload = resolver.workload
    return {
        **base,
        "HOST": (EVERYWHERE,),
        "SERVICE": (workload.name,),
        **{port.env: (str(port.number),) for port in workload.ports if port.env},
        **{key: resolver.text(value) for key, value in workload.env.items()},
    }


def _health(workload: Workload, *, in_bash: bool) -> tuple[str, ...]:
    probe, numbers = workload.ready, _numbers(workload)
    if probe.port not in numbers:
        raise PermanentError(f"a probe of `{workload.name}` asks its port `{probe.port}`, which it has not")
    asked = (str(numbers[probe.port]), probe.path, f"{probe.timeout:g}")
    return ("bash", "-c", _ASK_IN_BASH, *asked) if in_bash else ("python", "-c", _ASK_IN_PYTHON, *asked)


def _needs(workload: Workload) -> tuple[str, ...]:
    files = server_files(workload)
    setups = {setup_name(file.database) for file in files if file.kind == "postgres" and file.database}
    return (*sorted({file.kind for file in files}), *sorted(setups), *workload.needs)
