"""Stopping a pod without losing a request: it first gets no new connections, then it is told to end."""

from __future__ import annotations

from .model import Object

PROPAGATION = 5
"""Seconds until the whole cluster knows that a pod is no longer an endpoint of its Services."""
_ENVOY = r"""
ask() {
  exec 3<>"/dev/tcp/127.0.0.1/$0" || exit 0
  printf '%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n' "$1" >&3
  cat <&3
}
ask 'POST /healthcheck/fail' >/dev/null
sleep "$1"
for ((i = 0; i < $2; i++)); do
  ask 'GET /stats?filter=downstream_rq_active' | grep -v 'http.admin' | grep -q 'rq_active: [1-9]' || exit 0
  sleep 1
done
"""
"""Envoy cuts what is in flight upon SIGTERM. From the first request on each of its answers closes its connection."""


def sleep(seconds: int = PROPAGATION) -> Object:
    """Return the hook of a server that ends its requests by itself once it is asked to end."""
    return {"sleep": {"seconds": seconds}}


def envoy(admin: int, longest: int) -> Object:
    """Return Envoy's hook: it waits until no request is in flight, at most `longest` seconds after the propagation."""
    return {"exec": {"command": ["bash", "-c", _ENVOY, str(admin), str(PROPAGATION), str(longest)]}}
