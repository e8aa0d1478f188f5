"""The tests' own Kubernetes API answers what a real one answered when it was asked the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bare_api import bare_api
from exchanges import EXCHANGES, Ask, Object
from record import RECORDED, Speaker

_VOLATILE = {"uid", "creationTimestamp", "deletionTimestamp", "time", "continue", "resourceVersion"}
_WORDS = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "UID"),
    (re.compile(r'Invalid value: \{"(Volumes|volumes|restartPolicy|containers)".*\}: field is immutable'), "immutable"),
)


@pytest.fixture
def speaker(tmp_path: Path) -> Iterator[Speaker]:
    """Ask an API that runs in a thread of this process."""
    with bare_api(tmp_path) as file, Speaker(str(file)) as made:
        yield made


def essence(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return what does not differ from one time to another."""
    if isinstance(value, dict):
        found = {key: essence(each) for key, each in value.items() if key not in _VOLATILE}
        if value.get("kind") == "Deployment" and "spec" in value:  # its controller may have been quicker, or slower
            found.pop("status", None)
            found["metadata"] = {key: each for key, each in found["metadata"].items() if key != "annotations"}
        if "managedFields" in found:  # a controller's status belongs to the controller
            kept = [each for each in found["managedFields"] if each.get("subresource") != "status"]
            found["managedFields"] = sorted(kept, key=lambda each: (each["operation"], each["manager"]))
        return found
    if isinstance(value, list):
        return [essence(each) for each in value]
    if isinstance(value, str):
        for pattern, word in _WORDS:
            value = pattern.sub(word, value)
    return value


def writes(answers: list[Object]) -> list[bool]:
    """Tell of each answer with a ConfigMap whether it is another version than the one before."""
    versions = [
        answer["body"]["metadata"].get("resourceVersion")
        for answer in answers
        if isinstance(answer.get("body"), dict) and answer["body"].get("kind") == "ConfigMap"
    ]
    return [version != before for before, version in zip(["", *versions], versions, strict=False)]


@pytest.mark.parametrize("name", EXCHANGES)
def test_it_answers_what_a_real_one_answered(speaker: Speaker, name: str) -> None:
    recorded = json.loads((RECORDED / f"{name}.json").read_text())
    answers = [speaker.ask(ask) for ask in EXCHANGES[name]]
    for ask, answer, expected in zip(EXCHANGES[name], answers, recorded, strict=True):
        assert essence(answer) == essence(expected), f"{ask.method} {ask.path}?{ask.query}"
    assert writes(answers) == writes(recorded)
    speaker.await_gone()


@pytest.mark.parametrize("ask", [
    Ask("GET", "/api/v1/pods", query="watch=true"),
    Ask("GET", "/api/v1/pods", query="fieldSelector=metadata.name=a"),
    Ask("GET", "/api/v1/pods", query="labelSelector=a!=b"),
    Ask("PUT", "/api/v1/namespaces/default", {"metadata": {"name": "default"}}),
    Ask("DELETE", "/api/v1/namespaces/default", {"propagationPolicy": "Orphan"}),
])  # fmt: skip
def test_it_refuses_what_it_does_not_do(speaker: Speaker, ask: Ask) -> None:
    answer = speaker.ask(ask)
    assert answer["status"] == 501
    assert answer["body"]["message"].startswith("beyond what the tests' API does (see its README.md): ")


def test_it_has_no_other_subresources(speaker: Speaker) -> None:
    answer = speaker.ask(Ask("GET", "/apis/storage.k8s.io/v1/storageclasses/standard/scale"))
    assert (answer["status"], answer["body"]["message"]) == (404, "the server could not find the requested resource")
