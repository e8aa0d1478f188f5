"""checkov finds nothing in the bundle, of which nothing is left out."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from reference import DIGEST, reference
from rendered import by_kustomize, write

from stepflow.targets.kubernetes.bundle import every, manifests
from stepflow_playbooks.orchestration.bundle.files import bundle_files
from stepflow_playbooks.orchestration.bundle.yaml_writer import stream

CHECKOV = os.environ.get("CHECKOV", "")
pytestmark = [
    pytest.mark.checkov,
    pytest.mark.skipif(not CHECKOV, reason="CHECKOV names no program: `make checkov` installs it and runs this"),
]
OFFLINE = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "http_proxy": "http://127.0.0.1:9"}
"""Without a listener: what uses the network fails."""


def found_by_checkov(folder: Path) -> dict[str, Any]:
    command = [CHECKOV, "--directory", folder, "--framework", "kubernetes", "--skip-download", "--quiet", "--compact"]
    proxy = {"https_proxy": OFFLINE["http_proxy"]}
    done = subprocess.run(
        [*command, "--output", "json"],
        env=OFFLINE | proxy,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.stdout, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def failed(report: dict[str, Any]) -> list[str]:
    return [
        f"{each['check_id']} {each['check_name']}: {each['resource']}" for each in report["results"]["failed_checks"]
    ]


def test_the_platform_with_pinned_images_fails_no_check_and_none_is_skipped(tmp_path: Path) -> None:
    bundle = reference()
    pinned = replace(bundle, digests=tuple((context, DIGEST) for context in bundle.contexts()))
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "platform.yaml").write_text(stream(every(manifests(pinned))), "utf-8")
    report = found_by_checkov(tmp_path / "manifests")
    assert failed(report) == []
    assert report["summary"]["skipped"] == report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 1000


def test_a_pod_that_is_not_as_it_should_be_is_found(tmp_path: Path) -> None:
    text = stream(every(manifests(reference())))
    (tmp_path / "platform.yaml").write_text(text.replace("readOnlyRootFilesystem: true", ""), "utf-8")
    assert any(each.startswith("CKV_K8S_22 ") for each in failed(found_by_checkov(tmp_path)))


def test_what_kustomize_makes_of_the_overlay_fails_no_check_but_that_tags_are_no_digests(tmp_path: Path) -> None:
    items = list(by_kustomize(write(bundle_files(reference()), tmp_path), "production").values())
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "platform.yaml").write_text(stream(items), "utf-8")
    assert {each.split()[0] for each in failed(found_by_checkov(tmp_path / "made"))} == {"CKV_K8S_43"}
