"""The contract suite: what every playbook complies with, as tests that a plugin author inherits.

class TestMine(PlaybookContract):
    def playbook(self) -> Playbook:
        return Mine()
"""

from __future__ import annotations

import ast
import json
import os
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path

import pytest
from pydantic import ValidationError

from stepflow.handoff import Endpoint, Handoff
from stepflow.playbook import Playbook, Settings, StepInput
from stepflow.registry.inputs import named
from stepflow.render import write_tree
from stepflow.testing.examples import example_of
from stepflow.testing.references import dangling, references
from stepflow.workload import Declaration

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_FORBIDDEN = frozenset(
    {
        "socket.connect",
        "socket.bind",
        "subprocess.Popen",
        "os.system",
        "os.mkdir",
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.putenv",
    }
)
_watched: list[list[str]] = []
_installed: list[bool] = []


class PlaybookContract(ABC):
    """Inherit in a test class and implement `playbook`; the rest has defaults to override where they do not fit."""

    @abstractmethod
    def playbook(self) -> Playbook:
        """Make the playbook under test."""

    def settings(self) -> Settings:
        """Return settings to test with: by default those of a step without inputs."""
        kind: type[Settings] = self.playbook().settings
        return kind()

    def handoffs(self) -> Mapping[int, Handoff]:
        """Return what the playbook takes, by step number: by default an example of each type."""
        return {number: example_of(taken.handoff) for number, taken in enumerate(self.playbook().takes, 1)}

    def declarations(self) -> Mapping[int, Declaration]:
        """Return what the collected steps declared."""
        return {}

    def step(self, features: frozenset[str] | None = None) -> StepInput:
        """Make the input of a step with the given features, by default all."""
        return StepInput(
            number=9,
            title='A "title": {{ braces }}, $dollars & <tags>',
            prompt="Build it, with {{ braces }} and `marks`",
            delivers="Deliver it: {{ braces }}",
            platform="contract",
            target="fake",
            settings=self.settings(),
            features=self._all() if features is None else features,
            handoffs=self.handoffs(),
            declarations=self.declarations(),
        )

    def _all(self) -> frozenset[str]:
        return frozenset(feature.name for feature in self.playbook().features)

    def test_it_has_a_name_a_summary_and_a_version(self) -> None:
        """The name is lower case with `-`, the summary one line, the version set."""
        playbook = self.playbook()
        assert _NAME.fullmatch(playbook.name), f"name {playbook.name!r} is not lower case with `-`"
        assert playbook.summary.strip(), "the summary is empty"
        assert "\n" not in playbook.summary, "the summary has more than one line"
        assert isinstance(playbook.version, str), "the version is not a str"
        assert playbook.version, "the version is empty"

    def test_settings_are_described_and_have_defaults(self) -> None:
        """Every setting says what it is, and a step without inputs works."""
        for name, field in self.playbook().settings.model_fields.items():
            assert field.description, f"setting `{name}` has no description"
            assert not field.is_required(), f"setting `{name}` has no default"

    def test_settings_refuse_an_unknown_key(self) -> None:
        """A key that no setting has is an error, not ignored."""
        with pytest.raises(ValidationError):
            self.playbook().settings.model_validate({"surely_no_setting": "x"})

    def test_feature_words_do_not_overlap(self) -> None:
        """Each feature has a name, words and a summary of its own, and no word names two features."""
        features = self.playbook().features
        names = [feature.name for feature in features]
        assert len(set(names)) == len(names), f"two features share a name: {names}"
        for feature in features:
            assert feature.summary, f"feature `{feature.name}` has no summary"
            assert feature.words, f"feature `{feature.name}` has no words"
        for one, other in combinations(features, 2):
            for first, second in ((one, other), (other, one)):
                clash = [word for word in second.words if named(first, word) and word in named(first, word)]
                assert not clash, f"{clash} names both `{first.name}` and `{second.name}`"

    def test_its_methods_are_pure(self) -> None:
        """The same step gives equal results twice, of two instances, and nothing outside is touched."""
        for features in (frozenset[str](), self._all(), *(frozenset((name,)) for name in sorted(self._all()))):
            step = self.step(features)
            first, second = self.playbook(), self.playbook()
            before = (dict(first.render(step)), first.declare(step), first.handoff(step))
            names = [check.name for check in first.checks(step)]
            with _watch() as deeds:
                after = (dict(second.render(step)), second.declare(step), second.handoff(step))
                again = [check.name for check in second.checks(step)]
            assert after == before, f"two calls with the features {sorted(features)} differ"
            assert again == names, "two calls of `checks` differ"
            assert not deeds, f"it touched the world outside: {deeds}"

    def test_it_renders_inside_the_root(self, tmp_path: Path) -> None:
        """Every path stays inside, a second write changes nothing, and rendered Python is Python."""
        tree = self.playbook().render(self.step())
        written = write_tree(tmp_path, tree, {})
        assert sorted(written.created) == sorted(tree)
        assert sorted(write_tree(tmp_path, tree, written.base).identical) == sorted(tree)
        for path, content in tree.items():
            assert isinstance(content, bytes), f"`{path}` is not bytes"
            if path.endswith(".py"):
                ast.parse(content, path)

    def test_its_references_lead_somewhere(self) -> None:
        """Workloads, ports, data, configs, servers and needs that are named are declared, by it or by what it takes."""
        step = self.step()
        known = [workload for made in step.declarations.values() for workload in made.workloads]
        problems = dangling(self.playbook().declare(step), known, step.handoffs.values())
        assert not problems, "; ".join(problems)

    def test_its_workloads_are_well_formed(self) -> None:
        """Names are unique, probes ask a port that is there, the context is rendered."""
        playbook, step = self.playbook(), self.step()
        declaration = playbook.declare(step)
        names = [workload.name for workload in declaration.workloads] + [job.name for job in declaration.jobs]
        assert len(set(names)) == len(names), f"two workloads or jobs share a name: {names}"
        folders = {path.split("/")[0] for path in playbook.render(step)}
        for workload in declaration.workloads:
            ports = {port.name for port in workload.ports}
            assert _NAME.fullmatch(workload.name), f"workload name {workload.name!r} is not lower case with `-`"
            assert workload.ready.port in ports, f"`{workload.name}`: its probe asks an unknown port"
            assert workload.live is None or workload.live.port in ports, f"`{workload.name}`: likewise"
            assert not workload.context or workload.context in folders, f"`{workload.context}` is not rendered"
            assert workload.command, f"`{workload.name}` has no command"
            assert workload.replicas >= 1, f"`{workload.name}` has {workload.replicas} replicas"

    def test_its_handoff_round_trips_through_json(self) -> None:
        """What it gives is of its type, survives JSON, fits its JSON Schema, and carries the document's words."""
        playbook, step = self.playbook(), self.step()
        given = playbook.handoff(step)
        text = given.model_dump_json()
        assert isinstance(given, playbook.gives)
        assert playbook.gives.model_validate_json(text) == given
        assert given.delivers == step.delivers, "the handoff does not carry the step's `delivers`"
        schema = playbook.gives.model_json_schema()
        if find_spec("jsonschema"):
            from jsonschema import validate  # noqa: PLC0415 - an optional dependency of plugin authors

            validate(json.loads(text), schema)

    def test_its_handoff_names_what_exists(self) -> None:
        """An endpoint that is handed off is one of its own workloads, or one that it received."""
        step = self.step()
        there = {workload.name for workload in self.playbook().declare(step).workloads}
        there |= {workload.name for made in step.declarations.values() for workload in made.workloads}
        there |= {found.workload for found in references(list(step.handoffs.values())) if isinstance(found, Endpoint)}
        for found in references(self.playbook().handoff(step)):
            if isinstance(found, Endpoint):
                assert found.workload in there, f"the handoff names `{found.workload}`, which is not declared"

    def test_its_checks_can_be_asked(self) -> None:
        """Checks have names of their own, can be called, and have time."""
        checks = list(self.playbook().checks(self.step()))
        names = [check.name for check in checks]
        assert len(set(names)) == len(names), f"two checks share a name: {names}"
        for check in checks:
            assert callable(check.run), f"`{check.name}` cannot be called"
            assert check.timeout is None or check.timeout > 0, f"`{check.name}` has no time"


@contextmanager
def _watch() -> Iterator[list[str]]:
    """Collect the side effects of the code in the block, one line each; of one thread at a time."""
    if not _installed:
        sys.addaudithook(_notice)  # a hook cannot be removed again
        _installed.append(True)
    deeds: list[str] = []
    _watched.append(deeds)
    try:
        yield deeds
    finally:
        _watched.remove(deeds)


def _notice(event: str, arguments: tuple[object, ...]) -> None:
    if not _watched:
        return
    if event in _FORBIDDEN:
        _watched[-1].append(f"{event} {arguments[:2]}")
    elif event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        _watched[-1].append(f"opened {arguments[0]} for writing")
