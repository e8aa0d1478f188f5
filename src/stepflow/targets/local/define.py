"""From a workload, which knows no machine, to the process that the supervisor runs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from stepflow.errors import MachineError, PermanentError
from stepflow.targets import Site
from stepflow.targets.addresses import Numbers
from stepflow.targets.local.layout import Layout
from stepflow.targets.local.resolve import Resolver
from stepflow.targets.local.servers.programs import find
from stepflow.targets.local.spec import Probe, Process, digest_of
from stepflow.targets.ports import HOST
from stepflow.targets.references import neighbours, server_files
from stepflow.workload import HttpProbe, Workload

_PASSED_ON = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
_ENVOY = ("--use-dynamic-base-id", "--concurrency", "1", "-l", "warning")


def instance_name(workload: str, number: int) -> str:
    """Name a copy of a workload."""
    return f"{workload}-{number}"


def define(
    site: Site, layout: Layout, workload: Workload, number: int, *, own: Mapping[str, int], others: Numbers,
    digest: str, rank: int, python: str,
) -> Process:  # fmt: skip
    """Resolve everything; writes the configuration files. Raises `PermanentError`, `MachineError`."""
    name = instance_name(workload.name, number)
    resolver = Resolver(layout, workload, name, own, others)
    program, *arguments = (resolver.text(value) for value in workload.command)
    envoy = program == "envoy"
    return Process(
        name=name,
        owner=workload.name,
        kind="workload",
        command=(_program(program, python), *arguments, *(_ENVOY if envoy else ())),
        env=_environment(site, resolver),
        cwd=str(_folder(site, workload)),
        log=str(layout.log(name)),
        ready=_probe(workload, workload.ready, own),
        live=_probe(workload, workload.live, own) if workload.live else None,
        ports=dict(own),
        url=f"http://{HOST}:{own.get('http', next(iter(own.values())))}" if own else "",
        data=workload.data,
        digest=digest,
        replicas=workload.replicas,
        configuration=_content(resolver),
        neighbours=neighbours(workload),
        after=(*sorted({file.kind for file in server_files(workload)}), *workload.needs),
        rank=rank,
        grace=workload.stop_grace,
        drain=own.get("admin") if envoy else None,
    )


def _content(resolver: Resolver) -> str:
    """Tell apart what stands in the files that a process reads; the files keep their names."""
    servers = {file.kind: resolver.others.get(file.kind) for file in server_files(resolver.workload)}
    return digest_of(json.dumps([servers, resolver.json(dict(resolver.workload.configs))], sort_keys=True))


def _program(name: str, python: str) -> str:
    if name == "python":
        return python
    if name == "envoy":
        return find("envoy").path
    found = shutil.which(name)
    if found is None:
        raise MachineError(f"the program `{name}` is not on PATH", hint="install it, then run again")
    return found


def _folder(site: Site, workload: Workload) -> Path:
    folder = (site.out / workload.context).resolve()
    if not folder.is_dir():
        raise PermanentError(f"the rendered folder `{folder}` of `{workload.name}` is not there", hint="`stepflow run`")
    return folder


def _probe(workload: Workload, probe: HttpProbe, own: Mapping[str, int]) -> Probe:
    if probe.port not in own:
        raise PermanentError(f"a probe of `{workload.name}` asks its port `{probe.port}`, which it has not")
    return Probe("http", own[probe.port], probe.path, probe.interval, probe.timeout, probe.deadline)


def _environment(site: Site, resolver: Resolver) -> dict[str, str]:
    workload, out = resolver.workload, site.out.resolve()
    sources = (out / workload.context / "src", out / "chassis" / "src")
    return {
        **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
        "PYTHONPATH": os.pathsep.join(map(str, sources)),
        # Keeps the rendered tree clean. A PYTHONPYCACHEPREFIX would start empty: a second more for every service.
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "HOST": HOST,
        "ADVERTISE_HOST": HOST,
        "SERVICE": workload.name,
        "INSTANCE": resolver.instance,
        **{port.env: str(resolver.own[port.name]) for port in workload.ports if port.env},
        **{key: resolver.text(value) for key, value in workload.env.items()},
    }
