"""The policies: what we render breaks no rule, and every rule finds what breaks it and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import cases_of_platforms
import cases_of_pods
import pytest
from policies.suite import findings, names
from policy_base import good
from policy_cases import CASES, Case, Changed
from reference import reference

from stepflow.targets.kubernetes.bundle import every, manifests

assert cases_of_platforms.case is cases_of_pods.case
README = Path(__file__).parent / "policies" / "README.md"


def _name(case: Case) -> str:
    return min(case.breaks, default="within bounds")


def test_good_objects_break_no_rule() -> None:
    assert findings(good()) == ()


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_a_change_is_found_by_exactly_the_rules_that_it_breaks(case: Case) -> None:
    objects = good()
    case.change(Changed(objects))
    found = findings(objects)
    assert {name for each in found for name in each.rule.names} == case.breaks
    assert all(each.says and each.rule.remedy for each in found)


def test_every_rule_has_a_change_that_breaks_it() -> None:
    assert {name for case in CASES for name in case.breaks} == set(names())


def test_a_finding_says_the_object_what_is_wrong_the_rule_and_the_remedy() -> None:
    objects = good()
    Changed(objects).one("Deployment")["spec"]["template"]["spec"]["hostPID"] = True
    (found,) = findings(objects)
    assert str(found) == (
        "Deployment `web`: shares the host's process namespace (pss-restricted/hostPID: leave hostPID out)"
    )


def test_the_readme_gives_a_reason_for_every_rule_of_the_sources_that_is_left_out() -> None:
    rows = [line for line in README.read_text("utf-8").splitlines() if re.match(r"\| `[\w-]+/", line)]
    left_out = re.findall(r"`([\w-]+/[\w-]+)`", "\n".join(rows))
    present = [name for name in names() if not name.startswith("pss-")]
    assert not set(left_out) & set(present)
    assert len(set(left_out)) + len(present) == 63 + 39 + 44


@pytest.mark.parametrize("automatic", [True, False])
@pytest.mark.parametrize("at_least", [1, 2])
def test_a_platform_of_few_replicas_breaks_only_rules_that_the_setting_decides(
    at_least: int, *, automatic: bool
) -> None:
    found = findings(every(manifests(reference(automatic=automatic, at_least=at_least))))
    assert {each.rule.decided_by for each in found} <= {"the setting `replicas`"}
    assert bool(found) == (automatic or at_least == 1)
