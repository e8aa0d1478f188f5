"""The local target: real servers and services as processes on this machine, under a supervisor of their own."""

from __future__ import annotations

from collections.abc import Mapping

from stepflow.targets.contract import Finding, Provider, Site, Target


def _open(site: Site) -> Target:
    from stepflow.targets.local.target import LocalTarget  # noqa: PLC0415 - the supervisor is below this package

    return LocalTarget(site)


def _doctor(options: Mapping[str, str]) -> tuple[Finding, ...]:
    from stepflow.targets.local.doctor import examine  # noqa: PLC0415 - as above

    del options
    return examine()


PROVIDER = Provider("local", _open, _doctor, handles="pids", numeric=True)
