"""What a cluster's API answers when it will not, and what stands in the way to it, as errors that a user is told."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from typing import Any

from urllib3.exceptions import HTTPError, ReadTimeoutError

from stepflow.errors import MachineError, PermanentError, StepflowError, TemporaryError

UNKNOWN, FORBIDDEN, GONE, TAKEN, INVALID, BUSY = 401, 403, 404, 409, 422, 429
"""Statuses: not signed in; not allowed; there is no such thing; it is there, or another's; wrong; later."""
_SERVER = 500
_SECRET = "Secret"  # noqa: S105 - the kind of object whose refusal may repeat what is in it
_MANAGER = re.compile(r'conflicts? with "([^"]+)"')


class RefusedError(PermanentError):
    """The cluster answered that it will not: `status` is the HTTP status, `text` its own words."""

    def __init__(self, status: int, reason: str, text: str, *, hint: str = "") -> None:
        """Format it in the cluster's words."""
        super().__init__(f"the cluster refuses: {text}", hint=hint)
        self.status = status
        self.reason = reason  # `AlreadyExists`, `Invalid`
        self.text = text

    @property
    def gone(self) -> bool:
        """Whether there is no such object, its kind being known."""
        return self.status == GONE and self.reason != ""

    @property
    def conflict(self) -> bool:
        """Whether it is another one than was meant, or others manage it."""
        return self.status == TAKEN

    @property
    def fixed(self) -> bool:
        """Whether something cannot be changed once it is made."""
        told = re.search(r"immutable|[Ff]orbidden: (updates|may not be changed)", self.text)
        return self.status == INVALID and told is not None


def refused(status: int, answer: Mapping[str, Any], method: str, path: str, kind: str) -> StepflowError:
    """Return the error for an answer; of what is said of a Secret, only the names of fields are kept."""
    details = answer.get("details") or {}
    text, reason = _line(answer.get("message") or ""), str(answer.get("reason") or "")
    if kind == _SECRET and status == INVALID:
        fields = ", ".join(f"`{cause.get('field')}`" for cause in details.get("causes") or ())
        text = f'Secret "{details.get("name", "")}" is invalid{f": {fields}" if fields else ""}'
    if status == UNKNOWN:
        return MachineError(
            "the cluster does not know who this is: it takes neither the certificate nor the token of the context",
            hint="sign in anew as your provider says; `kubectl get ns` shows when it works",
        )
    if status == FORBIDDEN and not _of_content(text):
        return RefusedError(status, reason, text or f"{method} {path} is forbidden", hint=_allow(text))
    if status == BUSY or status >= _SERVER:
        return TemporaryError(f"the cluster cannot answer now: {text or f'status {status}'}", delay=_delay(details))
    if status == GONE and not reason:
        what = path.removeprefix("/apis/").partition("/namespaces/")
        said = f"it knows no {what[2].split('/')[1] if what[1] else path} of {what[0]}"
        return RefusedError(status, "", said, hint="is that extension installed? `kubectl api-resources` lists all")
    if status == TAKEN and (other := _MANAGER.search(text)):
        hint = f"`{other[1]}` manages these fields: remove or rename that object, then run again"
        return RefusedError(status, reason, text, hint=hint)
    return RefusedError(status, reason, text or f"status {status}")


def failed(error: Exception, address: str, *, met: bool) -> StepflowError:
    """Return the error for a call without an answer; `met` tells that this cluster has answered before."""
    causes = tuple(_within(error))
    if isinstance(error, ReadTimeoutError):
        return TemporaryError(f"the cluster at {address} did not answer in time", hint="is it overloaded?")
    broken = next((each for each in causes if isinstance(each, ssl.SSLCertVerificationError)), None)
    if broken is not None:
        hint = "the kubeconfig is of another cluster, or outdated: get it anew as your provider says"
        return MachineError(f"the cluster at {address} does not prove who it is: {broken.verify_message}", hint=hint)
    expired = next((each for each in causes if isinstance(each, ssl.SSLError)), None)
    if expired is not None:
        hint = "has your client certificate expired? get the kubeconfig anew as your provider says"
        return MachineError(f"the cluster at {address} cannot be spoken with: {_line(expired.reason)}", hint=hint)
    if met:
        return TemporaryError(f"the cluster at {address} went away", hint="does it still run? `kubectl get nodes`")
    why = next((each.strerror for each in causes if isinstance(each, OSError) and each.strerror), "") or _line(error)
    hint = "start it, or name another one by `--context`; `kubectl config get-contexts` lists them"
    return MachineError(f"no cluster answers at {address}: {why}", hint=hint)


def stranger(address: str) -> MachineError:
    """Return the error for an answer that no cluster would give: a proxy, or a server of another kind."""
    hint = "is the address in the kubeconfig right? `kubectl get --raw /version` shows what answers there"
    return MachineError(f"what answers at {address} is no Kubernetes cluster", hint=hint)


FAILURES = (HTTPError, OSError)
"""What a call without an answer raises."""


def _of_content(text: str) -> bool:
    """Return whether it is forbidden for what is in it, not for who asks."""
    return "exceeded quota" in text or "violates PodSecurity" in text or "is being terminated" in text


def _allow(text: str) -> str:
    found = re.search(r'cannot (\w+) resource "([^"]+)"', text)
    if found is None:
        return "ask whoever runs the cluster for the right to do it"
    return f"ask whoever runs the cluster for the right to; `kubectl auth can-i {found[1]} {found[2]}` asks"


def _delay(details: Mapping[str, Any]) -> float | None:
    seconds = details.get("retryAfterSeconds")
    return float(seconds) if seconds else None


def _line(text: object) -> str:
    return " ".join(str(text).split())


def _within(error: BaseException) -> Iterator[BaseException]:
    """Return an exception and all that it was made of: the client wraps the kernel's answer several times."""
    yield error
    for inner in (*error.args, error.__cause__, getattr(error, "reason", None)):
        if isinstance(inner, BaseException) and inner is not error:
            yield from _within(inner)
