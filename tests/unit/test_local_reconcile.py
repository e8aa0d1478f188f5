"""What has to be done on this machine, as a plan prints it, and that doing it leaves nothing to do."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from stepflow.errors import PermanentError
from stepflow.handoff import ConfigFile, DataDir, Endpoint, SecretFile, ServerFile
from stepflow.targets.actions import Action
from stepflow.targets.contract import Desired, Site, discard
from stepflow.targets.converge import Locks, converge
from stepflow.targets.local.databases import BEFORE, Database
from stepflow.targets.local.desired import Unit, define, units
from stepflow.targets.local.layout import Layout
from stepflow.targets.local.observed import LocalState
from stepflow.targets.local.programs import Program
from stepflow.targets.local.reconcile import Where, own_ports, reconcile, server_definition
from stepflow.targets.local.servers import SERVERS
from stepflow.targets.local.spec import Process, ProcessStatus, digest_of
from stepflow.targets.resolution import resolution
from stepflow.workload import Declaration, HttpProbe, Port, Server, Workload

HELLO = Workload("hello", ("python", "-m", "service"), HttpProbe("/"))
GATEWAY = Workload("gateway", ("python",), HttpProbe("/"), ports=(Port(number=8080, published=True),))
PROGRAMS = {
    "python": Program("/one/bin/python", "3.12.1"),
    "nats": Program("/one/nats-server", "2.11.4"),
    "postgres": Program("/one/postgres", "18.4", prefix=("unshare", "--user")),
    "valkey": Program("/one/valkey-server", "8.1.0"),
}


@dataclass
class Machine:
    """A machine in memory: it carries actions out, and everything that runs is ready at once."""

    where: Where
    processes: dict[str, Process] = field(default_factory=dict)
    statuses: dict[str, ProcessStatus] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    files: dict[str, dict[str, str]] = field(default_factory=dict)
    databases: dict[str, Database] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=lambda: {"nats": "n", "valkey": "v", "postgres": "p"})
    lost: set[str] = field(default_factory=set)  # data directories
    drifted: tuple[str, ...] = ()
    gone: dict[str, str] = field(default_factory=dict)
    programs: dict[str, Program] = field(default_factory=lambda: dict(PROGRAMS))
    made: int = 0  # secrets and databases, each of which is another
    taken: frozenset[int] = frozenset()
    edits: list[tuple[str, str]] = field(default_factory=list)  # what was put and dropped
    supervised: bool = True

    def seen(self) -> LocalState:
        stopped = ProcessStatus("", state="stopped", detail="the platform's supervisor does not run")
        statuses = {name: self.statuses[name] if self.supervised else stopped for name in self.processes}
        folders = {"nats", "postgres", "valkey"}.union(*(each.data for each in self.processes.values())) - self.lost
        return LocalState(
            processes=self.processes,
            statuses=statuses,
            ports=self.ports,
            taken=self.taken,
            databases=self.databases,
            configurations=self.files,
            secrets=self.secrets,
            data=frozenset(folders),
            drifted=self.drifted,
            gone=self.gone,
            programs=self.programs,
            supervised=self.supervised,
        )

    def plan(self, desired: Desired) -> list[tuple[Unit, Action]]:
        resolved = resolution(desired)
        held = {each for process in self.processes.values() for each in process.neighbours}
        known = held.union(*(each.neighbours for each in resolved.workloads))
        self.where = replace(self.where, known=frozenset(known), declared=resolved.numbers)
        return [(unit, action) for unit in units(resolved) for action in reconcile(unit, self.seen(), self.where)]

    def printed(self, *workloads: Workload, digest: str = "d1", servers: tuple[Server, ...] = ()) -> list[str]:
        return [str(action) for _, action in self.plan(self.desired(*workloads, digest=digest, servers=servers))]

    @staticmethod
    def desired(*workloads: Workload, digest: str = "d1", servers: tuple[Server, ...] = ()) -> Desired:
        return Desired(Declaration(workloads, servers), {each.name: digest for each in workloads}, workloads)

    def converge(self, *workloads: Workload, digest: str = "d1", servers: tuple[Server, ...] = ()) -> None:
        """Do what `apply` does: choose ports first, then each unit by what is seen when its turn comes."""
        desired = self.desired(*workloads, digest=digest, servers=servers)
        resolved = resolution(desired)
        self.ports = {key: number for key, number in self.ports.items() if number not in self.taken}
        self.taken = frozenset()
        for unit in units(resolved):
            if unit.kind != "database":
                self.choose(unit, next(iter(self.seen().copies(unit.name)), 1) if unit.resolved else 0)
        if not self.supervised:  # what the target does first: all that stopped with the supervisor starts again
            self.supervised = True
            self.statuses = dict.fromkeys(self.processes, ProcessStatus("s", "ready", 1, "then"))
        asyncio.run(converge(_Loop(self, desired), units(resolved), Locks(), discard))

    def choose(self, unit: Unit, number: int) -> None:
        names = tuple(unit.resolved.ports) if unit.resolved else SERVERS[unit.name].ports
        name = f"{unit.name}-{number}" if unit.resolved else unit.name
        for port in names:
            self.ports.setdefault(f"{name}/{port}", 20000 + len(self.ports))

    def execute(self, unit: Unit, action: Action) -> None:
        if action.verb == "keep":
            return
        assert not action.when, "what could not be known before is known when its turn comes"
        if unit.kind == "database":
            password = self.secrets.setdefault(f"postgres-{unit.database}", self.another())
            there = self.databases.get(unit.database) or Database(self.another())
            self.databases[unit.database] = replace(there, password=digest_of(password))
            return
        if action.verb in {"create", "replace"}:
            self.put(unit, action)
        elif action.verb == "remove":
            self.drop(action.name)
        if action.old:
            self.drop(action.old)
        if action.name in self.processes:
            self.statuses[action.name] = ProcessStatus("s", "ready", 1, "then")

    def another(self) -> str:
        self.made += 1
        return str(self.made)

    def put(self, unit: Unit, action: Action) -> None:
        self.edits.append(("put", action.name))
        self.lost.difference_update((unit.name, *(unit.resolved.data if unit.resolved else ())))
        for name in [each.name for each in unit.resolved.secrets] if unit.resolved else [unit.name]:
            self.secrets.setdefault(name, self.another())
        self.gone.pop(action.old or action.name, None)
        if unit.name == "postgres":
            self.drifted = ()
        if unit.resolved is None:
            definition = server_definition(unit.name, self.seen(), self.where.layout)
        else:
            self.choose(unit, action.subject)
            own = own_ports(unit, action.subject, self.seen())
            definition = define(self.where.site, self.where.layout, unit, action.subject, own=own, now=self.seen())
            for name, url in definition.urls.items():
                self.secrets[name] = f"{url.before}{self.secrets[url.secret]}{url.after}"
        self.processes[action.name] = definition.process
        self.files[action.name] = {name: digest_of(text) for name, text in definition.files.items()}
        self.statuses[action.name] = ProcessStatus("s", "ready", 1, "then")

    def drop(self, name: str) -> None:
        self.edits.append(("drop", name))
        del self.processes[name], self.statuses[name]
        self.files.pop(name, None)


@dataclass
class _Loop:
    """What the machine brings to the converging loop, in the order of the real one."""

    machine: Machine
    desired: Desired

    async def prepare(self, *_: object) -> tuple[Action, ...]:
        return ()

    async def reconcile(self, unit: Unit) -> tuple[Action, ...]:
        return tuple(action for each, action in self.machine.plan(self.desired) if each.name == unit.name)

    async def execute(self, unit: Unit, action: Action, _: object) -> None:
        self.machine.execute(unit, action)

    async def need(self, *_: object) -> bool:
        return False


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return make(tmp_path)


def make(folder: Path) -> Machine:
    layout = Layout(folder / "state")
    (folder / "out").mkdir(exist_ok=True)
    return Machine(Where(Site("shop", layout.state, folder / "out"), layout))


def test_what_does_not_exist_is_created_and_afterwards_kept(machine: Machine) -> None:
    two = replace(HELLO, replicas=2, env={"DB": ServerFile("postgres", "hello")})
    assert machine.printed(two) == [
        "create   postgres: it does not exist",
        "create   database-hello: it does not exist",
        "create   hello-1: it does not exist",
        "create   hello-2: it does not exist",
    ]
    machine.converge(two)
    assert machine.printed(two) == [
        "keep     postgres: unchanged and ready",
        "keep     database-hello: it exists",
        "keep     hello-1: unchanged and ready",
        "keep     hello-2: unchanged and ready",
    ]


def test_a_variable_that_changed_alone_is_the_cause_by_its_name(machine: Machine) -> None:
    machine.converge(HELLO)
    assert machine.printed(replace(HELLO, env={"COLOUR": "blue"})) == [
        "replace  hello-1 with hello-2: its variable `COLOUR` changed"
    ]


def test_the_users_session_makes_no_workload_another(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.converge(HELLO)
    monkeypatch.setenv("PATH", "/elsewhere")
    monkeypatch.delenv("HOME", raising=False)
    assert machine.printed(HELLO) == ["keep     hello-1: unchanged and ready"]


def test_the_same_programs_found_elsewhere_and_an_upgrade_into_another_environment_change_nothing(
    machine: Machine,
) -> None:
    both, servers = replace(HELLO, replicas=2), tuple(Server(kind) for kind in ("nats", "postgres", "valkey"))
    machine.converge(both, servers=servers)
    elsewhere = {name: replace(each, path=f"/two{each.path}", prefix=()) for name, each in PROGRAMS.items()}
    for found in (elsewhere, {}):  # another shell's PATH may have none of them
        machine.programs = found
        assert {each.split()[0] for each in machine.printed(both, servers=servers)} == {"keep"}
        assert machine.printed(replace(both, command=("python", "-m", "other")))[0] == (
            "replace  hello-1 with hello-3: its command changed"
        )


def test_another_version_of_a_program_is_a_cause_and_one_that_an_earlier_version_did_not_record_is_not(
    machine: Machine,
) -> None:
    machine.converge(HELLO, servers=(Server("nats"),))
    machine.programs |= {"python": Program("/two/python", "3.13.0"), "nats": Program("/two/nats-server", "2.12.0")}
    assert machine.printed(HELLO, servers=(Server("nats"),)) == [
        "replace  nats: its program changed: nats 2.11.4 -> nats 2.12.0",
        "replace  hello-1 with hello-2: its program changed: python 3.12.1 -> python 3.13.0",
    ]
    machine.processes = {name: replace(each, program="") for name, each in machine.processes.items()}
    assert {each.split()[0] for each in machine.printed(HELLO, servers=(Server("nats"),))} == {"keep"}


def test_what_a_process_runs_from_and_was_removed_is_a_cause(machine: Machine) -> None:
    machine.converge(HELLO)
    machine.gone["hello-1"] = "its program `/one/bin/python` is gone"
    assert machine.printed(HELLO) == ["replace  hello-1 with hello-2: its program `/one/bin/python` is gone"]


def test_a_field_that_changed_is_the_cause_and_not_the_digest_that_changed_with_it(machine: Machine) -> None:
    machine.converge(HELLO)
    assert machine.printed(replace(HELLO, env={"COLOUR": "blue"}), digest="d2") == [
        "replace  hello-1 with hello-2: its variable `COLOUR` changed"
    ]


def test_fewer_copies_of_a_new_version_are_removed_because_fewer_are_desired(machine: Machine) -> None:
    machine.converge(replace(HELLO, replicas=3))
    assert machine.printed(replace(HELLO, env={"COLOUR": "blue"}), digest="d2") == [
        "replace  hello-1 with hello-4: its variable `COLOUR` changed",
        "remove   hello-2: only 1 copy is desired",
        "remove   hello-3: only 1 copy is desired",
    ]


def test_the_reason_of_a_replacement_names_the_copy_that_changed(machine: Machine) -> None:
    machine.converge(HELLO)
    desired = machine.desired(replace(HELLO, env={"COLOUR": "blue"}), digest="d2")
    assert [action.reason for _, action in machine.plan(desired)] == [
        "replace `hello-1`: its variable `COLOUR` changed"
    ]


def test_another_digest_replaces_each_copy_new_first_and_one_with_a_known_address_in_place(machine: Machine) -> None:
    other = Workload("other", ("python",), HttpProbe("/"), env={"GATE": Endpoint("gateway")})
    machine.converge(HELLO, GATEWAY, other)
    assert machine.printed(HELLO, GATEWAY, other, digest="d2") == [
        "replace  hello-1 with hello-2: what it is made from changed",
        "replace  gateway-1: what it is made from changed",
        "replace  other-1 with other-2: what it is made from changed",
    ]


def test_what_failed_is_restarted_and_what_starts_is_waited_for_be_it_with_the_supervisor(machine: Machine) -> None:
    two = replace(HELLO, replicas=2)
    machine.converge(two)
    machine.statuses["hello-1"] = ProcessStatus(
        "s", "failed", detail="crash loop: exited with code 1, 5 times in a row"
    )
    machine.statuses["hello-2"] = ProcessStatus("s", "starting", 7, "then", detail="GET / answers 503")
    assert machine.printed(two) == [
        "restart  hello-1: crash loop: exited with code 1, 5 times in a row",
        "wait     hello-2: GET / answers 503",
    ]
    machine.supervised = False
    assert machine.printed(two)[0] == "wait     hello-1: it starts with the supervisor"


def test_more_copies_are_added_and_fewer_removed_and_none_that_stays_is_touched(machine: Machine) -> None:
    machine.converge(replace(HELLO, replicas=2))
    assert machine.printed(replace(HELLO, replicas=3))[2:] == ["create   hello-3: 2 of 3 copies exist"]
    assert machine.printed(HELLO) == [
        "keep     hello-1: unchanged and ready",
        "remove   hello-2: only 1 copy is desired",
    ]


def test_a_configuration_that_someone_edited_on_disk_is_drift(machine: Machine) -> None:
    configured = replace(HELLO, env={"FILE": ConfigFile("c.json")}, configs={"c.json": {"colour": "blue"}})
    machine.converge(configured, servers=(Server("nats"),))
    machine.files["hello-1"]["c.json"] = digest_of("{}")
    machine.files["nats"] = {}
    assert machine.printed(configured, servers=(Server("nats"),)) == [
        "replace  nats: its file `nats.conf` was changed on disk",
        "replace  hello-1 with hello-2: its file `c.json` was changed on disk",
    ]


def test_each_reader_of_a_secret_that_vanished_or_changed_is_replaced(machine: Machine) -> None:
    one = replace(HELLO, env={"ADMIN_FILE": SecretFile("admin")})
    two = Workload("two", ("python",), HttpProbe("/"), env={"ADMIN_FILE": SecretFile("admin")})
    machine.converge(one, two)
    del machine.secrets["admin"]
    assert machine.printed(one, two) == [
        "replace  hello-1 with hello-2: its secret `admin` is not the one that it started with",
        "replace  two-1 with two-2: its secret `admin` is not the one that it started with",
    ]
    machine.converge(one, two)
    assert sorted(machine.processes) == ["hello-2", "two-2"]
    machine.secrets["admin"] = "given by a person"
    assert machine.printed(one, two) == [
        "replace  hello-2 with hello-1: its secret `admin` is not the one that it started with",
        "replace  two-2 with two-1: its secret `admin` is not the one that it started with",
    ]


def test_a_servers_password_that_vanished_is_another_for_the_server_and_all_that_use_it(machine: Machine) -> None:
    user = replace(HELLO, env={"BUS": ServerFile("nats"), "DB": ServerFile("postgres", "hello")})
    machine.converge(user)
    del machine.secrets["nats"], machine.secrets["postgres-hello"]
    other = "is not the one that it started with"
    assert machine.printed(user) == [
        "replace  nats: its secret `nats` is not the one that it started with",
        "keep     postgres: unchanged and ready",
        "change   database-hello: its password, the secret `postgres-hello`, is gone",
        f"replace  hello-1 with hello-2: its secret `nats.url` {other}; its secret `postgres-hello.url` {other}",
    ]
    machine.converge(user)
    assert {each.split()[0] for each in machine.printed(user)} == {"keep"}


def test_the_file_with_a_servers_url_that_vanished_or_was_edited_is_written_again(machine: Machine) -> None:
    user = replace(HELLO, env={"BUS": ServerFile("nats")})
    machine.converge(user)
    del machine.secrets["nats.url"]
    assert machine.printed(user)[1:] == [
        "replace  hello-1 with hello-2: its secret `nats.url` is not the one that it started with"
    ]
    machine.secrets["nats.url"] = "nats://elsewhere"
    assert machine.printed(user)[1:] == [
        "replace  hello-1 with hello-2: its secret `nats.url` is not the one that it started with"
    ]
    machine.converge(user)
    assert {each.split()[0] for each in machine.printed(user)} == {"keep"}


def test_a_database_that_was_dropped_is_made_again_and_its_workload_starts_on_it(machine: Machine) -> None:
    user = replace(HELLO, env={"DB": ServerFile("postgres", "hello")})
    machine.converge(user)
    del machine.databases["hello"]
    assert machine.printed(user)[1:] == [
        "create   database-hello: it does not exist",
        "replace  hello-1 with hello-2: its database `hello` is not the one that it started with",
    ]
    machine.converge(user)
    assert {each.split()[0] for each in machine.printed(user)} == {"keep"}


def test_what_differs_in_postgresql_and_a_data_directory_that_vanished_are_causes(machine: Machine) -> None:
    keeper = replace(HELLO, data=("kept",), env={"DIR": DataDir("kept")})
    machine.converge(keeper, servers=(Server("postgres"), Server("nats")))
    machine.drifted, machine.lost = ("its file `pg_hba.conf` was changed on disk",), {"kept", "nats"}
    assert machine.printed(keeper, servers=(Server("postgres"), Server("nats"))) == [
        "replace  nats: its data directory `nats` is gone",
        "replace  postgres: its file `pg_hba.conf` was changed on disk",
        "replace  hello-1: its data directory `kept` is gone",
    ]


def test_what_an_earlier_version_started_stays_though_it_did_not_record_its_secrets(machine: Machine) -> None:
    user = replace(HELLO, env={"DB": ServerFile("postgres", "hello"), "ADMIN_FILE": SecretFile("admin")})
    machine.converge(user)
    machine.processes = {name: replace(each, found={}) for name, each in machine.processes.items()}
    machine.databases["hello"] = Database(BEFORE, BEFORE)
    assert {each.split()[0] for each in machine.printed(user)} == {"keep"}


def test_a_port_that_something_else_took_while_all_was_down_is_said_with_those_who_hold_the_address(
    machine: Machine,
) -> None:
    other = Workload("other", ("python",), HttpProbe("/"), env={"GATE": Endpoint("gateway")})
    machine.converge(GATEWAY, other)
    machine.supervised, machine.taken = False, frozenset(machine.processes["gateway-1"].ports.values())
    number = machine.processes["gateway-1"].ports["http"]
    held = "the address of `gateway`, which it holds, is chosen when that is started"
    assert machine.printed(GATEWAY, other) == [
        f"replace  gateway-1: its port {number} was taken by something else; another is chosen",
        "replace  other-1 with other-2 if another port: " + held,
    ]


def test_a_new_version_with_more_copies_numbers_those_it_adds_first(machine: Machine) -> None:
    machine.converge(HELLO)
    assert machine.printed(replace(HELLO, replicas=2), digest="d2") == [
        "create   hello-2: 1 of 2 copies exist",
        "replace  hello-1 with hello-3: what it is made from changed",
    ]
    machine.converge(replace(HELLO, replicas=2), digest="d2")
    assert sorted(machine.processes) == ["hello-2", "hello-3"]


def test_a_port_of_a_server_that_something_else_took_while_all_was_down_is_said_with_those_who_use_it(
    machine: Machine,
) -> None:
    user = replace(HELLO, env={"DB": ServerFile("postgres", "hello")})
    machine.converge(user)
    machine.supervised, machine.taken = False, frozenset(machine.processes["postgres"].ports.values())
    [number] = machine.taken
    held = "the address of `postgres`, which it holds, is chosen when that is started"
    assert machine.printed(user) == [
        f"replace  postgres: its port {number} was taken by something else; another is chosen",
        "keep     database-hello: it exists",
        f"replace  hello-1 with hello-2 if another port: {held}",
    ]
    machine.converge(user)
    assert {each.split()[0] for each in machine.printed(user)} == {"keep"}


def test_a_variable_that_changed_is_the_cause_also_where_an_address_is_yet_to_be_chosen(machine: Machine) -> None:
    user = replace(HELLO, env={"BUS": ServerFile("nats")})
    machine.converge(user)
    machine.supervised, machine.taken = False, frozenset(machine.processes["nats"].ports.values())
    changed = replace(HELLO, env={"BUS": ServerFile("nats"), "DB": ServerFile("postgres", "hello")})
    fields = "its variable `DB` changed; its configuration changed; the way it is run changed"
    assert machine.printed(changed, digest="d2")[-1] == f"replace  hello-1 with hello-2: {fields}"
    machine.converge(changed, digest="d2")
    assert {each.split()[0] for each in machine.printed(changed, digest="d2")} == {"keep"}


def test_a_reference_to_what_no_step_declares_is_refused(machine: Machine) -> None:
    machine.converge(HELLO)
    with pytest.raises(PermanentError, match="there is no workload `nothing`"):
        machine.printed(replace(HELLO, env={"X": Endpoint("nothing")}))


def test_a_dependency_cycle_is_refused_by_name() -> None:
    ring = (replace(HELLO, needs=("gateway",)), replace(GATEWAY, needs=("hello",)))
    with pytest.raises(PermanentError, match="dependency cycle: gateway → hello → gateway"):
        resolution(Desired(Declaration(ring)))
