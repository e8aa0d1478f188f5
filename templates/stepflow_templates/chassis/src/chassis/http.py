"""Calls to other services: through the mesh when there is one, else straight to an instance that the registry knows.

Each call has a timeout; idempotent ones are repeated with jitter; a circuit breaker keeps a sick service from making
its callers sick; `traceparent` goes along.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx2

from chassis.breaker import CircuitBreaker, CircuitOpen
from chassis.telemetry import current_traceparent, span

if TYPE_CHECKING:
    from chassis.app import Service

__all__ = ["CircuitOpen", "NoInstanceError", "ServiceClient"]
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
RETRIED = frozenset({502, 503, 504})
SERVER_ERROR = 500
FIRST_WAIT = 0.1  # seconds before the first repetition, then twice as long each time, with full jitter


class NoInstanceError(ConnectionError):
    """Neither a mesh nor a healthy instance of the service is known."""


class ServiceClient:
    """A client of one service. Make it once, and use it for the service's life.

    `timeout` is seconds for one attempt; `retries` are repetitions of idempotent calls beyond the first attempt.
    """

    def __init__(self, service: Service, target: str, *, timeout: float = 2.0, retries: int = 2) -> None:
        self._service = service
        self._target = target
        self._retries = retries
        self._client = httpx2.AsyncClient(timeout=timeout, trust_env=False, verify=no_certificates())
        self.breaker = CircuitBreaker(target)
        service.on_stop(self._client.aclose)

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,  # noqa: ANN401 - any JSON
        headers: Mapping[str, str] | None = None,
        idempotent: bool | None = None,
    ) -> httpx2.Response:
        """Call and return the answer, whatever its status.

        Raises `CircuitOpen`, `NoInstanceError`, or httpx2's `TransportError` when no attempt was answered.
        """
        repeat = method.upper() in IDEMPOTENT if idempotent is None else idempotent
        attempts = 1 + (self._retries if repeat else 0)
        for attempt in range(1, attempts + 1):
            self.breaker.before()
            try:
                answer = await self._send(method, path, json, headers, attempt)
            except (httpx2.TransportError, NoInstanceError) as error:
                if isinstance(error, httpx2.TransportError):
                    self.breaker.failure()
                if attempt == attempts:
                    raise
            else:
                if answer.status_code < SERVER_ERROR:
                    self.breaker.success()
                    return answer
                self.breaker.failure()
                if attempt == attempts or answer.status_code not in RETRIED:
                    return answer
            await asyncio.sleep(random.uniform(0, FIRST_WAIT * 2 ** (attempt - 1)))  # noqa: S311 - jitter
        raise AssertionError("a loop that ends by return or raise")

    async def _send(
        self,
        method: str,
        path: str,
        json: Any,  # noqa: ANN401 - any JSON
        headers: Mapping[str, str] | None,
        attempt: int,
    ) -> httpx2.Response:
        base, extra = self._where(attempt)
        attributes: dict[str, str | int] = {
            "http.request.method": method,
            "server.address": self._target,
            "url.path": urlsplit(path).path,
            "http.request.resend_count": attempt - 1,
        }
        with span(f"{method} {self._target}", "client", attributes=attributes) as opened:
            sent = {**(headers or {}), **extra}
            traceparent = current_traceparent()
            if traceparent:
                sent["traceparent"] = traceparent
            answer = await self._client.request(method, f"{base}{path}", json=json, headers=sent)
            opened.set_attribute("http.response.status_code", answer.status_code)
            return answer

    def _where(self, attempt: int) -> tuple[str, dict[str, str]]:
        """Return the base URL and headers: those of the mesh, or of an instance when the mesh has just failed."""
        gateway = self._service.config.get("gateway")
        mesh = gateway.get("mesh_url") if isinstance(gateway, dict) else None
        known = [
            entry
            for entry in self._service.registry.values.values()
            if entry.get("service") == self._target and entry.get("status") == "passing"
        ]
        if mesh and (attempt == 1 or not known):
            return str(mesh).rstrip("/"), {"Host": self._target}
        if not known:
            raise NoInstanceError(f"no healthy instance of `{self._target}` is registered")
        entry = random.choice(known)  # noqa: S311 - spreading load
        return f"http://{entry['address']}:{entry['port']}", {}


def no_certificates() -> ssl.SSLContext:
    """Trust no certificate: for plain HTTP, as reading the machine's certificates delays a start by 0.1 s."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
