"""The HTTP side: paths, queries and bodies to what `Objects` does, and its answers back."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import yaml
from aiohttp import web
from aiohttp.web import Request, Response, StreamResponse

from onenode.discovery import discovery
from onenode.fields import owned
from onenode.kinds import BY_NAME, BY_PATH, VERSIONS, Kind, Object
from onenode.merging import merge_patched, strategic_patched
from onenode.objects import Objects
from onenode.selectors import by_fields, by_labels, selects
from onenode.statuses import RefusedError, invalid, unknown_path
from onenode.watching import watch

Stream = Callable[[Request, Object], Awaitable[StreamResponse]]
_APPLY, _MERGE, _STRATEGIC = (
    "application/apply-patch+yaml", "application/merge-patch+json", "application/strategic-merge-patch+json",
)  # fmt: skip
_GIVEN_BACK = {"Pod", "PersistentVolume", "PersistentVolumeClaim", "ResourceQuota", "Service", "ServiceAccount"}
"""Kinds of which the API shows once more what was deleted; of others it says that it was."""
_TRUE = {"true", "1", "True"}


@dataclass(frozen=True, slots=True)
class Place:
    """What a path names."""

    kind: Kind
    namespace: str = ""
    name: str = ""
    sub: str = ""


class Api:
    """Answers requests; `streams` are the subresources of pods that only a node can answer."""

    def __init__(self, objects: Objects, streams: dict[str, Stream]) -> None:
        self._objects = objects
        self._streams = streams

    async def answer(self, request: Request) -> StreamResponse:
        """Answer one request; what is refused becomes the body that says why."""
        try:
            if found := discovery(request.path):
                return web.json_response(found)
            place = _place(request.path)
            if place is None:
                return Response(status=404, text="404 page not found\n")
            return await self._answer(request, place)
        except RefusedError as error:
            return web.json_response(error.status, status=error.status["code"])

    async def _answer(self, request: Request, place: Place) -> StreamResponse:
        if place.sub in self._streams:
            pod = self._objects.store.get("Pod", place.namespace, place.name)
            return await self._streams[place.sub](request, pod)
        if request.method == "GET" and not place.name:
            return await self._list(request, place)
        code, body = await self._one(request, place)
        return web.json_response(body, status=code)

    async def _list(self, request: Request, place: Place) -> StreamResponse:
        query = request.query
        labels, fields = (
            by_labels(query.get("labelSelector", "")),
            by_fields(query.get("fieldSelector", ""), place.kind.name),
        )

        def wanted(each: Object) -> bool:
            here = place.namespace in ("", each["metadata"].get("namespace", ""))
            return here and labels(each) and fields(each)

        if query.get("watch") in _TRUE:
            return await watch(request, self._objects.store, place.kind, wanted)
        items = [each for each in self._objects.store.list(place.kind.name, place.namespace) if wanted(each)]
        return web.json_response(_listed(place.kind, items, str(self._objects.store.version), query))

    async def _one(self, request: Request, place: Place) -> tuple[int, Object]:  # noqa: PLR0911 - one for each verb
        how = _Asked.of(request)
        body = _read(await request.text())
        if place.sub == "scale":
            return 200, self._scale(request.method, place, body, how)
        if place.sub == "eviction":
            return 201, self._evict(place, body)
        if request.method == "GET":
            return 200, self._objects.store.get(place.kind.name, place.namespace, place.name)
        if request.method == "POST":
            return 201, self._objects.create(_addressed(body, place), how.manager, dry_run=how.dry_run)
        if request.method == "DELETE":
            return 200, self._delete(request, place, body, how)
        if request.content_type == _APPLY and request.method == "PATCH":
            return self._apply(place, body, how)
        return 200, self._write(request, place, body, how)

    def _apply(self, place: Place, body: Object, how: _Asked) -> tuple[int, Object]:
        if not how.asked_manager:
            error = invalid(
                place.kind, "", "fieldManager", "Required value: is required for apply patch", "FieldValueRequired"
            )
            error.status["message"] = (
                f'PatchOptions.meta.k8s.io "" is invalid: {error.status["message"].partition(": ")[2]}'
            )
            error.status["details"] = {
                "group": "meta.k8s.io", "kind": "PatchOptions", "causes": error.status["details"]["causes"],
            }  # fmt: skip
            raise error
        owned(place.kind, body)
        result, made = self._objects.apply(_addressed(body, place), how.manager, force=how.force, dry_run=how.dry_run)
        return (201 if made else 200), result

    def _write(self, request: Request, place: Place, body: Object, how: _Asked) -> Object:
        def change(live: Object) -> Object:
            if request.method == "PUT":
                return body
            if request.content_type == _STRATEGIC:
                return strategic_patched(place.kind, live, body)
            return merge_patched(live, body)

        if place.sub == "status":
            live = self._objects.store.get(place.kind.name, place.namespace, place.name)
            return self._objects.store.put({**live, "status": change(live).get("status", {})})
        return self._objects.update(place.kind, place.namespace, place.name, change, how.manager, dry_run=how.dry_run)

    def _delete(self, request: Request, place: Place, body: Object, how: _Asked) -> Object:
        options = {
            **body,
            **({"gracePeriodSeconds": int(grace)} if (grace := request.query.get("gracePeriodSeconds")) else {}),
        }
        if policy := request.query.get("propagationPolicy"):
            options["propagationPolicy"] = policy
        if not place.name:
            labels, fields = (
                by_labels(request.query.get("labelSelector", "")),
                by_fields(request.query.get("fieldSelector", ""), place.kind.name),
            )
            items = [
                each
                for each in self._objects.store.list(place.kind.name, place.namespace)
                if labels(each) and fields(each)
            ]
            for each in items:
                self._objects.delete(
                    place.kind, place.namespace, each["metadata"]["name"], options, dry_run=how.dry_run
                )
            return _listed(place.kind, items, str(self._objects.store.version), {})
        result = self._objects.delete(place.kind, place.namespace, place.name, options, dry_run=how.dry_run)
        if "deletionTimestamp" in result["metadata"] or place.kind.name in _GIVEN_BACK:
            return result
        details = {"name": place.name, "kind": place.kind.plural, "uid": result["metadata"]["uid"]}
        group = {"group": place.kind.group} if place.kind.group else {}
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": {**details, **group},
        }

    def _scale(self, method: str, place: Place, body: Object, how: _Asked) -> Object:
        if method != "GET":
            count = body["spec"].get("replicas", 0)

            def change(live: Object) -> Object:
                return {**live, "spec": {**live["spec"], "replicas": count}}

            self._objects.update(place.kind, place.namespace, place.name, change, how.manager, dry_run=how.dry_run)
        live = self._objects.store.get(place.kind.name, place.namespace, place.name)
        metadata = {
            key: live["metadata"][key] for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        }
        labels = live["spec"]["selector"].get("matchLabels", {})
        status = {
            "replicas": live["status"].get("replicas", 0),
            "selector": ",".join(f"{k}={v}" for k, v in labels.items()),
        }
        count = live["spec"].get("replicas", 0)
        spec = {"replicas": count} if count else {}
        return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status}

    def _evict(self, place: Place, body: Object) -> Object:
        pod = self._objects.store.get("Pod", place.namespace, place.name)
        for budget in self._objects.store.list("PodDisruptionBudget", place.namespace):
            picked = selects(budget["spec"].get("selector"), pod["metadata"].get("labels", {}))
            if picked and budget["status"].get("disruptionsAllowed", 0) < 1:
                name, status = budget["metadata"]["name"], budget["status"]
                said = (
                    f"The disruption budget {name} needs {status.get('desiredHealthy', 0)} healthy pods and has "
                    f"{status.get('currentHealthy', 0)} currently"
                )
                cause = {"reason": "DisruptionBudget", "message": said}
                why = "Cannot evict pod as it would violate the pod's disruption budget."
                raise RefusedError(429, "TooManyRequests", why, causes=[cause])
        self._objects.delete(BY_NAME["Pod"], place.namespace, place.name, body.get("deleteOptions"))
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a query says about a change."""

    manager: str
    asked_manager: bool
    force: bool
    dry_run: bool

    @classmethod
    def of(cls, request: Request) -> _Asked:
        asked = request.query.get("fieldManager", "")
        agent = request.headers.get("User-Agent", "unknown").partition("/")[0]
        return cls(
            asked or agent, bool(asked), request.query.get("force") in _TRUE, request.query.get("dryRun") == "All"
        )


def _read(text: str) -> Object:
    found: Any = yaml.safe_load(text) if text and not text.startswith("{") else json.loads(text or "{}")
    if not isinstance(found, dict):
        raise RefusedError(400, "BadRequest", "the body of the request is no object")
    return found


def _addressed(body: Object, place: Place) -> Object:
    body = deepcopy(body)
    body.setdefault("apiVersion", place.kind.version)
    body.setdefault("kind", place.kind.name)
    metadata = body.setdefault("metadata", {})
    if place.namespace:
        metadata.setdefault("namespace", place.namespace)
    if metadata.get("namespace", "") != place.namespace or (place.name and metadata.get("name") != place.name):
        said = "the namespace of the provided object does not match the namespace sent on the request"
        raise RefusedError(400, "BadRequest", said)
    return body


def _place(path: str) -> Place | None:
    parts = path.strip("/").split("/")
    if parts[0] == "api" and parts[1:2] == ["v1"]:
        version, rest = "v1", parts[2:]
    elif parts[0] == "apis" and len(parts) > 2:
        version, rest = f"{parts[1]}/{parts[2]}", parts[3:]
    else:
        return None
    if version not in VERSIONS or not rest:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        if (version, rest[2]) in BY_PATH:
            namespace, rest = rest[1], rest[2:]
        elif rest[2] not in {"status", "finalize"}:
            raise unknown_path()
    kind = BY_PATH.get((version, rest[0]))
    if kind is None:
        raise unknown_path()
    name, sub = (*rest[1:], "", "")[:2]
    return Place(kind, namespace, name, sub)


def _listed(kind: Kind, items: list[Object], version: str, query: Any) -> Object:  # noqa: ANN401 - aiohttp's
    metadata: Object = {"resourceVersion": version}
    if token := query.get("continue"):
        start = json.loads(b64decode(token))["start"]
        items = [each for each in items if _order(each) > start]
    limit = int(query.get("limit") or 0)
    if limit and len(items) > limit:
        items = items[:limit]
        metadata["continue"] = b64encode(
            json.dumps({"v": "meta.k8s.io/v1", "start": _order(items[-1])}).encode()
        ).decode()
    bare = [{key: value for key, value in each.items() if key not in {"kind", "apiVersion"}} for each in items]
    return {"kind": f"{kind.name}List", "apiVersion": kind.version, "metadata": metadata, "items": bare}


def _order(body: Object) -> str:
    return f"{body['metadata'].get('namespace', '')}/{body['metadata']['name']}"
