"""Which cluster to use: the context that is named, or else the current one, but only if it is local.

A run changes things. Someone who looked at a cluster at work an hour ago still has its context selected; a platform
meant for the laptop must not end up there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import ip_address
from urllib.parse import urlsplit

from stepflow.errors import MachineError, UsageError

_LOCAL = re.compile(
    r"(kind|k3d|colima|minikube|microk8s)(-.+)?|docker-desktop|docker-for-desktop|rancher-desktop|orbstack"
)
"""Names that programs for local clusters give their contexts."""
_OF_THIS_MACHINE = (".localhost", ".local", ".internal", ".lan")
_NEAR = 3  # close matches to suggest
_LISTED = 12  # contexts to list before "and N more"


@dataclass(frozen=True, slots=True)
class Context:
    """One context of the kubeconfig."""

    name: str
    server: str  # URL of the cluster's API; "" where the kubeconfig has none
    local: bool  # whether it is a cluster on this machine, judged by name and address


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """The merged contents of all kubeconfig files."""

    files: tuple[str, ...]  # that exist
    searched: str  # where they were looked for, as `KUBECONFIG` names them
    contexts: Mapping[str, Context]
    current: str = ""


def choose(found: Kubeconfig, asked: str = "") -> Context:
    """Return the context that is asked for, else the current one if it is local.

    Raises `MachineError` if there is no context at all, `UsageError` for a context that does not exist, and for a
    current one that is not local.
    """
    if not found.contexts:
        what = f"has no context: {found.searched}" if found.files else f"does not exist: {found.searched}"
        hint = "`kind create cluster` creates a cluster and a kubeconfig; or `export KUBECONFIG=FILE` if you have one"
        raise MachineError(f"the kubeconfig {what}", hint=hint)
    if asked:
        if asked not in found.contexts:
            raise UsageError(f"the kubeconfig has no context `{asked}`", hint=others(found, asked))
        return found.contexts[asked]
    if not found.current:
        raise UsageError("the kubeconfig has no current context", hint=f"`--context NAME`; {others(found)}")
    current = found.contexts.get(found.current)
    if current is None:
        problem = f"the current context `{found.current}` is not in the kubeconfig"
        raise UsageError(problem, hint=f"`--context NAME`; {others(found, found.current)}")
    if not current.local:
        at = f" ({current.server})" if current.server else ""
        raise UsageError(
            f"the current context `{current.name}`{at} is not a local cluster",
            hint=f"pass `--context {current.name}` to use it{_instead(found)}",
        )
    return current


def is_local(name: str, server: str) -> bool:
    """Return whether a context is a cluster on this machine: its API is on loopback, or a local program named it.

    A name alone is not trusted if the address is on the public internet.
    """
    host = urlsplit(server).hostname or ""
    if host == "localhost" or host.endswith(".localhost") or _is(host, loopback=True):
        return True
    return bool(_LOCAL.fullmatch(name)) and (_is(host, loopback=False) or _own_name(host))


def _is(host: str, *, loopback: bool) -> bool:
    """Return whether a host is an address of this machine (k3d writes 0.0.0.0), or else one of a private network."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified or (not loopback and address.is_private)


def _own_name(host: str) -> bool:
    return "." not in host or host.endswith(_OF_THIS_MACHINE)


def others(found: Kubeconfig, asked: str = "") -> str:
    """Format the end of a hint: the contexts that exist, close matches first."""
    names = sorted(found.contexts)
    near = get_close_matches(asked, names, n=_NEAR, cutoff=0.6) if asked else []
    if near:
        return f"did you mean {' or '.join(f'`{each}`' for each in near)}? Contexts: {_listed(names)}"
    return f"contexts: {_listed(names)}"


def _listed(names: list[str]) -> str:
    said = ", ".join(f"`{each}`" for each in names[:_LISTED])
    return f"{said} and {len(names) - _LISTED} more" if len(names) > _LISTED else said


def _instead(found: Kubeconfig) -> str:
    local = sorted(each.name for each in found.contexts.values() if each.local)
    return f"; local contexts: {_listed(local)}" if local else ""
