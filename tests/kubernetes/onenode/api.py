"""The HTTP side: requests become calls of `Objects`, and their results answers, on a port of this machine."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass

import yaml
from aiohttp import web
from aiohttp.web import Request, Response, StreamResponse

from onenode.apply import check_fields, merge_patched, merged
from onenode.kinds import BY_PATH, VERSIONS, Kind, Object
from onenode.objects import Objects, leaving
from onenode.refusals import RefusedError, unknown_path

Stream = Callable[[Request, Object], Awaitable[StreamResponse]]
CONTEXT = "stepflow-tests"
_VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.2", "platform": "linux/amd64"}
_RETURNED = {"Pod", "PersistentVolume", "PersistentVolumeClaim", "ResourceQuota", "Service", "ServiceAccount"}
"""Kinds of which the API returns what was deleted; of others it returns a status."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a path names."""

    kind: Kind
    namespace: str = ""
    name: str = ""
    sub: str = ""


class Api:
    """Answers requests; `streams` are the subresources of pods that only a node can answer."""

    def __init__(self, objects: Objects, streams: Mapping[str, Stream]) -> None:
        self._objects = objects
        self._streams = streams

    async def serve(self) -> tuple[web.AppRunner, int]:
        """Serve on loopback; returns what ends it, and the port."""
        app = web.Application(client_max_size=8 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner, int(runner.addresses[0][1])

    async def _answer(self, request: Request) -> StreamResponse:
        """Answer one request; a refusal is answered with its status."""
        try:
            if request.path == "/version":
                return web.json_response(_VERSION)
            place = _place(request.path)
            if place is None:
                return Response(status=404, text="404 page not found\n")
            if place.sub:
                return await self._stream(request, place)
            code, body = self._one(request, place, await request.text())
            return web.json_response(body, status=code)
        except RefusedError as error:
            return web.json_response(error.status, status=error.status["code"])

    async def _stream(self, request: Request, place: Place) -> StreamResponse:
        pod = self._live(place)
        if place.sub not in self._streams:
            raise unknown_path()
        return await self._streams[place.sub](request, pod)

    def _one(self, request: Request, place: Place, text: str) -> tuple[int, Object]:
        manager = request.query.get("fieldManager") or request.headers.get("User-Agent", "").partition("/")[0]
        body: Object = json.loads(text) if text.startswith("{") else yaml.safe_load(text) or {}
        match request.method, request.content_type:
            case "GET", _:
                return 200, self._live(place) if place.name else self._list(place, request.query)
            case "POST", _:
                return 201, self._objects.create(_addressed(body, place), manager)
            case "DELETE", _:
                return 200, self._delete(place, body)
            case "PATCH", "application/apply-patch+yaml":
                check_fields(place.kind, body)
                force, dry_run = request.query.get("force") == "true", request.query.get("dryRun") == "All"
                wanted = _addressed(body, place)
                result, made = self._objects.apply(wanted, manager, force=force, dry_run=dry_run)
                return (201 if made else 200), result
            case "PATCH", "application/strategic-merge-patch+json":
                return 200, self._objects.patch(self._live(place), lambda live: merged(place.kind, live, body), manager)
            case "PATCH", "application/merge-patch+json":
                return 200, self._objects.patch(self._live(place), lambda live: merge_patched(live, body), manager)
        raise _beyond(f"{request.method} {request.content_type}")

    def _live(self, place: Place) -> Object:
        return self._objects.store.get(place.kind.name, place.namespace, place.name)

    def _list(self, place: Place, query: Mapping[str, str]) -> Object:
        """Return a page of a list, in the order of namespaces and names."""
        if set(query) - {"labelSelector", "limit", "continue"} or set(query.get("labelSelector", "")) & set("!("):
            raise _beyond(dict(query))
        wanted = [part.split("=") for part in query.get("labelSelector", "").split(",") if part]
        found = self._objects.store.list(place.kind.name, place.namespace)
        items = [each for each in found if _selected(each["metadata"].get("labels", {}), wanted)]
        start, limit = int(b64decode(query.get("continue", "")) or 0), int(query.get("limit") or len(items))
        metadata = {"resourceVersion": str(self._objects.store.version)}
        if start + limit < len(items):
            metadata["continue"] = b64encode(str(start + limit).encode()).decode()
        bare = [
            {key: value for key, value in each.items() if key not in {"kind", "apiVersion"}}
            for each in items[start : start + limit]
        ]
        kind = place.kind
        return {"kind": f"{kind.name}List", "apiVersion": kind.version, "metadata": metadata, "items": bare}

    def _delete(self, place: Place, options: Object) -> Object:
        if options.get("propagationPolicy", "Background") != "Background":
            raise _beyond(options)
        result = self._objects.delete(self._live(place), options)
        if leaving(result) or place.kind.name in _RETURNED:
            return result
        details = {"name": place.name, "kind": place.kind.plural, "uid": result["metadata"]["uid"]}
        details |= {"group": place.kind.group} if place.kind.group else {}
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _beyond(asked: object) -> RefusedError:
    """Return the refusal for a request that a real API answers and this one does not."""
    return RefusedError(501, "NotImplemented", f"beyond what the tests' API does (see its README.md): {asked}")


def _selected(labels: Mapping[str, str], wanted: list[list[str]]) -> bool:
    """Return whether labels fit a selector's parts, each `key=value` or `key`."""
    return all(labels.get(key) == value[0] if value else key in labels for key, *value in wanted)


def _addressed(body: Object, place: Place) -> Object:
    """Return a body with the kind and namespace that its path says."""
    kind = {"apiVersion": place.kind.version, "kind": place.kind.name}
    space = {"namespace": place.namespace} if place.namespace else {}
    return {**kind, **deepcopy(body), "metadata": {**space, **body.get("metadata", {})}}


def _place(path: str) -> Place | None:
    """Return what a path names; None for a path of a group that does not exist. Raises `RefusedError`."""
    root, *parts = path.strip("/").split("/")
    size = {"api": 1, "apis": 2}.get(root, 0)
    version, rest = "/".join(parts[:size]), parts[size:]
    if version not in VERSIONS:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        _, namespace, *rest = rest
    kind = BY_PATH.get((version, rest[0]))
    if kind is None:
        raise unknown_path()
    name, sub = (*rest[1:], "", "")[:2]
    return Place(kind, namespace, name, sub)


def kubeconfig(port: int) -> str:
    """Format the kubeconfig that leads to the API on a port."""
    return yaml.safe_dump({
        "apiVersion": "v1", "kind": "Config", "current-context": CONTEXT,
        "clusters": [{"name": CONTEXT, "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "admin", "user": {"token": "admin"}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": "admin"}}],
    })  # fmt: skip


def furnish(objects: Objects) -> None:
    """Create what every cluster has: its first namespaces and a default storage class."""
    for name in ("default", "kube-system"):
        objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, "cluster")
    objects.create({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "stepflow-tests/folders",
        "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    }, "cluster")  # fmt: skip
