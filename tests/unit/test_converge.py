"""What a target that makes each workload in one go does about it, as it is printed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from stepflow.errors import PermanentError
from stepflow.targets.actions import Action
from stepflow.targets.contract import Desired, Observed, Progress, discard
from stepflow.targets.converge import Answer, LateError, Locks, converge, wait, whole
from stepflow.workload import PRODUCTION, Declaration, HttpProbe, Production, Server, Workload

ORDERS = Workload("orders", ("python",), HttpProbe("/"), replicas=2)
UP = Observed("orders", "workload", "ready", "d1", 2, 2, "", ())
NATS = Observed("nats", "server", "ready", "", 1, 1, "", ())


def printed(*observed: Observed, digest: str = "d1") -> list[str]:
    desired = Desired(Declaration((ORDERS,), (Server("nats"), Server("nats"))), {"orders": digest})
    return [str(each) for each in whole(desired, {each.name: each for each in observed})]


def test_what_does_not_exist_is_created_a_server_once() -> None:
    assert printed() == ["create   nats: it does not exist", "create   orders: it does not exist"]


def test_what_is_as_desired_is_kept() -> None:
    assert printed(NATS, UP) == ["keep     nats: unchanged and ready", "keep     orders: unchanged and ready"]


def test_another_digest_is_replaced_whatever_else_differs() -> None:
    other = replace(UP, state="failed", replicas=3)
    assert printed(NATS, other, digest="d2")[1] == "replace  orders: what it is made from changed"


def test_what_is_down_is_restarted_and_it_is_said_why() -> None:
    down = replace(UP, state="failed", detail="exited with code 1")
    assert printed(replace(NATS, state="stopped"), down) == [
        "restart  nats: it is stopped",
        "restart  orders: exited with code 1",
    ]


def test_another_number_of_copies_is_a_scaling_and_what_is_starting_is_waited_for() -> None:
    assert printed(NATS, replace(UP, replicas=1))[1] == "scale    orders: it has 1 copy instead of 2"
    starting = replace(UP, state="starting", detail="GET / answers 503")
    assert printed(NATS, starting)[1] == "wait     orders: GET / answers 503"


def test_how_the_whole_platform_runs_goes_by_its_own_digest() -> None:
    production = Production((ORDERS,), (), ("orders",), 2, 4, 70, automatic=True)
    desired = Desired(Declaration(production=production), {PRODUCTION: "p1"})
    assert [str(each) for each in whole(desired, {})] == ["create   production: it does not exist"]


@dataclass(frozen=True)
class Leaving:
    """A target whose `execute` ends the process."""

    async def prepare(self, *_: object) -> tuple[Action, ...]:
        return ()

    async def reconcile(self, unit: Orders) -> tuple[Action, ...]:
        return (Action("create", unit.name, "it does not exist", unit.name),)

    async def execute(self, *_: object) -> None:
        sys.exit(3)

    async def need(self, *_: object) -> bool:
        return True


@dataclass(frozen=True)
class Orders:
    name: str = "orders"
    needs: tuple[str, ...] = ()


async def test_a_target_that_ends_the_process_while_it_executes_fails_with_an_error_instead() -> None:
    with pytest.raises(RuntimeError, match="SystemExit: 3"):
        await converge(Leaving(), [Orders()], Locks(), discard)


async def waited(*answers: Answer, deadline: float = 60.0, late: str = "is not ready") -> tuple[list[Progress], str]:
    """Wait with these answers, the last of which stays; return what was said, and the error."""
    said: list[Progress] = []
    left: Iterator[Answer] = iter(answers)

    async def look() -> Answer:
        return next(left, answers[-1])

    async def failure(what: str, kind: type[PermanentError]) -> PermanentError:
        return kind(f"`orders` {what}")

    try:
        await wait("orders", look, deadline=deadline, step=0.0, say=said.append, failure=failure, late=late)
    except PermanentError as error:
        return said, f"{type(error).__name__}: {error.message}"
    return said, ""


async def test_each_new_answer_is_said_once_until_it_is_ready() -> None:
    no, soon, yes = Answer(ready=False, text="503"), Answer(ready=False, text="504"), Answer(ready=True, text="200")
    assert await waited(no, no, soon, yes) == ([Progress("`orders`", "503"), Progress("`orders`", "504")], "")


async def test_answer_that_stays_is_said_again_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepflow.targets.converge._REMINDER", 0.0)
    no, yes = Answer(ready=False, text="503"), Answer(ready=True, text="200")
    assert await waited(no, no, no, yes) == ([Progress("`orders`", "503")] * 3, "")


async def test_what_cannot_get_ready_and_what_takes_too_long_end_the_wait_with_what_was_answered_last() -> None:
    down = Answer(ready=False, text="exited with code 1", failed=True)
    assert await waited(down) == ([], "PermanentError: `orders` exited with code 1")
    slow, error = Answer(ready=False, text="503"), LateError.__name__
    assert (await waited(slow, deadline=-1.0))[1] == f"{error}: `orders` is not ready after -1 s; the last answer: 503"
    going = Answer(ready=False, text="`a` is shutting down")
    assert (await waited(going, deadline=-1.0, late="still has pods"))[1] == (
        f"{error}: `orders` still has pods after -1 s; the last answer: `a` is shutting down"
    )


def test_the_kubernetes_target_waits_in_no_loop_of_its_own() -> None:
    folder = Path(__file__).parents[2] / "src/stepflow/targets/kubernetes/converge"
    assert [file.name for file in folder.glob("*.py") if "sleep(" in file.read_text("utf-8")] == []
