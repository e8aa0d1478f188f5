"""The connection to a cluster's API: one client for all threads, blocking calls made in threads, errors translated."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from kubernetes.client import ApiClient, ApiException
from urllib3 import Retry
from urllib3.exceptions import ReadTimeoutError

from stepflow.targets.kubernetes.api.errors import FAILURES, failed, refused, stranger
from stepflow.targets.kubernetes.api.kinds import Object
from stepflow.targets.kubernetes.api.kubeconfig import connection

JSON = "application/json"
_PATIENCE = 60.0  # seconds that an answer may take: the cluster may ask others about what it is told
_PATIENCE_TO_READ = 20.0  # seconds that one may take that the cluster gives by itself
_SOCKETS = 32  # at once
_BAD = 400  # the first status that is not a success: RFC 9110, section 15.5
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class WebSocketAuth:
    """What another protocol needs to connect as the same user."""

    address: str  # URL of the API
    headers: Mapping[str, str]
    tls: ssl.SSLContext | None
    server_name: str  # that its certificate has; "" for that of the address


class _Repeated(Retry):
    """Repeats idempotent calls whose connection broke, and not what got no answer in time."""

    def increment(self, *args: Any, **given: Any) -> Self:  # noqa: ANN401 - as above
        """Return what is left. Raises the error where nothing is repeated."""
        error = given.get("error")
        if isinstance(error, ReadTimeoutError):
            raise error
        return super().increment(*args, **given)


class Transport:
    """The API behind one context of the kubeconfig; connected to when it is first asked."""

    def __init__(self, context: str) -> None:
        self.context = context
        # Its own: asyncio's has few threads, and one that waits for a slow answer holds one.
        self._threads = ThreadPoolExecutor(_SOCKETS, thread_name_prefix="kubernetes")
        self._lock = threading.Lock()
        self._client: Any = None  # the official client has no types
        self._met = False

    @property
    def address(self) -> str:
        """The URL of the API."""
        return str(self._connected().configuration.host)

    async def in_thread(self, call: Callable[[], _T]) -> _T:
        """Make a blocking call in one of the client's threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def send(
        self, method: str, path: str, query: Sequence[tuple[str, str]] = (), body: object = None, content: str = JSON
    ) -> Object:
        """Make one blocking call and return the answer.

        Raises `ClusterRefusedError` for what the cluster refuses, `MachineError` when no cluster is to be had there,
        `TemporaryError` when it went away in the middle or is too busy.
        """
        kind = str(body.get("kind", "")) if isinstance(body, dict) else ""
        try:
            patience = _PATIENCE_TO_READ if method == "GET" else _PATIENCE
            raw = self._call(method, path, query, body, content, patience=patience)
            text = raw.read()
        except FAILURES as error:
            raise failed(error, self.address, met=self._met) from error
        if raw.status >= _BAD:
            raise refused(raw.status, _json(text) or _quoted(text), method, path, kind)
        answer = _json(text)
        if answer is None:
            raise stranger(self.address)
        self._met = True
        return answer

    async def stream(self, path: str, query: Sequence[tuple[str, str]] = ()) -> AsyncGenerator[bytes]:
        """Yield what a call streams as it comes; stopping early closes it. Raises like `send`."""
        loop = asyncio.get_running_loop()
        chunks: asyncio.Queue[bytes] = asyncio.Queue()
        raw = await self.in_thread(lambda: self._opened(path, query))

        def put(chunk: bytes) -> None:
            with suppress(RuntimeError):  # the loop is closed: there are no listeners any more
                loop.call_soon_threadsafe(chunks.put_nowait, chunk)

        def read() -> None:
            with suppress(*FAILURES, ValueError, AttributeError):  # closed by the other side, or below, by us
                while data := raw.read1():
                    put(data)
            raw.close()
            put(b"")

        # A thread of its own: a log that is followed for hours must not hold one of the few that calls share.
        threading.Thread(target=read, name="kubernetes-stream", daemon=True).start()
        try:
            while chunk := await chunks.get():
                yield chunk
        finally:
            with suppress(*FAILURES, ValueError, RuntimeError):  # it has ended
                raw.shutdown()

    def door(self) -> WebSocketAuth:
        """Return what a websocket needs."""
        settings = self._connected().configuration
        auth = settings.auth_settings().get("BearerToken")
        headers = {"Authorization": str(auth["value"])} if auth else {}
        tls = _tls(settings) if settings.host.startswith("https") else None
        return WebSocketAuth(str(settings.host).rstrip("/"), headers, tls, settings.tls_server_name or "")

    def close(self) -> None:
        """Close threads and connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            if self._client is not None:
                self._client.rest_client.pool_manager.clear()

    def _opened(self, path: str, query: Sequence[tuple[str, str]]) -> Any:  # noqa: ANN401 - urllib3's answer
        try:
            raw = self._call("GET", path, query, None, JSON, patience=None)
            text = raw.read() if raw.status >= _BAD else b""
        except FAILURES as error:
            raise failed(error, self.address, met=self._met) from error
        if raw.status >= _BAD:
            raise refused(raw.status, _json(text) or _quoted(text), "GET", path, "")
        return raw

    def _call(
        self, method: str, path: str, query: Sequence[tuple[str, str]], body: object, content: str, *,
        patience: float | None,
    ) -> Any:  # noqa: ANN401 - as above  # fmt: skip
        client = self._connected()
        headers = {"Accept": JSON, **({"Content-Type": content} if body is not None else {})}
        call = client.param_serialize(
            method, path, query_params=list(query), header_params=headers, auth_settings=["BearerToken"]
        )
        method, url, headers = call[:3]
        try:
            return client.rest_client.request(method, url, headers, body, _request_timeout=patience).response
        except ApiException as error:  # only for TLS, which it wraps into words
            raise error.__context__ or error from error

    def _connected(self) -> Any:  # noqa: ANN401 - as above
        with self._lock:
            if self._client is None:
                settings = connection(self.context)
                settings.connection_pool_maxsize = _SOCKETS
                settings.retries = _Repeated(total=2, connect=0, redirect=0, status=0, other=0)
                self._client = ApiClient(settings)
            return self._client


def _tls(settings: Any) -> ssl.SSLContext:  # noqa: ANN401 - as above
    context = ssl.create_default_context(cafile=settings.ssl_ca_cert or None)
    if not settings.verify_ssl:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if settings.cert_file:
        context.load_cert_chain(settings.cert_file, settings.key_file)
    return context


def _json(text: bytes) -> Object | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _quoted(text: bytes) -> Object:
    return {"message": text.decode(errors="replace")[:300]}
