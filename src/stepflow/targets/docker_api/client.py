"""The Docker engine: one client for all threads, its blocking calls made in threads, its errors translated."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from docker import APIClient
from docker.context import ContextAPI
from docker.credentials.errors import StoreError
from docker.errors import DockerException, create_api_error_from_http_exception
from docker.utils import kwargs_from_env
from docker.utils.socket import frames_iter
from requests import HTTPError, Response
from requests.exceptions import RequestException

from stepflow.errors import MachineError
from stepflow.targets.docker_api.errors import GONE, NEWER, EngineRefusedError, translated

OLDEST = (1, 41)  # the API of Docker 20.10: what this target was made with
_DEFAULT = "unix:///var/run/docker.sock"
_LOOPBACK = ("", "localhost", "127.0.0.1", "::1")
_PATIENCE = 120  # seconds that one answer may take
_PATIENCE_AT_FIRST = 20  # seconds that the first one may take, to what any engine answers at once
_SOCKETS = 32  # at once
_PIECE = 1024 * 1024  # bytes
_FAILURES = (DockerException, RequestException, StoreError, OSError)  # what the SDK raises
_T = TypeVar("_T")


class _Chunk(NamedTuple):
    """One thing that a stream gave, or how it ended."""

    item: Any = None
    error: Exception | None = None
    over: bool = False


class Engine:
    """An engine that is connected to when it is first asked."""

    def __init__(self) -> None:
        # Its own: asyncio's has few threads, and a container that is slow to stop holds one.
        self._threads = ThreadPoolExecutor(_SOCKETS, thread_name_prefix="docker")
        self._lock = threading.Lock()
        self._client: APIClient | None = None
        self._failures: list[Exception] = []  # to connect
        self._info: Mapping[str, Any] = {}
        self._configs: dict[str, Mapping[str, Any]] = {}
        self.host, self._options = _place()

    async def ask(self, call: Callable[[APIClient], _T]) -> _T:
        """Make one blocking call in a thread.

        Raises `EngineRefusedError` for what the engine will not do, `MachineError` when there is no engine or no space,
        `TemporaryError` when it went away in the middle.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.ask_now, call)

    def ask_now(self, call: Callable[[APIClient], _T]) -> _T:
        """Make one blocking call in this thread. Raises like `ask`."""
        try:
            _listens(self.host)
            return call(self._connected())
        except _FAILURES as error:
            raise translated(error, self.host, met=self._client is not None) from error

    async def info(self) -> Mapping[str, Any]:
        """Return what it tells of itself and its machine; asked once."""
        if not self._info:
            self._info = await self.ask(lambda api: api.info())
        return self._info

    async def config(self, image: str) -> Mapping[str, Any] | None:
        """Return what containers have from an image (its id) unless they are given something else; None when gone.

        Asked once: what an image of one id holds never changes.
        """
        if image not in self._configs:
            try:
                self._configs[image] = (await self.ask(lambda api: api.inspect_image(image))).get("Config") or {}
            except EngineRefusedError as error:
                if error.status != GONE:
                    raise
                return None
        return self._configs[image]

    async def stream(self, call: Callable[[APIClient], Iterator[Any]]) -> AsyncGenerator[Any]:
        """Yield what a call streams as it comes; stopping early closes it. Raises like `ask`."""
        loop = asyncio.get_running_loop()
        replies: asyncio.Queue[_Chunk] = asyncio.Queue()
        stream = await self.ask(call)

        def put(reply: _Chunk) -> None:
            with suppress(RuntimeError):  # the loop is closed: nothing listens any more
                loop.call_soon_threadsafe(replies.put_nowait, reply)

        def read() -> None:
            try:
                for item in stream:
                    put(_Chunk(item))
            except (*_FAILURES, ValueError) as error:
                put(_Chunk(error=error))
            put(_Chunk(over=True))

        # A thread of its own: a log that is followed for hours must not hold one of the few that calls share.
        threading.Thread(target=read, name="docker-stream", daemon=True).start()
        try:
            while not (reply := await replies.get()).over:
                if reply.error is not None:
                    raise translated(reply.error, self.host, met=True) from reply.error
                yield reply.item
        finally:
            close = getattr(stream, "close", None)
            if close is not None:
                with suppress(DockerException, OSError, ValueError):  # it is closed already, or being read
                    close()

    def archive(self, references: Sequence[str]) -> Iterator[bytes]:
        """Return images as one archive (`docker save`), piece by piece, what they share once; blocking, for a thread.

        Raises like `ask`, between pieces too.
        """
        try:
            with self.ask_now(lambda api: _saved(api, references)) as answer:
                yield from answer.iter_content(_PIECE)
        except _FAILURES as error:
            raise translated(error, self.host, met=True) from error

    def feed(self, container: str, command: tuple[str, ...], pieces: Iterable[bytes]) -> tuple[int, str]:
        """Run a command in a container with these pieces as its standard input; return its exit code and its output.

        Blocking, for a thread. Raises like `ask`, and whatever getting the next piece raises.
        """
        return self.ask_now(lambda api: _fed(api, container, command, pieces))

    def _connected(self) -> APIClient:
        failed = len(self._failures)
        with self._lock:
            if self._client is None:
                if len(self._failures) > failed:  # of several calls at once, each would wait as long again
                    raise self._failures[-1]
                try:
                    self._client = self._connect()
                except Exception as error:
                    self._failures.append(error)
                    raise
            return self._client

    def _connect(self) -> APIClient:
        _local(self.host)
        client = APIClient(version="auto", timeout=_PATIENCE_AT_FIRST, max_pool_size=_SOCKETS, **self._options)
        client.timeout = _PATIENCE
        # No connection is kept: none can be stale after a restart of the engine, none is left open.
        client.headers["Connection"] = "close"
        if tuple(map(int, client.api_version.split("."))) < OLDEST:
            raise MachineError(
                f"the Docker engine at {self.host} is too old: its API is {client.api_version}, "
                f"{'.'.join(map(str, OLDEST))} is needed",
                hint=NEWER,
            )
        return client


def update(api: APIClient, container: str, resources: Mapping[str, int]) -> None:
    """Change the limits of a container, called as the engine's API calls them: the SDK's own call lacks some."""
    answer: Response = api.post(
        f"{api.base_url}/v{api.api_version}/containers/{container}/update", json=dict(resources), timeout=api.timeout
    )
    _require_accepted(answer)


def _saved(api: APIClient, references: Sequence[str]) -> Response:
    """Ask for an archive of several images: the SDK's own call takes one."""
    place = f"{api.base_url}/v{api.api_version}/images/get"
    answer: Response = api.get(place, params={"names": references}, stream=True, timeout=api.timeout)
    _require_accepted(answer)
    return answer


def _fed(api: APIClient, container: str, command: tuple[str, ...], pieces: Iterable[bytes]) -> tuple[int, str]:
    made = api.exec_create(container, command, stdin=True, user="0")["Id"]
    stream = api.exec_start(made, socket=True)
    connection: socket.socket = getattr(stream, "_sock", stream)
    connection.settimeout(None)  # an import may think for as long as it likes
    try:
        with suppress(BrokenPipeError, ConnectionResetError):  # it ended early, and its words say why
            for piece in pieces:
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)
        said = b"".join(data for _, data in frames_iter(stream, tty=False))
    finally:
        stream.close()
        connection.close()
    return int(api.exec_inspect(made)["ExitCode"] or 0), said.decode(errors="replace")


def _require_accepted(answer: Response) -> None:
    try:
        answer.raise_for_status()
    except HTTPError as error:
        raise create_api_error_from_http_exception(error) from error


def _place() -> tuple[str, dict[str, Any]]:
    """Return where the engine is: as `DOCKER_HOST` says, else the CLI's current context, else the usual socket.

    Raises `MachineError` for TLS settings that cannot be.
    """
    try:
        options: dict[str, Any] = kwargs_from_env()
    except DockerException as error:
        raise translated(error, os.environ.get("DOCKER_HOST", ""), met=False) from error
    if "base_url" not in options and not os.environ.get("DOCKER_TLS_VERIFY"):
        with suppress(Exception):  # a context that cannot be read is the CLI's matter
            context = ContextAPI.get_context(os.environ.get("DOCKER_CONTEXT") or None)
            if context is not None and context.Host:
                options["base_url"] = context.Host.replace("http+unix://", "unix://")
                if context.TLSConfig:
                    options["tls"] = context.TLSConfig
    host = options.setdefault("base_url", _DEFAULT)
    return host, options


def _listens(host: str) -> None:
    """Raise `OSError` when nothing listens on a socket file: the SDK would leave its half-made socket open."""
    place = urlsplit(host)
    if place.scheme == "unix":
        with socket.socket(socket.AF_UNIX) as attempt:
            attempt.connect(place.path)


def _local(host: str) -> None:
    """Raise `MachineError` for an engine on another machine: what it publishes cannot be reached from here."""
    place = urlsplit(host)
    if place.scheme == "ssh" or (place.scheme in {"tcp", "http", "https"} and place.hostname not in _LOOPBACK):
        raise MachineError(
            f"the Docker engine at {host} is on another machine, where its ports cannot be reached from here",
            hint="run stepflow on that machine, or unset `DOCKER_HOST`",
        )
