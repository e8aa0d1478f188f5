"""A step is done again for what it means, and for nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum
from itertools import product
from typing import Annotated, ClassVar

import pytest
from pydantic import BaseModel, create_model

from stepflow.engine.desired import desired_step, flat_options
from stepflow.engine.disk import Drift
from stepflow.engine.meaning import FORM, Meaning, canonical, fingerprint, flat, meaning, released, unescaped
from stepflow.handoff import Credential, Handoff, JsonHandoff, SecretFile
from stepflow.large import LIMIT
from stepflow.plan import changes
from stepflow.playbook import Incidental, Playbook, Settings, StepInput
from stepflow.targets.contract import Option, Provider
from stepflow.testing import FakeTarget
from stepflow.workload import PRODUCTION, Declaration, HttpProbe, Job, Production, Server, Workload


class Words(Settings):
    """Settings of the first version of a playbook."""

    greeting: str = "hello"
    patience: Annotated[float, Incidental] = 60.0


class MoreWords(Words):
    """Those of the next one."""

    mood: str | None = None
    shapes: tuple[Words, ...] = ()


class YetMoreWords(MoreWords):
    """Those of one that adds a field to what is in a list."""

    shapes: tuple[MoreWords, ...] = ()  # type: ignore[assignment]


class Greeter(Playbook[Words]):
    """A playbook with a job."""

    name = "greeter"
    version = "1.2.0"
    summary = "Greets."
    settings = Words
    job = Job("greet", ("echo", "hello"))

    def declare(self, step: StepInput[Words]) -> Declaration:
        del step
        return Declaration(jobs=(self.job,))


def means(settings: Settings | None = None, playbook: Playbook | None = None, **handoffs: Handoff) -> Meaning:
    playbook = playbook or Greeter()
    taken = dict(enumerate(handoffs.values(), 1))
    step = StepInput(9, "T", "p", "", "shop", "local", settings or Words(), frozenset(), taken)
    sources = {number: (name, number) for number, name in enumerate(handoffs, 1)}
    return meaning(playbook, step, sources, playbook.declare(step))


def takes(values: dict[int, dict[str, object]], playbook: str = "shell") -> Meaning:
    """The meaning of a step that takes handoffs of one playbook: the values of each by the key of its step."""
    taken = {key: JsonHandoff(values=each) for key, each in values.items()}
    step = StepInput(9, "T", "p", "", "shop", "local", Words(), frozenset(), taken)
    return meaning(Greeter(), step, {key: (playbook, key) for key in values}, Greeter().declare(step))


def differ(then: Meaning, now: Meaning, form: int = FORM) -> list[str]:
    return changes(now.aligned(then.components, form), now.components)


def test_setting_that_a_later_version_added_changes_nothing_until_it_is_set() -> None:
    assert differ(means(Words()), means(MoreWords())) == []
    assert differ(means(Words()), means(MoreWords(mood="gay"))) == ['field `Mood` added "gay"']
    assert differ(means(Words(greeting="hi")), means(MoreWords())) == ['field `Greeting` changed "hi" -> "hello"']
    assert means(Words()).fingerprint == means(MoreWords()).fingerprint


def test_setting_that_a_later_version_dropped_changes_nothing() -> None:
    assert differ(means(MoreWords(mood="gay")), means(Words())) == []


def test_setting_inside_of_a_list_that_has_its_default_changes_nothing() -> None:
    more = create_model("More", __base__=Words, tone=(str, "low"))
    then = means(create_model("Then", __base__=Settings, shapes=(tuple[Words, ...], ()))(shapes=(Words(),)))  # type: ignore[call-overload]
    now = create_model("Now", __base__=Settings, shapes=(tuple[more, ...], ()))  # type: ignore[call-overload, valid-type]
    assert differ(then, means(now(shapes=(more(),)))) == []
    assert len(differ(then, means(now(shapes=(more(tone="high"),))))) == 1
    assert len(differ(then, means(now(shapes=(more(), more()))))) == 1


def nested(kind: type[BaseModel], /, **values: object) -> Meaning:
    """The meaning of a setting that is a list of one object with an object of this kind inside."""
    shape = create_model("Shape", name=(str, "x"), inner=(kind, kind()))
    return means(create_model("Now", __base__=Settings, shapes=(tuple[shape, ...], ()))(shapes=(values,)))  # type: ignore[call-overload, valid-type]


def test_setting_inside_of_an_object_in_a_list_that_has_its_default_changes_nothing() -> None:
    first = create_model("Inner", low=(int, 1))
    later = create_model("Inner", low=(int, 1), high=(int, 9))
    listed = create_model("Inner", low=(int, 1), steps=(tuple[first, ...], (first(),)))  # type: ignore[valid-type]
    wider = create_model("Inner", low=(int, 1), steps=(tuple[later, ...], (later(),)))  # type: ignore[valid-type]
    for inner, more in (({}, {}), ({"low": 5}, {"low": 5}), ({}, {"low": 1})):
        assert differ(nested(first, inner=inner), nested(later, inner=more)) == []
        assert differ(nested(first, inner=inner), nested(listed, inner=more)) == []
        assert differ(nested(listed, inner=inner), nested(wider, inner=more)) == []
    assert len(differ(nested(first, inner={}), nested(later, inner={"high": 8}))) == 1
    assert len(differ(nested(first, inner={"low": 5}), nested(later, inner={}))) == 1
    assert len(differ(nested(first, name="y"), nested(later))) == 1
    assert len(differ(nested(later), nested(first))) == 1


@pytest.mark.parametrize(
    "old", ["[]", "{}", "null", '["a"]', '[["a"]]', '[{"name":"z"}]', '{"name":"y"}', '[{"name":"y"},{"name":"y"}]']
)
def test_setting_that_was_of_another_shape_is_changed(old: str) -> None:
    now = nested(create_model("Inner", low=(int, 1)), name="y")
    then = replace(now, components={**now.components, "field:shapes": old})
    full = '[{"inner":{"low":1},"name":"y"}]'
    assert differ(then, now) == [f"field `Shapes` changed {old} -> {full}"]


def test_what_is_no_longer_in_a_setting_is_a_change_and_a_setting_that_is_gone_is_not() -> None:
    limits = create_model("Limits", __base__=Settings, limits=(dict[str, int], {}))
    both, one = means(limits(limits={"cpu": 1, "m:e": 2})), means(limits(limits={"cpu": 1}))  # type: ignore[call-arg]
    assert differ(both, one) == ["field `Limits.m:e` removed 2"]
    assert differ(both, means(Settings())) == []
    deep = create_model("Deep", __base__=Settings, limits=(dict[str, dict[str, int]], {}))
    both, one = means(deep(limits={"a": {"x": 1, "y": 2}})), means(deep(limits={"a": {"x": 1}}))  # type: ignore[call-arg]
    assert differ(both, one) == ["field `Limits.a.y` removed 2"]


def test_setting_called_version_is_one_like_any_other() -> None:
    versioned = create_model("Versioned", __base__=Settings, version=(str, "1"))
    assert means(versioned(version="3")).components["field:version"] == '"3"'  # type: ignore[call-arg]


class Level(IntEnum):
    HIGH = 2


def test_values_are_written_in_one_way() -> None:
    assert canonical(set("hgfedcba")) == '["a","b","c","d","e","f","g","h"]'
    assert canonical([Level.HIGH, Decimal("1.50"), None, True]) == '[2,"1.50",null,true]'


def test_setting_is_recorded_as_json_writes_it() -> None:
    dated = create_model("Dated", __base__=Settings, since=(datetime, None), name=(str, ""))
    settings = dated(since=datetime(2026, 1, 2, tzinfo=UTC), name="Käse")  # type: ignore[call-arg]
    components = means(settings).components
    assert (components["field:since"], components["field:name"]) == ('"2026-01-02T00:00:00Z"', '"Käse"')
    assert canonical({"settings": settings}) == '{"settings":{"name":"Käse","since":"2026-01-02T00:00:00Z"}}'


def test_how_a_step_is_carried_out_is_not_what_it_means() -> None:
    slow = Greeter()
    slow.job = replace(Greeter.job, timeout=5.0, retries=3)
    assert differ(means(Words(patience=1.0)), means(Words(patience=2.0), slow)) == []
    slow.job = replace(Greeter.job, command=("echo", "bye"))
    assert differ(means(), means(playbook=slow)) == ["command changed"]


@pytest.mark.parametrize(
    ("then", "now", "same"),
    [("1.2.0", "1.3", True), ("1", "1.9.9", True), ("1.9", "2.0", False), ("0.3.1", "0.3.9", True),
     ("0.3", "0.4", False), ("0.0.1", "0.0.2", False), ("", "", True), ("2026.1", "2026.2", True)],
)  # fmt: skip
def test_release_that_is_compatible_by_its_number_runs_nothing_again(then: str, now: str, same: bool) -> None:  # noqa: FBT001 - a table
    assert (released("greeter", then) == released("greeter", now)) is same


def test_of_a_version_that_counts_which_is_up_to_the_first_number_that_is_not_0() -> None:
    assert [released("greeter", version) for version in ("1.4.2", "0.3.1", "0.0", "")] == [
        "greeter 1", "greeter 0.3", "greeter 0.0", "greeter",
    ]  # fmt: skip


def test_record_of_the_whole_version_is_compared_by_what_counts_of_it() -> None:
    assert differ(replace(means(), components=means().components | {"playbook": "greeter 1.0.7"}), means()) == []
    older = replace(means(), components=means().components | {"playbook": "greeter 2"})
    assert differ(older, means()) == ["playbook changed greeter 2 -> greeter 1"]


def test_taken_handoff_that_gained_a_field_with_a_default_changes_nothing() -> None:
    class Built(Handoff):
        image: str = "a"

    class BuiltToo(Built):
        tags: tuple[str, ...] = ()

    assert differ(means(build=Built()), means(build=BuiltToo())) == []
    assert differ(means(build=Built()), means(build=BuiltToo(tags=("x",)))) == ["handoff `build.tags` added"]
    with_client = Built(credentials=(Credential("client", "x", SecretFile("x")),))
    assert differ(means(build=Built()), means(build=with_client)) == ["handoff `build.credentials` changed"]


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        ({2: {"x": 1}}, {1: {}, 2: {"x": 1}}, []),
        ({1: {}, 2: {"x": 1}}, {2: {"x": 1}}, []),
        ({}, {1: {}, 2: {}}, []),
        ({2: {"x": 1}}, {1: {"y": 2}, 2: {"x": 1}}, ["handoff `shell-1.values.y` added"]),
        ({1: {"y": 2}, 2: {"x": 1}}, {2: {"x": 1}}, ["handoff `shell-1.values.y` removed"]),
        ({1: {"y": 2}, 2: {"x": 1}}, {1: {}, 2: {"x": 1}}, ["handoff `shell-1.values.y` removed"]),
        (
            {1: {"y": 2}, 2: {"x": 1}},
            {2: {"x": 3}},
            ["handoff `shell-1.values.y` removed", "handoff `shell.values.x` changed"],
        ),
        ({1: {"x": 1}}, {1: {}, 2: {"x": 2}}, ["handoff `shell.values.x` changed"]),
        (
            {2: {"x": 1}},
            {1: {"y": 2}, 2: {"x": 3}},
            [
                "handoff `shell-1.values.y` added",
                "handoff `shell-2.values.x` added",
                "handoff `shell.values.x` removed",
            ],
        ),
    ],
)
def test_handoff_is_the_same_however_many_of_its_playbook_are_taken_beside_it(
    then: dict[int, dict[str, object]], now: dict[int, dict[str, object]], said: list[str]
) -> None:
    before = takes(then)
    assert differ(replace(before, components=before.to_record), takes(now)) == said
    assert (before.fingerprint == takes(now).fingerprint) is (said == [])


def test_handoff_that_has_nothing_but_defaults_stands_in_the_way_of_no_other_of_its_playbook() -> None:
    class Raised(Handoff):
        version: ClassVar[int] = 2

    client = Credential("client", "x", SecretFile("x"))
    told = (JsonHandoff(credentials=(client,)), Raised())
    silent = (JsonHandoff(), JsonHandoff(delivers="other words"))
    for one, other in product(told, silent):
        for taken in ({1: one, 2: other}, {1: other, 2: one}):
            step = StepInput(9, "T", "p", "", "shop", "local", Words(), frozenset(), taken)
            both = meaning(Greeter(), step, {1: ("shell", 1), 2: ("shell", 2)}, Declaration())
            alone = meaning(Greeter(), replace(step, handoffs={1: one}), {1: ("shell", 1)}, Declaration())
            assert alone.to_record.items() <= both.components.items()
            assert any(key.startswith("handoff:shell.") for key in alone.to_record)


def test_handoff_that_was_recorded_under_the_label_that_another_has_now_is_not_taken_for_it() -> None:
    now = takes({1: {}, 2: {"y": 3}})
    assert differ(takes({1: {"y": 3}, 2: {}}), now) == ["handoff `shell-2.values` removed"]
    assert differ(takes({1: {"y": 2}, 2: {}}), now) == [
        "handoff `shell-2.values` removed", "handoff `shell.values.y` changed",
    ]  # fmt: skip


def test_handoff_of_a_step_without_a_playbook_changes_nothing() -> None:
    for values in ({}, {2: {}}, {1: {}, 2: {}}):
        assert differ(takes({}, ""), takes(values, "")) == []
    assert differ(takes({}, ""), takes({1: {}, 2: {"x": 1}}, "")) == ["handoff `step-2.values.x` added"]


def test_record_that_counts_a_handoff_with_nothing_but_defaults_is_the_same() -> None:
    now = takes({1: {}, 2: {"x": 1}})
    first = {"handoff:shell-1.credentials": "[]", "handoff:shell-2.credentials": "[]", "handoff:shell-2.values.x": "1"}
    others = {key: value for key, value in now.components.items() if not key.startswith("handoff:")}
    assert differ(replace(now, components=others | first), now, form=1) == []
    del first["handoff:shell-1.credentials"]
    assert differ(replace(now, components=others | first), now) == []


@pytest.mark.parametrize("field_of_job", ["inputs", "creates", "gives", "hides", "takes", "secrets"])
def test_what_a_job_names_counts_by_its_contents_and_not_by_its_name(field_of_job: str) -> None:
    naming = Greeter()
    naming.job = replace(Greeter.job, **{field_of_job: ("x",)})  # type: ignore[arg-type]
    assert differ(means(), means(playbook=naming)) == []


def test_contents_of_what_a_taken_step_creates_count_and_its_words_do_not() -> None:
    first, words, second = (
        JsonHandoff(creates={"dist/app": digest}, delivers=said)
        for digest, said in (("1", "an app"), ("1", "the app"), ("2", "the app"))
    )
    assert differ(means(shell=first), means(shell=words)) == []
    assert differ(means(shell=words), means(shell=second)) == ["contents of `dist/app` changed"]
    assert differ(means(shell=JsonHandoff()), means(shell=first)) == ["contents of `dist/app` added"]


def test_record_of_the_first_form_lacks_what_is_created_and_is_the_same_but_for_what_else_was_added() -> None:
    before = means(shell=JsonHandoff(values={"a": 1}))
    after = JsonHandoff(values={"a": 1}, creates={"dist/app": "1"})
    assert differ(before, means(shell=after), form=1) == []
    assert differ(before, means(shell=after)) == ["contents of `dist/app` added"]
    more = after.model_copy(update={"values": {"a": 1, "b": 2}})
    assert differ(before, means(shell=more), form=1) == ["handoff `shell.values.b` added"]
    other = after.model_copy(update={"creates": {"dist/app": "2"}})
    assert differ(means(shell=after), means(shell=other), form=FORM) == ["contents of `dist/app` changed"]


def test_raised_version_of_a_handoff_runs_its_step_and_those_that_take_it() -> None:
    class Raised(Handoff):
        version: ClassVar[int] = 2

    raised = Greeter()
    raised.gives = Raised  # type: ignore[misc]
    assert differ(means(), means(playbook=raised)) == ["what it hands off is `Raised 2` now"]
    assert differ(means(build=Handoff()), means(build=Raised())) == ["handoff `build.version` added"]


def test_keys_with_dots_are_not_those_of_something_inside() -> None:
    assert flat({"a.b": 1}) != flat({"a": {"b": 1}})
    assert flat({"a.b": {"c\\d": 1}}) == {r"a\.b.c\\d": "1"}
    assert unescaped(r"a\.b.c\\d") == r"a.b.c\d"
    dotted, inside = JsonHandoff(values={"a.b": 1}), JsonHandoff(values={"a": {"b": 1}})
    assert differ(means(shell=dotted), means(shell=inside)) == [
        "handoff `shell.values.a.b` added", r"handoff `shell.values.a\.b` removed",
    ]  # fmt: skip
    assert differ(means(shell=inside), means(shell=dotted)) == [
        "handoff `shell.values.a.b` removed", r"handoff `shell.values.a\.b` added",
    ]  # fmt: skip
    assert differ(takes({1: {"a": {"b": 1}}}), takes({1: {"a.b": 1}, 2: {"x": 1}})) == [
        r"handoff `shell-1.values.a\.b` added",
        "handoff `shell-2.values.x` added",
        "handoff `shell.values.a.b` removed",
    ]


def test_an_empty_object_is_not_one_that_is_absent_and_default_objects_count_for_nothing() -> None:
    assert flat({"a": {}, "b": []}) == {"a": "{}", "b": "[]"}
    empty, none, full = (JsonHandoff(values=values) for values in ({"a": {}}, {}, {"a": {"b": 1}}))
    assert means(shell=empty).fingerprint != means(shell=none).fingerprint
    assert differ(means(shell=none), means(shell=empty)) == ["handoff `shell.values.a` added"]
    assert differ(means(shell=empty), means(shell=full)) == ["handoff `shell.values.a.b` added"]
    assert differ(means(shell=full), means(shell=none)) == ["handoff `shell.values.a.b` removed"]
    assert differ(means(shell=empty), means(shell=none)) == ["handoff `shell.values.a` removed"]
    text, several = (JsonHandoff(values=values) for values in ({"a": "x"}, {"a": []}))
    for former in (text, several):
        assert differ(means(shell=former), means(shell=none)) == ["handoff `shell.values.a` removed"]
        assert differ(means(shell=former), means(shell=full)) == [
            "handoff `shell.values.a` removed", "handoff `shell.values.a.b` added",
        ]  # fmt: skip
    shapes = {"values": {"limits": {}}}
    assert flat_options(shapes) == {"option:values.limits": "{}"}
    assert flat_options({"values": {}}) == {}


def test_values_without_empty_objects_have_the_fingerprint_that_was_recorded_before_these_counted() -> None:
    taken = JsonHandoff(values={"image": {"tag": "1.2", "ports": []}, "n": None})
    assert means(shell=taken).fingerprint == "28ddd72465d36e1ac6fe8c8ec9b23449"
    assert means(shell=JsonHandoff()).fingerprint == means().fingerprint


def test_record_of_the_first_form_is_the_same_where_only_the_form_is_another() -> None:
    greeter = Greeter()
    greeter.job = replace(Greeter.job, timeout=5.0, retries=3)
    now = means(playbook=greeter, shell=JsonHandoff(values={"a.b": 1}))
    job = fingerprint(greeter.job)
    then = {**now.components, "command": job, "field:patience": "9.0", "handoff:shell.values.a.b": "1"}
    del then[r"handoff:shell.values.a\.b"]
    assert differ(replace(now, components=then), now, form=1) == []
    assert differ(replace(now, components={**then, "handoff:shell.values.a.b": "2"}), now, form=1) == [
        r"handoff `shell.values.a\.b` changed"
    ]
    today = {**now.components, "command": job}
    assert differ(replace(now, components=today), now) == ["command changed"]


def test_components_are_written_as_every_version_wrote_them() -> None:
    """A journal has them: another way of writing one would run every finished step again."""

    class Raised(Handoff):
        version: ClassVar[int] = 2

    greeter = Greeter()
    greeter.gives = Raised  # type: ignore[misc]
    orders = Workload("orders", ("python",), HttpProbe("/ready"), context="orders", replicas=2)
    second = replace(Greeter.job, name="second")
    production = Production((), (), ("a",), 1, 2, 70, automatic=True)
    servers = (Server("nats"), Server("postgres", "orders"))
    declaration = Declaration((orders,), servers, (Greeter.job, second), production)
    step = StepInput(9, "T", "p", "", "shop", "local", Words(), frozenset({"sms"}), {1: Raised()})
    assert meaning(greeter, step, {1: ("build", 1)}, declaration).components == {
        "playbook": "greeter 1",
        "target": "local",
        "field:greeting": '"hello"',
        "handoff:build.credentials": "[]",
        "handoff:build.version": "2",
        "gives": "Raised 2",
        "feature:sms": "on",
        "workload:orders": "79dd01eb46e91ea927604cdf51cc2ba5",
        "replicas:orders": "2",
        "server:nats": "wanted",
        "server:postgres orders": "wanted",
        f"workload:{PRODUCTION}": fingerprint(production),
        "command": fingerprint(Greeter.job),
        "command:1": fingerprint(second),
    }


def test_of_a_type_that_is_not_listed_only_what_differs_from_its_default_counts() -> None:
    @dataclass(frozen=True)
    class Point:
        x: int = 0
        tags: tuple[str, ...] = field(default_factory=tuple)

    assert canonical(Point()) == '{"type":"Point"}'
    assert canonical(Point(1, ("a",))) == '{"tags":["a"],"type":"Point","x":1}'


def test_digest_of_a_workload_does_not_change_when_a_later_version_adds_a_field_with_its_default() -> None:
    @dataclass(frozen=True)
    class More(Workload):
        colour: str = "red"
        shades: tuple[str, ...] = field(default_factory=tuple)

    More.__name__ = "Workload"
    plain = Workload("a", ("python",), HttpProbe("/ready"))
    assert fingerprint(More("a", ("python",), HttpProbe("/ready"))) == fingerprint(plain)
    assert fingerprint(More("a", ("python",), HttpProbe("/ready"), colour="blue")) != fingerprint(plain)


def test_digest_of_production_is_what_the_first_version_recorded() -> None:
    production = Production((), (), ("a",), 1, 2, 70, automatic=True)
    option = Option("values", "FILE", "", production=True)
    provider = Provider("fake", lambda _: FakeTarget(), lambda _: (), options=(option,))
    playbook = Greeter()
    step = StepInput(1, "T", "p", "", "shop", "fake", Words(), frozenset())
    playbook.declare = lambda _: Declaration(production=production)  # type: ignore[method-assign]
    for options in ({}, {"values": '{"storage":{}}'}):
        found = desired_step(playbook, step, lambda _: Drift(), {}, provider=provider, options=options)
        assert found.digests == {PRODUCTION: fingerprint((production, options.get("values", "")))}


def test_digests_are_what_the_first_version_recorded() -> None:
    assert canonical(HttpProbe("/ready")) == (
        '{"deadline":60.0,"interval":0.2,"path":"/ready","port":"http","timeout":2.0,"type":"HttpProbe"}'
    )
    assert fingerprint(Workload("orders", ("python",), HttpProbe("/ready"), context="orders")) == (
        "79dd01eb46e91ea927604cdf51cc2ba5"
    )


BIG: dict[str, object] = {
    "text": "x" * LIMIT,
    "list": [1, "y" * LIMIT],
    "many.small": {f"a.{number}": {"b": "z" * 20} for number in range(LIMIT // 20)},
    "n": 1,
}


def before(values: dict[str, object], form: int) -> Meaning:
    """The meaning of a step as it was recorded when large values were in it."""
    keys = {f"handoff:shell.values.{path}": leaf for path, leaf in flat(values).items()}
    parts = {**takes({1: {}}).components, **(keys if form == FORM else {unescaped(k): v for k, v in keys.items()})}
    return Meaning(parts)


def test_large_values_count_by_their_digests() -> None:
    now = takes({1: BIG})
    large = [f"handoff:shell.values.{name}" for name in ("list", r"many\.small", "text")]
    assert {key for key in now.components if ".values" in key} == {*large, "handoff:shell.values.n"}
    assert {now.components[key][:7] for key in large} == {"sha256:"}
    assert all(len(value) < 80 for value in now.components.values())


@pytest.mark.parametrize("form", [1, FORM])
def test_record_that_holds_large_values_is_the_same_where_they_are(form: int) -> None:
    assert differ(before(BIG, form), takes({1: BIG}), form) == []
    for name, other in (("text", "x"), ("list", [1]), ("many.small", {"a.1": 1}), ("n", 2)):
        changed = differ(before({**BIG, name: other}, form), takes({1: BIG}), form)
        assert changed == [f"handoff `shell.values.{name.replace('.', chr(92) + '.')}` changed"]


def test_large_value_that_was_text_of_its_digest_is_another_one() -> None:
    now = takes({1: {"text": BIG["text"]}})
    digest = now.components["handoff:shell.values.text"]
    assert differ(takes({1: {"text": digest}}), now) == ["handoff `shell.values.text` changed"]


def test_large_list_with_defaults_in_it_is_compared_by_what_is_in_it() -> None:
    for told in ({}, {"patience": 1.0}):
        texts = [{"greeting": "x" * LIMIT, **told} for _ in range(2)]
        then, now = (means(kind.model_validate({"shapes": texts})) for kind in (MoreWords, YetMoreWords))
        assert differ(then, now) == []
        other = means(YetMoreWords.model_validate({"shapes": [*texts, {"greeting": "y"}]}))
        assert len(differ(then, other)) == 1


def test_prefix_of_a_large_value_in_a_change_of_a_setting_is_short() -> None:
    then, now = (means(Words(greeting=letter * LIMIT)) for letter in "ab")
    (said,) = differ(then, now)
    assert said.startswith("field `Greeting` changed sha256:")
    assert len(said) < 200
