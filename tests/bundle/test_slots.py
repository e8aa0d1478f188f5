"""A slot is its default wherever text is read, and what the chart's user sets wherever Helm renders it."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import helm_python
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import reference
from rendered import by_helm, by_key, write

from stepflow.handoff import ConfigFile, Endpoint
from stepflow.targets.kubernetes.bundle import Bundle, Slot, every, manifests
from stepflow.targets.kubernetes.manifests import slot
from stepflow.targets.resolved import resolve
from stepflow.workload import HttpProbe, Workload
from stepflow_playbooks.orchestration.bundle.chart import SLOTS
from stepflow_playbooks.orchestration.bundle.chart_values import HELPERS
from stepflow_playbooks.orchestration.bundle.files import bundle_files
from stepflow_playbooks.orchestration.bundle.yaml_writer import document, template

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
PUBLIC = Endpoint("gateway", part="public", path='/é?a=<b>&c="d"$(x)')
PAGES = Workload(
    name="pages",
    command=("python", "-m", "service", ConfigFile("links.json"), PUBLIC),
    ready=HttpProbe("/health/ready"),
    context="pages",
    env={"HOME_URL": PUBLIC, "TOKEN_URL": PUBLIC},
    configs={"links.json": {"home": PUBLIC, "all": [PUBLIC, "none"], "empty": [{}, []]}},
)


def composed(value: str, before: str, after: str) -> dict[str, Any]:
    """Compose a value with texts in every way; a plain text gives plain texts."""
    joined = slot.text(before, value, after, slot.text(value, before))
    chosen = slot.given(value, slot.text("at ", value), after) if isinstance(value, Slot) else f"at {value}"
    return {
        "joined": joined,
        "replaced": slot.replaced(joined, "$", "$$"),
        "json": slot.json_text({"a": [joined, before], after: {"deep": value}, "number": 1}),
        "chosen": chosen,
        "plain": slot.text(before, after),
    }


def rendered(item: object, value: str) -> Any:  # noqa: ANN401 - YAML
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "templates").mkdir()
        (folder / "Chart.yaml").write_text("apiVersion: v2\nname: x\nversion: 1.0.0\n", "utf-8")
        (folder / "templates/_helpers.tpl").write_text(HELPERS, "utf-8")
        (folder / "templates/item.yaml").write_text(template(item), "utf-8")
        with helm_python.Chart.load(name) as chart:
            (text,) = chart.render({"value": value}, name="release", namespace="x").values()
        return yaml.safe_load(text)


@given(default=TEXT, value=TEXT, before=TEXT, after=TEXT)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_composed_of_a_slot_is_what_would_be_composed_of_its_value(
    default: str, value: str, before: str, after: str
) -> None:
    item = composed(Slot(default, ".Values.value"), before, after)
    closed = composed(default, before, after)
    assert {**item, "chosen": ""} == {**closed, "chosen": ""}
    assert yaml.safe_load(document(item)) == item == deepcopy(item)
    found, wanted = rendered(item, value), composed(value, before, after)
    assert json.loads(found.pop("json")) == json.loads(wanted.pop("json"))
    assert found == {**wanted, "chosen": f"at {value}" if value else after}
    assert {key for key in item if isinstance(item[key], Slot)} == item.keys() - {"plain"}


def test_json_of_slots_is_byte_by_byte_what_the_defaults_give() -> None:
    value = {"b": Slot("é<&>", ".Values.value"), "a": [1, None, {}, []], "c": {"d": "x"}}
    expected = json.dumps(value, indent=2, sort_keys=True)
    assert slot.json_text(value) == expected
    assert rendered({"json": slot.json_text(value)}, "é<&>") == {"json": expected}


def test_an_object_is_named_after_what_is_in_the_slots_of_its_content() -> None:
    name = slot.content_name("web-1234", {"data": slot.text("a ", Slot("b", ".Values.value"))})
    assert name == "web-1234"
    assert rendered({"name": name}, "b") == {"name": "web-1234"}
    changed = rendered({"name": name}, "c")["name"]
    assert changed.startswith("web-1234-")
    assert changed != rendered({"name": name}, "d")["name"]
    assert not isinstance(slot.content_name("web-1234", {"data": ["a", 1]}), Slot)


def test_text_that_looks_like_an_action_or_like_what_stands_for_one_stays_as_it_is() -> None:
    word = "xVERBATIMx"
    texts = {"action": "{{ .Values.value }}", f"{word}7bx": f"{word}0x and {word}7b7bx", "long {{ " * 30: f"{word}e9x"}
    assert rendered(texts, "b") == texts


def test_the_objects_with_slots_are_the_objects() -> None:
    assert manifests(reference(), SLOTS) == manifests(reference())


def pages() -> Bundle:
    bundle = reference()
    return replace(bundle, workloads=(*bundle.workloads, resolve(PAGES)))


def test_the_host_of_the_entry_reaches_commands_variables_and_configurations(tmp_path: Path) -> None:
    folder = write(bundle_files(pages()), tmp_path)
    assert by_helm(folder, createNamespace=True) == by_key(every(manifests(pages())))
    there = f"https://shop.example.org{PUBLIC.path}"
    found = by_helm(folder, entry={"host": "shop.example.org"}).values()
    (deployment,) = (i for i in found if (i["kind"], i["metadata"]["name"]) == ("Deployment", "pages"))
    (config,) = (i for i in found if i["kind"] == "ConfigMap" and i["metadata"]["name"].startswith("pages-"))
    template_ = deployment["spec"]["template"]
    (container,) = template_["spec"]["containers"]
    assert container["command"][-1] == there.replace("$", "$$")
    assert {"name": "HOME_URL", "value": there.replace("$", "$$")} in container["env"]
    assert template_["metadata"]["annotations"]["stepflow.dev/env.TOKEN_URL"] == there
    links = {"home": there, "all": [there, "none"], "empty": [{}, []]}
    assert json.loads(config["data"]["links.json"]) == links
    volumes = {each["name"]: each for each in template_["spec"]["volumes"]}
    assert volumes["config"]["configMap"]["name"] == config["metadata"]["name"]
    (before,) = (i for i in every(manifests(pages())) if i["metadata"]["name"].startswith("pages-"))
    assert config["metadata"]["name"].startswith(f"{before['metadata']['name']}-")
