"""Text is data: whatever it looks like to YAML, to Go's templates or to kustomize, it arrives as it is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import reference
from rendered import by_helm, by_key, by_kustomize, write

from stepflow.handoff import ConfigFile
from stepflow.targets.kubernetes.bundle import Bundle, every, manifests
from stepflow.targets.resolved import resolve
from stepflow.workload import HttpProbe, Workload
from stepflow_playbooks.orchestration.bundle.files import bundle_files

NASTY = (
    "{{ .Values.images }}",
    "{{- fail `x` -}}",
    "{{{ }}}",
    "}} {{",
    "{{/* no comment */}}",
    "$(PORT) $${x} ${HOME}",
    "'single' \"double\" `back`",
    "two\nlines\n",
    "  {{ indented }}\n\tand more  \n\n",
    "trailing space \nx",
    "--- \n...\n- a: b # c",
    "&anchor *alias !tag |- > %",
    "null",
    "yes",
    "0x1F",
    "1e3",
    "2026-01-01",
    "~",
    "",
    "é ü 漢字 🙂 \u2028 \u00a0 \ufeff",
    "\t\\n\\",
    "y",
    "1_000",
    "+.5e-7",
    "0b1",
    "x" * 300 + " " + "y" * 300,
    "<a href='x'>&amp;</a>",
    "expression-in-data x0000000000000000w0000",
)
ANYTHING = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
PRINTABLE = st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t")
"""kustomize itself reads what it wrote, and refuses or drops control characters in it."""


def strange(texts: list[str]) -> Workload:
    return Workload(
        name="strange",
        command=("python", "-m", "service", ConfigFile("texts.json"), *texts),
        ready=HttpProbe("/health/ready"),
        context="strange",
        env={f"TEXT_{number}": text for number, text in enumerate(texts)},
        configs={"texts.json": {"texts": list(texts), **dict.fromkeys(texts, 1)}},
    )


def bundle_of(texts: list[str]) -> Bundle:
    name = "{{ .Release.Name }} of \"a\" 'shop'\n---"
    return replace(reference(), name=name, workloads=(resolve(strange(texts)),), servers=())


def same_in_three_ways(texts: list[str], folder: Path) -> None:
    wanted = by_key(every(manifests(bundle_of(texts))))
    out = write(bundle_files(bundle_of(texts)), folder)
    assert by_kustomize(out, "production") == wanted
    assert by_helm(out, createNamespace=True) == wanted
    container = wanted["apps/v1", "Deployment", "shop", "strange"]["spec"]["template"]["spec"]["containers"][0]
    command = [part.replace("$$", "$") for part in container["command"][4:]]  # as the kubelet reads it
    assert command == texts
    (config,) = (item for key, item in wanted.items() if key[1] == "ConfigMap")
    assert json.loads(config["data"]["texts.json"])["texts"] == texts


def test_text_that_looks_like_something_else_arrives_as_it_is(tmp_path: Path) -> None:
    same_in_three_ways(list(NASTY), tmp_path)


@given(texts=st.lists(st.text(PRINTABLE, max_size=60), max_size=30))
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_text_arrives_as_it_is(texts: list[str]) -> None:
    with TemporaryDirectory() as folder:
        same_in_three_ways(texts, Path(folder))


@given(texts=st.lists(st.text(ANYTHING, max_size=60), max_size=10))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_text_at_all_arrives_by_helm(texts: list[str]) -> None:
    with TemporaryDirectory() as folder:
        out = write(bundle_files(bundle_of(texts)), Path(folder))
        assert by_helm(out, createNamespace=True) == by_key(every(manifests(bundle_of(texts))))
