"""The compose file: everything that a container says, nothing that a document could smuggle in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from stepflow.errors import PermanentError
from stepflow.targets.docker.compose import documents
from stepflow.targets.docker.compose.document import described
from stepflow.targets.docker.container import Build, Container, File, HostPort, Limits, Listen, Secret, Volume
from stepflow.workload import Declaration

BASE = "python:3.13-slim"
LIMITS = Limits(memory=256, pids=128, cpus=0.5)
NATS = Container(
    name="nats",
    kind="server",
    image="nats:2.12-alpine",
    command=(("-c",), ("/run/stepflow/nats.conf",)),
    limits=LIMITS,
    user="1000:1001",
    files=(File("/run/stepflow/nats.conf", ("password: ", Secret("nats"))),),
    volumes=(Volume("nats", "/data", "jetstream"),),
    health=("wget", "-q", "-O", "-", "http://127.0.0.1:8222/healthz"),
)
DATABASE = Container(
    name="database-users", kind="setup", image="postgres:18", command=(("psql",),), limits=LIMITS, needs=("nats",)
)
USERS = Container(
    name="user-service",
    kind="workload",
    image=Build("user-service"),
    command=(("python",), ("-m",), ("service",)),
    limits=LIMITS,
    env={"PORT": ("8000",), "PUBLIC": ("http://127.0.0.1:", HostPort("gateway", "http"), "/x")},
    files=(File("/run/stepflow/secrets/admin", (Secret("admin"),)),),
    listens=(Listen("http", 8000),),
    health=("python", "-c", "print()"),
    needs=("nats", "database-users"),
    replicas=2,
    stop_grace=2.5,
)
GATEWAY = Container(
    name="gateway",
    kind="workload",
    image="envoyproxy/envoy:v1.36.2",
    command=(("-c",), ("/run/stepflow/envoy.json",)),
    limits=LIMITS,
    files=(File("/run/stepflow/envoy.json", ('{"url": "', HostPort("gateway", "http"), '"}')),),
    listens=(Listen("http", 8080, 8088), Listen("admin", 9901)),
    needs=("user-service",),
)
PLATFORM = (NATS, DATABASE, USERS, GATEWAY)


def document(*containers: Container) -> dict[str, Any]:
    """Return the compose file of a platform as data."""
    loaded: dict[str, Any] = yaml.safe_load(described("reference", containers, BASE)["compose.yaml"])
    return loaded


def schema() -> dict[str, Any]:
    """Return the compose specification's JSON schema."""
    vendor = resources.files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json")
    read: dict[str, Any] = json.loads(vendor.read_text(encoding="utf-8"))
    return read


def interpolated(node: Any, variables: Mapping[str, str]) -> Any:  # noqa: ANN401 - YAML is anything
    """Do what compose does with the values of a document (its specification's chapter on interpolation)."""
    if isinstance(node, dict):
        return {key: interpolated(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [interpolated(value, variables) for value in node]
    return _TOKEN.sub(lambda match: _value(match, variables), node) if isinstance(node, str) else node


_TOKEN = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>[A-Za-z_]\w*):-(?P<default>[^}]*)\}|(?P<other>.|\Z))", re.DOTALL)


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    assert match["other"] is None, f"compose would read something into `{match.group()}`"
    return "$" if match["dollar"] else variables.get(match["name"], match["default"])


def test_it_is_a_compose_file_by_the_specifications_own_schema() -> None:
    jsonschema.validate(document(*PLATFORM), schema())


def test_every_service_is_hardened_limited_and_rotates_its_logs() -> None:
    services = document(*PLATFORM)["services"]
    assert sorted(services) == ["database-users", "gateway", "nats", "setup", "user-service"]
    for service in services.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        assert service["init"] is True
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["logging"] == {"driver": "json-file", "options": {"max-file": "3", "max-size": "10m"}}
        assert re.fullmatch(r"\d+:\d+", service["user"])
    for name in ("database-users", "gateway", "nats", "user-service"):
        limits = {key: services[name][key] for key in ("cpu_period", "cpu_quota", "mem_limit", "memswap_limit")}
        assert limits == {"cpu_period": 100_000, "cpu_quota": 50_000, "mem_limit": "256m", "memswap_limit": "256m"}
        assert services[name]["pids_limit"] == 128


def test_a_service_starts_after_what_it_needs_by_health_and_after_its_files() -> None:
    services = document(*PLATFORM)["services"]
    assert services["user-service"]["depends_on"] == {
        "setup": {"condition": "service_completed_successfully"},
        "nats": {"condition": "service_healthy"},
        "database-users": {"condition": "service_completed_successfully"},
    }
    assert services["user-service"]["healthcheck"] == {
        "test": ["CMD", "python", "-c", "print()"],
        "interval": "2s",
        "timeout": "3s",
        "retries": 3,
        "start_period": "60s",
    }
    alone = replace(USERS, needs=(), env={})
    assert document(alone)["services"]["user-service"]["healthcheck"]["interval"] == "5s"  # no service waits for it
    assert services["database-users"]["restart"] == "no"
    assert services["user-service"]["restart"] == "always"
    assert services["user-service"]["stop_grace_period"] == "2.5s"


def test_a_one_shot_container_that_no_one_needs_is_needed_by_a_workload_or_up_would_fail() -> None:
    services = document(NATS, DATABASE, replace(USERS, needs=("nats",), env={}))["services"]
    condition = {"condition": "service_completed_successfully"}
    assert services["user-service"]["depends_on"]["database-users"] == condition


def test_a_workload_is_built_from_the_tree_and_a_server_is_the_pinned_image() -> None:
    services = interpolated(document(*PLATFORM)["services"], {})
    assert services["user-service"]["build"] == {
        "context": ".",
        "dockerfile": "user-service/Dockerfile",
        "args": {"BASE": BASE},
    }
    assert services["nats"]["image"] == "nats:2.12-alpine"
    assert services["user-service"]["scale"] == 2


def test_each_image_from_a_registry_can_be_replaced_by_a_variable() -> None:
    mirror = {"NATS_IMAGE": "mirror/nats:2", "ENVOY_IMAGE": "mirror/envoy:1", "BASE_IMAGE": "mirror/python:3"}
    services = interpolated(document(*PLATFORM)["services"], mirror)
    assert services["nats"]["image"] == "mirror/nats:2"
    assert services["gateway"]["image"] == "mirror/envoy:1"
    assert (
        services["user-service"]["build"]["args"] == services["setup"]["build"]["args"] == {"BASE": "mirror/python:3"}
    )


def test_only_published_ports_are_published_on_loopback_and_their_number_is_a_variable() -> None:
    services = document(*PLATFORM)["services"]
    assert services["gateway"]["ports"] == ["127.0.0.1:${GATEWAY_HTTP_PORT:-8088}:8080"]
    assert "ports" not in services["user-service"]
    chosen = interpolated(services, {"GATEWAY_HTTP_PORT": "9000"})
    assert chosen["gateway"]["ports"] == ["127.0.0.1:9000:8080"]
    assert chosen["user-service"]["environment"]["PUBLIC"] == "http://127.0.0.1:9000/x"


def test_the_copies_of_a_published_service_get_ports_that_the_engine_chooses() -> None:
    two = Container(
        name="pages", kind="workload", image="pages:1", command=(), limits=LIMITS, replicas=2,
        listens=(Listen("http", 8000, 8000),),
    )  # fmt: skip
    assert document(two)["services"]["pages"]["ports"] == ["127.0.0.1::8000"]


def test_a_service_gets_its_own_files_read_only_and_the_secrets_only_setup_has() -> None:
    read = document(*PLATFORM)
    holders = {name for name, each in read["services"].items() if "secrets:/secrets" in each.get("volumes", ())}
    assert holders == {"setup"}
    assert read["services"]["user-service"]["volumes"] == ["files-user-service:/run/stepflow:ro"]
    assert read["services"]["nats"]["volumes"] == ["files-nats:/run/stepflow:ro", "data-nats:/data"]
    assert sorted(read["volumes"]) == ["data-nats", "files-gateway", "files-nats", "files-user-service", "secrets"]


def test_setup_has_no_network_and_two_capabilities() -> None:
    setup = document(*PLATFORM)["services"]["setup"]
    assert setup["network_mode"] == "none"
    assert setup["cap_add"] == ["CHOWN", "DAC_OVERRIDE"]
    assert setup["environment"] == {"GATEWAY_HTTP_PORT": "${GATEWAY_HTTP_PORT:-8088}"}


def test_a_service_whose_file_or_port_changed_is_another_one_for_compose() -> None:
    def label(text: str, port: str = "8088") -> object:
        file = File("/run/stepflow/envoy.json", (text, HostPort("gateway", "http")))
        changed = Container(
            name="gateway", kind="workload", image="e:1", command=(), limits=LIMITS, files=(file,),
            listens=(Listen("http", 8080, 8088),),
        )  # fmt: skip
        services = interpolated(document(changed)["services"], {"GATEWAY_HTTP_PORT": port})
        return services["gateway"]["labels"]["dev.stepflow.files"]

    assert label("a") == label("a")
    assert len({label("a"), label("b"), label("a", "9000")}) == 3


def test_the_head_says_how_to_start_stop_and_remove_and_where_secrets_are() -> None:
    text = described("reference", PLATFORM, BASE)["compose.yaml"].decode()
    for line in (
        "#   start, or take over what you changed:  docker compose up --build --wait",
        "#   stop, keep the data:                   docker compose down",
        "#   remove it with all data and secrets:   docker compose down --volumes --rmi local",
        "#   GATEWAY_HTTP_PORT=8088  (gateway, http)",
        "#   docker compose exec user-service cat /run/stepflow/secrets/admin",
    ):
        assert line in text.splitlines()


def test_the_reference_platform_is_all_there_and_valid(reference: Mapping[int, Declaration]) -> None:
    options = {"base-image": "mirror/python:3.13"}
    text = documents("reference", tuple(reference.values()), options)["compose.yaml"].decode()
    read = yaml.safe_load(text)
    jsonschema.validate(read, schema())
    workloads = {workload.name for declared in reference.values() for workload in declared.workloads}
    services = read["services"]
    assert services.keys() - workloads == {
        "setup",
        "nats",
        "postgres",
        "valkey",
        *(s for s in services if "database-" in s),
    }
    assert interpolated(services["setup"]["build"]["args"], {}) == {"BASE": "mirror/python:3.13"}
    assert services["gateway"]["ports"] == ["127.0.0.1:${GATEWAY_HTTP_PORT:-8080}:8080"]
    one_shot = [name for name in services if services[name]["restart"] == "no"]
    needed = {
        name: each["condition"] for service in services.values() for name, each in service.get("depends_on", {}).items()
    }
    assert {needed[name] for name in one_shot} == {"service_completed_successfully"}  # or `up --wait` would fail


def test_a_secret_that_a_person_has_to_give_is_not_made_and_the_head_says_how_to_give_it() -> None:
    mail = replace(USERS, needs=(), env={}, files=(File("/run/stepflow/smtp", (Secret("smtp", given=True),)),))
    made = described("reference", (mail,), BASE)
    assert json.loads(made["compose/setup.json"])["files"][0]["files"] == {"smtp": [{"given": "smtp"}]}
    assert "#   docker compose cp FILE setup:/secrets/smtp" in made["compose.yaml"].decode().splitlines()


def test_a_platform_without_containers_has_no_compose_file() -> None:
    assert described("reference", (), BASE) == {}


@settings(deadline=None, max_examples=40)
@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"])),
    st.sampled_from(["$HOME", "${X:-y}", "$$", "$", "1e3", "no"]),
)
def test_no_text_is_read_as_anything_but_itself(odd: str, nasty: str) -> None:
    text = nasty + odd + nasty
    container = Container(
        name="odd",
        kind="workload",
        image=text,
        command=((text,), ("-x", text)),
        limits=LIMITS,
        env={"ODD": (text, text)},
        health=("echo", text),
        volumes=(Volume("data", f"/{text}"),),
        tmpfs=(f"/{text}",),
    )
    service = interpolated(document(container)["services"]["odd"], {"HOME": "/root", "X": "x"})
    assert service["image"] == text
    assert service["command"] == [text, "-x" + text]
    assert service["environment"]["ODD"] == text + text
    assert service["healthcheck"]["test"] == ["CMD", "echo", text]
    assert service["volumes"] == [f"data-data:/{text}"]
    assert service["tmpfs"] == [f"/{text}:size=64m,mode=1777"]


@settings(deadline=None, max_examples=40)
@given(st.text().filter(lambda name: name != "setup"))
def test_no_name_leaves_the_comments_at_the_head(name: str) -> None:
    odd = Container(
        name=name, kind="workload", image="i:1", command=(), limits=LIMITS,
        listens=(Listen(name, 1, 2),), files=(File("/run/stepflow/x", (Secret("s"),)),),
    )  # fmt: skip
    text = described("p", (odd,), BASE)["compose.yaml"].decode()
    head, _, rest = text.partition("\n\nname:")
    assert all(line.startswith("#") for line in head.split("\n"))
    assert yaml.safe_load(text)["services"].keys() == {name, "setup"}
    assert rest


@pytest.mark.parametrize(
    ("container", "message"),
    [
        (
            Container(name="a", kind="workload", image="i:1", command=(), limits=LIMITS, needs=("b",)),
            "`a` needs `b`, which is not declared",
        ),
        (
            Container(
                name="a", kind="workload", image="i:1", command=(), limits=LIMITS, env={"X": (HostPort("b", "http"),)}
            ),
            "`b` does not publish its port `http`",
        ),
        (
            Container(name="a", kind="workload", image="i:1", command=(), limits=LIMITS, env={"X": (Secret("s"),)}),
            "the secret `s` may stand in a file only",
        ),
        (
            Container(
                name="a", kind="workload", image="i:1", command=(), limits=LIMITS,
                files=(File("/run/stepflow/../x", ("",)),),
            ),
            "the file `/run/stepflow/../x` is not below `/run/stepflow`",
        ),
        (
            Container(name="setup", kind="workload", image="i:1", command=(), limits=LIMITS),
            "a workload cannot be called `setup`",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_refused_by_name(container: Container, message: str) -> None:
    with pytest.raises(PermanentError, match=f"^{re.escape(message)}$"):
        described("reference", (container,), BASE)
