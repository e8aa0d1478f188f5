"""What the API answers when it refuses, word for word as recorded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from onenode.kinds import Kind, Object


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
    """Say that there is no such object."""
    return RefusedError(404, "NotFound", f'{_spoken(kind)} "{name}" not found', **_of(kind, name))


def exists(kind: Kind, name: str) -> RefusedError:
    """Say that there is one already."""
    return RefusedError(409, "AlreadyExists", f'{_spoken(kind)} "{name}" already exists', **_of(kind, name))


def stale(kind: Kind, name: str) -> RefusedError:
    """Say that it has changed since the version that was sent."""
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return RefusedError(
        409, "Conflict", f'Operation cannot be fulfilled on {_spoken(kind)} "{name}": {why}', **_of(kind, name)
    )


def other_uid(kind: Kind, name: str, wanted: str, found: str) -> RefusedError:
    """Say that the object of that name is another one."""
    why = f"the UID in the precondition ({wanted}) does not match the UID in record ({found})"
    said = f'Operation cannot be fulfilled on {kind.name} "{name}": {why}. '
    details = _of(kind, name) | {"kind": kind.name}
    return RefusedError(409, "Conflict", said + "The object might have been deleted and then recreated", **details)


def forbidden(kind: Kind, name: str, why: str, causes: Iterable[Object] = ()) -> RefusedError:
    """Say that admission does not let it in."""
    more = {"causes": list(causes)} if causes else {}
    return RefusedError(403, "Forbidden", f'{_spoken(kind)} "{name}" is forbidden: {why}', **_of(kind, name), **more)


def terminating(kind: Kind, name: str, namespace: str) -> RefusedError:
    """Say that the namespace takes nothing new."""
    said = f"namespace {namespace} is being terminated"
    cause = {"reason": "NamespaceTerminating", "message": said, "field": "metadata.namespace"}
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    return forbidden(kind, name, why, [cause])


def invalid(kind: Kind, name: str, field: str, what: str, reason: str = "FieldValueInvalid") -> RefusedError:
    """Say which field may not be so."""
    spoken = f"{kind.name}.{kind.group}" if kind.group else kind.name
    details = _of(kind, name) | {
        "kind": kind.name, "causes": [{"reason": reason, "message": what, "field": field}],
    }  # fmt: skip
    return RefusedError(422, "Invalid", f'{spoken} "{name}" is invalid: {field}: {what}', **details)


def unknown_path() -> RefusedError:
    """Say that a known group has no such resource."""
    error = RefusedError(404, "NotFound", "the server could not find the requested resource")
    error.status["details"] = {}
    return error


def expired(version: int, oldest: int) -> RefusedError:
    """Say that changes as old as that are forgotten."""
    return RefusedError(410, "Expired", f"too old resource version: {version} ({oldest})")
