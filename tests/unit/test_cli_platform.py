"""The commands round a running platform, on a target in memory."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import sys
import types
from contextlib import closing
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from stepflow.cli import failure, main
from stepflow.cli.state import site
from stepflow.engine import held
from stepflow.errors import MachineError, PermanentError, UsageError
from stepflow.handoff import Credential, Endpoint, Handoff, SecretFile, ServiceHandoff
from stepflow.playbook import Check, Playbook, StepInput
from stepflow.registry import Registry, resolve
from stepflow.targets import GROUP
from stepflow.targets.contract import Provider
from stepflow.testing import FakeTarget
from stepflow.workload import CheckContext, Declaration, HttpProbe, Live, Port, Server, Workload

DOCUMENT = """\
# Shop

## Step 1: Gateway
- Playbook: edge
- Prompt: route

## Expected Outcomes
- Service mesh
- World peace
"""


class Edge(Playbook):
    """A gateway and a service, an administrator and a client."""

    name = "edge"
    summary = "An edge."
    gives = ServiceHandoff
    broken = False

    def declare(self, step: StepInput) -> Declaration:
        del step
        ready = HttpProbe("/ready")
        return Declaration(
            (
                Workload("registry", ("python",), ready),
                Workload("gateway", ("envoy",), ready, ports=(Port(number=8080),)),
            )
        )

    def handoff(self, step: StepInput) -> Handoff:
        admin = Credential("admin", "admin@example.com", SecretFile("admin"))
        client = Credential("client", "reporter", SecretFile("reporter"))
        return ServiceHandoff(
            delivers=step.delivers, service="gateway", endpoint=Endpoint("gateway"), credentials=(admin, client)
        )

    def checks(self, step: StepInput) -> tuple[Check, ...]:
        del step
        return (Check("routes answer", self._answer, ("mesh",), "run", 0.2),)

    async def _answer(self, live: Live) -> str:
        if self.broken:
            raise PermanentError("503")
        return live.url(Endpoint("gateway"))


class Offer(Registry):
    """Knows the one playbook."""

    def load(self, name: str) -> Playbook:
        assert name == "edge"
        return Edge()


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTarget:
    """Run the document on a fake target in a directory of its own."""
    made = FakeTarget()
    module = types.ModuleType("a_fake_target")
    module.PROVIDER = Provider("local", lambda _: made, lambda _: (), handles="pids")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_fake_target", module)
    entries = {"local": (EntryPoint("local", "a_fake_target:PROVIDER", GROUP),)}
    monkeypatch.setattr("stepflow.targets.installed", lambda: entries)
    monkeypatch.setattr("stepflow.cli.state.require", lambda workflow, **_: resolve(workflow, Offer(())))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.md").write_text(DOCUMENT, encoding="utf-8")
    assert main(["run", "w.md"]) == 0
    return made


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """Call a command and give what it says: stdout, or stderr when it is to fail."""
    capsys.readouterr()
    assert main(arguments) == code
    out, err = capsys.readouterr()
    return err if code else out


def test_run_ends_with_the_gateway_and_how_to_sign_in(target: FakeTarget, capsys: pytest.CaptureFixture[str]) -> None:
    assert target.applied == {"gateway": 1, "registry": 1}
    out = said(capsys, "run", "w.md", "--name", "other")
    assert re.sub(r"in \d+\.\d s", "in 0.0 s", out).endswith(
        "expected outcomes\n"
        "  ok: Service mesh\n"
        "      routes answer: http://gateway.fake.invalid:8080\n"
        "  not verified: World peace\n      no step's playbook checks this\n"
        "\n"
        "`other` succeeded in 0.0 s: 1 done\n"
        "  open     http://gateway.fake.invalid:8080\n"
        "  sign in  `stepflow credentials --name other`\n"
        "  next     `stepflow status --name other`, `stepflow logs NAME --name other`, `stepflow down --name other`\n"
    )


def test_status_shows_what_people_reach_first_and_why_something_is_down(
    target: FakeTarget, capsys: pytest.CaptureFixture[str]
) -> None:
    target.lose("registry")
    assert said(capsys, "status") == (
        "`shop` on local, last run 1: succeeded\n"
        "  gateway   ready     1/1  http://gateway.fake.invalid:8080\n"
        "  registry  stopped   0/1  http://registry.fake.invalid:8000\n"
    )
    told = json.loads(said(capsys, "status", "--json"))
    assert next(iter(told["endpoints"].items())) == ("gateway", "http://gateway.fake.invalid:8080")
    assert (told["run"], told["target"]) == (1, "local")
    gateway = next(each for each in told["services"] if each["name"] == "gateway")
    assert (gateway["state"], gateway["replicas"], gateway["pids"]) == ("ready", 1, ["gateway-1"])


def test_status_says_in_which_of_several_places_it_looked(
    target: FakeTarget, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "where" not in json.loads(said(capsys, "status", "--json"))
    target.where = {"context": "kind-shop", "namespace": "shop-0a1b2c"}
    first, *_ = said(capsys, "status").splitlines()
    assert first == "`shop` on local, context `kind-shop`, namespace `shop-0a1b2c`, last run 1: succeeded"
    assert json.loads(said(capsys, "status", "--json"))["where"] == target.where


def test_credentials_are_read_from_the_target_and_have_the_documented_shape(
    target: FakeTarget, capsys: pytest.CaptureFixture[str]
) -> None:
    del target
    assert json.loads(said(capsys, "credentials", "--json")) == {
        "admin": {"email": "admin@example.com", "password": "secret-of-admin"},
        "clients": [{"client_id": "reporter", "client_secret": "secret-of-reporter"}],
    }
    assert "administrator  admin@example.com\n     password  secret-of-admin\n" in said(capsys, "credentials")
    journal = b"".join(path.read_bytes() for path in Path(".stepflow").rglob("*") if path.is_file())
    assert b"secret-of-admin" not in journal


def test_verify_repeats_the_outcomes_and_fails_with_the_one_that_does(
    target: FakeTarget, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    del target
    assert said(capsys, "verify").startswith("  ok: Service mesh\n      routes answer: http://gateway.fake")
    monkeypatch.setattr(Edge, "broken", True)
    capsys.readouterr()
    assert main(["verify", "--json"]) == 1
    mesh, peace = json.loads(capsys.readouterr().out)["outcomes"]
    assert (mesh["verdict"], mesh["evidence"], peace["verdict"]) == ("failed", ["routes answer: 503"], "not verified")


def test_run_and_resume_leave_the_outcomes_unchecked_when_told_so(
    target: FakeTarget, capsys: pytest.CaptureFixture[str]
) -> None:
    left_out = "  not verified: Service mesh\n      left out with `--no-verify`\n"
    assert left_out in said(capsys, "run", "w.md", "--name", "other", "--no-verify")
    target.lose("gateway")
    assert left_out in said(capsys, "resume", "--name", "other", "--no-verify")


def test_verify_kills_a_replica_only_with_chaos(
    target: FakeTarget, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def kill(context: CheckContext) -> str:
        await context.kill(context.instances("registry")[0])
        return "unnoticed"

    chaotic = Check("a killed registry", kill, ("mesh",), "run", chaos=True)
    monkeypatch.setattr(Edge, "checks", lambda *_: (chaotic,))
    said_without = (
        "  not verified: Service mesh\n"
        "      a killed registry: left out, since it kills a replica: `stepflow verify --chaos` includes it\n"
    )
    assert said(capsys, "verify").startswith(said_without)
    assert target.observed["registry"].state == "ready"
    assert said(capsys, "verify", "--chaos").startswith("  ok: Service mesh\n      a killed registry: unnoticed\n")
    assert target.observed["registry"].state == "stopped"


def test_verify_of_a_platform_that_is_down_says_what_is_and_how_to_fix_it(
    target: FakeTarget, capsys: pytest.CaptureFixture[str]
) -> None:
    target.lose("gateway")
    assert said(capsys, "verify", code=1) == (
        "error: `shop` does not match the document: step 1 (Gateway): restart `gateway`: it is stopped\n"
        "hint: `stepflow resume`\n"
    )


def test_verify_names_a_step_without_a_title_by_its_number_alone(
    target: FakeTarget, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("w.md").write_text(DOCUMENT.replace("Step 1: Gateway", "Step 1"), encoding="utf-8")
    assert main(["run", "w.md"]) == 0
    target.lose("gateway")
    problem = "error: `shop` does not match the document: step 1: restart `gateway`: it is stopped\n"
    assert said(capsys, "verify", code=1).startswith(problem)


def test_verify_makes_no_journeys_beside_a_run(target: FakeTarget, capsys: pytest.CaptureFixture[str]) -> None:
    del target
    with held(Path(".stepflow/shop").absolute()):
        assert said(capsys, "verify", code=2).startswith("error: `shop` is being worked on by process ")


def test_logs_are_those_of_a_workload_and_an_unknown_one_is_answered_with_those_there_are(
    target: FakeTarget, capsys: pytest.CaptureFixture[str]
) -> None:
    target.lines["gateway"] = ["one", "two", "three"]
    assert said(capsys, "logs", "gateway", "-n", "2") == "two\nthree\n"
    assert said(capsys, "logs", "gateway", "-n", "0") == ""
    assert said(capsys, "logs") == "gateway\nregistry\n"
    for name, hint in (
        ("gatway", "did you mean `gateway`?"),
        ("reg", "did you mean `registry`?"),
        ("zoo", "there is: gateway, registry"),
        ("../zoo", "there is: gateway, registry"),
    ):
        assert said(capsys, "logs", name, code=2) == f"error: there is no log of `{name}`\nhint: {hint}\n"
    expected = "error: step 1 runs no command, so it has no log\nhint: there is: gateway, registry\n"
    assert said(capsys, "logs", "1", code=2) == expected


def test_a_log_cannot_command_the_terminal_and_goes_as_it_is_into_a_pipe(
    target: FakeTarget, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    target.lines["gateway"] = ["\x1b[2Jone\x1b]52;c;aGk=\x07"]
    assert said(capsys, "logs", "gateway") == "\x1b[2Jone\x1b]52;c;aGk=\x07\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert said(capsys, "logs", "gateway") == "one\n"


def test_a_terminal_shows_a_services_json_in_short(
    target: FakeTarget, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = {"time": "x", "level": "INFO", "service": "s", "message": "GET / 200\x1b[2J", "duration_ms": 1.5, "port": 1}
    target.lines["gateway"] = [json.dumps(entry), '{"time": "x"}', "[1]", json.dumps(entry | {"exception": "Tracé"})]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    told = "x  INFO     GET / 200  1.5 ms  port=1\n"
    assert said(capsys, "logs", "gateway") == f'{told}{{"time": "x"}}\n[1]\n{told}Tracé\n'


def test_open_shows_the_gateway_in_the_browser(
    target: FakeTarget, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert target.observed["gateway"].ready
    shown: list[str] = []

    def show(url: str) -> bool:
        shown.append(url)
        return True

    monkeypatch.setattr("webbrowser.open", show)
    assert said(capsys, "open") == "http://gateway.fake.invalid:8080\n"
    assert shown == ["http://gateway.fake.invalid:8080"]


def test_open_of_a_gateway_that_is_down_says_so_and_opens_nothing(
    target: FakeTarget, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webbrowser.open", pytest.fail)
    target.lose("gateway")
    assert said(capsys, "open", code=1) == (
        "error: the page of `shop`, http://gateway.fake.invalid:8080, does not answer: `gateway` is stopped\n"
        "hint: `stepflow resume` starts what is down\n"
    )


def test_open_and_status_of_what_was_taken_down_say_so(target: FakeTarget, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["down"]) == 0
    assert not target.observed
    again = "hint: `stepflow resume` starts it again\n"
    assert (
        said(capsys, "open", code=2)
        == f"error: `shop` has no page to open: it was taken down, or removed by something else\n{again}"
    )
    capsys.readouterr()
    assert main(["status"]) == 0
    head = "`shop` on local, last run 1: succeeded\n"
    assert capsys.readouterr() == (
        f"{head}  nothing is running: it was taken down, or removed by something else\n",
        again,
    )


def test_status_and_open_say_why_nothing_runs_where_no_run_started_anything(
    target: FakeTarget, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["down"]) == 0
    target.fail("registry")
    assert main(["run", "w.md", "--name", "other"]) == 1
    why = "it was taken down, or no step has started anything yet"
    assert f"  nothing is running: {why}\n" in said(capsys, "status", "--name", "other")
    Path("w.md").write_text("# Words\n\n## Step 1: Say\n- Prompt: nothing\n", encoding="utf-8")
    assert main(["run", "w.md", "--name", "words"]) == 0
    why = "no step that ran deploys anything"
    assert f"  nothing is running: {why}\n" in said(capsys, "status", "--name", "words")
    assert said(capsys, "open", "--name", "words", code=2) == (
        f"error: `words` has no page to open: {why}\nhint: `stepflow status --name words` shows what runs\n"
    )


def test_down_says_what_it_removed_and_the_next_run_makes_it_again(
    target: FakeTarget, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, "down") == (
        "removed gateway\nremoved registry\n"
        "left `.stepflow/shop`: data, secrets and the record; `stepflow down --data` removes it\n"
    )
    assert said(capsys, "down").startswith("nothing of `shop` was running\n")
    assert "create `registry`: it does not exist" in said(capsys, "plan", "w.md")
    assert main(["resume"]) == 0
    assert target.applied == {"gateway": 2, "registry": 2}


def test_runs_are_listed_as_lines_and_as_json(target: FakeTarget, capsys: pytest.CaptureFixture[str]) -> None:
    del target
    main(["run", "w.md"])
    last, first = said(capsys, "runs").splitlines()
    assert last.split()[0] == "2"
    assert last.endswith("succeeded    1 reused")
    assert first.endswith("succeeded    1 done")
    told = json.loads(said(capsys, "runs", "--json"))
    assert [run["run"] for run in told["runs"]] == [2, 1]
    assert told["runs"][1]["attempts"][0]["outcome"] == "done"


def test_runs_say_of_a_run_how_long_it_said_it_took(target: FakeTarget, capsys: pytest.CaptureFixture[str]) -> None:
    target.lose("gateway")
    events = [json.loads(line) for line in said(capsys, "run", "w.md", "--json").splitlines()]
    listed = json.loads(said(capsys, "runs", "--json"))["runs"][0]
    assert round(listed["ended"] - listed["started"], 3) == events[-1]["seconds"]
    target.lose("gateway")
    (took,) = re.findall(r"succeeded in (.*):", said(capsys, "run", "w.md"))
    assert f"  {took}  succeeded " in said(capsys, "runs").splitlines()[0]


def test_down_ends_a_platform_that_has_servers_only(
    target: FakeTarget, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said(capsys, "down", "--data")
    monkeypatch.setattr(Edge, "declare", lambda *_: Declaration(servers=(Server("nats"),)))
    monkeypatch.setattr(Edge, "checks", lambda *_: ())
    said(capsys, "run", "w.md")
    assert "nats  ready" in said(capsys, "status")
    assert said(capsys, "down").startswith("removed nats\n")
    assert target.observed == {}


def test_run_that_goes_on_is_not_called_cut_off(target: FakeTarget, capsys: pytest.CaptureFixture[str]) -> None:
    del target
    state = next(Path(".stepflow").iterdir())
    with closing(sqlite3.connect(state / "journal.db")) as journal, journal:
        journal.execute("UPDATE runs SET status = NULL, ended = NULL")
    for holder, ending in ((f"{os.getpid()} 1.0", "going on"), ("", "cut off"), ("2147483646 1.0", "cut off")):
        (state / "lock").write_text(holder)
        assert f"last run 1: {ending}\n" in said(capsys, "status")
        assert f"  {ending}" in said(capsys, "runs")


def test_platform_that_runs_on_one_target_is_not_made_on_another_beside_it(
    target: FakeTarget, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = {"local": "a_fake_target", "docker": "another_fake_target"}
    entries = {name: (EntryPoint(name, f"{module}:PROVIDER", GROUP),) for name, module in modules.items()}
    monkeypatch.setattr("stepflow.targets.installed", lambda: entries)
    other = types.ModuleType("another_fake_target")
    second = FakeTarget()
    other.PROVIDER = Provider("docker", lambda _: second, lambda _: ())  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "another_fake_target", other)
    why = "`shop` already runs on local; running it on docker as well would create a second copy\n"
    hint = "hint: use `--target local`, run `stepflow down` first, or give another `--name`\n"
    assert said(capsys, "run", "w.md", "--target", "docker", code=2) == f"error: {why}{hint}"
    second.lacking = MachineError("no Docker engine answers", hint="start it")
    capsys.readouterr()
    assert main(["plan", "w.md", "--target", "docker"]) == 0
    lacking = "hint: a run would not start: no Docker engine answers\nhint: start it\n"
    assert capsys.readouterr().err == f"hint: a run would not start: {why}{hint}{lacking}"
    second.lacking = None
    said(capsys, "down")
    assert target.observed == {}
    assert "`shop` succeeded" in said(capsys, "run", "w.md", "--target", "docker")


def test_source_is_not_rendered_among_the_state_which_down_removes(
    target: FakeTarget, capsys: pytest.CaptureFixture[str]
) -> None:
    del target
    assert said(capsys, "run", "w.md", "--name", "x", "--out", "sub/../.stepflow/x", code=2) == (
        "error: `sub/../.stepflow/x` is inside `.stepflow`, which holds the state of platforms\n"
        "hint: give `--out` a folder outside of it\n"
    )


def test_platform_that_was_killed_before_its_first_run_was_recorded_can_be_taken_down(
    target: FakeTarget, capsys: pytest.CaptureFixture[str]
) -> None:
    del target
    (Path(".stepflow") / "cut").mkdir()
    (Path(".stepflow") / "cut/journal.db").touch()
    assert said(capsys, "down", "--name", "cut", "--data") == (
        "nothing of `cut` was running\nremoved `.stepflow/cut`: data, secrets, logs and the record of runs\n"
    )


@pytest.fixture
def damaged(target: FakeTarget) -> Path:
    """The journal of a platform that runs, spoilt; real targets have a folder of their own name beside it."""
    del target
    Path(".stepflow/shop/local").mkdir()
    journal = Path(".stepflow/shop/journal.db")
    journal.write_bytes(b"not a database, though long enough to be read as one" * 50)
    return journal


DAMAGED = "the journal `{}` cannot be used: file is not a database"
MOVE = "`mkdir -p .stepflow/shop/damaged && mv .stepflow/shop/journal.db* .stepflow/shop/damaged/`, then "
ADOPT = (
    "`stepflow run FILE --name shop`, which takes over what runs and runs commands again, "
    "or `stepflow down --name shop`\n"
)


@pytest.mark.parametrize("command", [("run", "w.md"), ("plan", "w.md"), ("status",), ("logs",), ("resume",), ("runs",)])
def test_damaged_journal_is_named_with_what_to_type(
    damaged: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    assert said(capsys, *command, code=3) == f"error: {DAMAGED.format(damaged)}\nhint: {MOVE}{ADOPT}"


def garble(column: str, table: str, value: object = "[{") -> Path:
    """Spoil one cell of a journal that is otherwise whole."""
    journal = Path(".stepflow/shop/journal.db")
    with sqlite3.connect(journal) as db:
        db.execute(f"UPDATE {table} SET {column} = ?", (value,))  # noqa: S608 - constants
    db.close()
    return journal


@pytest.mark.parametrize(
    ("command", "column", "table"),
    [
        (("run", "w.md"), "components_json", "attempts"),
        (("plan", "w.md"), "components_json", "attempts"),
        (("resume",), "components_json", "attempts"),
        (("run", "w.md"), "steps_json", "runs"),
        (("runs",), "steps_json", "runs"),
        (("runs", "--json"), "reasons_json", "attempts"),
        (("logs",), "workloads_json", "attempts"),
        (("status",), "options_json", "runs"),
        (("logs",), "outcomes_json", "runs"),
        (("credentials",), "handoff_json", "attempts"),
    ],
)
def test_cell_that_is_damaged_is_named_with_what_to_type(
    target: FakeTarget, capsys: pytest.CaptureFixture[str], command: tuple[str, ...], column: str, table: str
) -> None:
    del target
    damage = (
        f"the journal `{garble(column, table)}` cannot be read: `{column}` does not hold what stepflow writes there"
    )
    assert said(capsys, *command, code=3) == f"error: {damage}\nhint: {MOVE}{ADOPT}"


@pytest.mark.parametrize(
    ("command", "cell"),
    [
        (("runs",), ("started", "runs", 1e300)),
        (("runs",), ("started", "runs", -1e300)),
        (("runs", "--json"), ("ended", "runs", float("inf"))),
        (("resume",), ("document", "runs", "a\0b")),
        (("plan", "w.md"), ("out", "runs", "a\0b")),
        (("logs",), ("log", "attempts", "a\0b")),
    ],
)
def test_cell_that_holds_what_cannot_be_is_named_with_what_to_type(
    target: FakeTarget, capsys: pytest.CaptureFixture[str], command: tuple[str, ...], cell: tuple[str, str, object]
) -> None:
    del target
    damage = f"the journal `{garble(*cell)}` cannot be read: `{cell[0]}` does not hold what stepflow writes there"
    assert said(capsys, *command, code=3) == f"error: {damage}\nhint: {MOVE}{ADOPT}"


@pytest.mark.parametrize(("column", "table"), [("workloads_json", "attempts"), ("steps_json", "runs")])
def test_down_needs_no_whole_journal(
    target: FakeTarget, capsys: pytest.CaptureFixture[str], column: str, table: str
) -> None:
    Path(".stepflow/shop/local").mkdir()
    garble(column, table)
    assert said(capsys, "down", "--data").startswith("removed gateway\nremoved registry\n")
    assert target.observed == {}


def test_what_runs_is_taken_over_by_a_run_without_its_journal(
    damaged: Path, target: FakeTarget, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged.unlink()
    assert said(capsys, "status", code=3) == f"error: there is no journal `{damaged}` any more\nhint: {ADOPT}"
    assert "`shop` succeeded" in said(capsys, "run", "w.md", "--name", "shop")
    assert target.applied == {"gateway": 1, "registry": 1}
    assert "gateway   ready" in said(capsys, "status")


def test_down_needs_no_journal(damaged: Path, target: FakeTarget, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["down", "--name", "shop", "--data"]) == 0
    out, err = capsys.readouterr()
    assert out == (
        "removed gateway\nremoved registry\nremoved `.stepflow/shop`: data, secrets, logs and the record of runs\n"
    )
    assert err == f"hint: {DAMAGED.format(damaged)}; removing what its state directory says there is\n"
    assert target.observed == {}
    assert not damaged.parent.exists()


def test_platform_without_a_journal_is_not_made_a_second_time_on_another_target(
    damaged: Path, target: FakeTarget, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged.unlink()
    module = types.ModuleType("another_fake_target")
    module.PROVIDER = Provider("docker", lambda _: FakeTarget(), lambda _: ())  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "another_fake_target", module)
    entries = {
        "local": (EntryPoint("local", "a_fake_target:PROVIDER", GROUP),),
        "docker": (EntryPoint("docker", "another_fake_target:PROVIDER", GROUP),),
    }
    monkeypatch.setattr("stepflow.targets.installed", lambda: entries)
    assert "error: `shop` already runs on local; running it on docker as well would create a second copy\n" in said(
        capsys, "run", "w.md", "--target", "docker", "--name", "shop", code=2
    )
    assert set(target.observed) == {"gateway", "registry"}


def test_credentials_of_a_step_that_is_gone_are_not_shown(
    target: FakeTarget, capsys: pytest.CaptureFixture[str]
) -> None:
    del target
    changed = DOCUMENT.replace("Step 1: Gateway", "Step 1: Edge").replace("- Prompt: route", "- Prompt: route all")
    Path("w.md").write_text(changed, encoding="utf-8")
    said(capsys, "run", "w.md")
    clients = json.loads(said(capsys, "credentials", "--json"))["clients"]
    assert [each["client_id"] for each in clients] == ["reporter"]


@pytest.mark.parametrize("recorded", ["", "absolute"])
@pytest.mark.parametrize("how", ["moved", "copied"])
def test_the_source_follows_a_directory_that_is_moved_or_copied(
    target: FakeTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, recorded: str
) -> None:
    """`absolute`: as version 0.1.0 recorded it."""
    monkeypatch.setattr(Edge, "render", lambda *_: {"edge/app.py": b"x = 1\n"})
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    (old / "w.md").write_text(DOCUMENT, encoding="utf-8")
    monkeypatch.chdir(old)
    assert main(["run", "w.md"]) == 0
    if recorded:
        with sqlite3.connect(old / ".stepflow/shop/journal.db") as journal:
            journal.execute("UPDATE runs SET out = ?", [str(old / "shop")])
        journal.close()
    old.rename(new) if how == "moved" else shutil.copytree(old, new)
    shutil.rmtree(old / "shop", ignore_errors=True)
    monkeypatch.chdir(new)
    monkeypatch.setattr(Edge, "render", lambda *_: {"edge/app.py": b"x = 2\n"})
    target.lose("gateway")
    for command in (["run", "w.md"], ["resume"], ["down"]):
        assert main(command) == 0
        assert (new / "shop/edge/app.py").read_bytes() == b"x = 2\n"
        assert not (old / "shop").exists()


def test_a_source_outside_of_the_directory_stays_where_it_is(
    target: FakeTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Edge, "render", lambda *_: {"edge/app.py": b"x = 1\n"})
    old, out = tmp_path / "old", tmp_path / "out"
    old.mkdir()
    (old / "w.md").write_text(DOCUMENT, encoding="utf-8")
    monkeypatch.chdir(old)
    assert main(["run", "w.md", "--out", "../out"]) == 0
    old.rename(tmp_path / "new")
    monkeypatch.chdir(tmp_path / "new")
    (out / "edge/app.py").unlink()
    assert main(["run", "w.md"]) == 0
    assert (out / "edge/app.py").exists()
    assert target.observed


def test_state_directory_behind_a_symbolic_link_is_removed_with_it(
    target: FakeTarget, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link, disk = tmp_path / ".stepflow/shop", tmp_path / "another disk"
    link.rename(disk)
    link.symlink_to(disk)
    (disk / "data").mkdir()
    assert said(capsys, "down", "--data").startswith("removed gateway\n")
    assert not link.is_symlink()
    assert not disk.exists()
    assert target.observed == {}


def test_platform_may_have_the_name_that_crash_reports_had(
    target: FakeTarget, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "w.md", "--name", "crashes"]) == 0
    failure.report(KeyError("x"), [])
    assert said(capsys, "down", "--name", "crashes", "--data").startswith("removed gateway\n")
    assert len([*tmp_path.glob(".stepflow/*/*.txt")]) == 1
    with pytest.raises(UsageError):
        site(next(tmp_path.glob(".stepflow/*/*.txt")).parent.name)
    assert target.observed == {}


@pytest.mark.parametrize("how", ["emptied", "a folder"])
def test_journal_that_was_emptied_or_replaced_runs_nothing_again(
    target: FakeTarget, tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    journal = tmp_path / ".stepflow/shop/journal.db"
    (journal.parent / "logs").mkdir()
    journal.unlink()
    journal.touch() if how == "emptied" else journal.mkdir()
    what = "is empty: what it recorded is lost" if how == "emptied" else "is not a file"
    for arguments in (("run", "w.md"), ("run", "w.md", "--name", "shop"), ("resume",), ("status",), ("plan", "w.md")):
        assert said(capsys, *arguments, code=3) == (
            f"error: the journal `.stepflow/shop/journal.db` {what}\n"
            "hint: `mkdir -p .stepflow/shop/damaged && mv .stepflow/shop/journal.db* .stepflow/shop/damaged/`, then "
            "`stepflow run FILE --name shop`, which takes over what runs and runs commands again, or "
            "`stepflow down --name shop`\n"
        )
    assert target.applied == {"gateway": 1, "registry": 1}
    damaged = tmp_path / ".stepflow/shop/damaged"
    damaged.mkdir()
    journal.rename(damaged / journal.name)
    assert main(["run", "w.md", "--name", "shop"]) == 0
    assert target.applied == {"gateway": 1, "registry": 1}


def test_a_plan_reads_the_dependencies_of_a_file_as_the_user_edited_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("w.md").write_text("# Shop\n\n## Step 1: Users\n- Playbook: user-service\n- Prompt: users\n")
    plan = ["plan", "w.md", "--target", "local"]
    assert main(plan) == 0
    assert "environment of user-service" not in capsys.readouterr().out
    edited = Path("shop/user-service/pyproject.toml")
    edited.parent.mkdir(parents=True)
    edited.write_text('[project]\nname = "user-service"\nversion = "1"\ndependencies = ["no-such-thing==1"]\n')
    assert main(plan) == 0
    why = "stepflow's own does not have `no-such-thing==1`"
    assert f"build    environment of user-service: {why}" in capsys.readouterr().out
