"""The objects of one workload."""

from __future__ import annotations

import hashlib
import json
import math

from stepflow.errors import PermanentError
from stepflow.targets.images import IMAGES
from stepflow.workload import HttpProbe, Workload

from . import objects
from .model import Object, Platform
from .names import CONFIGS, DATA, SECRETS, secret_key, secret_name
from .pod import NOBODY, Pod
from .references import EVERYWHERE, files, resolve, resolve_json

PROGRAMS = {"envoy": IMAGES["envoy"].qualified}
"""Server programs that a workload may name as its command, and the image that holds each."""
ENVOY_UID = 101
STORAGE = "8Gi"
SERVICE = "service"


def workload_objects(platform: Platform, workload: Workload) -> list[Object]:
    """Give everything that one workload needs in a cluster, in the order in which it is applied."""
    name = workload.name
    ports = {port.name: port.number for port in workload.ports}
    found = [objects.service_account(platform, name, SERVICE)]
    configs = config_files(platform, workload)
    if configs:
        found.append(objects.config_map(platform, name, configs, SERVICE))
    if ports:
        found.append(objects.service(platform, name, ports, SERVICE))
    pod = _pod(platform, workload, configs)
    least, most = platform.copies(workload)
    if workload.data:
        found.append(objects.service(platform, name, ports, SERVICE, headless=True))
        found.append(objects.stateful_set(platform, pod, least, dict.fromkeys(workload.data, STORAGE)))
    else:
        found.append(objects.deployment(platform, pod, least if most == least else None))
    if most > least:
        found.append(objects.autoscaler(platform, name, SERVICE, (least, most)))
    found.append(objects.budget(platform, name, SERVICE))
    return found


def image(platform: Platform, workload: Workload) -> str:
    """Name the image of a workload: its own, built from its context, or that of a server program.

    Raises `PermanentError` for a program that has no image here.
    """
    if workload.context:
        prefix = f"{platform.registry.rstrip('/')}/" if platform.registry else ""
        return f"{prefix}{platform.namespace}/{workload.context}:{platform.image_tag}"
    program = str(workload.command[0])
    if program not in PROGRAMS:
        raise PermanentError(
            f"workload `{workload.name}` runs `{program}`, for which no image is known",
            hint=f"known programs: {', '.join(sorted(PROGRAMS))}; or give the workload a context with a Dockerfile",
        )
    return PROGRAMS[program]


def config_files(platform: Platform, workload: Workload) -> dict[str, str]:
    """Give the text of a workload's configuration files, their references resolved."""
    return {
        name: json.dumps(resolve_json(platform, document), indent=2, sort_keys=True) + "\n"
        for name, document in sorted(workload.configs.items())
    }


def _pod(platform: Platform, workload: Workload, configs: dict[str, str]) -> Pod:
    volumes = [objects.secret_volume(secret_name(ref), [secret_key(ref)]) for ref in files(workload)]
    mounts: list[Object] = [
        {"name": volume["name"], "mountPath": f"{SECRETS}/{volume['name']}", "readOnly": True} for volume in volumes
    ]
    mounts += [{"name": name, "mountPath": f"{DATA}/{name}"} for name in workload.data]
    annotations: tuple[tuple[str, str], ...] = ()
    if configs:
        volumes.append({"name": "config", "configMap": {"name": f"{workload.name}-config"}})
        mounts.append({"name": "config", "mountPath": CONFIGS, "readOnly": True})
        digest = hashlib.sha256(json.dumps(configs, sort_keys=True).encode()).hexdigest()
        annotations = (("stepflow.dev/config-digest", digest),)  # a changed file rolls the pods
    return Pod(
        component=workload.name,
        part=SERVICE,
        container=_container(platform, workload),
        volumes=volumes,
        mounts=mounts,
        uid=NOBODY if workload.context else ENVOY_UID,
        size="large" if workload.data else "small",
        stop_grace=workload.stop_grace,
        annotations=annotations,
    )


def _container(platform: Platform, workload: Workload) -> Object:
    return {
        "name": workload.name,
        "image": image(platform, workload),
        "command": [resolve(platform, part) for part in workload.command],
        "env": _environment(platform, workload),
        "ports": [{"name": port.name, "containerPort": port.number, "protocol": "TCP"} for port in workload.ports],
    } | _probes(workload)


def _environment(platform: Platform, workload: Workload) -> list[Object]:
    plain = {"HOST": EVERYWHERE, "SERVICE": workload.name}
    plain |= {port.env: str(port.number) for port in workload.ports if port.env}
    plain |= {name: resolve(platform, value) for name, value in workload.env.items()}
    pod_fields = {"ADVERTISE_HOST": "status.podIP", "INSTANCE": "metadata.name"}
    told: list[Object] = [{"name": name, "value": plain[name]} for name in sorted(plain)]
    return told + [
        {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}
        for name, path in pod_fields.items()
    ]


def _probes(workload: Workload) -> Object:
    """Three distinct questions: has it started, may it get requests, must it be restarted."""
    ready = _get(workload.ready)
    period = 2
    alive = _get(workload.live) if workload.live else {"tcpSocket": {"port": workload.ready.port}}
    timeout = max(1, math.ceil(workload.ready.timeout))
    tries = max(3, math.ceil(workload.ready.deadline / period))
    return {
        "startupProbe": alive | {"periodSeconds": period, "timeoutSeconds": timeout, "failureThreshold": tries},
        "readinessProbe": ready | {"periodSeconds": 5, "timeoutSeconds": timeout, "failureThreshold": 2},
        "livenessProbe": alive | {"periodSeconds": 10, "timeoutSeconds": timeout, "failureThreshold": 3},
    }


def _get(probe: HttpProbe) -> Object:
    return {"httpGet": {"path": probe.path, "port": probe.port, "scheme": "HTTP"}}
