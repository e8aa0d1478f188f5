"""What a playbook does on some targets only follows from what they say of themselves, not from their names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stepflow.playbook import StepInput
from stepflow.targets import provider
from stepflow_playbooks.order_service.playbook import OrderService, OrderServiceSettings

PLAYBOOKS = Path(__file__).parents[2] / "playbooks"


@pytest.mark.parametrize(
    ("chosen", "shared", "enabled"), [(None, False, "true"), (None, True, "false"), (True, True, "true")]
)
def test_payment_faults_are_off_by_default_where_others_reach_the_platform(
    chosen: bool | None,  # noqa: FBT001 - a case
    shared: bool,  # noqa: FBT001 - a case
    enabled: str,
) -> None:
    settings = OrderServiceSettings(payment_faults=chosen)
    step = StepInput(1, "Orders", "", "", "shop", "ship", settings, frozenset(), shared=shared)
    (payments,) = (each for each in OrderService().declare(step).workloads if "FAULTS_ENABLED" in each.env)
    assert payments.env["FAULTS_ENABLED"] == enabled


def test_targets_state_whether_they_have_containers_and_whether_others_reach_them() -> None:
    stated = {name: (provider(name).containers, provider(name).shared) for name in ("local", "docker", "kubernetes")}
    assert stated == {"local": (False, False), "docker": (True, False), "kubernetes": (True, True)}


def test_only_orchestration_compares_the_name_of_a_target() -> None:
    compared = re.compile(r"target (==|!=|in|not in) ")
    found = {path.parent.name for path in PLAYBOOKS.rglob("*.py") if compared.search(path.read_text(encoding="utf-8"))}
    assert found == {"orchestration"}  # which renders for one target, and says whether that is the present one
