"""A platform is asked for where it was made: that context, that namespace, that very cluster."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from stepflow.errors import PermanentError, UsageError
from stepflow.targets.contract import Site
from stepflow.targets.kubernetes.state.binding import Binding, find, recorded, settle
from stepflow.targets.kubernetes.state.identity import KubernetesIdentity

SERVERS = {"kind-a": "https://127.0.0.1:1", "kind-b": "https://127.0.0.1:2", "work": "https://api.example.com"}
UID, OTHER = "0f6c", "9b1d"


def kubeconfig(path: Path, servers: dict[str, str], current: str = "kind-a") -> None:
    said: dict[str, Any] = {
        "current-context": current,
        "clusters": [{"name": name, "cluster": {"server": server}} for name, server in servers.items()],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "me"}} for name in servers],
        "users": [{"name": "me", "user": {"token": "t"}}],
    }
    path.write_text(yaml.safe_dump(said), encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    kubeconfig(tmp_path / "config", SERVERS)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    return Site("shop", tmp_path / "state", tmp_path / "out")


@pytest.fixture
def who(site: Site) -> KubernetesIdentity:
    return KubernetesIdentity.of(site)


def given(site: Site, **options: str) -> Site:
    return Site(site.platform, site.state, site.out, options)


def test_first_run_goes_where_it_is_told_to(site: Site, who: KubernetesIdentity) -> None:
    assert find(site, who) == Binding("kind-a", f"shop-{who.id}", "https://127.0.0.1:1")
    told = find(given(site, context="work", namespace="team-shop"), who)
    assert told == Binding("work", "team-shop", "https://api.example.com")
    assert recorded(who) is None


def test_later_commands_go_where_the_platform_is_whatever_the_current_context(
    site: Site, who: KubernetesIdentity, tmp_path: Path
) -> None:
    settle(who, find(given(site, context="work", namespace="team-shop"), who), UID)
    kubeconfig(tmp_path / "config", SERVERS, current="kind-b")
    assert find(site, who) == Binding("work", "team-shop", "https://api.example.com", UID)


def test_same_cluster_behind_another_name_is_the_same(site: Site, who: KubernetesIdentity, tmp_path: Path) -> None:
    settle(who, find(site, who), UID)
    kubeconfig(tmp_path / "config", {"renamed": "https://127.0.0.1:9"}, current="renamed")
    with pytest.raises(UsageError) as refused:
        find(site, who)
    assert refused.value.message == (
        "`shop` is in the cluster of the context `kind-a`, which the kubeconfig no longer has"
    )
    assert refused.value.hint == (
        "is `KUBECONFIG` right? `stepflow run FILE --context NAME` if it was renamed; contexts: `renamed`"
    )
    there = settle(who, find(given(site, context="renamed"), who), UID)
    assert recorded(who) == there == Binding("renamed", who.prefix, "https://127.0.0.1:9", UID)


def test_another_cluster_behind_the_same_name_is_refused(site: Site, who: KubernetesIdentity, tmp_path: Path) -> None:
    settle(who, find(site, who), UID)
    kubeconfig(tmp_path / "config", {"kind-a": "https://127.0.0.1:7"})
    with pytest.raises(UsageError) as refused:
        settle(who, find(site, who), OTHER)
    assert refused.value.message == (
        "`shop` is in the cluster that was at https://127.0.0.1:1 (context `kind-a`), not in the one at https://127.0.0.1:7"
    )
    assert refused.value.hint == (
        "`--context NAME` with one that leads there, or make another one here with another `--name`"
    )
    assert recorded(who) == Binding("kind-a", who.prefix, "https://127.0.0.1:1", UID)


def test_where_the_cluster_hides_what_it_is_its_address_tells(
    site: Site, who: KubernetesIdentity, tmp_path: Path
) -> None:
    settle(who, find(site, who), "")
    assert settle(who, find(site, who), UID).cluster == UID
    assert settle(who, find(site, who), "").cluster == UID
    kubeconfig(tmp_path / "config", {"kind-a": "https://127.0.0.1:7"})
    with pytest.raises(UsageError, match="not in the one at"):
        settle(who, find(site, who), "")


def test_another_namespace_than_the_platforms_is_refused(site: Site, who: KubernetesIdentity) -> None:
    settle(who, find(given(site, namespace="a"), who), UID)
    assert find(given(site, namespace="a"), who).namespace == "a"
    with pytest.raises(UsageError) as refused:
        find(given(site, namespace="b"), who)
    assert refused.value.message == "`shop` is in the namespace `a`, not in `b`"
    assert refused.value.hint == (
        "leave `--namespace` out, or make another platform there with another `--name`; "
        "`stepflow down --data` removes `shop` from where it is"
    )


@pytest.mark.parametrize(
    ("namespace", "said"),
    [
        ("Team", "`Team` cannot be the name of a namespace"),
        ("a/b", "`a/b` cannot be the name of a namespace"),
        ("x" * 64, f"`{'x' * 64}` cannot be the name of a namespace"),
        ("kube-system", "the namespace `kube-system` is the cluster's own"),
        ("default", "the namespace `default` is the cluster's own"),
    ],
)
def test_namespace_that_cannot_be_the_platforms_is_refused(
    site: Site, who: KubernetesIdentity, namespace: str, said: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        find(given(site, namespace=namespace), who)


def test_spoilt_record_is_told_with_how_to_find_the_platform(site: Site, who: KubernetesIdentity) -> None:
    file = who.private / "home.json"
    for text in ("{", "[]", '{"context": "a"}', '{"surprise": 1}'):
        file.write_text(text)
        with pytest.raises(PermanentError) as spoilt:
            find(site, who)
        assert spoilt.value.message == f"`{file}` does not say where the platform is"
        assert "kubectl get namespaces --selector stepflow.dev/platform" in spoilt.value.hint


def test_record_is_the_owners_alone(site: Site, who: KubernetesIdentity) -> None:
    settle(who, find(site, who), UID)
    assert (who.private / "home.json").stat().st_mode & 0o777 == 0o600
