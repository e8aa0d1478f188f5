"""A platform in memory, with one playbook whose world tests change between runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytest

from stepflow.engine import Options, Platform, Survey, carry_out, past, runs, survey
from stepflow.errors import StepflowError
from stepflow.events import Event, StepFinished
from stepflow.handoff import Endpoint, Handoff, ServiceHandoff, Value
from stepflow.journal import Journal
from stepflow.playbook import Check, Playbook, Settings, StepInput, Takes
from stepflow.registry import Registry, resolve
from stepflow.targets.contract import Provider, Site, Target
from stepflow.testing import FakeTarget
from stepflow.workflow import parse
from stepflow.workload import Declaration, HttpProbe, Live, Server, Workload

E = TypeVar("E", bound=Event)


class ServiceSettings(Settings):
    replicas: int = 1
    port: str = "http"


@dataclass
class World:
    """What lies outside of the engine, and can be changed between runs."""

    template: bytes = b"x = 1\n"
    added: Mapping[str, bytes] = field(default_factory=dict)  # files beside it, in the folder of each step
    answers: dict[str, Callable[[], Awaitable[str]]] = field(default_factory=dict)  # check -> what it does
    proves: dict[str, str] = field(default_factory=dict)  # check of the whole run -> phrase
    extra: tuple[Check, ...] = ()
    servers: Mapping[str, tuple[Server, ...]] = field(default_factory=dict)  # that the steps declare
    env: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)  # of their workloads
    patience: float = 60  # seconds that a check is asked


class Service(Playbook):
    """A workload named after its step, with a template, checks, and a handoff that others take."""

    name = "service"
    summary = "A service."
    settings = ServiceSettings
    gives = ServiceHandoff
    takes = (Takes(Handoff),)

    def __init__(self, world: World) -> None:
        self.world = world

    def render(self, step: StepInput) -> Mapping[str, bytes]:
        own = {
            f"{step.title}/{name}": text for name, text in {"app.py": self.world.template, **self.world.added}.items()
        }
        return {**own, "chassis/lib.py": b"shared = True\n"}

    def declare(self, step: StepInput) -> Declaration:
        assert isinstance(step.settings, ServiceSettings)
        replicas, ready = step.settings.replicas, HttpProbe("/ready")
        env = self.world.env.get(step.title, {})
        workload = Workload(step.title, ("python",), ready, context=step.title, replicas=replicas, env=env)
        return Declaration((workload,), self.world.servers.get(step.title, ()))

    def handoff(self, step: StepInput) -> Handoff:
        assert isinstance(step.settings, ServiceSettings)
        return ServiceHandoff(service=step.title, endpoint=Endpoint(step.title, step.settings.port))

    def checks(self, step: StepInput) -> tuple[Check, ...]:
        names = [name for name in self.world.answers if name.startswith(step.title)]
        proves, patience = self.world.proves, self.world.patience
        return (
            tuple(
                Check(
                    n, self._asked(n), (proves[n],) if n in proves else (), "run" if n in proves else "step", patience
                )
                for n in names
            )
            + self.world.extra
        )

    def _asked(self, name: str) -> Callable[[Live], Awaitable[str]]:
        async def asked(live: Live) -> str:
            del live
            return await self.world.answers[name]()

        return asked


class Offer(Registry):
    """A registry of the playbooks that it is given."""

    def __init__(self, playbooks: Mapping[str, Playbook]) -> None:
        super().__init__(())
        self.playbooks = playbooks

    def load(self, name: str) -> Playbook:
        return self.playbooks[name]


@dataclass
class Lab:
    """A platform in memory, and the events of its last run."""

    folder: Path
    world: World = field(default_factory=World)
    target: FakeTarget = field(default_factory=FakeTarget)
    events: list[Event] = field(default_factory=list)
    playbooks: dict[str, Playbook] = field(default_factory=dict)  # besides `service`

    closed: StepflowError | None = None  # why the target cannot be opened

    def open(self, site: Site) -> Target:
        del site
        if self.closed:
            raise self.closed
        return self.target

    def service(self) -> Service:
        return Service(self.world)

    async def look(self, document: str, journal: Journal, options: Options | None = None) -> Survey:
        workflow = parse(document, "w.md")[0][0]
        resolved = resolve(workflow, Offer({"service": self.service(), **self.playbooks}))
        assert [d for d in resolved.diagnostics if d.severity == "error"] == []
        site = Site("lab", self.folder / "state", self.folder / "out")
        steps = resolved.steps
        platform = Platform("w.md", resolved.workflow, steps, site, Provider("fake", self.open, lambda _: ()))
        how = options or Options()
        return await survey(platform, past(journal, site.out), forced=how.forced, accepted=how.accepted)

    async def run(self, document: str, **options: object) -> str:
        self.events.clear()
        with Journal(self.folder / "state/journal.db") as journal:
            how = Options(**options)  # type: ignore[arg-type]
            found = await self.look(document, journal, how)
            before = next(iter(runs(journal)), None)
            return await carry_out(found, journal, how, self.events.append, before)

    def said(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def outcomes(self) -> dict[int, str]:
        return {event.step: event.outcome for event in self.said(StepFinished)}

    def reasons(self, step: int) -> tuple[str, ...]:
        return next(event.reasons for event in self.said(StepFinished) if event.step == step)

    @staticmethod
    def document(*steps: str, outcomes: tuple[str, ...] = (), **fields: str) -> str:
        """Write steps as `name<1,2`: the name, and the numbers of those it relies on; `fields` by name."""
        lines = ["# Lab", ""]
        for number, text in enumerate(steps, 1):
            name, _, relies = text.partition("<")
            needs = ", ".join(f"Step {each}" for each in relies.split(",") if each) or "no"
            lines += [
                f"## Step {number}: {name}",
                "- Playbook: service",
                f"- RelyPreviousStep: {needs}",
                "- Prompt: go",
            ]
            lines += [fields[name], ""] if name in fields else [""]
        return "\n".join([*lines, "## Expected Outcomes", *(f"- {each}" for each in outcomes), ""])


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """Return a folder that every account can reach; those of `tmp_path` are closed."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
def reference() -> Mapping[int, Declaration]:
    """Return what each step of the reference workflow declares."""
    document = Path(__file__).parents[2] / "examples/microservices/workflow.md"
    ((workflow,), _) = parse(document.read_text(encoding="utf-8"), str(document))
    handoffs: dict[int, Handoff] = {}
    declared: dict[int, Declaration] = {}
    for each in resolve(workflow).steps:
        assert each.playbook is not None
        step = StepInput(
            number=each.step.number,
            title=each.step.title,
            prompt=each.step.prompt,
            delivers=each.step.handoff,
            platform="reference",
            target="docker",
            settings=each.settings,
            features=frozenset(each.features),
            handoffs={number: handoffs[number] for number in (*each.takes, *each.collects)},
            declarations={number: declared[number] for number in each.collects},
        )
        declared[step.number] = each.playbook.declare(step)
        handoffs[step.number] = each.playbook.handoff(step)
    return declared
