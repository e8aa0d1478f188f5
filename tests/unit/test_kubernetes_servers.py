"""Backing servers, their databases, migrations and Secrets on Kubernetes: made here, or the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from connectivity import CONTROLLERS, picks, pods
from manifest_cases import ALL, GATEWAY, SHOP, USERS, container, objects, one, release, secrets_for

from stepflow.handoff import SecretFile, ServerFile
from stepflow.targets.kubernetes.manifests.secrets import secret_objects
from stepflow.workload import Declaration

Reference = Mapping[int, Declaration]


def test_nats_has_three_nodes_that_start_together_and_know_each_other() -> None:
    nats = one(SHOP, "StatefulSet", "nats")["spec"]
    assert (nats["replicas"], nats["podManagementPolicy"]) == (3, "Parallel")
    headless = one(SHOP, "Service", nats["serviceName"])["spec"]
    assert (headless["clusterIP"], headless["publishNotReadyAddresses"]) == ("None", True)
    (config,) = (i["data"]["nats.conf"] for i in SHOP if i["kind"] == "ConfigMap" and "nats.conf" in i["data"])
    for node in range(3):
        assert f"nats://nats-{node}.nats-pods:6222" in config
    assert "name: $CLUSTER_NAME" in config
    variables = {each["name"]: each.get("value") for each in container(SHOP, "StatefulSet", "nats")["env"]}
    assert variables["CLUSTER_NAME"] == '"shop-0a1b2c"'  # quoted: a namespace may be called `123` or `true`
    assert container(SHOP, "StatefulSet", "nats")["livenessProbe"]["tcpSocket"] == {"port": "client"}


def test_a_database_is_made_by_a_job_that_runs_the_script_of_all_targets() -> None:
    job = one(SHOP, "Job", "database-users")
    (only,) = job["spec"]["template"]["spec"]["containers"]
    assert only["command"] == ["psql", "--no-psqlrc", "--quiet", "--file=/etc/stepflow/database.sql", "service=admin"]
    (script,) = (i["data"]["database.sql"] for i in SHOP if i["kind"] == "ConfigMap" and "database.sql" in i["data"])
    assert """SELECT 'CREATE ROLE "users" LOGIN' WHERE NOT EXISTS""" in script
    assert "\\set password `cat /run/secrets/stepflow/postgres-users-role/password`" in script


def test_a_migration_is_a_job_with_the_workloads_environment_that_ends_by_itself() -> None:
    job = one(SHOP, "Job", "users-migration")
    (only,) = job["spec"]["template"]["spec"]["containers"]
    assert only["command"] == ["python", "-m", "migrate"]
    assert only["env"] == container(SHOP, "Deployment", "users")["env"]
    assert job["spec"]["ttlSecondsAfterFinished"] == 24 * 3600
    assert job["spec"]["activeDeadlineSeconds"] == 900
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == "users"
    assert "livenessProbe" not in only


def test_what_only_a_migration_refers_to_is_mounted_and_reached() -> None:
    migrate = ("python", "-m", "migrate", SecretFile("migration_key"), ServerFile("valkey"))
    step = Declaration((GATEWAY, replace(USERS, migrate=migrate)))
    pod = one(objects(release(step), step), "Job", "users-migration")["spec"]["template"]
    mounted = {each["mountPath"] for each in pod["spec"]["containers"][0]["volumeMounts"]}
    assert {path.rpartition("/")[0] for path in pod["spec"]["containers"][0]["command"][3:]} <= mounted
    assert pod["metadata"]["labels"]["stepflow.dev/uses-valkey"] == "true"


def test_a_workload_that_is_called_like_a_migration_shares_no_pods_with_it() -> None:
    step = Declaration((GATEWAY, USERS, replace(USERS, name="users-migration")))
    found = objects(release(step), step)
    service = one(found, "Service", "users-migration")["spec"]["selector"]
    assert [each.name for each in pods(found) if picks({"matchLabels": service}, each.labels)] == ["users-migration"]


def test_another_image_is_another_migration_and_the_same_one_is_the_same() -> None:
    known = release(ALL)
    other = replace(known, built={**known.built, "users": "registry.example/shop/users:2"})
    names = [one(objects(each, ALL), "Job", "users-migration")["metadata"]["name"] for each in (known, known, other)]
    assert names[0] == names[1] != names[2]


def test_a_server_of_the_users_own_is_mounted_from_his_secret_and_not_made() -> None:
    theirs = {"secret": "managed.db", "key": "uri"}
    known = release(ALL, postgres={"external": {"users": theirs}}, nats={"external": {"secret": "bus"}})
    found = objects(known, ALL)
    assert {i["metadata"]["name"] for i in found if i["kind"] == "StatefulSet"} == {"valkey", "telemetry"}
    assert not [i for i in found if i["metadata"]["name"].startswith("database-")]
    told = {each["name"]: each.get("value") for each in container(found, "Deployment", "users")["env"]}
    assert told["DATABASE_URL_FILE"] == "/run/secrets/stepflow/managed.db/uri"
    assert told["NATS_URL_FILE"] == "/run/secrets/stepflow/bus/url"
    assert "NATS_REPLICAS" not in told
    wanted = {each.secret for each in secrets_for(known, ALL)}
    assert wanted.isdisjoint({"managed.db", "bus", "nats-auth", "postgres-users-role"})


def test_postgres_is_there_while_one_database_of_it_is_ours() -> None:
    both = replace(USERS, name="both", env={"A": ServerFile("postgres", "users"), "B": ServerFile("postgres", "own")})
    step = Declaration((both, GATEWAY, USERS))
    found = objects(release(step, postgres={"external": {"users": {"secret": "managed"}}}), step)
    assert one(found, "StatefulSet", "postgres")
    assert {i["metadata"]["labels"]["app.kubernetes.io/name"] for i in found if i["kind"] == "Job"} == {
        "database-own",
        "users.migration",
        "both.migration",
    }


def test_secrets_hold_urls_and_files_with_the_passwords_put_in() -> None:
    known = release(ALL)
    required = secrets_for(known, ALL)
    found = {item["metadata"]["name"]: item["stringData"] for item in secret_objects(known, required, "<{}>".format)}
    assert found["postgres-users-url"] == {"url": "postgresql://users:<postgres-users>@postgres:5432/users"}
    assert found["nats-auth"] == {"auth.conf": 'authorization { user: stepflow, password: "<nats>" }\n'}
    assert found["postgres-admin"].keys() == {"password", "service.conf"}
    assert "password=<postgres>\n" in found["postgres-admin"]["service.conf"]
    (given,) = (each for each in required if each.password == "admin_password")
    assert found[given.secret] == {"value": "<admin_password>"}


def test_secrets_are_files_that_no_one_but_the_pods_group_can_read() -> None:
    volumes = [
        volume["secret"]
        for item in SHOP
        if item["kind"] in CONTROLLERS
        for volume in item["spec"]["template"]["spec"]["volumes"]
        if "secret" in volume
    ]
    assert len(volumes) >= 8
    assert {each["defaultMode"] for each in volumes} == {0o440}


def test_secrets_whose_names_look_alike_stay_apart() -> None:
    env = {"A_FILE": SecretFile("api.key"), "B_FILE": SecretFile("api_key"), "C_FILE": SecretFile("api-key")}
    step = Declaration((replace(USERS, env=env),))
    assert len({each.secret for each in secrets_for(release(step), step)}) == 3
