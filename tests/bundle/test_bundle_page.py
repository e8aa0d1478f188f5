"""The page beside the bundle: what it tells people to type is what the bundle takes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from reference import DIGEST, reference
from rendered import Key, Object, by_kustomize, write

from stepflow.targets.kubernetes.bundle import Bundle
from stepflow_playbooks.orchestration.bundle.files import bundle_files


def page(folder: Path, bundle: Bundle) -> tuple[Path, str]:
    there = write(bundle_files(bundle), folder)
    return there, (there / "README.md").read_text("utf-8")


def images(objects: dict[Key, Object]) -> set[str]:
    return {
        each["image"]
        for item in objects.values()
        if item["kind"] in {"Deployment", "StatefulSet", "Job"}
        for each in item["spec"]["template"]["spec"]["containers"]
    }


@pytest.mark.parametrize("registry", ["registry.example.org/team", ""])
def test_every_image_of_ours_is_built_and_pushed_or_loaded_by_the_name_that_the_overlays_pull(
    tmp_path: Path, registry: str
) -> None:
    there, text = page(tmp_path, replace(reference(), registry=registry))
    ours = {image for image in images(by_kustomize(there, "production")) if "@" not in image}
    assert len(ours) == 7
    assert set(re.findall(r"^docker build -t (\S+) -f \S+/Dockerfile \.$", text, re.MULTILINE)) == ours
    assert set(re.findall(r"^docker push (\S+)$", text, re.MULTILINE)) == ours
    loaded = {image for image in images(by_kustomize(there, "development")) if "@" not in image}
    (line,) = re.findall(r"^kind load docker-image (.+)$", text, re.MULTILINE)
    assert set(line.split()) == loaded == ours


def test_images_whose_names_are_no_ones_are_said_to_need_a_registry(tmp_path: Path) -> None:
    _, text = page(tmp_path / "named", reference())
    assert "**Production**, from a registry, `registry.example.org/team`:" in text
    _, text = page(tmp_path / "nameless", replace(reference(), registry=""))
    assert "These names belong to Docker Hub: set the step's field `registry`" in text


def test_an_image_is_called_otherwise_by_what_the_page_says_to_write_into_an_overlay(tmp_path: Path) -> None:
    there, text = page(tmp_path, reference())
    before = images(by_kustomize(there, "production"))
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    overlay = there / "kubernetes/overlays/production/kustomization.yaml"
    overlay.write_text(overlay.read_text("utf-8") + block.replace("sha256:…", DIGEST), "utf-8")
    after = images(by_kustomize(there, "production"))
    assert before - after == {"registry.example.org/team/shop/data-pipeline:1.2.3"}
    assert after - before == {f"registry.example.org/data-pipeline@{DIGEST}"}


def test_the_chart_has_every_value_that_the_page_sets(tmp_path: Path) -> None:
    there, text = page(tmp_path, reference())
    values = yaml.safe_load((there / "chart/values.yaml").read_text("utf-8"))
    wanted = re.findall(r"--set ([\w.]+)=", text)
    assert sorted(wanted) == ["entry.host", "entry.tlsSecret", "pullPolicy"]
    for path in wanted:
        found = values
        for part in path.split("."):
            assert part in found, path
            found = found[part]
    assert {"repository", "digest"} <= values["images"]["data-pipeline"].keys()


def test_every_file_that_the_page_names_is_there(tmp_path: Path) -> None:
    there, text = page(tmp_path, reference())
    named = set(re.findall(r"orchestration/[\w./-]+", text))
    assert len(named) == 5
    assert [path for path in sorted(named) if not (there.parent / path).exists()] == []
