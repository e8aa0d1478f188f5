"""The local target: real servers and services as processes on this machine, kept running by an own supervisor."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the supervisor is below this package and shall not load what it never uses
    from stepflow.targets import Finding, Site, Target


def open_target(site: Site) -> Target:
    """Open the platform of a site; nothing happens yet."""
    from stepflow.targets.local.target import LocalTarget  # noqa: PLC0415 - as above

    return LocalTarget(site)


def doctor() -> tuple[Finding, ...]:
    """Say what this machine has and lacks for the local target."""
    from stepflow.targets.local.findings import examine  # noqa: PLC0415 - as above

    return examine()
