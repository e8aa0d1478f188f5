"""What the command line says about clusters before one is ever asked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

STEPFLOW = Path(sys.executable).with_name("stepflow")
DOCUMENT = "# Shop\n\n## Step 1\n- Playbook: service-discovery\n- Prompt: a registry and an API gateway\n"
REFUSED = "the current context `work` (https://api.example.com) is not a local cluster"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Have a document, and a kubeconfig whose current context may be anybody's."""
    servers = {"work": "https://api.example.com", "kind-shop": "http://127.0.0.1:9"}
    config = {
        "current-context": "work",
        "clusters": [{"name": name, "cluster": {"server": server}} for name, server in servers.items()],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "me"}} for name in servers],
        "users": [{"name": "me", "user": {"token": "t"}}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    (tmp_path / "w.md").write_text(DOCUMENT)
    return tmp_path


def stepflow(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "KUBECONFIG": str(cwd / "kubeconfig"), "COLUMNS": "200"}
    return subprocess.run(
        [STEPFLOW, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=False, env=env
    )


def on_kubernetes(cwd: Path, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return stepflow(cwd, command, "w.md", "--target", "kubernetes", *arguments)


def test_run_leaves_a_cluster_alone_that_was_only_looked_at_last(here: Path) -> None:
    done = on_kubernetes(here, "run")
    assert (done.returncode, done.stderr) == (
        2,
        f"error: {REFUSED}\nhint: pass `--context work` to use it; local contexts: `kind-shop`\n",
    )
    assert not (here / "shop").exists()
    assert not (here / ".stepflow/shop").exists()
    done = on_kubernetes(here, "run", "--context", "kind-shp")
    assert (done.returncode, done.stderr) == (
        2,
        (
            "error: the kubeconfig has no context `kind-shp`\n"
            "hint: did you mean `kind-shop`? Contexts: `kind-shop`, `work`\n"
        ),
    )


def test_run_names_the_cluster_that_does_not_answer(here: Path) -> None:
    done = on_kubernetes(here, "run", "--context", "kind-shop")
    assert done.returncode == 3
    assert done.stderr.startswith("error: no cluster answers at http://127.0.0.1:9: Connection refused\nhint: start it")
    assert not (here / ".stepflow/shop").exists()


def test_plan_needs_no_cluster_and_says_what_it_could_not_ask(here: Path) -> None:
    done = on_kubernetes(here, "plan")
    assert done.returncode == 0
    assert "      create   Deployment/gateway: it does not exist\n" in done.stdout
    assert done.stderr == (
        f"hint: a run would not start: {REFUSED}\nhint: pass `--context work` to use it; local contexts: `kind-shop`\n"
    )
    done = on_kubernetes(here, "plan", "--namespace", "kube-system", "--context", "kind-shop")
    assert done.stderr == (
        "hint: a run would not start: the namespace `kube-system` is the cluster's own\n"
        "hint: name one of its own, or leave `--namespace` out: `<platform>-<id>` is made then\n"
    )
    assert not (here / ".stepflow").exists()


def test_a_values_file_that_names_what_the_document_has_not_is_refused_before_anything_is_done(here: Path) -> None:
    (here / "values.yaml").write_text("egress:\n- {workload: gatewy, cidr: 203.0.113.0/24, ports: [25]}\n")
    for command in ("plan", "run"):
        done = on_kubernetes(here, command, "--context", "kind-shop", "--values", "values.yaml")
        assert done.returncode == 2
        assert done.stderr == (
            "error: `egress` of the values names the workload `gatewy`, which no step of the document declares\n"
            "hint: did you mean `gateway`?\n"
        )
    assert not (here / ".stepflow/shop").exists()


def test_doctor_asks_only_the_cluster_that_it_is_told_to(here: Path) -> None:
    done = stepflow(here, "doctor", "--target", "kubernetes")
    assert done.returncode == 3
    assert f"lacks  kubernetes context  {REFUSED}\n" in done.stdout
    assert "hint: `stepflow doctor --target kubernetes --context work` to use it" in done.stdout
    done = stepflow(here, "doctor", "--target", "kubernetes", "--context", "kind-shop")
    assert "ok     kubernetes context  `kind-shop` at http://127.0.0.1:9, local\n" in done.stdout
    assert "lacks  kubernetes api      no cluster answers at http://127.0.0.1:9: Connection refused\n" in done.stdout
    done = stepflow(here, "doctor", "--context", "kind-shop")
    assert done.stderr == (
        "error: the target local does not take `--context`\n"
        "hint: leave it out, or add `--target kubernetes`; local takes: none\n"
    )
