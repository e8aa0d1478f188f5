"""What the API refuses, in its recorded words: among others wrong names, unsafe pods, and more than a quota allows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from onenode.kinds import BY_NAME, Kind, Object

if TYPE_CHECKING:
    from onenode.objects import Store

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_IMMUTABLE: Mapping[str, tuple[str, ...]] = {
    "Deployment": ("spec.selector",),
    "StatefulSet": ("spec.selector", "spec.serviceName", "spec.volumeClaimTemplates", "spec.podManagementPolicy"),
    "Job": ("spec.selector", "spec.template.spec", "spec.completions"),
    "PersistentVolumeClaim": ("spec.storageClassName", "spec.accessModes"),
    "PriorityClass": ("value", "preemptionPolicy"),
}
_PROFILE = 'pod or container{s} {names} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'


class RefusedError(Exception):
    """A request is refused; `status` is the body of the answer."""

    def __init__(self, code: int, reason: str, message: str, **details: Any) -> None:  # noqa: ANN401 - JSON
        super().__init__(message)
        self.status: Object = {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "code": code,
        }  # fmt: skip
        if reason:
            self.status["reason"] = reason
        if details:
            self.status["details"] = details


def _of(kind: Kind, name: str) -> Object:
    group = {"group": kind.group} if kind.group else {}
    return {"name": name, "kind": kind.plural} | group


def _spoken(kind: Kind) -> str:
    return f"{kind.plural}.{kind.group}" if kind.group else kind.plural


def not_found(kind: Kind, name: str) -> RefusedError:
    """Return the refusal for an object that does not exist."""
    return RefusedError(404, "NotFound", f'{_spoken(kind)} "{name}" not found', **_of(kind, name))


def unknown_path() -> RefusedError:
    """Return the refusal for a resource that a known group does not have."""
    error = RefusedError(404, "NotFound", "the server could not find the requested resource")
    error.status["details"] = {}
    return error


def exists(kind: Kind, name: str) -> RefusedError:
    """Return the refusal for a new object whose name is taken."""
    return RefusedError(409, "AlreadyExists", f'{_spoken(kind)} "{name}" already exists', **_of(kind, name))


def other_uid(kind: Kind, name: str, wanted: str, found: str) -> RefusedError:
    """Return the refusal for a precondition that names another object of that name."""
    why = f"the UID in the precondition ({wanted}) does not match the UID in record ({found})"
    said = f'Operation cannot be fulfilled on {kind.name} "{name}": {why}. '
    details = _of(kind, name) | {"kind": kind.name}
    return RefusedError(409, "Conflict", said + "The object might have been deleted and then recreated", **details)


def forbidden(kind: Kind, name: str, why: str, causes: Iterable[Object] = ()) -> RefusedError:
    """Return the refusal for an object that admission does not let in."""
    more = {"causes": list(causes)} if causes else {}
    return RefusedError(403, "Forbidden", f'{_spoken(kind)} "{name}" is forbidden: {why}', **_of(kind, name), **more)


def terminating(kind: Kind, name: str, namespace: str) -> RefusedError:
    """Return the refusal for a new object in a namespace that is being deleted."""
    said = f"namespace {namespace} is being terminated"
    cause = {"reason": "NamespaceTerminating", "message": said, "field": "metadata.namespace"}
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    return forbidden(kind, name, why, [cause])


def invalid(kind: Kind, name: str, field: str, what: str) -> RefusedError:
    """Return the refusal for a field with a value that it may not have."""
    spoken = f"{kind.name}.{kind.group}" if kind.group else kind.name
    details = _of(kind, name) | {
        "kind": kind.name, "causes": [{"reason": "FieldValueInvalid", "message": what, "field": field}],
    }  # fmt: skip
    return RefusedError(422, "Invalid", f'{spoken} "{name}" is invalid: {field}: {what}', **details)


def check_place(store: Store, kind: Kind, body: Object) -> None:
    """Refuse a new object in a namespace that does not exist or is being deleted."""
    metadata = body["metadata"]
    if kind.namespaced and "deletionTimestamp" in store.get("Namespace", "", metadata["namespace"])["metadata"]:
        raise terminating(kind, metadata["name"], metadata["namespace"])


def check_new(store: Store, kind: Kind, body: Object) -> None:
    """Refuse a new object that has a wrong name, is an unsafe pod, or exceeds a quota."""
    name = body["metadata"]["name"]
    if not _NAME.fullmatch(name):
        raise invalid(kind, name, "metadata.name", f'Invalid value: "{name}": {_RULE}')
    if kind.name == "Pod":
        _check_priority(store, kind, body)
        _check_safety(store, kind, body)
    for quota in store.list("ResourceQuota", body["metadata"]["namespace"]) if kind.namespaced else ():
        _check_quota(store, kind, name, quota)


def check_change(kind: Kind, before: Object, after: Object) -> None:
    """Refuse a change of an immutable field."""
    for path in _IMMUTABLE.get(kind.name, ()):
        wanted = _at(after, path)
        if _at(before, path) != wanted:
            value = json.dumps(wanted, separators=(",", ":"))
            raise invalid(kind, after["metadata"]["name"], path, f"Invalid value: {value}: field is immutable")


def _at(body: Any, path: str) -> Any:  # noqa: ANN401 - JSON
    for part in path.split("."):
        body = body.get(part) if isinstance(body, dict) else None
    return body


def _check_priority(store: Store, kind: Kind, body: Object) -> None:
    wanted = body["spec"].get("priorityClassName", "")
    if wanted and store.find("PriorityClass", "", wanted) is None:
        raise forbidden(kind, body["metadata"]["name"], f"no PriorityClass with name {wanted} was found")


def _check_safety(store: Store, kind: Kind, body: Object) -> None:
    namespace = store.get("Namespace", "", body["metadata"]["namespace"])
    level = namespace["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce")
    wrong = list(_violations(body["spec"])) if level == "restricted" else []
    if wrong:
        raise forbidden(kind, body["metadata"]["name"], f'violates PodSecurity "restricted:latest": {", ".join(wrong)}')


def _violations(spec: Object) -> Iterator[str]:
    """Yield what Pod Security `restricted` finds in a pod's containers, in its words and order."""
    pod = spec.get("securityContext", {})
    containers = (*spec.get("initContainers", ()), *spec.get("containers", ()))
    found = [(each["name"], each.get("securityContext", {})) for each in containers]
    rules = (
        ("privileged", "container{s} {names} must not set securityContext.privileged=true",
         [name for name, own in found if own.get("privileged")]),
        ("allowPrivilegeEscalation != false",
         "container{s} {names} must set securityContext.allowPrivilegeEscalation=false",
         [name for name, own in found if own.get("allowPrivilegeEscalation") is not False]),
        ("unrestricted capabilities", 'container{s} {names} must set securityContext.capabilities.drop=["ALL"]',
         [name for name, own in found if "ALL" not in own.get("capabilities", {}).get("drop", ())]),
        ("runAsNonRoot != true", "pod or container{s} {names} must set securityContext.runAsNonRoot=true",
         [name for name, own in found if not own.get("runAsNonRoot", pod.get("runAsNonRoot"))]),
        ("runAsUser=0", "container{s} {names} must not set runAsUser=0",
         [name for name, own in found if own.get("runAsUser", pod.get("runAsUser")) == 0]),
        ("seccompProfile", _PROFILE,
         [name for name, own in found if "type" not in own.get("seccompProfile", pod.get("seccompProfile", {}))]),
    )  # fmt: skip
    for rule, said, names in rules:
        if names:
            listed = ", ".join(f'"{name}"' for name in names)
            yield f"{rule} ({said.replace('{s}', 's' if len(names) > 1 else '').replace('{names}', listed)})"


def _check_quota(store: Store, kind: Kind, name: str, quota: Object) -> None:
    used, names = used_of(store, quota), {kind.plural, f"count/{kind.plural}"}
    over = [(key, hard) for key, hard in sorted(quota["spec"]["hard"].items()) if key in names]
    over = [(key, hard) for key, hard in over if used[key] + 1 > int(hard)]
    if over:
        asked = ",".join(f"{key}=1" for key, _ in over)
        taken = ",".join(f"{key}={used[key]}" for key, _ in over)
        limit = ",".join(f"{key}={hard}" for key, hard in over)
        why = f"exceeded quota: {quota['metadata']['name']}, requested: {asked}, used: {taken}, limited: {limit}"
        raise forbidden(kind, name, why)


def used_of(store: Store, quota: Object) -> Mapping[str, int]:
    """Return what a namespace uses of a quota; numbers of objects are all that is counted."""
    kinds = {kind.plural: kind.name for kind in BY_NAME.values()}
    space = quota["metadata"]["namespace"]
    plurals = {key: key.removeprefix("count/") for key in quota["spec"]["hard"]}
    return {key: len(store.list(kinds[plural], space)) for key, plural in plurals.items() if plural in kinds}
