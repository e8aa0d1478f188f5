"""NetworkPolicies: exactly the flows that the platform needs, whatever order its steps come in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import permutations

import pytest
from connectivity import OUTSIDE, flows, reaches
from manifest_cases import objects, one, release

from stepflow.errors import PermanentError
from stepflow.handoff import Endpoint, ServerFile
from stepflow.workload import Declaration, HttpProbe, Port, Workload

Reference = Mapping[int, Declaration]
READY = HttpProbe("/health/ready")
WAYS = {"ingress": "from", "egress": "to"}
SERVICES = {
    "service-discovery",
    "user-service",
    "order-service",
    "payment-provider",
    "notification-service",
    "mail-sink",
    "data-pipeline",
    "security-service",
    "monitoring-observability",
}
WITH_DATABASE = {"user-service", "order-service", "payment-provider", "notification-service", "security-service"}
DATABASES = ("users", "orders", "payments", "notifications", "security")
EXPECTED = (
    {(OUTSIDE, "gateway", 8080)}
    | {("gateway", service, 8000) for service in SERVICES}
    | {(service, "gateway", 8081) for service in SERVICES}
    | {(service, "nats", 4222) for service in SERVICES}
    | {(each, "monitoring-observability", 4318) for each in SERVICES | {"gateway"}}
    | {(service, "postgres", 5432) for service in WITH_DATABASE}
    | {
        ("service-discovery", "gateway", 8080),
        ("notification-service", "mail-sink", 1025),
        ("security-service", "valkey", 6379),
        ("nats", "nats", 6222),
        ("postgres", "postgres", 5432),
    }
    | {(f"database-{database}", "postgres", 5432) for database in DATABASES}
)
"""The reference platform's flows, as docs/platform.md and its diagram have them."""


def _of_jobs(migrated: set[str]) -> set[tuple[str, str, int]]:
    """A migration may connect to what its workload may connect to."""
    return {(f"{source}.migration", to, port) for source, to, port in EXPECTED if source in migrated}


def test_the_reference_platform_has_exactly_the_flows_that_it_needs(reference: Reference) -> None:
    steps = reference.values()
    migrated = {each.name for step in steps for each in step.workloads if each.migrate}
    assert flows(objects(release(*steps), *steps)) == EXPECTED | _of_jobs(migrated)


def test_a_policy_that_is_left_out_is_noticed(reference: Reference) -> None:
    steps = reference.values()
    found = objects(release(*steps), *steps)
    twice = {"service-discovery.to.gateway", "gateway.to.service-discovery", "role.gateway.to.service-discovery"}
    others = {"default-deny", *twice}  # for strangers' pods; a reference to what a role, or anyone, may call as well
    policies = [i for i in found if i["kind"] == "NetworkPolicy" and i["metadata"]["name"] not in others]
    all_of_them = flows(found)
    for each in policies:
        assert flows([item for item in found if item is not each]) != all_of_them, each["metadata"]["name"]


def test_a_pod_of_another_owner_in_the_namespace_may_do_nothing(reference: Reference) -> None:
    steps = reference.values()
    found = objects(release(*steps), *steps)
    container = {"ports": [{"containerPort": 80}]}
    template = {"metadata": {"labels": {"app.kubernetes.io/name": "stranger"}}, "spec": {"containers": [container]}}
    stranger = {"kind": "Deployment", "spec": {"template": template}}
    seen = flows([*found, stranger])
    assert not {flow for flow in seen if "stranger" in flow}
    assert seen == flows(found)
    assert not reaches([*found, stranger], "stranger", 443)


def test_the_order_of_the_steps_makes_no_difference(reference: Reference) -> None:
    steps = [reference[number] for number in (1, 4, 7)]
    known = release(*reference.values())
    made = [sorted(map(str, objects(known, *order))) for order in permutations(steps)]
    assert all(each == made[0] for each in made)


def test_everyone_resolves_names_and_no_one_reaches_anything_else_outside(reference: Reference) -> None:
    steps = reference.values()
    found = objects(release(*steps), *steps)
    for name in (*SERVICES, "gateway", "nats", "postgres", "valkey", "database-users"):
        assert reaches(found, name, 53)
        assert reaches(found, name, 53, "UDP")
        assert not reaches(found, name, 443)


def _service(name: str, *ports: Port, context: str = "-", **env: object) -> Workload:
    folder = name if context == "-" else context
    return Workload(name, ("python",), READY, context=folder, ports=ports or (Port(),), env=env)  # type: ignore[arg-type]


def test_a_published_port_alone_makes_no_gateway_and_opens_nothing() -> None:
    """People see it through a port that is forwarded to their machine, which asks no policy."""
    step = Declaration((_service("registry", Port("http", 8500, published=True)), _service("users")))
    assert flows(objects(release(step), step)) == set()


def test_a_published_port_is_open_to_the_workloads_that_refer_to_it_and_to_no_one_else() -> None:
    registry = _service("registry", Port("http", 8000), Port("api", 8500, published=True))
    step = Declaration((registry, _service("users", TO=Endpoint("registry", "api")), _service("other")))
    assert flows(objects(release(step), step)) == {("users", "registry", 8500)}


def test_every_rule_names_its_peers_but_for_the_entrance_and_the_resolvers_of_names(reference: Reference) -> None:
    """What is open to every namespace is one port of the gateway; what may be reached anywhere is port 53."""
    steps = reference.values()
    policies = [i for i in objects(release(*steps), *steps) if i["kind"] == "NetworkPolicy"]
    rules = [(i["metadata"]["name"], way, rule) for i in policies for way in WAYS for rule in i["spec"].get(way, ())]
    assert all(rule["ports"] for _, _, rule in rules)
    everywhere = [(name, rule["ports"]) for name, way, rule in rules if way == "ingress" and "from" not in rule]
    assert everywhere == [("gateway", [{"protocol": "TCP", "port": 8080}])]
    anywhere = [rule["ports"] for _, way, rule in rules if way == "egress" and "to" not in rule]
    assert {port["port"] for ports in anywhere for port in ports} == {53}
    peers = [peer for _, way, rule in rules for peer in rule.get(WAYS[way], ())]
    assert all(peer.keys() == {"podSelector"} and peer["podSelector"]["matchLabels"] for peer in peers)


def test_a_name_for_people_opens_nothing_between_pods() -> None:
    step = Declaration((_service("shop", URL=Endpoint("page", part="public")), _service("page")))
    assert flows(objects(release(step), step)) == set()


def test_a_reference_to_one_port_does_not_open_the_other() -> None:
    two = _service("two", Port("http", 8000), Port("smtp", 1025))
    step = Declaration((_service("one", TO=Endpoint("two", "smtp", part="address")), two))
    assert flows(objects(release(step), step)) == {("one", "two", 1025)}


def test_what_calls_itself_by_a_reference_needs_no_policy_of_its_own_making() -> None:
    step = Declaration((_service("one", SELF=Endpoint("one")),))
    names = {item["metadata"]["name"] for item in objects(release(step), step) if item["kind"] == "NetworkPolicy"}
    assert names == {"default-deny", "one", "role.gateway.to.one"}


def test_names_that_run_together_make_two_policies() -> None:
    ports = (Port("grpc", 9000),)
    step = Declaration(
        (
            _service("a", *ports, TO=Endpoint("to-b", "grpc")),
            _service("a-to", *ports, TO=Endpoint("b", "grpc")),
            _service("to-b", *ports),
            _service("b", *ports),
        )
    )
    probed = replace(step, workloads=tuple(replace(w, ready=HttpProbe("/", port="grpc")) for w in step.workloads))
    assert flows(objects(release(probed), probed)) == {("a", "to-b", 9000), ("a-to", "b", 9000)}


def test_a_server_of_the_users_own_is_reached_at_its_usual_port_and_no_pod_of_ours_is() -> None:
    step = Declaration((_service("users", DATABASE_URL_FILE=ServerFile("postgres", "users")),))
    known = release(step, postgres={"external": {"users": {"secret": "managed"}}})
    found = objects(known, step)
    assert reaches(found, "users", 5432)
    assert not reaches(found, "users", 4222)


def test_the_values_open_an_address_outside_to_one_workload() -> None:
    step = Declaration((_service("mailer"), _service("other")))
    known = release(step, egress=[{"workload": "mailer", "cidr": "203.0.113.0/24", "ports": [587]}])
    found = objects(known, step)
    rules = one(found, "NetworkPolicy", "mailer")["spec"]["egress"]
    assert {"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}], "ports": [{"protocol": "TCP", "port": 587}]} in rules
    assert "203.0.113.0/24" not in str(one(found, "NetworkPolicy", "other"))


def test_a_single_node_of_nats_opens_no_port_for_others() -> None:
    step = Declaration((_service("users", NATS_URL_FILE=ServerFile("nats")),))
    assert flows(objects(release(step, nats={"nodes": 1}), step)) == {("users", "nats", 4222)}


def test_a_reference_to_a_workload_that_no_one_declares_is_named() -> None:
    step = Declaration((_service("lost", TO=Endpoint("nowhere")),))
    with pytest.raises(PermanentError, match="there is no workload `nowhere`"):
        objects(release(step), step)
