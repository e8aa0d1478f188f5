"""Files of the local target tell back what was written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepflow.targets.local.processes import lives, send, started
from stepflow.targets.local.reconcile import differences
from stepflow.targets.local.spec import (
    DesiredState,
    ObservedState,
    Preparation,
    Probe,
    Process,
    ProcessStatus,
    read_desired,
    read_observed,
    write_desired,
    write_observed,
)

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
PROBES = st.builds(Probe, st.sampled_from(["http", "postgres", "valkey"]), st.integers(1, 65535), WORDS)
PROCESSES = st.builds(
    Process,
    name=WORDS,
    owner=WORDS,
    kind=st.sampled_from(["workload", "server"]),
    command=st.lists(WORDS, max_size=3).map(tuple),
    env=st.dictionaries(WORDS, WORDS, max_size=3),
    cwd=WORDS,
    log=WORDS,
    ready=PROBES,
    live=st.none() | PROBES,
    ports=st.dictionaries(WORDS, st.integers(1, 65535), max_size=2),
    data=st.lists(WORDS, max_size=2).map(tuple),
    after=st.lists(WORDS, max_size=2).map(tuple),
    account=st.none() | st.integers(0, 65535),
    preparation=st.none() | st.builds(Preparation, st.lists(WORDS, max_size=2).map(tuple), WORDS, WORDS),
)


@settings(deadline=None, max_examples=40)
@given(processes=st.dictionaries(WORDS, PROCESSES, max_size=3), end=st.booleans())
def test_the_desired_state_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, processes: dict[str, Process], *, end: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "desired.json"
    write_desired(path, DesiredState(processes, end=end))
    assert read_desired(path) == DesiredState(processes, end=end)


def test_the_observed_state_is_read_as_it_was_written_and_nothing_where_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "observed.json"
    assert read_observed(path) == ObservedState()
    seen = ObservedState(
        {"a": ProcessStatus("f", "ready", 1, "2", proven=True)}, supervisor=7, guardian=8, revision="r"
    )
    write_observed(path, seen)
    assert read_observed(path) == seen


@settings(deadline=None, max_examples=40)
@given(PROCESSES, PROCESSES)
def test_definitions_differ_exactly_when_the_processes_do_but_for_stamp_and_session(one: Process, two: Process) -> None:
    def what_it_is(process: Process) -> Process:
        return replace(process, command=process.arguments, account=None, preparation=None)

    assert (not list(differences(one, two))) == (what_it_is(one) == what_it_is(two))
    elsewhere = replace(two, account=7, preparation=Preparation(("a",), "b", "c"), command=("/x", *two.arguments))
    assert not list(differences(two, elsewhere))
    assert not list(differences(one, replace(one, stamp="x", env={**one.env, "PATH": "/elsewhere"})))


def test_what_another_version_wrote_is_read_as_far_as_it_is_known(tmp_path: Path) -> None:
    path = tmp_path / "desired.json"
    process = Process("a", "a", "server", ("a",), {}, "/", "a.log", Probe("http", 1))
    write_desired(path, DesiredState({"a": process}))
    raw = json.loads(path.read_text())
    raw["later"] = raw["processes"]["a"]["later"] = raw["processes"]["a"]["ready"]["later"] = 1
    del raw["processes"]["a"]["neighbours"]
    path.write_text(json.dumps(raw))
    assert read_desired(path) == DesiredState({"a": process})


def test_a_pid_is_only_the_same_process_with_its_start_time() -> None:
    assert lives(os.getpid(), started(os.getpid()))
    assert not lives(os.getpid(), "1")
    assert not lives(0, "")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        begun = started(child.pid)
        send(child.pid, "another", signal.SIGKILL)
        assert lives(child.pid, begun)
        send(child.pid, begun, signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not lives(child.pid, begun)  # it waits to be reaped
