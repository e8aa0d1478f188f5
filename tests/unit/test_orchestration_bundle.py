"""The Kubernetes bundle that the orchestration step renders."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from stepflow.errors import PermanentError
from stepflow.handoff import ConfigFile, DataDir, Endpoint, SecretFile, ServerFile
from stepflow.targets.kubernetes import bundle
from stepflow.targets.kubernetes.bundle import Bundle, Scale, every, manifests, merged
from stepflow.targets.resolved import resolve
from stepflow.workload import Declaration, HttpProbe, Port, Server, Workload
from stepflow_playbooks.orchestration.bundle.files import bundle_files
from stepflow_playbooks.orchestration.bundle.validate import objects_in, problems, repeated

READY = HttpProbe("/health/ready")
LIVE = HttpProbe("/health/live")
CONTROLLERS = ("Deployment", "StatefulSet", "Job")
VERSIONS = ("1.33", "1.34", "1.35", "1.36", "1.37")

GATEWAY = Workload(
    name="gateway",
    command=("envoy", "-c", ConfigFile("boot.json")),
    ready=HttpProbe("/ready", port="admin"),
    ports=(Port("http", 8080, "", published=True), Port("mesh", 8081, ""), Port("admin", 9901, "")),
    configs={
        "boot.json": {
            "listen": [Endpoint("gateway", part="bind"), Endpoint("gateway", part="port")],
            "control": Endpoint("users", path="/xds"),
        }
    },
)
USERS = Workload(
    name="users",
    command=("python", "-m", "service"),
    context="users",
    ready=READY,
    live=LIVE,
    env={
        "DATABASE_URL_FILE": ServerFile("postgres", "users"),
        "NATS_URL_FILE": ServerFile("nats"),
        "ADMIN_PASSWORD_FILE": SecretFile("admin_password"),
    },
)
TELEMETRY = Workload(
    name="telemetry",
    command=("python", "-m", "service"),
    context="telemetry",
    ready=READY,
    live=LIVE,
    ports=(Port(), Port("otlp", 4318, "OTLP_PORT")),
    env={"DATA_DIR": DataDir("store")},
    data=("store",),
)


def platform(*, automatic: bool = True) -> Bundle:
    return Bundle(
        name="Shop",
        namespace="shop",
        registry="registry.example.org/team/",
        image_tag="1.2.3",
        workloads=(resolve(GATEWAY), resolve(TELEMETRY), resolve(USERS)),
        servers=(Server("nats"), Server("postgres", "users"), Server("valkey")),
        scale=Scale(3, 10, 70, automatic),
    )


def objects() -> Iterator[dict[str, Any]]:
    yield from every(manifests(platform()))


def files_of_production() -> dict[str, bytes]:
    folders = ("orchestration/kubernetes/base/", "orchestration/kubernetes/overlays/production/")
    return {path: text for path, text in bundle_files(platform()).items() if path.startswith(folders)}


def one(kind: str, name: str) -> dict[str, Any]:
    (found,) = (item for item in objects() if item["kind"] == kind and item["metadata"]["name"] == name)
    return found


def controllers() -> list[dict[str, Any]]:
    return [item for item in objects() if item["kind"] in {"Deployment", "StatefulSet"}]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid_for_every_supported_version(version: str) -> None:
    found = objects_in(files_of_production())
    assert len(found) == len(every(manifests(platform())))
    assert problems(found, version) == []
    assert repeated(found) == []
    assert problems([("", item) for item in every(manifests(platform().development()))], version) == []


def test_our_validation_agrees_with_kubernetes_validate() -> None:
    import kubernetes_validate  # noqa: PLC0415 - the reference that ours is held against

    for _, item in objects_in(files_of_production()):
        assert kubernetes_validate.validate(item, "1.36", strict=True) == "1.36"


def test_a_manifest_with_an_unknown_field_is_refused_by_its_name() -> None:
    deployment = one("Deployment", "users")
    deployment["spec"]["template"]["spec"]["containers"][0]["imagePolicy"] = "Always"
    (problem,) = problems([("users.yaml", deployment)], "1.36")
    assert problem.startswith("users.yaml: Deployment `users`: spec.template.spec.containers[0]: ")
    assert "'imagePolicy' was unexpected" in problem


def test_a_manifest_with_a_wrong_type_and_one_of_an_unknown_kind_are_refused() -> None:
    deployment = one("Deployment", "users")
    deployment["spec"]["minReadySeconds"] = "five"
    unknown = {"apiVersion": "apps/v1", "kind": "Deploiment", "metadata": {"name": "x"}}
    wrong, missing = problems([("a.yaml", deployment), ("b.yaml", unknown)], "1.36")
    assert "spec.minReadySeconds: 'five' is not" in wrong
    assert missing == "b.yaml: Deploiment `x`: Kubernetes 1.36 has no kind `Deploiment` in apps/v1"


def test_a_file_that_is_not_yaml_is_refused_with_its_path() -> None:
    with pytest.raises(PermanentError, match=r"k/a\.yaml is not YAML"):
        objects_in({"k/a.yaml": b"a: [1\nb"})


def test_the_same_platform_gives_the_same_bytes() -> None:
    assert bundle_files(platform()) == bundle_files(platform())


def test_the_yaml_holds_no_anchors_and_reads_back_as_the_objects() -> None:
    files = bundle_files(platform())
    text = files["orchestration/kubernetes/base/30-users.yaml"].decode()
    assert "&id" not in text
    assert list(yaml.safe_load_all(text)) == manifests(platform())["30-users"]


def test_every_mounted_volume_exists_and_no_secret_comes_by_the_environment() -> None:
    for item in controllers():
        spec = item["spec"]["template"]["spec"]
        claims = {claim["metadata"]["name"] for claim in item["spec"].get("volumeClaimTemplates", [])}
        volumes = {volume["name"] for volume in spec["volumes"]} | claims
        for container in spec["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            assert "secretKeyRef" not in json.dumps(container["env"])


def test_no_file_holds_a_secret_object_or_value() -> None:
    assert "Secret" not in {item["kind"] for item in objects()}
    wanted = json.loads(bundle_files(platform())["orchestration/required-secrets.json"])
    assert all("PASSWORD" in secret["shape"] for secret in wanted["secrets"])


def test_every_secret_that_a_pod_mounts_is_listed_as_required() -> None:
    wanted = json.loads(bundle_files(platform())["orchestration/required-secrets.json"])
    listed = {(secret["secret"], secret["key"]) for secret in wanted["secrets"]}
    mounted = {
        (volume["secret"]["secretName"], entry["key"])
        for item in objects()
        if item["kind"] in {"Deployment", "StatefulSet", "Job"}
        for volume in item["spec"]["template"]["spec"]["volumes"]
        if "secret" in volume
        for entry in volume["secret"]["items"]
    }
    assert mounted == listed


def test_every_object_and_every_pod_carries_the_recommended_labels() -> None:
    found = [item["metadata"] for item in objects()]
    found += [item["spec"]["template"]["metadata"] for item in objects() if item["kind"] in CONTROLLERS]
    for each in found:
        labels = {key.removeprefix("app.kubernetes.io/"): value for key, value in each["labels"].items()}
        assert labels["name"], each
        assert labels["instance"], each
        assert (labels["part-of"], labels["managed-by"]) == ("shop", "stepflow"), each
        assert labels["component"] in {"service", "server", "database", "migration", "platform"}, each


def test_pods_meet_pod_security_restricted() -> None:
    for item in controllers():
        spec = item["spec"]["template"]["spec"]
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            for bound in ("requests", "limits"):
                assert {"cpu", "memory", "ephemeral-storage"} == container["resources"][bound].keys()


def test_the_three_probes_are_there_and_readiness_differs_from_liveness() -> None:
    handlers = ("httpGet", "tcpSocket", "exec")
    for item in controllers():
        (container,) = item["spec"]["template"]["spec"]["containers"]
        asked = {
            probe: {key: container[probe][key] for key in handlers if key in container[probe]}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe")
        }
        assert asked["readinessProbe"] != asked["livenessProbe"]
        assert container["startupProbe"] != container["readinessProbe"]


def test_services_scale_between_their_bounds_and_what_keeps_data_does_not() -> None:
    scaled = {item["metadata"]["name"]: item["spec"] for item in objects() if item["kind"] == "HorizontalPodAutoscaler"}
    assert scaled.keys() == {"gateway", "users"}
    assert (scaled["users"]["minReplicas"], scaled["users"]["maxReplicas"]) == (3, 10)
    assert "replicas" not in one("Deployment", "users")["spec"]
    assert one("StatefulSet", "telemetry")["spec"]["replicas"] == 1


def test_without_auto_scaling_the_count_is_fixed() -> None:
    found = every(manifests(platform(automatic=False)))
    assert "HorizontalPodAutoscaler" not in {item["kind"] for item in found}
    counts = {i["metadata"]["name"]: i["spec"]["replicas"] for i in found if i["kind"] == "Deployment"}
    assert counts == {"gateway": 3, "users": 3}


def test_services_point_at_ports_and_pods_that_exist() -> None:
    pods = {
        json.dumps(item["spec"]["selector"]["matchLabels"]): {
            port["name"] for port in item["spec"]["template"]["spec"]["containers"][0]["ports"]
        }
        for item in controllers()
    }
    for item in objects():
        if item["kind"] == "Service":
            assert {port["targetPort"] for port in item["spec"]["ports"]} <= pods[json.dumps(item["spec"]["selector"])]


def test_a_reference_to_a_port_that_no_step_declares_is_named() -> None:
    lost = Workload("lost", ("python",), READY, context="lost", env={"TO": Endpoint("nowhere")})
    alone = Bundle("p", "p", "", "1", (resolve(lost),), (), Scale(1, 1, 70, automatic=False))
    with pytest.raises(PermanentError, match="there is no workload `nowhere`"):
        manifests(alone)


def test_a_program_without_an_image_is_named() -> None:
    strange = Workload("strange", ("frobnicate",), READY)
    alone = Bundle("p", "p", "", "1", (resolve(strange),), (), Scale(1, 1, 70, automatic=False))
    with pytest.raises(PermanentError, match="workload `strange` runs `frobnicate`, for which no image is known"):
        manifests(alone)


def test_playbooks_use_what_the_public_face_exports_and_nothing_else_of_it() -> None:
    used = {
        name.name
        for path in (Path(__file__).parents[2] / "playbooks").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == bundle.__name__
        for name in node.names
    }
    assert used == set(bundle.__all__) - {"Image"}  # what `Bundle.images` returns
    assert all(hasattr(bundle, name) for name in bundle.__all__)


def test_the_entry_is_the_gateway_and_its_port_and_without_one_there_is_none() -> None:
    assert bundle.entry(platform()) == ("gateway", 8080)
    assert bundle.entry(replace(platform(), workloads=(resolve(TELEMETRY), resolve(USERS)))) is None


def test_replicas_are_those_that_production_requires_and_of_what_keeps_data_those_declared() -> None:
    assert bundle.replicas(platform()) == {"gateway": 3, "telemetry": 1, "users": 3}
    assert bundle.replicas(platform().development()) == {"gateway": 1, "telemetry": 1, "users": 1}


def test_declarations_of_several_steps_merge_into_one_and_bring_the_servers_that_are_only_referred_to() -> None:
    workloads, servers = merged([Declaration((USERS,)), Declaration((GATEWAY, USERS), (Server("nats"),))])
    assert workloads == (resolve(GATEWAY), resolve(USERS))
    assert servers == (Server("nats"), Server("postgres", "users"))
