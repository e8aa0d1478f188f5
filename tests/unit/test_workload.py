"""A declaration that no process could be started with is refused where it is made."""

from __future__ import annotations

import re
from typing import Any

import pytest

from stepflow.handoff import Endpoint, SecretFile
from stepflow.workload import HttpProbe, Job, Workload

READY = HttpProbe("/")


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"A": "x\0y"}, r"'x\x00y' in its variable `A` has a NUL character, which no process can be given"),
        ({"A": 7}, "7 in its variable `A` is not text but int"),
        ({"A": None}, "None in its variable `A` is not text but NoneType"),
        ({"A": "\ud800"}, r"'\ud800' in its variable `A` is not Unicode text"),
        ({"A=B": "x"}, "its variable 'A=B' is not the name of one"),
        ({"": "x"}, "its variable '' is not the name of one"),
        ({"A\0": "x"}, r"its variable 'A\x00' has a NUL character, which no process can be given"),
        ({7: "x"}, "its variable 7 is not text but int"),
    ],
)
def test_a_variable_that_no_process_can_have_is_refused(env: Any, said: str) -> None:  # noqa: ANN401 - what a plugin may pass
    for who, make in (("workload", _workload), ("job", _job)):
        with pytest.raises(ValueError, match=f"^{who} `a`: {re.escape(said)}$"):
            make(env=env)


@pytest.mark.parametrize(
    ("word", "said"),
    [("x\0", r"'x\x00' in its command has a NUL character"), (7, "7 in its command is not text but int")],
)
def test_a_command_that_no_process_can_have_is_refused(word: Any, said: str) -> None:  # noqa: ANN401 - likewise
    for make, field in ((_workload, "command"), (_workload, "migrate"), (_job, "command")):
        with pytest.raises(ValueError, match=re.escape(said)):
            make(**{field: ("python", word)})


def test_text_and_references_are_what_a_workload_takes() -> None:
    env = {"ÜBER": "ä b=c", "USERS": Endpoint("users"), "KEY_FILE": SecretFile("key")}
    assert _workload(env=env, command=("python", SecretFile("key"))).env == env


def test_a_job_takes_no_reference() -> None:
    with pytest.raises(ValueError, match=r"in its variable `A` is not text but Endpoint$"):
        _job(env={"A": Endpoint("users")})


def _workload(**changes: Any) -> Workload:  # noqa: ANN401 - as Workload takes
    return Workload(**{"name": "a", "command": ("python",), "ready": READY, **changes})


def _job(**changes: Any) -> Job:  # noqa: ANN401 - as Job takes
    return Job(**{"name": "a", "command": ("true",), **changes})
