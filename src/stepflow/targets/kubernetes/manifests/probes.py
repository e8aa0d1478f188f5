"""Three distinct questions to a workload: has it started, may it get requests, must it be restarted."""

from __future__ import annotations

import math

from stepflow.errors import PermanentError
from stepflow.workload import HttpProbe, Workload

from .model import Object


def workload_probes(workload: Workload) -> Object:
    """Return the probes of a workload's container. Raises `PermanentError` for one that asks a port that it has not.

    Where nothing else is declared, what takes connections is alive: not to be ready is no reason to be restarted.
    """
    ready = _get(workload, workload.ready)
    alive: Object = {"tcpSocket": {"port": workload.ready.port}}
    if workload.live and (workload.live.path, workload.live.port) != (workload.ready.path, workload.ready.port):
        alive = _get(workload, workload.live)
    timeout = {"timeoutSeconds": max(1, math.ceil(workload.ready.timeout))}
    patience = max(10, math.ceil(2 * workload.ready.deadline))  # a slow node is no reason to begin anew
    return {
        "startupProbe": alive | timeout | {"periodSeconds": 1, "failureThreshold": patience},
        "readinessProbe": ready | timeout | {"periodSeconds": 2, "failureThreshold": 3},
        # A node that is short of CPU must not have its pods restarted, which takes more of it.
        "livenessProbe": alive | {"timeoutSeconds": 5, "periodSeconds": 10, "failureThreshold": 6},
    }


def _get(workload: Workload, probe: HttpProbe) -> Object:
    if probe.port not in {port.name for port in workload.ports}:
        raise PermanentError(f"a probe of `{workload.name}` asks its port `{probe.port}`, which it has not")
    return {"httpGet": {"path": probe.path, "port": probe.port, "scheme": "HTTP"}}
