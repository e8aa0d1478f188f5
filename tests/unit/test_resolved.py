"""What a declaration refers to is looked for once, and everything behind it reads the result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from reference import declarations
from scans import CountedEnv

from stepflow.cli import main
from stepflow.handoff import ServerFile, Value
from stepflow.targets import open_target, resolved
from stepflow.targets.contract import Desired, Site, Snapshot
from stepflow.targets.kubernetes.bundle import Bundle, Scale, merged
from stepflow.targets.resolution import resolution
from stepflow.targets.resolved import resolve
from stepflow.workload import Declaration, HttpProbe, Production, Server, Workload
from stepflow_playbooks.orchestration.bundle.files import bundle_files

ROOT = Path(__file__).parents[2]
ORDERS = Workload("orders", ("python",), HttpProbe("/"), env={"DATABASE_URL_FILE": ServerFile("postgres", "orders")})


def counted(steps: list[Declaration]) -> list[Declaration]:
    def workload(each: Workload) -> Workload:
        return replace(each, env=CountedEnv(each.env))

    return [replace(step, workloads=tuple(map(workload, step.workloads))) for step in steps]


def scans(steps: list[Declaration]) -> Mapping[str, int]:
    return {each.name: cast("CountedEnv", each.env).scans for step in steps for each in step.workloads}


@pytest.fixture(scope="module")
def steps() -> list[Declaration]:
    """Return what all steps of the reference workflow declare."""
    return declarations()


def test_the_whole_kubernetes_bundle_is_made_from_one_scan_of_each_workload(steps: list[Declaration]) -> None:
    watched = counted(steps)
    workloads, servers = merged(watched)
    bundle = Bundle("Shop", "shop", "", "1", workloads, servers, Scale(3, 10, 70, automatic=True))
    assert len(bundle_files(bundle)) > 50
    assert set(scans(watched).values()) == {1}


@pytest.mark.parametrize("name", ["docker", "kubernetes", "local"])
def test_a_target_compares_a_step_by_one_scan_of_each_workload(
    name: str, steps: list[Declaration], tmp_path: Path
) -> None:
    watched = counted(steps)
    target = open_target(name, Site("shop", tmp_path / "state", tmp_path / "out"))
    every = tuple(each for step in watched for each in step.workloads)
    for step in watched:
        digests = dict.fromkeys((each.name for each in step.workloads), "1")
        assert not step.deploys or target.reconcile(Desired(step, digests, every), Snapshot({}))
    assert set(scans(watched).values()) == {1}


@pytest.mark.parametrize(("bundle", "scans"), [(False, 1), (True, 2)])
def test_a_plan_scans_each_workload_once_and_once_more_for_the_bundle_of_the_whole_platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, bundle: bool, scans: int
) -> None:
    scanned: Counter[str] = Counter()
    scan = resolved._references

    def counted_scan(workload: Workload) -> tuple[Value, ...]:
        scanned[workload.name] += 1
        return scan(workload)

    monkeypatch.setattr(resolved, "_references", counted_scan)
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "examples/microservices/workflow.md").read_text()
    if not bundle:
        lines = text.partition("## Step 8")[0].splitlines(keepends=True)
        text = "".join(line for line in lines if "Step 8" not in line)
    Path("workflow.md").write_text(text)
    assert main(["plan", "workflow.md", "--target", "local"]) == 0
    assert len(scanned) > 8
    assert set(scanned.values()) == {scans}


def test_the_compose_file_is_made_from_one_scan_of_each_workload(steps: list[Declaration], tmp_path: Path) -> None:
    watched = counted(steps)
    target = open_target("docker", Site("shop", tmp_path / "state", tmp_path / "out"))
    assert "compose.yaml" in target.documents(watched)
    assert set(scans(watched).values()) == {1}


def test_servers_that_are_declared_or_referred_to_are_there_once_each_database_by_itself() -> None:
    declared = (Server("valkey"), Server("postgres", "orders"), Server("postgres"), Server("valkey"))
    found = resolution(Desired(Declaration((ORDERS,), declared)))
    assert found.backing == (Server("postgres"), Server("postgres", "orders"), Server("valkey"))
    assert (found.servers, found.databases) == (("postgres", "valkey"), ("orders",))


def test_production_is_resolved_with_the_workloads_of_all_steps_and_the_servers_they_refer_to() -> None:
    declared = Production((ORDERS,), (Server("nats"),), ("orders",), 2, 4, 70, automatic=True)
    found = resolution(Desired(Declaration(production=declared))).production
    assert found is not None
    assert (found.declared, found.workloads) == (declared, (resolve(ORDERS),))
    assert found.backing == (Server("nats"), Server("postgres", "orders"))
