"""Plain manifests, kustomize and Helm render the same objects."""

from __future__ import annotations

import json
from pathlib import Path

import helm_python
import pytest
from helm_python import HelmError
from policies.suite import findings
from reference import DIGEST, reference
from rendered import by_helm, by_key, by_kustomize, helm_texts, read_by_go, write

from stepflow.targets.kubernetes.bundle import every, manifests
from stepflow_playbooks.orchestration.bundle.files import bundle_files
from stepflow_playbooks.orchestration.bundle.validate import problems

BUNDLE = reference()
WANTED = by_key(every(manifests(BUNDLE)))
HOST = {"entry": {"host": "shop.example.org", "tlsSecret": "shop-tls"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(bundle_files(BUNDLE), tmp_path_factory.mktemp("bundle"))


def test_the_production_overlay_is_the_platform(folder: Path) -> None:
    assert by_kustomize(folder, "production") == WANTED


def test_the_chart_with_its_own_values_is_the_platform(folder: Path) -> None:
    assert by_helm(folder, createNamespace=True) == WANTED
    namespaces = {key for key in WANTED if key[1] == "Namespace"}
    assert by_helm(folder).keys() == WANTED.keys() - namespaces


def test_the_development_overlay_is_the_platform_on_one_small_node(folder: Path) -> None:
    found = by_kustomize(folder, "development")
    assert found == by_key(every(manifests(BUNDLE.development())))
    controllers = [item for key, item in found.items() if key[1] in {"Deployment", "StatefulSet"}]
    assert {item["spec"]["replicas"] for item in controllers} == {1}
    assert {"HorizontalPodAutoscaler", "ResourceQuota"}.isdisjoint(key[1] for key in found)
    pulled = {item["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] for item in controllers}
    assert pulled == {"IfNotPresent"}


@pytest.mark.parametrize("automatic", [True, False])
def test_the_reference_platform_breaks_no_rule(*, automatic: bool) -> None:
    assert [str(found) for found in findings(every(manifests(reference(automatic=automatic))))] == []


def test_without_auto_scaling_the_three_ways_are_the_same_too(tmp_path: Path) -> None:
    fixed = reference(automatic=False)
    wanted = by_key(every(manifests(fixed)))
    folder = write(bundle_files(fixed), tmp_path)
    assert by_kustomize(folder, "production") == by_helm(folder, createNamespace=True) == wanted
    copies = {"user-service": {"least": 5, "most": 5}}
    found = by_helm(folder, copies=copies)
    assert found["apps/v1", "Deployment", "shop", "user-service"]["spec"]["replicas"] == 5


def test_with_a_host_the_chart_has_an_ingress_and_every_service_is_told_the_address(folder: Path) -> None:
    found = by_helm(folder, createNamespace=True, **HOST)
    (added,) = found.keys() - _same_names(found)
    assert added == ("networking.k8s.io/v1", "Ingress", "shop", "gateway")
    assert found[added]["spec"]["tls"] == [{"hosts": ["shop.example.org"], "secretName": "shop-tls"}]
    assert "http://localhost:8080" not in json.dumps(list(found.values()))
    assert '"value": "https://shop.example.org"' in json.dumps(list(found.values()))
    assert findings(list(found.values())) == ()
    assert problems([("chart", item) for item in found.values()], "1.36") == []


def test_fields_that_are_there_only_if_a_value_is_set_are_read_alike_by_go_and_by_us(
    folder: Path, tmp_path: Path
) -> None:
    entry = {"host": "shop.example.org", "tlsSecret": "shop-tls", "ingressClass": "nginx", "annotations": {"a": "b: c"}}
    values = {"entry": entry, "storage": {"class": "fast"}}
    found = read_by_go(helm_texts(folder, **values), tmp_path)
    assert found == by_helm(folder, **values)
    ingress = found["networking.k8s.io/v1", "Ingress", "shop", "gateway"]
    assert ingress["metadata"]["annotations"] == {"a": "b: c"}
    assert (ingress["spec"]["ingressClassName"], ingress["spec"]["tls"][0]["secretName"]) == ("nginx", "shop-tls")
    assert helm_python.lint(str(folder / "chart"), values, namespace="shop")["errors"] == []


def _same_names(found: dict[tuple[str, str, str, str], dict[str, object]]) -> set[tuple[str, str, str, str]]:
    """Return the keys that the platform has, too, but for Jobs and ConfigMaps: what is in them is in their names."""
    return {key for key in found if key in WANTED or key[1] in {"Job", "ConfigMap"}}


def test_with_the_operator_the_chart_has_monitors_and_rules(folder: Path) -> None:
    found = by_helm(folder, createNamespace=True, monitoring="prometheus-operator")
    assert {"ServiceMonitor", "PrometheusRule"} <= {key[1] for key in found}
    assert "{{ $labels.pod }} shows no metrics" in json.dumps(list(found.values()))
    assert findings(list(found.values())) == ()


def test_in_another_namespace_everything_is_there_and_nothing_here(folder: Path) -> None:
    found = by_helm(folder, "elsewhere", createNamespace=True, monitoring="prometheus-operator")
    assert {key[2] for key in found} == {"", "elsewhere"}
    assert {key[3] for key in found if key[1] == "PriorityClass"} == {"elsewhere-data", "elsewhere-service"}
    text = json.dumps(list(found.values()))
    for image in BUNDLE.images().values():
        text = text.replace(str(image), "")
    assert "shop" not in text
    assert findings(list(found.values())) == ()


def test_another_image_is_another_migration(folder: Path) -> None:
    before = {key[3] for key in by_helm(folder) if key[1] == "Job"}
    image = {"repository": "registry.example.org/team/shop/user-service", "tag": "2.0.0", "digest": DIGEST}
    found = by_helm(folder, images={"user-service": image})
    after = {key[3] for key in found if key[1] == "Job"}
    (old,) = before - after
    (new,) = after - before
    assert new.startswith(old)
    job = found["batch/v1", "Job", "shop", new]
    assert job["metadata"]["labels"]["app.kubernetes.io/instance"] == new
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"registry.example.org/team/shop/user-service:2.0.0@{DIGEST}"


def test_what_a_cluster_decides_goes_where_kubernetes_has_it(folder: Path) -> None:
    copies = {"user-service": {"least": 4, "most": 40}}
    found = by_helm(folder, copies=copies, cpuPercent=55, pullPolicy="IfNotPresent", storage={"class": "fast"})
    scaler = found["autoscaling/v2", "HorizontalPodAutoscaler", "shop", "user-service"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (4, 40)
    assert scaler["metrics"][0]["resource"]["target"]["averageUtilization"] == 55
    claim = found["apps/v1", "StatefulSet", "shop", "postgres"]["spec"]["volumeClaimTemplates"][0]["spec"]
    assert claim["storageClassName"] == "fast"
    assert '"imagePullPolicy": "Always"' not in json.dumps(list(found.values()))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"entry": {"host": "a b: c"}}, "entry/host"),
        ({"pullPolicy": "Never"}, "pullPolicy"),
        ({"replicas": 3}, "replicas"),
    ],
)
def test_a_value_that_makes_no_object_is_refused_by_its_name(
    folder: Path, values: dict[str, object], said: str
) -> None:
    with pytest.raises(HelmError, match=said):
        by_helm(folder, **values)


def test_helm_finds_nothing_wrong_with_the_chart(folder: Path) -> None:
    found = helm_python.lint(str(folder / "chart"), namespace="shop")
    assert [each["error"] for each in found["messages"]] == ["icon is recommended"]
    assert found["errors"] == []
