"""What the Docker SDK raises, as the errors that a user is told about."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from docker.credentials.errors import StoreError
from docker.errors import APIError, DockerException, InvalidVersion, TLSParameterError
from requests.exceptions import RequestException, Timeout

from stepflow.errors import MachineError, PermanentError, StepflowError, TemporaryError

NEWER = "install Docker 20.10 or newer"
_TLS = "check `DOCKER_CERT_PATH` and `DOCKER_TLS_VERIFY`, or unset them"
_CREDENTIALS = "fix, or remove, `credsStore` and `credHelpers` in `~/.docker/config.json`; `docker login` writes them"
_WHERE = (
    "start it (`systemctl start docker`, Docker Desktop), or say where it is in `DOCKER_HOST`; "
    "`stepflow doctor --target docker`"
)
GONE, TAKEN = 404, 409  # statuses: there is no such thing; the name is taken, or it is being changed
_SPACE = "`docker system df` shows what takes it, `docker image prune` frees what is not used; then `stepflow resume`"


class EngineRefusedError(PermanentError):
    """The engine answered that it will not: `status` is the HTTP status, `text` the engine's own words."""

    def __init__(self, status: int, text: str) -> None:
        """Keep the engine's status and words."""
        super().__init__(f"the Docker engine refuses: {text}")
        self.status = status
        self.text = text


def translated(error: Exception, host: str, *, met: bool) -> StepflowError:
    """Return the error that a user understands; `met` tells that this engine has answered before."""
    if isinstance(error, APIError):
        return _answered(error)
    if any(isinstance(each, Timeout) for each in _within(error)):
        hint = "is it stopped or overloaded? `docker version` shows whether it answers"
        return TemporaryError(f"the Docker engine at {host} did not answer in time", hint=hint)
    if isinstance(error, StoreError) or isinstance(error.__cause__, StoreError):
        return MachineError(f"the passwords of registries cannot be read: {error}", hint=_CREDENTIALS)
    if isinstance(error, TLSParameterError):
        return MachineError(f"the Docker engine at {host} cannot be used: {error.msg}", hint=_TLS)
    if isinstance(error, InvalidVersion):
        return MachineError(f"the Docker engine at {host} cannot be used: {_line(error)}", hint=NEWER)
    if isinstance(error, RequestException | DockerException | OSError):
        return _away(error, host, met=met)
    raise error


def _answered(error: APIError) -> StepflowError:
    status = error.response.status_code if error.response is not None else 0
    text = _line(error.explanation or error)
    return no_space(text) or EngineRefusedError(status, text)


def no_space(text: str, *, what: str = "", log: str = "") -> MachineError | None:
    """Return the error for an engine whose disk is full; None when it says something else. `what` could not be done."""
    if "no space left on device" not in text.lower():
        return None
    before = f"{what}: " if what else ""
    return MachineError(f"{before}the Docker engine has no space left: {text}", hint=_SPACE, log=log)


def _away(error: Exception, host: str, *, met: bool) -> StepflowError:
    causes = [each for each in _within(error) if isinstance(each, OSError) and each.errno]
    number = causes[-1].errno if causes else None
    if met:
        return TemporaryError(f"the Docker engine at {host} went away", hint=_WHERE)
    if number in {errno.EACCES, errno.EPERM}:
        hint = "`sudo usermod -aG docker $USER`, then sign in again; or use a rootless engine"
        return MachineError(f"this user may not use the Docker engine at {host}: permission denied", hint=hint)
    words = {errno.ENOENT: "there is no such socket", errno.ECONNREFUSED: "nothing listens there"}
    why = words.get(number or 0) or (causes[-1].strerror if causes else "") or _line(error)
    return MachineError(f"no Docker engine answers at {host}: {why}", hint=_WHERE)


def _line(text: object) -> str:
    return " ".join(str(text).split())


def _within(error: BaseException) -> Iterator[BaseException]:
    """Return an exception and all that it was made of: the HTTP libraries wrap the kernel's answer several times."""
    yield error
    for inner in (*error.args, error.__cause__):
        if isinstance(inner, BaseException) and inner is not error:
            yield from _within(inner)
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException):
        yield from _within(reason)
