"""Three distinct questions to a workload: has it started, may it get requests, must it be restarted."""

from __future__ import annotations

import math

from stepflow.workload import HttpProbe, Workload

from .model import Object


def workload_probes(workload: Workload) -> Object:
    """Return the probes of a workload's container.

    Unless declared otherwise, a workload that accepts connections is alive: not being ready does not restart it.
    """
    ready = _get(workload.ready)
    alive: Object = {"tcpSocket": {"port": workload.ready.port}}
    if workload.live and (workload.live.path, workload.live.port) != (workload.ready.path, workload.ready.port):
        alive = _get(workload.live)
    timeout = {"timeoutSeconds": max(1, math.ceil(workload.ready.timeout))}
    patience = max(10, math.ceil(2 * workload.ready.deadline))  # a slow node must not cause restarts
    return {
        "startupProbe": alive | timeout | {"periodSeconds": 1, "failureThreshold": patience},
        "readinessProbe": ready | timeout | {"periodSeconds": 2, "failureThreshold": 3},
        # A node that is short of CPU must not have its pods restarted, which takes more of it.
        "livenessProbe": alive | {"timeoutSeconds": 5, "periodSeconds": 10, "failureThreshold": 6},
    }


def _get(probe: HttpProbe) -> Object:
    return {"httpGet": {"path": probe.path, "port": probe.port, "scheme": "HTTP"}}
