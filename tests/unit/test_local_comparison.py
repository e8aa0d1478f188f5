"""Comparing on this machine reads nothing but what was observed."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from memory_supervisor import Platform, platform

from stepflow.handoff import Endpoint, SecretFile, ServerFile
from stepflow.targets.contract import Desired
from stepflow.targets.local import programs
from stepflow.workload import Declaration, HttpProbe, Port, Server, Workload


def _desired(digest: str = "1") -> Desired:
    env = {
        "GATE": Endpoint("gateway"),
        "KEY": SecretFile("key"),
        "BUS": ServerFile("nats"),
        "DB": ServerFile("postgres", "a"),
    }
    hello = Workload("hello", ("python", "-m", "service"), HttpProbe("/"), context="hello", env=env, replicas=2)
    gateway = Workload(
        "gateway", ("envoy",), HttpProbe("/"), context="hello", ports=(Port(published=True, number=8080),)
    )
    project = b'[project]\nname = "hello"\nversion = "0"\ndependencies = ["pydantic"]\n'
    workloads = (hello, gateway)
    return Desired(
        Declaration(workloads, (Server("valkey"),)),
        dict.fromkeys(("hello", "gateway"), digest),
        workloads,
        {"hello/pyproject.toml": project},
    )


async def _same_on_another_machine(shop: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = await shop.target.observe()
    printed = [[str(each) for each in shop.target.reconcile(_desired(digest), snapshot)] for digest in "12"]
    shutil.rmtree(shop.site.out)
    shop.layout.state.rename(shop.layout.state.with_name("moved"))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    for cached in (programs.find, programs.privileges):
        monkeypatch.setattr(programs, cached.__name__, None)
    later = [[str(each) for each in shop.target.reconcile(_desired(digest), snapshot)] for digest in "12"]
    shop.layout.state.with_name("moved").rename(shop.layout.state)
    assert later == printed
    assert {each.split()[0] for each in printed[0]} == {"keep"}


async def test_the_same_snapshot_gives_the_same_actions_whatever_became_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    with platform(folder) as shop:
        (shop.site.out / "hello").mkdir()
        await shop.run(_desired())
        await _same_on_another_machine(shop, monkeypatch)
