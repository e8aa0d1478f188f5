"""Which cluster is meant, by the files of a kubeconfig as programs and people leave them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from stepflow.errors import MachineError, UsageError
from stepflow.targets.kubernetes.api.context import Kubeconfig, choose, is_local
from stepflow.targets.kubernetes.api.kubeconfig import connection, read

Files = Callable[..., Path]
WORK = "arn:aws:eks:eu-west-1:123456789012:cluster/shop"
MANAGED = "https://3F2A.gr7.eu-west-1.eks.amazonaws.com"


def config(servers: Mapping[str, str], current: str = "", user: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Make what a kubeconfig says of these contexts."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": current,
        "clusters": [{"name": f"at {name}", "cluster": {"server": server}} for name, server in servers.items()],
        "contexts": [{"name": name, "context": {"cluster": f"at {name}", "user": "me"}} for name in servers],
        "users": [{"name": "me", "user": dict(user or {"token": "t"})}],
    }


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    """Write the files that `KUBECONFIG` names."""

    def write(*contents: Mapping[str, Any] | str) -> Path:
        paths = [tmp_path / f"config-{number}" for number, _ in enumerate(contents)]
        for path, content in zip(paths, contents, strict=True):
            path.write_text(content if isinstance(content, str) else yaml.safe_dump(dict(content)), encoding="utf-8")
        monkeypatch.setenv("KUBECONFIG", ":".join(map(str, paths)))
        return paths[0]

    return write


def refused(found: Kubeconfig, asked: str = "") -> tuple[str, str]:
    with pytest.raises((UsageError, MachineError)) as error:
        choose(found, asked)
    return error.value.message, error.value.hint


@pytest.mark.parametrize(
    ("name", "server"),
    [
        ("kind-kind", "https://127.0.0.1:34567"),
        ("kind-shop", "https://192.168.1.20:6443"),
        ("k3d-dev", "https://0.0.0.0:41234"),
        ("minikube", "https://192.168.49.2:8443"),
        ("docker-desktop", "https://kubernetes.docker.internal:6443"),
        ("rancher-desktop", "https://127.0.0.1:6443"),
        ("orbstack", "https://k8s.orb.local:26443"),
        ("colima", "https://127.0.0.1:6443"),
        ("colima-big", "https://127.0.0.1:6443"),
        ("microk8s", "https://10.0.3.7:16443"),
        ("default", "https://127.0.0.1:6443"),  # k3s
        ("anything", "https://[::1]:6443"),
        ("anything", "https://localhost:6443"),
    ],
)
def test_cluster_of_a_laptop_is_local(name: str, server: str) -> None:
    assert is_local(name, server)


@pytest.mark.parametrize(
    ("name", "server"),
    [
        (WORK, MANAGED),
        ("gke_shop_europe-west1_prod", "https://34.90.1.2"),
        ("default", "https://10.0.0.5:6443"),
        ("production", "https://kubernetes"),
        ("kind-of-production", "https://34.90.1.2"),
        ("minikube", "https://api.example.com:6443"),
        ("my-kind-cluster", "https://10.0.0.5"),
        ("prod", ""),
    ],
)
def test_cluster_that_may_be_anybodys_is_not_local(name: str, server: str) -> None:
    assert not is_local(name, server)


def test_current_context_is_taken_where_it_is_local(files: Files) -> None:
    files(config({"kind-a": "https://127.0.0.1:1", "b": MANAGED}, "kind-a"))
    assert choose(read()).name == "kind-a"


def test_current_context_that_is_not_local_is_never_used_unasked(files: Files) -> None:
    files(config({WORK: MANAGED, "kind-a": "https://127.0.0.1:1"}, WORK))
    assert refused(read()) == (
        f"the current context `{WORK}` ({MANAGED}) is not a local cluster",
        f"pass `--context {WORK}` to use it; local contexts: `kind-a`",
    )
    assert choose(read(), WORK).server == MANAGED


def test_context_that_does_not_exist_is_answered_with_those_that_do(files: Files) -> None:
    files(config({"kind-shop": "https://127.0.0.1:1", "kind-ship": "https://127.0.0.1:2", "work": MANAGED}))
    assert refused(read(), "kind-shoop") == (
        "the kubeconfig has no context `kind-shoop`",
        "did you mean `kind-shop` or `kind-ship`? Contexts: `kind-ship`, `kind-shop`, `work`",
    )
    assert refused(read(), "zzz")[1] == "contexts: `kind-ship`, `kind-shop`, `work`"


def test_no_current_context_is_said_with_those_that_there_are(files: Files) -> None:
    files(config({"kind-a": "https://127.0.0.1:1"}))
    assert refused(read()) == ("the kubeconfig has no current context", "`--context NAME`; contexts: `kind-a`")
    files(config({"kind-a": "https://127.0.0.1:1"}, "kind-b"))
    assert refused(read()) == (
        "the current context `kind-b` is not in the kubeconfig",
        "`--context NAME`; did you mean `kind-a`? Contexts: `kind-a`",
    )


def test_many_contexts_are_not_all_named(files: Files) -> None:
    files(config({f"c{number:02}": MANAGED for number in range(20)}))
    assert refused(read())[1].endswith("`c11` and 8 more")


def test_several_files_are_one_kubeconfig_and_the_first_current_context_counts(files: Files, tmp_path: Path) -> None:
    first = config({"a": MANAGED})
    files(
        {**first, "current-context": ""},
        config({"kind-b": "https://127.0.0.1:1", "a": "https://127.0.0.1:9"}, "kind-b"),
        config({"c": MANAGED}, "c"),
    )
    found = read()
    assert sorted(found.contexts) == ["a", "c", "kind-b"]
    assert (found.current, found.contexts["a"].server) == ("kind-b", MANAGED)
    assert found.files == tuple(str(tmp_path / f"config-{number}") for number in range(3))


def test_file_that_is_not_there_is_left_out_and_no_file_at_all_is_said(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = files(config({"kind-a": "https://127.0.0.1:1"}, "kind-a"))
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'none'}:{there}")
    assert choose(read()).name == "kind-a"
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert refused(read()) == (
        f"the kubeconfig does not exist: {tmp_path / 'none'}",
        "`kind create cluster` creates a cluster and a kubeconfig; or `export KUBECONFIG=FILE` if you have one",
    )
    files(config({}))
    assert refused(read())[0].startswith("the kubeconfig has no context: ")


def test_kubeconfig_is_the_usual_one_where_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", "")
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube/config").write_text(yaml.safe_dump(config({"kind-a": "https://127.0.0.1:1"}, "kind-a")))
    assert choose(read()).name == "kind-a"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("contexts: [", ":1:12: the kubeconfig is not YAML: expected the node content, but found '<stream end>'"),
        ("just words", "cannot be used: "),
        ("", "cannot be used: Invalid kube-config. "),
        ("contexts:\n- name: a\n", "cannot be used: "),
        ("contexts:\n- someone\n", "cannot be used: "),
    ],
)
def test_file_that_is_not_a_kubeconfig_is_named(files: Files, text: str, said: str) -> None:
    file = files(text)
    with pytest.raises(MachineError) as error:
        read()
    assert str(file) in error.value.message
    assert said in error.value.message
    assert error.value.hint.startswith("`kubectl config view`")


def test_plugin_that_cannot_sign_in_is_told_in_its_own_words(files: Files, tmp_path: Path) -> None:
    plugin = tmp_path / "sign-in"
    plugin.write_text("#!/bin/sh\necho 'Token has expired and refresh failed' >&2\nexit 255\n")
    plugin.chmod(0o755)
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin)}}
    files(config({"work": MANAGED}, user=user))
    with pytest.raises(MachineError) as error:
        connection("work")
    assert error.value.message == (
        f"`{plugin}`, which signs in to the context `work`, failed: "
        "process returned 255. Token has expired and refresh failed"
    )
    assert error.value.hint == "sign in again, then check with `kubectl --context work get ns`"


def test_plugin_that_is_not_installed_is_told_with_how_to_install_it(files: Files) -> None:
    said = "Install it:\n  brew install sign-in\n"
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such", "installHint": said}}
    files(config({"work": MANAGED}, user=user))
    with pytest.raises(MachineError) as error:
        connection("work")
    assert error.value.message == (
        "`no-such`, which signs in to the context `work`, failed: [Errno 2] No such file or directory: 'no-such'"
    )
    assert error.value.hint == "Install it: brew install sign-in"


def test_plugin_that_signs_in_gives_the_connection_its_token(files: Files) -> None:
    credential = (
        '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "abc"}}'
    )
    code = f"print({credential!r})"
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": sys.executable, "args": ["-c", code]}}
    files(config({"work": MANAGED}, user=user))
    made = connection("work")
    assert (made.host, made.api_key) == (MANAGED, {"BearerToken": "Bearer abc"})


def test_connection_to_a_context_that_is_gone_is_refused(files: Files) -> None:
    file = files(config({"work": MANAGED}))
    with pytest.raises(MachineError) as error:
        connection("other")
    assert error.value.message == (
        f"the kubeconfig `{file}` cannot be used: Expected object with name other in {file}/contexts list"
    )
