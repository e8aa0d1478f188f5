"""How a platform is run on Kubernetes as a whole: copies, quota, the way in, what watches it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from connectivity import OUTSIDE, flows
from manifest_cases import VERSIONS, objects, one, release, resolved

from stepflow.errors import PermanentError
from stepflow.handoff import ConfigFile, DataDir, Endpoint, ServerFile
from stepflow.targets.kubernetes.converge.desired import units
from stepflow.workload import Declaration, HttpProbe, Port, Production, Server, Workload
from stepflow_playbooks.orchestration.bundle.validate import problems

READY = HttpProbe("/health/ready")
GATEWAY = Workload(
    "gateway",
    ("envoy", "-c", ConfigFile("boot.json")),
    HttpProbe("/ready", port="admin"),
    ports=(Port("http", 8080, "", published=True), Port("mesh", 8081, ""), Port("admin", 9901, "")),
    configs={"boot.json": {}},
)
USERS = Workload(
    "users",
    ("python",),
    READY,
    context="users",
    env={"URL": Endpoint("gateway", part="public"), "DATABASE_URL_FILE": ServerFile("postgres", "users")},
    migrate=("python", "-m", "migrate"),
)
STORE = Workload("store", ("python",), READY, context="store", env={"DIR": DataDir("d")}, data=("d",), replicas=2)
SERVERS = (Server("nats"), Server("postgres", "users"))
PRODUCTION = Production((GATEWAY, USERS, STORE), SERVERS, ("gateway", "users"), 3, 10, 70, automatic=True)
ALL = Declaration((GATEWAY, USERS, STORE), SERVERS, production=PRODUCTION)


def made(production: Production = PRODUCTION, **values: Any) -> list[Any]:  # noqa: ANN401 - as a values file has them
    declaration = replace(ALL, production=production)
    return objects(release(declaration, **values), declaration)


def told(found: list[Any], name: str) -> str:
    env = one(found, "Deployment", "users")["spec"]["template"]["spec"]["containers"][0]["env"]
    (value,) = (each["value"] for each in env if each["name"] == name)
    return str(value)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid_for_every_supported_version(version: str) -> None:
    assert problems([("", item) for item in made(**{"requests-per-second": 50})], version) == []


def test_copies_come_fast_and_go_slowly_by_what_a_copy_requests() -> None:
    spec = one(made(), "HorizontalPodAutoscaler", "users")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (3, 10)
    (metric,) = spec["metrics"]
    assert metric["resource"] == {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}
    up, down = spec["behavior"]["scaleUp"], spec["behavior"]["scaleDown"]
    assert up["stabilizationWindowSeconds"] < down["stabilizationWindowSeconds"]
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "users"}


def test_without_auto_scaling_an_autoscaler_keeps_the_number() -> None:
    spec = one(made(replace(PRODUCTION, automatic=False)), "HorizontalPodAutoscaler", "users")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (3, 3)


def test_more_copies_than_the_least_that_a_workload_declares_are_kept() -> None:
    many = replace(USERS, replicas=20)
    spec = one(made(replace(PRODUCTION, workloads=(GATEWAY, many, STORE))), "HorizontalPodAutoscaler", "users")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (20, 20)


def test_requests_a_second_scale_where_the_cluster_serves_that_metric() -> None:
    spec = one(made(**{"requests-per-second": 50}), "HorizontalPodAutoscaler", "users")["spec"]
    pods = spec["metrics"][1]["pods"]
    assert pods["metric"]["name"] == "http_requests_per_second"
    assert pods["target"] == {"type": "AverageValue", "averageValue": "50"}


@pytest.mark.parametrize(("name", "why"), [("store", "keeps data in one place"), ("ghost", "is not declared")])
def test_what_cannot_scale_is_refused(name: str, why: str) -> None:
    with pytest.raises(PermanentError, match=f"`{name}` cannot scale: it {why}"):
        made(replace(PRODUCTION, scaled=(name,)))
    with pytest.raises(PermanentError, match=f"`{name}` cannot scale: it {why}"):
        units(release(ALL), resolved(Declaration(production=replace(PRODUCTION, scaled=(name,)))))


def test_the_quota_takes_all_copies_at_their_most_one_more_of_each_and_some_others() -> None:
    hard = one(made(), "ResourceQuota", "platform")["spec"]["hard"]
    # gateway and users 10 + 1 each, store 2 + 1, nats 3 + 1, postgres 1 + 1, two Jobs, ten in reserve
    assert hard["pods"] == str(11 + 11 + 3 + 4 + 2 + 2 + 10)
    assert hard["persistentvolumeclaims"] == str(2 + 3 + 1 + 10)
    assert hard["services.loadbalancers"] == "0"


def test_the_quota_grows_with_the_number_of_copies() -> None:
    few, many = (
        one(made(replace(PRODUCTION, at_most=most)), "ResourceQuota", "platform")["spec"]["hard"] for most in (3, 30)
    )
    for bound in ("requests.memory", "limits.memory"):
        assert int(many[bound].removesuffix("Mi")) > int(few[bound].removesuffix("Mi"))


def test_a_pod_that_asks_for_nothing_gets_little_of_everything_that_the_quota_counts() -> None:
    limits = one(made(), "LimitRange", "defaults")["spec"]["limits"]
    (each,) = limits
    assert each["type"] == "Container"
    for bound in ("default", "defaultRequest"):
        assert each[bound].keys() == {"cpu", "memory", "ephemeral-storage"}


def test_people_come_in_by_an_ingress_with_tls() -> None:
    found = made(entry={"host": "shop.example", "tls-secret": "shop-tls", "ingress-class": "nginx"})
    spec = one(found, "Ingress", "gateway")["spec"]
    assert spec["tls"] == [{"hosts": ["shop.example"], "secretName": "shop-tls"}]
    assert spec["ingressClassName"] == "nginx"
    (path,) = spec["rules"][0]["http"]["paths"]
    assert path["backend"] == {"service": {"name": "gateway", "port": {"name": "http"}}}
    assert told(found, "URL") == "https://shop.example"
    assert (OUTSIDE, "gateway", 8080) in flows(found)


def test_a_certificate_is_asked_for_and_its_proof_can_be_fetched() -> None:
    found = made(entry={"host": "shop.example", "tls-secret": "shop-tls", "issuer": "letsencrypt"})
    assert one(found, "Ingress", "gateway")["metadata"]["annotations"] == {
        "cert-manager.io/cluster-issuer": "letsencrypt"
    }
    spec = one(found, "NetworkPolicy", "gateway.certificate")["spec"]
    assert spec["podSelector"] == {"matchLabels": {"acme.cert-manager.io/http01-solver": "true"}}


def test_people_come_in_by_a_route_of_a_gateway_that_is_there() -> None:
    parent = {"name": "public", "namespace": "infra", "section": "https"}
    found = made(entry={"host": "shop.example", "gateway": parent})
    route = one(found, "HTTPRoute", "gateway")
    assert route["apiVersion"] == "gateway.networking.k8s.io/v1"
    assert route["spec"]["parentRefs"] == [{"name": "public", "namespace": "infra", "sectionName": "https"}]
    assert route["spec"]["hostnames"] == ["shop.example"]
    assert route["spec"]["rules"][0]["backendRefs"] == [{"name": "gateway", "port": 8080}]
    assert told(found, "URL") == "https://shop.example"
    assert "Ingress" not in {item["kind"] for item in found}


def test_without_an_entry_nothing_leads_in_and_people_use_the_forwarded_port() -> None:
    found = made()
    assert {"Ingress", "HTTPRoute"}.isdisjoint(item["kind"] for item in found)
    assert told(found, "URL") == "http://localhost:8080"


def test_prometheus_is_told_where_the_metrics_are_and_let_in() -> None:
    found = made(monitoring="prometheus-operator")
    services, gateways = (one(found, "ServiceMonitor", name)["spec"] for name in ("services", "gateways"))
    (expression,) = services["selector"]["matchExpressions"]
    assert expression["values"] == ["store", "users"]
    assert [(each["port"], each["path"]) for each in services["endpoints"]] == [("http", "/metrics")]
    assert [(each["port"], each["path"]) for each in gateways["endpoints"]] == [("admin", "/stats/prometheus")]
    (rule,) = one(found, "NetworkPolicy", "role.prometheus.to.gateway")["spec"]["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 9901}]
    (group,) = one(found, "PrometheusRule", "platform")["spec"]["groups"]
    assert [each["alert"] for each in group["rules"]] == [
        "StepflowScrapeFails",
        "StepflowRequestsFail",
        "StepflowScaledOut",
    ]
    assert all('namespace="shop-0a1b2c"' in each["expr"] for each in group["rules"])


def test_nothing_of_the_operator_is_there_unless_the_values_say_so() -> None:
    assert {"ServiceMonitor", "PrometheusRule"}.isdisjoint(item["kind"] for item in made())
