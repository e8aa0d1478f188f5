"""Finding playbooks, and resolving a workflow against them."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from stepflow.blame import PluginError
from stepflow.errors import DocumentError, MachineError, UsageError
from stepflow.registry import Registry, ResolvedWorkflow, check, require, resolve
from stepflow.workflow import parse

PLUGIN = """
from pydantic import Field, field_validator
from stepflow.handoff import Handoff
from stepflow.playbook import Feature, Playbook, Settings, Takes
from stepflow.workload import Declaration

class Water(Handoff):
    litres: int = 1

class Kettle(Settings):
    degrees: int = Field(100, ge=0, le=100, description="how hot, in degrees Celsius")
    boil: bool = Field(True, description="whether it boils")
    max_cups: int | None = Field(None, description="how many cups")
    leaves: tuple[str, ...] = Field((), description="which leaves")
    ratio: dict[str, float] = Field({}, description="how much of each")

class Well(Playbook):
    name, summary, gives = "well", "Gives water.", Water
    features = (Feature("deep", ("deep", "e-mail"), "deep"), Feature("clean", ("rate limiting",), "clean", always=True))
    def declare(self, step): return Declaration()

class Tea(Well):
    name, summary, gives, settings = "tea", "Takes water.", Handoff, Kettle
    takes = (Takes(Water, required=True),)
    features = (Feature("milk", ("milk",), "m"), Feature("sugar", ("sweet",), "s"))

class Party(Well):
    name, summary, takes, gives = "party", "Collects.", (Takes(Water, collects=True),), Handoff

class Strict(Well):
    name = "strict"
    class settings(Settings):
        size: int = Field(description="how big")

class Liar(Well):
    name = "someone-else"

class Flat(Well):
    name, features = "flat", None

class Wordless(Well):
    name, features = "wordless", (Feature("deep", None, "deep"),)

class Leaver(Well):
    name = "leaver"
    def __init__(self): raise SystemExit(3)

class Picky(Well):
    name = "picky"
    class settings(Settings):
        size: int = Field(1, description="how big")
        @field_validator("size")
        def never(cls, size): raise KeyError(size)

nothing = object
broken = None
"""


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Registry:
    """Install some playbooks, good and bad, in a module with a name of its own in each test."""
    module = f"plugins_of_{abs(hash(request.node.nodeid))}"
    (tmp_path / f"{module}.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    names = {"well": "Well", "tea": "Tea", "party": "Party", "strict": "Strict", "liar": "Liar", "none": "nothing"}
    names |= {
        "broken": "broken",
        "twice": "Well",
        "flat": "Flat",
        "leaver": "Leaver",
        "picky": "Picky",
        "wordless": "Wordless",
    }
    entries = [EntryPoint(name, f"{module}:{kind}", "g") for name, kind in names.items()]
    entries += [EntryPoint("twice", f"{module}:Tea", "g"), EntryPoint("gone", "no_such_module:X", "g")]
    return Registry(tuple(entries))


def resolved(registry: Registry, *steps: str) -> ResolvedWorkflow:
    text = "".join(f"## Step {n}\n{body}\n" for n, body in enumerate(steps, 1))
    workflows, problems = parse(text, "w.md")
    assert [problem.code for problem in problems if problem.severity == "error"] == []
    return resolve(workflows[0], registry)


def said(result: ResolvedWorkflow) -> list[str]:
    return [f"{d.code} {d.span.line}:{d.span.column} {d.message} | {d.hint}" for d in result.diagnostics]


def test_a_playbook_is_found_by_name_with_prefix_and_in_any_case(registry: Registry) -> None:
    assert {type(registry.load(name)).__name__ for name in ("well", "playbook-well", "Well")} == {"Well"}
    assert registry.load("well") is registry.load("well")


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("wel", "no playbook `wel` is installed", "did you mean `well`?"),
        ("zzz", "no playbook `zzz` is installed", "installed: `broken`, `flat`, `gone`"),
    ],
)
def test_an_unknown_name_is_said_with_what_may_be_meant(registry: Registry, name: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as raised:
        registry.load(name)
    assert raised.value.message == message
    assert raised.value.hint.startswith(hint)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone", "cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'"),
        ("broken", "cannot be loaded: TypeError: 'NoneType' object is not callable"),
        ("none", "is a `object`, not a `Playbook`"),
        ("liar", "calls itself `someone-else`"),
        ("leaver", "cannot be loaded: SystemExit: 3"),
        ("flat", "`features` of the playbook `flat`"),
        ("twice", "two packages provide a playbook `twice`"),
    ],
)
def test_a_bad_plugin_breaks_only_itself(registry: Registry, name: str, message: str) -> None:
    with pytest.raises(MachineError) as raised:
        registry.load(name)
    assert message in raised.value.message
    assert raised.value.hint
    listed = {plugin.name: plugin for plugin in registry.plugins()}
    assert message in listed[name].error
    assert listed["well"].playbook is registry.load("well")


def test_settings_that_fail_to_read_a_value_are_blamed_on_their_playbook(registry: Registry) -> None:
    with pytest.raises(PluginError) as blamed:
        resolved(registry, "- Playbook: picky\n- Prompt: p\n- Size: 2")
    assert blamed.value.message == "the playbook `picky` failed to read the inputs of step 1: KeyError: 2"


def test_features_that_cannot_be_read_are_blamed_on_their_playbook(registry: Registry) -> None:
    with pytest.raises(PluginError) as blamed:
        resolved(registry, "- Playbook: wordless\n- Prompt: p")
    said = "the playbook `wordless` failed to read the features of step 1: TypeError: 'NoneType' object is not iterable"
    assert blamed.value.message == said


def test_inputs_are_text_read_as_what_the_settings_want(registry: Registry) -> None:
    body = (
        "- Playbook: tea\n- Prompt: p\n- Degrees: 80\n- BOIL: no\n- max-cups: none\n"
        "- Leaves:\n  - mint\n  - rose, lime\n"
        '- Ratio: {"mint": 0.5}'
    )
    step = resolved(registry, "- Playbook: well\n- Prompt: p", body).steps[1]
    assert step.settings.model_dump() == {
        "degrees": 80,
        "boil": False,
        "max_cups": None,
        "leaves": ("mint", "rose", "lime"),
        "ratio": {"mint": 0.5},
    }


def test_every_wrong_input_is_said_at_once_each_with_its_line(registry: Registry) -> None:
    tea = "- Playbook: tea\n- Prompt: p\n- Degree: 80\n- Boil: perhaps\n- Degrees: 101\n- Promptly: yes"
    result = resolved(registry, "- Playbook: well\n- Prompt: p", tea, "- Playbook: strict\n- Prompt: p")
    assert said(result) == [
        "SF302 7:3 playbook `tea` has no input `Degree` | did you mean `Degrees`?",
        "SF303 8:9 `Boil: perhaps` does not fit playbook `tea`: should be `yes` or `no` | whether it boils",
        (
            "SF303 9:12 `Degrees: 101` does not fit playbook `tea`: should be less than or equal to 100 "
            "| how hot, in degrees Celsius"
        ),
        "SF302 10:3 playbook `tea` has no input `Promptly` | did you mean `Prompt`?",
        "SF305 11:1 step 3 lacks the input `Size` that playbook `strict` needs | add `- Size: ...`: how big",
    ]


@pytest.mark.parametrize(
    ("prompt", "features"),
    [
        ("dig a Deep hole", {"deep": "Deep", "clean": "default"}),
        ("send an email or two E-Mails, e-mail", {"deep": "email, e-mail", "clean": "default"}),
        ("with rate-limiting", {"clean": "rate-limiting"}),
        ("deeper", {"clean": "default"}),
    ],
)
def test_the_words_of_the_prompt_select_features(registry: Registry, prompt: str, features: dict[str, str]) -> None:
    assert resolved(registry, f"- Playbook: well\n- Prompt: {prompt}").steps[0].features == features


def test_a_prompt_that_names_no_feature_gets_all_of_a_playbook_that_has_none_always_on(registry: Registry) -> None:
    well = "- Playbook: well\n- Prompt: p"
    plain = resolved(registry, well, "- Playbook: tea\n- Prompt: a cup").steps[1]
    sweet = resolved(registry, well, "- Playbook: tea\n- Prompt: a sweet cup").steps[1]
    assert plain.features == {"milk": "default", "sugar": "default"}
    assert sweet.features == {"sugar": "sweet"}


def test_the_field_features_overrides_the_prompt(registry: Registry) -> None:
    well = "- Playbook: well\n- Prompt: p"
    step = resolved(registry, well, "- Playbook: tea\n- Prompt: sweet\n- Features: milk").steps[1]
    assert step.features == {"milk": "Features: milk"}
    wrong = resolved(registry, well, "- Playbook: tea\n- Prompt: sweet\n- Features: mill")
    assert said(wrong) == ["SF304 7:13 playbook `tea` has no feature `mill` | did you mean `milk`?"]


def test_a_handoff_is_taken_from_the_nearest_step_that_gives_it(registry: Registry) -> None:
    well, tea = "- Playbook: well\n- Prompt: p", "- Playbook: tea\n- Prompt: p"
    hand = "- Prompt: by hand"
    steps = resolved(registry, well, well, hand, tea, f"{tea}\n- RelyPreviousStep: Steps 1 and 2").steps
    assert [step.takes for step in steps] == [(), (), (), (2,), (1, 2)]


def test_a_required_handoff_that_no_one_gives_is_an_error_with_the_way_out(registry: Registry) -> None:
    tea = "- Playbook: tea\n- RelyPreviousStep: no\n- Prompt: p"
    assert said(resolved(registry, tea)) == [
        (
            "SF306 3:3 playbook `tea` of step 1 takes a `Water`, but the step relies on no other "
            "| add a step before it whose playbook gives a `Water`: `stepflow playbooks` lists what each gives"
        )
    ]
    behind = resolved(
        registry, "- Playbook: well\n- Prompt: p", "- Prompt: p\n- RelyPreviousStep: no", tea.replace("no", "Step 2")
    )
    assert said(behind) == [
        (
            "SF306 9:3 playbook `tea` of step 3 takes a `Water`, but step 2, which it relies on, "
            "and the steps before it give none | step 1 gives one: write `- RelyPreviousStep: Step 1`"
        )
    ]


def test_what_is_collected_becomes_edges_of_another_kind(registry: Registry) -> None:
    well = "- Playbook: well\n- Prompt: p\n- RelyPreviousStep: no"
    result = resolved(registry, well.replace("\n- RelyPreviousStep: no", ""), well, "- Playbook: party\n- Prompt: p")
    assert result.steps[2].collects == (1, 2)
    assert [(edge.source, edge.target, edge.kind) for edge in result.workflow.edges] == [
        (1, 3, "relies"),
        (2, 3, "collects"),
    ]


def test_a_run_needs_a_workflow_without_errors(registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "w.md"
    file.write_text("## Step 1\n- Playbook: wel\n- Prompt: p\n")
    with pytest.raises(DocumentError, match="1 error in the document") as raised:
        require(parse(file.read_text(), str(file))[0][0], registry)
    assert raised.value.diagnostics[0].source == "- Playbook: wel"


def test_a_missing_handoff_is_no_news_where_the_edges_are_wrong(registry: Registry) -> None:
    text = "## Step 1\n- Playbook: tea\n- Prompt: p\n- RelyPreviousStep: Step 9\n"
    assert [problem.code for problem in check(text, "w.md", registry)[1]] == ["SF202"]


def test_what_is_nearest_is_found_through_steps_that_do_not_give_it(registry: Registry) -> None:
    plain = "- Prompt: p"
    bodies = [
        *("- Playbook: well\n- Prompt: p", "- Playbook: well\n- Prompt: p\n- RelyPreviousStep: no"),
        *(f"{plain}\n- RelyPreviousStep: Step 1", f"{plain}\n- RelyPreviousStep: Step 2"),
        f"{plain}\n- RelyPreviousStep: Steps 3 and 4",
        "- Playbook: tea\n- Prompt: p\n- RelyPreviousStep: Step 5",
        "- Playbook: tea\n- Prompt: p\n- RelyPreviousStep: Steps 2 and 5",
    ]
    assert [step.takes for step in resolved(registry, *bodies).steps][5:] == [(1, 2), (2,)]


def test_steps_that_collect_too_much_are_refused(registry: Registry) -> None:
    wells = ["- Playbook: well\n- Prompt: p"] * 400
    result = resolved(registry, *wells, *["- Playbook: party\n- Prompt: p"] * 300)
    message = "with step 652, steps collect more than 100,000 handoffs: `party` collects that of every earlier step"
    assert [each for each in said(result) if "SF312" in each] == [f"SF312 1955:13 {message} | use it once, at the end"]
