"""The kubeconfig, read by the official client, and errors that name what is wrong with it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import yaml
from kubernetes.client import Configuration
from kubernetes.config import ConfigException
from kubernetes.config.kube_config import ENV_KUBECONFIG_PATH_SEPARATOR, KubeConfigMerger, load_kube_config

from stepflow.errors import MachineError
from stepflow.targets.kubernetes.api.context import Context, Kubeconfig, is_local

_USUAL = "~/.kube/config"
_SHAPE = (AttributeError, KeyError, TypeError, ValueError)  # what the client raises for a shape that it does not check


def read() -> Kubeconfig:
    """Read the files that `KUBECONFIG` names, or the default one. Raises `MachineError` if one cannot be read."""
    searched = os.environ.get("KUBECONFIG") or _USUAL
    with _explained(searched):
        merged = KubeConfigMerger(searched)
        raw = merged.config.value if merged.config else {}
        clusters = {each["name"]: (each["cluster"] or {}).get("server", "") for each in _list(raw, "clusters")}
        contexts = {each["name"]: clusters.get(each["context"]["cluster"], "") for each in _list(raw, "contexts")}
        # kubectl takes the first file's that sets one; the client's merger takes the last file's.
        current = next(filter(None, (each.get("current-context") for each in merged.config_files.values())), "")
    known = {name: Context(name, server, is_local(name, server)) for name, server in contexts.items()}
    return Kubeconfig(tuple(merged.paths), searched, known, str(current))


def connection(context: str) -> Configuration:
    """Return how to reach a context's cluster and as which user; runs its exec plugin, where it has one.

    Raises `MachineError` with the plugin's message if it returns no credentials.
    """
    searched = os.environ.get("KUBECONFIG") or _USUAL
    made = Configuration()
    with _explained(searched), _listening() as said:
        load_kube_config(searched, context, made)
        plugin = _plugin(searched, context)
    if plugin and not (made.api_key or made.cert_file):
        words = " ".join(" ".join(said).split()).removeprefix("exec: ") or "it returned no token and no certificate"
        hint = str(plugin.get("installHint") or "").strip()
        raise MachineError(
            f"`{plugin.get('command')}`, which signs in to the context `{context}`, failed: {words}",
            hint=" ".join(hint.split()) or f"sign in again, then check with `kubectl --context {context} get ns`",
        )
    return made


def _plugin(searched: str, context: str) -> Mapping[str, Any]:
    """Return the exec plugin that signs in to a context; {} if it has none."""
    config = KubeConfigMerger(searched).config
    user = config["contexts"].get_with_name(context)["context"].safe_get("user")
    found = config["users"].get_with_name(user, safe=True) if user and config.safe_get("users") else None
    credentials = (found.safe_get("user") or {}) if found else {}
    plugin: Mapping[str, Any] = {} if credentials.get("token") else credentials.get("exec") or {}
    return plugin


def _list(raw: Mapping[str, Any], name: str) -> list[Any]:
    return [getattr(each, "value", each) for each in raw.get(name) or ()]


@contextmanager
def _explained(searched: str) -> Iterator[None]:
    """Add the file to the client's errors, where it is known."""
    hint = "`kubectl config view` shows what it says; `export KUBECONFIG=FILE` names another"
    try:
        yield
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{mark.name}:{mark.line + 1}:{mark.column + 1}" if mark else searched
        raise MachineError(f"{place}: the kubeconfig is not YAML: {error.problem}", hint=hint) from error
    except OSError as error:
        file = error.filename or searched
        raise MachineError(f"the kubeconfig `{file}` cannot be read: {error.strerror}", hint=hint) from error
    except (ConfigException, yaml.YAMLError, *_SHAPE) as error:
        said = " ".join(str(error).split()).removeprefix("Invalid kube-config file. ")
        files = ", ".join(f"`{each}`" for each in searched.split(ENV_KUBECONFIG_PATH_SEPARATOR) if each)
        raise MachineError(f"the kubeconfig {files} cannot be used: {said}", hint=hint) from error


class _Said(logging.Handler):
    """Keeps what is logged: the client logs why a plugin failed, and goes on without a user."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@contextmanager
def _listening() -> Iterator[list[str]]:
    said, root = _Said(), logging.getLogger()
    root.addHandler(said)
    try:
        yield said.texts
    finally:
        root.removeHandler(said)
