"""A platform whose journal is lost is taken down by what its target knows."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from stepflow.targets import open_target
from stepflow.targets.contract import Desired, Site
from stepflow.workload import Declaration, HttpProbe, Workload

STEPFLOW = Path(sys.executable).with_name("stepflow")
HELLO = Path(__file__).parents[1] / "data" / "hello"


def of(state: Path) -> list[int]:
    """The living processes that work on a platform."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and any(str(state) in word for word in process.cmdline()):
                found.append(process.pid)
    return found


@pytest.mark.platform
@pytest.mark.parametrize("journal", [None, b"spoilt " * 500], ids=["deleted", "damaged"])
def test_processes_are_ended_without_a_journal(tmp_path: Path, journal: bytes | None) -> None:
    site = Site("shop", tmp_path.resolve() / ".stepflow/shop", tmp_path.resolve() / "shop")
    shutil.copytree(HELLO, site.out / "hello")
    hello = Workload("hello", ("python", "-m", "service"), HttpProbe("/", deadline=90), context="hello")
    declaration = Declaration((hello,))
    asyncio.run(open_target("local", site).apply(Desired(declaration, {"hello": "1"}, (hello,)), lambda _: None))
    assert of(site.state) != []
    (site.state / "lock").touch()
    if journal:
        (site.state / "journal.db").write_bytes(journal)
    done = subprocess.run(
        [STEPFLOW, "down", "--data"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.startswith("removed hello\n"), done.stderr
    assert of(site.state) == []
    assert not site.state.exists()
