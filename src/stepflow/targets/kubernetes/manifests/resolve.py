"""References seen from inside a cluster: service names, mounted files, claimed volumes."""

from __future__ import annotations

from typing import Any

from stepflow.errors import PermanentError
from stepflow.handoff import ConfigFile, DataDir, Endpoint, SecretFile, ServerFile, Value
from stepflow.targets.addresses import endpoint, port_number
from stepflow.targets.references import references
from stepflow.targets.secretfiles import inside
from stepflow.workload import Json, Workload

from .model import Platform
from .names import CONFIGS, DATA, secret_path
from .network import is_entry
from .slot import given, text

EVERYWHERE = "0.0.0.0"  # noqa: S104 - inside a pod; the NetworkPolicies say who gets through


def resolve(platform: Platform, workload: Workload, value: Value) -> str:
    """Resolve one of a workload's references to text. Raises `PermanentError` for what does not exist."""
    match value:
        case str():
            return value
        case Endpoint():
            return _endpoint(platform, value)
        case SecretFile() | ServerFile():
            return secret_path(platform, value)
        case DataDir():
            return f"{DATA}/{inside(value.name)}"
        case ConfigFile():
            if value.name not in workload.configs:
                raise PermanentError(f"workload `{workload.name}` has no config `{value.name}`")
            return f"{CONFIGS}/{inside(value.name)}"


def resolve_json(platform: Platform, workload: Workload, value: Json) -> Any:  # noqa: ANN401 - any JSON
    """Resolve all references in a JSON value; a port becomes a number."""
    match value:
        case dict():
            return {key: resolve_json(platform, workload, item) for key, item in value.items()}
        case list():
            return [resolve_json(platform, workload, item) for item in value]
        case Endpoint(part="port"):
            return port_number(value, platform.numbers)
        case Endpoint() | SecretFile() | ServerFile() | DataDir() | ConfigFile():
            return resolve(platform, workload, value)
        case _:
            return value


def secret_files(platform: Platform, workload: Workload) -> tuple[SecretFile | ServerFile, ...]:
    """Return the secrets that a workload reads from files, each once, in order."""
    referred = (value for value in references(workload) if isinstance(value, SecretFile | ServerFile))
    found = {secret_path(platform, value): value for value in referred}
    return tuple(found[path] for path in sorted(found))


def data_names(workload: Workload) -> tuple[str, ...]:
    """Name the directories that outlive a workload's pods, each once, in order."""
    referred = {value.name for value in references(workload) if isinstance(value, DataDir)}
    return tuple(sorted({inside(name) for name in (*workload.data, *referred)}))


def _endpoint(platform: Platform, value: Endpoint) -> str:
    number = port_number(value, platform.numbers)
    match value.part:
        case "bind":
            return EVERYWHERE
        case "public" if platform.values.entry and is_entry(platform, value.workload, value.port):
            return f"https://{platform.values.entry.host}{value.path}"
        case "public":
            forwarded = f"http://localhost:{number}{value.path}"  # what `stepflow open` forwards
            if platform.host is None or not is_entry(platform, value.workload, value.port):
                return forwarded
            return given(platform.host, text("https://", platform.host, value.path), forwarded)
        case _:
            return endpoint(value, value.workload, platform.numbers)
