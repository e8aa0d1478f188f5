"""A declaration that cannot work is refused when the plan is made, with the value, and blamed on its playbook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from stepflow.errors import PermanentError
from stepflow.handoff import ConfigFile, Endpoint, SecretFile, ServerFile
from stepflow.journal import Journal
from stepflow.playbook import Playbook, StepInput
from stepflow.workload import Declaration, HttpProbe, Job, Port, Server, Workload

if TYPE_CHECKING:
    from tests.unit.conftest import Lab

DOCUMENT = "# Lab\n\n## Step 1: a\n- Playbook: web\n- Prompt: build it\n"
OF = " of the workload `web`"
NAME = "use at most 63 of a-z, 0-9 and `-`"
FILE = "use letters, digits, `.`, `_` and `-`"
DATABASE = "use lower-case letters, digits and `_`"
CONFIG = "workload `web` has no config `c`"
KINDS = "one of: `nats`, `postgres`, `valkey`"


class Web(Playbook):
    """Declares what it is given."""

    name = "web"
    summary = "A workload."
    path = "web/app.py"

    def __init__(self, declaration: Declaration) -> None:
        self.declaration = declaration

    def render(self, step: StepInput) -> Mapping[str, bytes]:
        del step
        return {self.path: b""}

    def declare(self, step: StepInput) -> Declaration:
        del step
        return self.declaration


def web(**fields: Any) -> Declaration:  # noqa: ANN401 - also values of wrong types
    return Declaration((replace(Workload("web", ("python",), HttpProbe("/")), **fields),))


async def refused(lab: Lab, declaration: Declaration) -> str:
    lab.playbooks = {"web": Web(declaration)}
    with pytest.raises(PermanentError) as error:
        await lab.run(DOCUMENT)
    assert error.value.hint == "fix `declare` of `web`, or the inputs of step 1"
    assert lab.target.applied == {}
    before = "the playbook `web` declares in step 1 what cannot work: "
    assert error.value.message.startswith(before)
    return error.value.message.removeprefix(before)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"needs": ("ghost",)}, "the workload `web` needs `ghost`, which no step declares"),
        ({"needs": ("web",)}, "the workload `web` needs itself"),
        ({"needs": None}, f"`needs`{OF} is None, not a tuple"),
        ({"replicas": -1}, f"`replicas`{OF} is -1, not a number from 1"),
        ({"replicas": "2"}, f"`replicas`{OF} is '2', not a number from 1"),
        ({"command": ()}, f"`command`{OF} is (), and does not begin with a program"),
        ({"name": "../evil"}, f"`../evil` cannot be the name of a workload; {NAME}"),
        ({"name": "nats"}, f"`nats` cannot be the name of a workload; {NAME}"),
        ({"data": ("../evil",)}, f"`../evil` cannot be the name of a data directory{OF}; {FILE}"),
        ({"env": {"A_FILE": SecretFile("../evil")}}, f"`../evil` cannot be the name of a secret{OF}; {FILE}"),
        ({"command": ("python", ConfigFile("c"))}, CONFIG),
        ({"env": {"DB_FILE": ServerFile("postgres", "a-b")}}, f"`a-b` cannot be a database's name; {DATABASE}"),
        ({"ports": (Port(number=70000),)}, f"port `http`{OF} is 70000, not a number from 1 to 65535"),
        ({"ready": HttpProbe("/", port="admin")}, f"a probe{OF} uses port `admin`, which it does not declare"),
        ({"ready": None}, f"a probe{OF} is None, not an `HttpProbe`"),
        ({"live": "/"}, f"a probe{OF} is '/', not an `HttpProbe`"),
        ({"ports": (Port(), Port("low", 0))}, f"port `low`{OF} is 0, not a number from 1 to 65535"),
        ({"ports": (Port(), 80)}, f"80 cannot stand in `ports`{OF}"),
        ({"data": "files"}, f"`data`{OF} is 'files', not a tuple"),
        ({"configs": ("c",)}, f"`configs`{OF} is ('c',), not a mapping"),
        ({"configs": {"../evil": {}}}, f"`../evil` cannot be the name of a config{OF}; {FILE}"),
        ({"stop_grace": -0.5}, f"`stop_grace`{OF} is -0.5, not a number of seconds"),
        ({"context": "ghost"}, f"`context`{OF} is `ghost`, a folder in which the step renders nothing"),
    ],
)  # fmt: skip
async def test_a_workload_that_cannot_work_is_refused(lab: Lab, fields: Mapping[str, Any], said: str) -> None:
    assert await refused(lab, web(**fields)) == said


@pytest.mark.parametrize(
    "place",
    [
        {"env": {"URL": Endpoint("ghost")}},
        {"command": ("python", Endpoint("ghost"))},
        {"migrate": ("python", Endpoint("ghost"))},
        {"configs": {"c.json": {"a": [Endpoint("ghost")]}}},
    ],
)
async def test_a_reference_to_what_no_step_declares_is_refused_wherever_it_stands(
    lab: Lab, place: Mapping[str, Any]
) -> None:
    assert await refused(lab, web(**place)) == "the workload `web` refers to `ghost`, a workload that no step declares"


async def test_a_port_that_the_other_workload_does_not_have_is_refused(lab: Lab) -> None:
    said = await refused(lab, web(env={"URL": Endpoint("web", "admin")}))
    assert said == "the workload `web` refers to port `admin`, which `web` lacks"


@pytest.mark.parametrize(
    ("declaration", "said"),
    [
        (Declaration(servers=(Server("mongo"),)), f"there is no backing service `mongo`; {KINDS}"),  # type: ignore[arg-type]
        (Declaration(servers=(Server("postgres", "../x"),)), f"`../x` cannot be a database's name; {DATABASE}"),
        (Declaration(servers="nats"), "`servers` is 'nats', not a tuple"),  # type: ignore[arg-type]
        (Declaration(jobs=(Job("j", ()),)), "`command` of the job `j` is (), and does not begin with a program"),
        (Declaration(jobs=(Job("j", ("true",), timeout=-1),)), "`timeout` of the job `j` is -1, not seconds above 0"),
        (Declaration(jobs=(Job("j", ("true",), timeout=0),)), "`timeout` of the job `j` is 0, not seconds above 0"),
        (Declaration(jobs=(Job("j", ("true",), retries=-1),)), "`retries` of the job `j` is -1, not a number from 0"),
        (Declaration(jobs=(Job("j", ("true",), retries="2"),)), "`retries` of the job `j` is '2', not a number from 0"),  # type: ignore[arg-type]
        (Declaration(jobs=(Job("j", ("true",)), Job("j", ("true",)))), "two jobs are called `j`"),
        (Declaration(web().workloads * 2), "two workloads are called `web`"),
    ],
)  # fmt: skip
async def test_a_declaration_that_cannot_work_is_refused(lab: Lab, declaration: Declaration, said: str) -> None:
    assert await refused(lab, declaration) == said


@pytest.mark.parametrize("path", ["../evil", "/etc/evil", "a//b", "a\0b"])
async def test_a_rendered_path_outside_of_the_folder_is_refused(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(Web, "path", path)
    assert await refused(lab, web()) == f"it renders `{path}`, which would be written outside of the output folder"


async def test_what_is_just_possible_is_not_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepflow.engine.declared.LONGEST_ARGUMENT", 7)
    ends = (Port("http", 1), Port("last", 65535))
    probe, host = HttpProbe("/", port="last"), Endpoint("web", "none", part="host")
    workload = web(ports=ends, live=probe, stop_grace=0.5, replicas=1, env={"HOST": host}).workloads
    lab.playbooks = {"web": Web(Declaration(workload, jobs=(Job("j", ("/bin/:",), timeout=0.5, retries=0),)))}
    with Journal(lab.folder / "state/journal.db") as journal:
        (step,) = (await lab.look(DOCUMENT, journal)).plan.steps
    assert [each.verb for each in step.facts.actions] == ["create"]
    said = "a word of 8 bytes in `command` of the job `j`; the system takes words of at most 7"
    assert await refused(lab, Declaration(jobs=(Job("j", ("/bin/too",)),))) == said


async def test_what_another_step_declares_is_there_to_refer_to(lab: Lab) -> None:
    lab.playbooks = {"web": Web(web(needs=("b", "nats"), env={"B": Endpoint("b")}))}
    other = "## Step 2: b\n- Playbook: service\n- Prompt: go\n"
    assert await lab.run(f"{DOCUMENT}\n{other}") == "succeeded"
