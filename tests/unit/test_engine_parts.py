"""The parts of the engine, each by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx2
import pytest
from pydantic import BaseModel

from stepflow.engine import tail
from stepflow.engine.checks import Nowhere, ask, judge, speaks_of
from stepflow.engine.desired import with_written
from stepflow.engine.disk import compare
from stepflow.engine.meaning import canonical, fingerprint, flat
from stepflow.errors import PermanentError, TemporaryError
from stepflow.handoff import ConfigFile, Endpoint, Handoff, JsonHandoff, SecretFile, ServiceHandoff
from stepflow.playbook import Check
from stepflow.render import digest
from stepflow.workload import Instance, Live

NOWHERE = Nowhere("local", Path("out"))


def check(run: Callable[[Live], Awaitable[str]], *proves: str, timeout: float = 60) -> Check:
    return Check("answers", run, proves, timeout=timeout)


def raising(*errors: Exception) -> Callable[[Live], Awaitable[str]]:
    left = list(errors)

    async def run(live: Live) -> str:
        del live
        if left:
            raise left.pop(0)
        return "200 OK"

    return run


class Shape(BaseModel):
    size: int


def test_canonical_json_does_not_depend_on_order_and_tells_kinds_of_references_apart() -> None:
    assert canonical({"b": {2, 1}, "a": (1, None)}) == '{"a":[1,null],"b":[1,2]}'
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint(SecretFile("x")) != fingerprint(ConfigFile("x"))
    assert canonical([Path("a/b"), Shape(size=2)]) == '["a/b",{"size":2}]'


def test_leaves_of_a_value_are_named_by_their_path() -> None:
    assert flat({"gateway": {"url": "x", "ports": [1]}, "n": None}) == {
        "gateway.url": '"x"', "gateway.ports": "[1]", "n": "null",
    }  # fmt: skip


@pytest.mark.parametrize(
    "error",
    [
        TemporaryError("503", delay=0.01),
        ConnectionRefusedError("refused"),
        TimeoutError(),
        httpx2.ConnectError("refused"),
    ],
)
async def test_network_errors_and_temporary_ones_are_asked_again(error: Exception) -> None:
    answer = await ask(1, check(raising(error)), NOWHERE)
    assert (answer.passed, answer.evidence) == (True, "200 OK")


async def test_permanent_error_is_an_answer_at_once() -> None:
    answer = await ask(1, check(raising(PermanentError("no", hint="do", log="x"))), NOWHERE)
    assert (answer.passed, answer.evidence, answer.hint, answer.log) == (False, "no", "do", "x")


async def test_check_that_never_answers_ends_at_its_deadline() -> None:
    answer = await ask(1, check(forever, timeout=0.05), NOWHERE)
    assert (answer.passed, answer.evidence) == (False, "timeout after 0.05 s: no answer")


async def forever(live: Live) -> str:
    del live
    await asyncio.Event().wait()
    return ""


async def test_long_answer_is_cut_at_a_word() -> None:
    answer = await ask(1, check(raising(PermanentError("word " * 200))), NOWHERE)
    assert len(answer.evidence) <= 240
    assert answer.evidence.endswith("word …")


async def test_outcome_needs_every_check_that_speaks_of_it() -> None:
    good = await ask(1, check(raising(), "event-driven"), NOWHERE)
    bad = await ask(2, check(raising(PermanentError("lost")), "communication"), NOWHERE)
    (found,) = judge(["Event-driven communication"], [good, bad], 3)
    assert (found.verdict, found.evidence, found.run) == ("failed", ("answers: 200 OK", "answers: lost"), 3)


@pytest.mark.parametrize(
    ("phrase", "outcome", "speaks"),
    [
        ("API Gateway", "Service mesh with API gateway", True),
        ("auto scaling", "Auto-scaling Kubernetes deployment", True),
        ("gateway mesh", "Service mesh with API gateway", True),
        ("scale", "Auto-scaling Kubernetes deployment", False),
        ("", "anything", False),
    ],
)
def test_phrase_speaks_of_an_outcome_by_its_words(phrase: str, outcome: str, speaks: bool) -> None:  # noqa: FBT001 - a table
    assert speaks_of(check(raising(), phrase), outcome) is speaks


async def test_platform_without_workloads_has_nothing_to_show() -> None:
    assert NOWHERE.instances("x") == ()
    with pytest.raises(PermanentError, match="there is no workload `x`"):
        NOWHERE.url(Endpoint("x"))
    with pytest.raises(PermanentError, match="there is no secret `x`"):
        NOWHERE.secret(SecretFile("x"))
    with pytest.raises(PermanentError, match="there is no instance `x-1`"):
        await NOWHERE.kill(Instance("x", "x-1", "ready", "", "1"))


def test_rendered_tree_is_compared_with_the_disk_and_the_last_rendering(tmp_path: Path) -> None:
    old, new, mine = digest(b"old"), digest(b"new"), digest(b"mine")
    for name, content in {"same": b"new", "changed": b"old", "edited": b"mine", "conflict": b"mine"}.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder").mkdir()
    rendered = dict.fromkeys(("absent", "gone", "same", "changed", "edited", "conflict"), new)
    found = compare(rendered, {"changed": old, "edited": new, "conflict": old, "absent": old}, {"gone"}, tmp_path)
    assert (found.diff.new, found.diff.changed, found.diff.same) == (2, 1, 1)
    assert found.diff.gone == ("gone",)
    assert (found.diff.edited, found.diff.conflicts) == (("edited",), ("conflict",))
    assert found.kept == {"edited": mine, "conflict": mine}
    assert compare({"folder": new}, {}, (), tmp_path).diff.conflicts == ("folder",)


def test_what_a_job_wrote_is_added_to_the_handoff_if_it_fits() -> None:
    assert with_written(JsonHandoff(values={"a": 1}), {"b": 2}) == JsonHandoff(values={"a": 1, "b": 2})
    service = ServiceHandoff(service="x", endpoint=Endpoint("x"))
    assert with_written(service, {"routes": ["/api"]}) == service.model_copy(update={"routes": ("/api",)})
    assert with_written(Handoff(delivers="d"), None) == Handoff(delivers="d")
    with pytest.raises(PermanentError, match=r"is not a ServiceHandoff: `port`: Extra inputs are not permitted"):
        with_written(service, {"port": 1})
    with pytest.raises(PermanentError, match=r"the job wrote \[1\] to `\$STEPFLOW_HANDOFF`"):
        with_written(service, [1])


def test_tail_of_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"a\n" * 50 + b"\xff\n")
    assert tail(tmp_path / "log", 2) == ("a", "�")
    assert tail(tmp_path / "none") == ()
