"""Errors for what a cluster's API refuses and for calls that get no answer."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from typing import Any

from urllib3.exceptions import HTTPError, ReadTimeoutError

from stepflow.errors import MachineError, PermanentError, StepflowError, TemporaryError

UNKNOWN, FORBIDDEN, GONE, TAKEN, INVALID, BUSY = 401, 403, 404, 409, 422, 429
"""Statuses: not authenticated; not allowed; not found; exists or managed by another; wrong; retry later."""
_SERVER = 500
_SECRET = "Secret"  # noqa: S105 - the kind of object whose refusal may repeat what is in it
_MANAGER = re.compile(r'conflicts? with "([^"]+)"')


class ClusterRefusedError(PermanentError):
    """The cluster refused a request: `status` is the HTTP status, `text` the cluster's message."""

    def __init__(self, status: int, reason: str, text: str, *, hint: str = "") -> None:
        """Use the cluster's message."""
        super().__init__(f"the cluster refuses: {text}", hint=hint)
        self.status = status
        self.reason = reason  # `AlreadyExists`, `Invalid`
        self.text = text

    @property
    def gone(self) -> bool:
        """Whether the object does not exist, though the cluster knows its kind."""
        return self.status == GONE and self.reason != ""

    @property
    def conflict(self) -> bool:
        """Whether the object was replaced, exists already, or is managed by another."""
        return self.status == TAKEN

    @property
    def fixed(self) -> bool:
        """Whether the change is to an immutable field."""
        told = re.search(r"immutable|[Ff]orbidden: (updates|may not be changed)", self.text)
        return self.status == INVALID and told is not None


def refused(status: int, answer: Mapping[str, Any], method: str, path: str, kind: str) -> StepflowError:
    """Return the error for an answer; of a Secret it names the fields only, never their values."""
    details = answer.get("details") or {}
    text, reason = _line(answer.get("message") or ""), str(answer.get("reason") or "")
    if kind == _SECRET and status == INVALID:
        fields = ", ".join(f"`{cause.get('field')}`" for cause in details.get("causes") or ())
        text = f'Secret "{details.get("name", "")}" is invalid{f": {fields}" if fields else ""}'
    if status == UNKNOWN:
        return MachineError(
            "authentication failed: the cluster rejected the context's certificate or token",
            hint="sign in again with your provider's tool; `kubectl get ns` checks it",
        )
    if status == FORBIDDEN and not _of_content(text):
        return ClusterRefusedError(status, reason, text or f"{method} {path} is forbidden", hint=_allow(text))
    if status == BUSY or status >= _SERVER:
        return TemporaryError(f"the cluster cannot answer now: {text or f'status {status}'}", delay=_delay(details))
    if status == GONE and not reason:
        what = path.removeprefix("/apis/").partition("/namespaces/")
        said = f"{what[0]} has no {what[2].split('/')[1]}" if what[1] else f"it does not serve {path}"
        return ClusterRefusedError(
            status, "", said, hint="is the extension installed? `kubectl api-resources` lists all kinds"
        )
    if status == TAKEN and (other := _MANAGER.search(text)):
        hint = f"`{other[1]}` manages these fields: remove or rename that object, then run again"
        return ClusterRefusedError(status, reason, text, hint=hint)
    return ClusterRefusedError(status, reason, text or f"status {status}")


def failed(error: Exception, address: str, *, met: bool) -> StepflowError:
    """Return the error for a call without an answer; `met`: whether this cluster has answered before."""
    causes = tuple(_within(error))
    if isinstance(error, ReadTimeoutError):
        return TemporaryError(
            f"the cluster at {address} did not answer in time",
            hint="is it stopped or overloaded? `kubectl get --raw /version` shows whether it answers",
        )
    broken = next((each for each in causes if isinstance(each, ssl.SSLCertVerificationError)), None)
    if broken is not None:
        hint = "the kubeconfig is outdated or of another cluster; get a new one from your provider"
        return MachineError(
            f"cannot verify the certificate of the cluster at {address}: {broken.verify_message}", hint=hint
        )
    expired = next((each for each in causes if isinstance(each, ssl.SSLError)), None)
    if expired is not None:
        hint = "has your client certificate expired? get a new kubeconfig from your provider"
        if "WRONG_VERSION_NUMBER" in str(expired.reason):
            hint = "what listens there does not speak TLS: is `server:` in the kubeconfig correct?"
        return MachineError(f"cannot connect to the cluster at {address}: {_line(expired.reason)}", hint=hint)
    if met:
        return TemporaryError(f"the cluster at {address} went away", hint="does it still run? `kubectl get nodes`")
    why = next((each.strerror for each in causes if isinstance(each, OSError) and each.strerror), "") or _line(error)
    hint = "start it, or name another one with `--context`; `kubectl config get-contexts` lists them"
    return MachineError(f"no cluster answers at {address}: {why}", hint=hint)


def stranger(address: str) -> MachineError:
    """Return the error for an answer that is not a cluster's: from a proxy, or a server of another kind."""
    hint = "is the address in the kubeconfig correct? `kubectl get --raw /version` shows what answers there"
    return MachineError(f"the server at {address} is not a Kubernetes cluster", hint=hint)


FAILURES = (HTTPError, OSError)
"""The exceptions of a call that gets no answer."""


def _of_content(text: str) -> bool:
    """Return whether the object is forbidden, not the user."""
    return "exceeded quota" in text or "violates PodSecurity" in text or "is being terminated" in text


def _allow(text: str) -> str:
    found = re.search(r'cannot (\w+) resource "([^"]+)"', text)
    if found is None:
        return "ask the cluster's administrator for the right to do it"
    return f"ask the cluster's administrator for this right; `kubectl auth can-i {found[1]} {found[2]}` checks it"


def _delay(details: Mapping[str, Any]) -> float | None:
    seconds = details.get("retryAfterSeconds")
    return float(seconds) if seconds else None


def _line(text: object) -> str:
    return " ".join(str(text).split())


def _within(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and its causes: the client wraps the kernel's answer several times."""
    yield error
    for inner in (*error.args, error.__cause__, getattr(error, "reason", None)):
        if isinstance(inner, BaseException) and inner is not error:
            yield from _within(inner)
