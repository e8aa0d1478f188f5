"""The objects that a declaration becomes on Kubernetes: names, pods, files, data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from connectivity import CONTROLLERS, picks, pods
from manifest_cases import (
    ALL,
    GATEWAY,
    READY,
    SHOP,
    TELEMETRY,
    USERS,
    VERSIONS,
    container,
    key,
    objects,
    one,
    release,
    secrets_for,
)

from stepflow.errors import PermanentError
from stepflow.handoff import ServerFile
from stepflow.targets.kubernetes.api.kinds import OF_THE_CLUSTER
from stepflow.workload import Declaration, HttpProbe, Port, Workload
from stepflow_playbooks.orchestration.bundle.validate import problems

Reference = Mapping[int, Declaration]


def templates(found: list[Any] = SHOP) -> Iterator[tuple[str, Any]]:
    for item in found:
        if item["kind"] in CONTROLLERS:
            yield f"{item['kind']} {item['metadata']['name']}", item["spec"]["template"]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_of_the_reference_platform_is_valid_for_every_supported_version(
    version: str, reference: Reference
) -> None:
    found = objects(release(*reference.values()), *reference.values())
    assert problems([("", item) for item in found], version) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_values_change_is_valid_for_every_supported_version(version: str) -> None:
    known = release(
        ALL,
        storage={"ephemeral": True, "size": "1Gi"},
        nats={"nodes": 1, "size": "1Gi"},
        valkey={"external": {"secret": "their.valkey", "key": "uri"}},
        entry={"host": "shop.example", "tls-secret": "shop-tls", "ingress-class": "nginx", "issuer": "letsencrypt"},
        egress=[{"workload": "users", "cidr": "203.0.113.7/32", "ports": [25, 587]}],
    )
    assert problems([("", item) for item in objects(known, ALL)], version) == []


def test_the_same_declaration_gives_the_same_bytes() -> None:
    assert json.dumps(objects(release(ALL), ALL)) == json.dumps(SHOP)


def test_no_name_tells_where_the_platform_is_so_that_a_plan_has_it_before_there_is_a_namespace() -> None:
    elsewhere = objects(replace(release(ALL), namespace="shop-ffffff", id="ffffff"), ALL)
    names = [[(each["kind"], each["metadata"]["name"]) for each in found] for found in (SHOP, elsewhere)]
    otherwise = {*OF_THE_CLUSTER, "Job"}  # a plan names those as the platform, or without what differs
    here, there = ([name for name in each if name[0] not in otherwise] for each in names)
    assert here == there


def test_every_object_says_whose_it_is() -> None:
    owners = {item["metadata"]["labels"]["stepflow.dev/owner"] for item in SHOP}
    assert owners == {"platform", "gateway", "users", "telemetry", "nats", "postgres", "valkey", "database-users"}
    assert {item["metadata"]["labels"]["stepflow.dev/platform"] for item in SHOP} == {"0a1b2c"}
    for name, template in templates():
        assert template["metadata"]["labels"]["stepflow.dev/platform"] == "0a1b2c", name


def test_objects_in_files_are_no_ones() -> None:
    found = objects(replace(release(ALL), id=""), ALL)
    assert not any("stepflow.dev/platform" in item["metadata"]["labels"] for item in found)


def test_the_controller_is_the_last_of_a_workloads_objects_and_alone_says_its_digest() -> None:
    mine = [item for item in SHOP if item["metadata"]["labels"]["app.kubernetes.io/name"] == "users"]
    assert mine[-1]["kind"] == "Deployment"
    assert mine[-1]["metadata"]["annotations"] == {"stepflow.dev/digest": "d1", "stepflow.dev/replicas": "2"}
    assert mine[-1]["spec"]["template"]["metadata"]["annotations"]["stepflow.dev/digest"] == "d1"
    assert not any("annotations" in item["metadata"] for item in mine[:-1])


def test_every_service_and_budget_picks_the_pods_of_its_controller_and_no_others() -> None:
    everyone = pods(SHOP)
    for item in SHOP:
        if item["kind"] in {"Service", "PodDisruptionBudget"}:
            selector = item["spec"]["selector"]
            selector = selector if item["kind"] == "PodDisruptionBudget" else {"matchLabels": selector}
            picked = [each.name for each in everyone if picks(selector, each.labels)]
            assert picked == [item["metadata"]["labels"]["app.kubernetes.io/name"]], key(item)


def test_services_lead_to_ports_that_containers_name() -> None:
    for item in SHOP:
        if item["kind"] == "Service":
            name = item["spec"]["selector"]["app.kubernetes.io/name"]
            (template,) = (t for _, t in templates() if t["metadata"]["labels"]["app.kubernetes.io/name"] == name)
            listens = {port["name"]: port["containerPort"] for port in template["spec"]["containers"][0]["ports"]}
            assert {each["targetPort"]: each["port"] for each in item["spec"]["ports"]} == listens


def test_every_pod_meets_pod_security_restricted_and_has_requests_and_limits() -> None:
    for name, template in templates():
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] >= 10_000, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec["automountServiceAccountToken"] is False, name
        assert not any("hostPath" in volume for volume in spec["volumes"]), name
        for each in spec["containers"]:
            assert each["securityContext"]["allowPrivilegeEscalation"] is False, name
            assert each["securityContext"]["readOnlyRootFilesystem"] is True, name
            assert each["securityContext"]["capabilities"] == {"drop": ["ALL"]}, name
            for bound in ("requests", "limits"):
                assert each["resources"][bound].keys() == {"cpu", "memory", "ephemeral-storage"}, name


def test_three_copies_of_the_reference_platform_fit_a_laptop(reference: Reference) -> None:
    found = objects(release(*reference.values()), *reference.values())
    requests = [
        (3 if item["kind"] == "Deployment" else item["spec"]["replicas"], each["resources"]["requests"])
        for item in found
        if item["kind"] in {"Deployment", "StatefulSet"}
        for each in item["spec"]["template"]["spec"]["containers"]
    ]
    assert sum(copies * int(each["cpu"].removesuffix("m")) for copies, each in requests) <= 1500
    assert sum(copies * int(each["memory"].removesuffix("Mi")) for copies, each in requests) <= 3072


def test_no_secret_comes_by_an_environment_or_command_and_none_stands_in_an_object() -> None:
    for name, template in templates():
        assert "secretKeyRef" not in json.dumps(template), name
        for each in template["spec"]["containers"]:
            plain = [variable["name"] for variable in each["env"] if "value" in variable]
            assert not [each for each in plain if re.search("password|secret|token", each, re.IGNORECASE)], name
    assert "Secret" not in {item["kind"] for item in SHOP}


def test_a_variable_that_names_a_secrets_file_shows_an_annotation_of_the_pod() -> None:
    template = one(SHOP, "Deployment", "users")["spec"]["template"]
    (variable,) = (each for each in template["spec"]["containers"][0]["env"] if each["name"] == "ADMIN_PASSWORD_FILE")
    path = variable["valueFrom"]["fieldRef"]["fieldPath"]
    assert path == "metadata.annotations['stepflow.dev/env.ADMIN_PASSWORD_FILE']"
    told = template["metadata"]["annotations"]["stepflow.dev/env.ADMIN_PASSWORD_FILE"]
    (mount,) = (m for m in template["spec"]["containers"][0]["volumeMounts"] if told.startswith(m["mountPath"] + "/"))
    (volume,) = (v for v in template["spec"]["volumes"] if v["name"] == mount["name"])
    assert told == f"{mount['mountPath']}/{volume['secret']['items'][0]['path']}"


def test_a_text_that_looks_like_a_variable_stays_as_it_is() -> None:
    step = Declaration((GATEWAY, replace(USERS, command=("sh", "-c", "echo $$ $(HOST)"), env={"PRICE": "$(HOST)"})))
    only = container(objects(release(step), step), "Deployment", "users")
    assert only["command"] == ["sh", "-c", "echo $$$$ $$(HOST)"]  # `$$` is how Kubernetes writes a `$`
    assert {"name": "PRICE", "value": "$$(HOST)"} in only["env"]


def test_every_mounted_volume_is_there_and_every_secret_is_required() -> None:
    wanted = {(each.secret, each.key) for each in secrets_for(release(ALL), ALL)}
    mounted = set()
    for item in SHOP:
        if item["kind"] in CONTROLLERS:
            spec = item["spec"]["template"]["spec"]
            claims = {each["metadata"]["name"] for each in item["spec"].get("volumeClaimTemplates", ())}
            volumes = [volume["name"] for volume in spec["volumes"]]
            assert len(volumes) == len(set(volumes))
            used = {mount["name"] for each in spec["containers"] for mount in each["volumeMounts"]}
            assert used == {*volumes, *claims}, key(item)
            secrets = [volume["secret"] for volume in spec["volumes"] if "secret" in volume]
            mounted |= {(secret["secretName"], each["key"]) for secret in secrets for each in secret["items"]}
    assert mounted == wanted


def test_references_are_seen_from_inside_the_cluster() -> None:
    (config,) = (i for i in SHOP if i["kind"] == "ConfigMap" and i["metadata"]["name"].startswith("gateway-"))
    boot = json.loads(config["data"]["boot.json"])
    assert boot == {"listen": ["0.0.0.0", 8080], "control": "http://users:8000/xds"}  # noqa: S104 - what a pod binds
    users = {each["name"]: each.get("value") for each in container(SHOP, "Deployment", "users")["env"]}
    assert users["DATABASE_URL_FILE"] == "/run/secrets/stepflow/postgres-users-url/url"
    assert users["GATEWAY_URL"] == "http://localhost:8080/x"
    assert users["NATS_REPLICAS"] == "3"
    fields = {
        e["name"]: e["valueFrom"]["fieldRef"]["fieldPath"]
        for e in container(SHOP, "Deployment", "users")["env"]
        if "valueFrom" in e
    }
    assert fields["ADVERTISE_HOST"] == "status.podIP"
    assert fields["INSTANCE"] == "metadata.name"


def test_other_configuration_is_another_file_and_other_pods() -> None:
    other = replace(ALL, workloads=(replace(GATEWAY, configs={"boot.json": {"listen": 1}}), USERS, TELEMETRY))
    found = objects(release(other), other)
    before, after = (one(each, "Deployment", "gateway")["spec"]["template"] for each in (SHOP, found))
    assert before != after
    assert all(item["immutable"] for item in found if item["kind"] == "ConfigMap")


def test_pods_have_longer_to_stop_than_their_drain_and_their_own_grace_take() -> None:
    patient = replace(USERS, stop_grace=40)
    known = Declaration((GATEWAY, patient, TELEMETRY))
    spec = one(objects(release(known), known), "Deployment", "users")["spec"]["template"]["spec"]
    assert (
        spec["terminationGracePeriodSeconds"] > spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"] + 40
    )


def test_envoy_is_started_as_everywhere_and_drains_before_it_is_stopped() -> None:
    envoy = container(SHOP, "Deployment", "gateway")
    assert envoy["command"] == [
        "envoy", "-c", "/etc/stepflow/boot.json", "--concurrency", "1", "--disable-hot-restart", "-l", "warning",
    ]  # fmt: skip
    *_, admin, propagation, longest = envoy["lifecycle"]["preStop"]["exec"]["command"]
    assert (admin, propagation, longest) == ("9901", "5", "15")


def test_envoy_without_an_admin_port_is_refused_because_it_could_not_drain() -> None:
    mute = replace(GATEWAY, ports=(Port("http", 8080), Port("mesh", 8081)), ready=HttpProbe("/"), live=None)
    step = Declaration((mute, USERS))
    with pytest.raises(PermanentError, match="`gateway` runs Envoy without a port `admin`"):
        objects(release(step), step)


def test_data_lies_in_claims_that_outlive_the_set_in_a_folder_below_the_volumes_root() -> None:
    spec = one(SHOP, "StatefulSet", "telemetry")["spec"]
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    (claim,) = spec["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == "data-store"
    assert claim["metadata"]["labels"]["stepflow.dev/platform"] == "0a1b2c"
    assert "storageClassName" not in claim["spec"]
    (mount,) = (m for m in spec["template"]["spec"]["containers"][0]["volumeMounts"] if m["name"] == "data-store")
    assert mount == {"name": "data-store", "mountPath": "/var/lib/stepflow/store", "subPath": "data"}


def test_ephemeral_data_lies_in_the_pod_which_may_be_that_much_larger() -> None:
    found = objects(release(ALL, storage={"ephemeral": True, "size": "2Gi"}), ALL)
    sets = [item for item in found if item["kind"] == "StatefulSet"]
    assert not any("volumeClaimTemplates" in item["spec"] for item in sets)
    limits = container(found, "StatefulSet", "telemetry")["resources"]["limits"]
    assert limits["ephemeral-storage"] == f"{2048 + 256}Mi"


def test_the_class_and_the_sizes_of_volumes_come_from_the_values() -> None:
    found = objects(release(ALL, storage={"class": "fast", "size": "3Gi"}, postgres={"size": "99Gi"}), ALL)
    claims = {
        i["metadata"]["name"]: i["spec"]["volumeClaimTemplates"][0]["spec"] for i in found if i["kind"] == "StatefulSet"
    }
    assert {each["storageClassName"] for each in claims.values()} == {"fast"}
    assert claims["postgres"]["resources"]["requests"]["storage"] == "99Gi"
    assert claims["telemetry"]["resources"]["requests"]["storage"] == "3Gi"


def test_the_longest_names_fit() -> None:
    name = "a" * 50
    step = Declaration((replace(USERS, name=name, env={"D": ServerFile("postgres", "d" * 41)}), GATEWAY, USERS))
    for item in objects(release(step), step):
        longest = 253 if item["kind"] in {"NetworkPolicy", "Secret"} else 63
        assert len(item["metadata"]["name"]) <= longest, key(item)


@pytest.mark.parametrize(
    "name",
    [
        "postgres",
        "database-x",
        "platform",
        "default",
        "default-deny",
        "u-pods",
        "production",
        "Users",
        "u_1",
        "1st",
        "u" * 51,
    ],
)
def test_a_name_that_would_not_do_is_refused_with_what_would(name: str) -> None:
    step = Declaration((replace(USERS, name=name), GATEWAY))
    with pytest.raises(PermanentError, match=f"`{name}` cannot be a workload's name on Kubernetes") as refused:
        objects(release(step), step)
    assert "up to 50 lower-case letters" in refused.value.hint


def test_a_port_that_kubernetes_does_not_take_is_refused_by_its_name() -> None:
    step = Declaration((replace(USERS, ports=(Port(), Port("administration-api"))), GATEWAY))
    with pytest.raises(PermanentError, match="`users` calls a port `administration-api`, which Kubernetes does not"):
        objects(release(step), step)


def test_a_probe_of_a_port_that_is_not_there_is_refused() -> None:
    step = Declaration((replace(USERS, ready=HttpProbe("/", port="admin")), GATEWAY))
    with pytest.raises(PermanentError, match="a probe of `users` uses port `admin`, which `users` does not declare"):
        objects(release(step), step)


def test_a_program_without_an_image_is_named() -> None:
    step = Declaration((Workload("strange", ("frobnicate",), READY),))
    with pytest.raises(PermanentError, match="workload `strange` runs `frobnicate`, for which no image is known"):
        objects(release(step), step)
