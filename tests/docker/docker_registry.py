"""A registry of images on loopback: as much of the OCI distribution protocol as an engine needs to push."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

_PLACE = re.compile(r"/v2/(?P<name>.+)/(?P<kind>blobs|manifests)/(?P<what>.+)")


@dataclass
class Registry:
    """What has been pushed. With `closed` it wants a password of everybody."""

    closed: bool = False
    port: int = 0
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, bytes] = field(default_factory=dict)  # `name:tag` -> manifest

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextmanager
def serving(registry: Registry) -> Iterator[Registry]:
    """Serve a registry on a free port."""

    class Handler(_Handler):
        content = registry

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        registry.port = server.server_port
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield registry
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    content: Registry

    def do_GET(self) -> None:
        if self.content.closed:
            self._answer(401, {"WWW-Authenticate": 'Basic realm="closed"'})
        elif self.path == "/v2/":
            self._answer(200)
        else:
            self._found()

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def do_POST(self) -> None:
        self._body()
        self._answer(202, {"Location": f"{urlsplit(self.path).path}one", "Range": "0-0"})

    def do_PATCH(self) -> None:
        body = self._body()
        digest = f"sha256:{sha256(body).hexdigest()}"
        self.content.blobs[digest] = body
        self._answer(202, {"Location": self.path, "Range": f"0-{len(body)}"})

    def do_PUT(self) -> None:
        body = self._body()
        found = _PLACE.fullmatch(self.path)
        if found and found["kind"] == "manifests":
            self.content.manifests[f"{found['name']}:{found['what']}"] = body
            self._answer(201, {"Docker-Content-Digest": f"sha256:{sha256(body).hexdigest()}"})
            return
        digest = parse_qs(urlsplit(self.path).query)["digest"][0]
        if body:
            self.content.blobs[digest] = body
        self._answer(201 if digest in self.content.blobs else 400, {"Docker-Content-Digest": digest})

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def _found(self) -> None:
        found = _PLACE.fullmatch(self.path)
        assert found
        there = self.content.blobs if found["kind"] == "blobs" else self.content.manifests
        key = found["what"] if found["kind"] == "blobs" else f"{found['name']}:{found['what']}"
        if key in there:
            self._answer(200, {"Docker-Content-Digest": key, "X-Length": str(len(there[key]))})
        else:
            self._answer(404)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": "0", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
