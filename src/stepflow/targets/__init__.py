"""Where workloads run: the installed targets, each loaded when it is asked for.

`stepflow.targets.contract` says what a target is. Targets are independent of each other and know no engine; a package
offers one as a `Provider` under the entry-point group `stepflow.targets`, the built-in ones like anybody's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from stepflow.blame import GROUPS, OUTSIDE, blaming, every, words
from stepflow.errors import MachineError, UsageError, install_hint
from stepflow.targets.attended import Attended
from stepflow.targets.contract import Finding, Observed, Option, Provider, Site, Target

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint
    from pathlib import Path

__all__ = [
    "DEFAULT",
    "GROUP",
    "endpoints",
    "examine",
    "installed",
    "open_target",
    "opened",
    "package",
    "provider",
    "providers",
    "require_options",
    "used_in",
]

GROUP = GROUPS["target"]
DEFAULT = "local"
"""The target of a run that names none."""


@cache
def installed() -> Mapping[str, tuple[EntryPoint, ...]]:
    """Return the entry points of the installed targets by name, the default one first; loads none.

    More than one of a name means that two packages offer it: it cannot be loaded.
    """
    from importlib.metadata import entry_points  # noqa: PLC0415 - the local target's supervisor never asks

    found: dict[str, tuple[EntryPoint, ...]] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda each: (each.name != DEFAULT, each.name, _package(each))):
        others = found.get(entry.name, ())
        found[entry.name] = others if entry.value in {each.value for each in others} else (*others, entry)
    return found


def provider(name: str) -> Provider:
    """Load what offers a target.

    Raises `UsageError` for a name that no installed package has, `MachineError` for one that cannot be loaded, and for
    one that two packages offer.
    """
    if name not in installed():
        raise UsageError(f"unknown target `{name}`", hint=f"one of: {', '.join(installed())}")
    entry, *others = installed()[name]
    if others:
        packages = " and ".join(f"`{_package(each)}` ({each.value})" for each in (entry, *others))
        hint = "uninstall or rename one of them"
        raise MachineError(f"two packages offer a target `{name}`: {packages}", hint=hint)
    with _extra(name):
        found = _loaded(entry)
    if not (isinstance(found, Provider) and found.name == name and _are_options(found.options)):
        hint = f"let `{entry.value}` be a `stepflow.targets.contract.Provider` with `name={name!r}`"
        raise MachineError(f"`{entry.value}` is not a provider of the target `{name}`", hint=hint)
    return found


def providers() -> tuple[Provider, ...]:
    """Load every target that can be loaded: a broken plugin breaks only itself."""
    found = []
    for name in installed():
        try:
            found.append(provider(name))
        except MachineError:
            continue
    return tuple(found)


def _loaded(entry: EntryPoint) -> object:
    try:
        return entry.load()
    except ModuleNotFoundError:
        raise
    except OUTSIDE:
        raise
    except BaseException as error:
        hint = f"fix `{entry.value}`, or uninstall `{_package(entry)}`"
        raise MachineError(
            f"the target `{entry.name}` of `{_package(entry)}` cannot be loaded: {words(error)}", hint=hint
        ) from error


def _are_options(options: object) -> bool:
    return isinstance(options, tuple) and all(isinstance(each, Option) for each in options)


def package(name: str) -> str:
    """Return the package that offers a target."""
    return _package(installed()[name][0])


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.module


def require_options(name: str, options: Mapping[str, str]) -> None:
    """Raise `UsageError` for a target that is not installed, and for an option that it does not take."""
    taken = provider(name)
    for key in options:
        if taken.option(key) is None:
            said = ", ".join(f"`--{each.name}`" for each in taken.options) or "none"
            takers = " or ".join(f"`--target {each.name}`" for each in providers() if each.option(key))
            hint = f"leave it out{f', or add {takers}' if takers else ''}; {name} takes: {said}"
            raise UsageError(f"the target {name} does not take `--{key.replace('.', ' ', 1)}`", hint=hint)


def endpoints(observed: Mapping[str, Observed]) -> dict[str, str]:
    """Return the URLs at which people find the workloads, the gateway's first."""
    urls = {name: each.url for name, each in observed.items() if each.kind == "workload" and each.url}
    return dict(sorted(urls.items(), key=lambda pair: (pair[0] != "gateway", pair[0])))


def open_target(name: str, site: Site) -> Target:
    """Open a target by name. Raises `UsageError` for an unknown one, `MachineError` when its extra is not installed."""
    require_options(name, site.options)
    return opened(provider(name), site)


def opened(offered: Provider, site: Site) -> Target:
    """Open a target of a provider. Raises `MachineError` when its extra is not installed."""
    with blaming("target", offered.name, "in `open`"), _extra(offered.name):
        return Attended(offered.name, offered.open(site))


def used_in(state: Path) -> tuple[str, ...]:
    """Return the targets that a platform was ever on: each keeps a folder of its name in the state directory."""
    return tuple(name for name in installed() if (state / name).is_dir())


def examine(name: str, options: Mapping[str, str]) -> tuple[Finding, ...]:
    """Return what the machine, or with options the place, has and lacks for a target. Raises as `open_target` does."""
    require_options(name, options)
    with blaming("target", name, "in `doctor`"), _extra(name):
        return every(provider(name).doctor(options), Finding, "doctor()")


@contextmanager
def _extra(name: str) -> Iterator[None]:
    """Name the extra that brings a package which is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        message = f"target `{name}` needs the package `{error.name}`"
        raise MachineError(message, hint=_remedy(name)) from error


def _remedy(name: str) -> str:
    """Return what to type: the extra that is called like the target, where the distribution that brings it has one."""
    brings = installed()[name][0].dist
    if brings is None:
        return install_hint(name)
    extras = brings.metadata.get_all("Provides-Extra") or ()
    return install_hint(name if name in extras else "", brings.name)
