"""What has to be done, as it is printed: an action a line, each with its cause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stepflow.errors import PermanentError
from stepflow.targets.building.image import BASE_LABEL, IMAGE
from stepflow.targets.building.pull import EngineImage
from stepflow.targets.docker.container import Build, Container, File, HostPort, Limits, Listen, Secret, Volume
from stepflow.targets.docker.filled import ChosenPorts, Filled, Machine, seal
from stepflow.targets.docker.identity import DockerIdentity
from stepflow.targets.docker.inspected import ContainerRecord, Inspected, Reply, labels, read, settings, variables
from stepflow.targets.docker.observed import EngineState
from stepflow.targets.docker.reconcile import Printed, is_early, reconcile
from stepflow.workload import HttpProbe

WHO = DockerIdentity("shop", "0a1b2c", Path("/s/shop"))
NETWORK = "net1"
BASE = EngineImage("sha256:base", ("docker.io/library/python:3.13.15-slim-trixie",))
BUILT = EngineImage("sha256:1", ("docker.io/shop-0a1b2c/hello:a1",), labels={BASE_LABEL: BASE.id}, created=1)
POSTGRES_18 = EngineImage("sha256:18", ("docker.io/library/postgres:18",))
IMAGES = (BASE, BUILT, POSTGRES_18)
CHOSEN: ChosenPorts = {"gateway": {"http": 8080}}
SEALS = {"admin": seal("salt", "the-secret-admin")}
HELLO = Container(
    name="hello",
    kind="workload",
    image=Build("hello"),
    command=(("python",), ("-m",), ("service",)),
    limits=Limits(memory=256, pids=100, cpus=1.0),
    env={"PORT": ("8000",), "GATEWAY": ("http://127.0.0.1:", HostPort("gateway", "http"))},
    files=(File("/run/stepflow/envoy.json", ("{}",)), File("/run/stepflow/password", (Secret("admin"),))),
    listens=(Listen("http", 8000),),
    ready=HttpProbe("/"),
    replicas=2,
    digest="d1",
)
ONE = replace(HELLO, replicas=1)
POSTGRES = replace(HELLO, name="postgres", kind="server", image="postgres:18", replicas=1, digest="", env={})
SETUP = replace(POSTGRES, name="database-orders", kind="setup", needs=("postgres",), ready=None)


def filled(container: Container = HELLO, image: str = "", **changes: Any) -> Filled:  # noqa: ANN401 - whatever it takes
    image = image or ("sha256:1" if isinstance(container.image, Build) else "sha256:18")
    births = {"postgres": "a1"} if "postgres" in container.needs else {}
    return replace(Filled(container, image, CHOSEN, SEALS, births), **changes)


def there(number: int, of: Filled | None = None, **changes: object) -> Inspected:
    """Return a copy as the engine shows it once it was created so, started and ready."""
    of = of or filled()
    created = of.creation(number, WHO, Machine())
    copy = Inspected(
        f"id-{number}",
        of.record(number),
        "running",
        name=WHO.container(of.instance(number)),
        policy="always",
        network=NETWORK,
        image=of.image or "",
        settings=settings(created, created["HostConfig"]),
        env=variables(created),
        reply=Reply(ok=True, text="GET / answers 200"),
    )
    return replace(copy, **changes)  # type: ignore[arg-type]


def printed(
    container: Container, *found: Inspected, chosen: ChosenPorts = CHOSEN, fresh: str = "", **changes: object
) -> list[str]:
    births = {WHO.volume("postgres"): "a1"}
    seen = EngineState(WHO, found, NETWORK, births=births, images=IMAGES, seals=SEALS)
    return [str(each) for each in reconcile(container, replace(seen, **changes), chosen, {}, fresh)]  # type: ignore[arg-type]


def test_what_does_not_exist_is_created_once_its_image_is_built() -> None:
    assert printed(HELLO) == [
        "build    hello: it does not run yet",
        "create   hello-1: it does not exist",
        "create   hello-2: it does not exist",
    ]
    assert printed(POSTGRES) == ["create   postgres: it does not exist"]


def test_image_that_is_pushed_says_where() -> None:
    actions = reconcile(
        ONE, EngineState(WHO, (), NETWORK, images=IMAGES), CHOSEN, {"registry": "registry.example/team"}
    )
    assert str(actions[0]) == "build    hello, push it to registry.example/team: it does not run yet"


def test_an_image_that_the_engine_lacks_is_pulled_also_one_that_another_is_built_on() -> None:
    assert printed(POSTGRES, images=()) == [
        "pull     postgres:18: the engine does not have it",
        "create   postgres: it does not exist",
    ]
    assert printed(ONE, images=())[:2] == [
        "pull     python:3.13.15-slim-trixie: `hello` is built on it",
        "build    hello: it does not run yet",
    ]


def test_of_an_engine_that_cannot_be_asked_it_is_said_what_it_may_lack() -> None:
    assert [str(each) for each in reconcile(POSTGRES, EngineState(), CHOSEN, {})] == [
        "create   platform network: it does not exist",
        "pull     postgres:18 if the engine does not have it: it is needed",
        "create   postgres: it does not exist",
    ]


def test_what_is_as_desired_is_kept() -> None:
    assert printed(HELLO, there(1), there(2)) == [
        "keep     hello-1: unchanged and ready",
        "keep     hello-2: unchanged and ready",
    ]


def test_another_image_replaces_one_copy_after_the_other_each_new_one_first() -> None:
    assert printed(HELLO, there(1), there(2), fresh="sha256:2") == [
        "replace  hello-1 with hello-3: its image `hello` was rebuilt",
        "replace  hello-2 with hello-1: its image `hello` was rebuilt",
    ]


def test_an_image_of_another_name_is_told_by_that_name() -> None:
    images = (*IMAGES, EngineImage("sha256:19", ("docker.io/library/postgres:19",)))
    assert printed(replace(POSTGRES, image="postgres:19"), there(0, filled(POSTGRES)), images=images) == [
        "replace  postgres: its image is now postgres:19",
    ]


def test_whether_an_image_that_has_to_be_pulled_is_another_one_is_said_to_be_open() -> None:
    assert printed(replace(POSTGRES, image="postgres:19"), there(0, filled(POSTGRES))) == [
        "pull     postgres:19: the engine does not have it",
        "replace  postgres if another image: which image it gets is only known once it is there",
    ]


def test_an_image_that_is_not_on_the_engine_any_more_is_built_and_its_copies_replaced_if_it_is_another() -> None:
    assert printed(ONE, there(1), images=(BASE,)) == [
        "build    hello: its image is not on the engine any more",
        "replace  hello-1 with hello-2 if another image: which image it gets is only known once it is there",
    ]


def test_an_image_is_built_again_on_another_base() -> None:
    images = (replace(BASE, id="sha256:newer"), BUILT)
    assert printed(ONE, there(1), images=images)[0] == "build    hello: its base image is another one"


def test_an_image_that_is_superseded_is_removed_unless_another_container_uses_it() -> None:
    ours = {**WHO.labels(IMAGE, "hello"), BASE_LABEL: BASE.id}
    old = replace(BUILT, labels=ours)
    new = EngineImage("sha256:2", ("docker.io/shop-0a1b2c/hello:b2",), labels=ours, created=2)
    images = (BASE, old, new)
    used = {"sha256:1": frozenset({"hello"})}
    changed = replace(ONE, digest="d2")
    assert printed(changed, there(1), images=images, used=used, fresh="sha256:2") == [
        "replace  hello-1 with hello-2: its image `hello` was rebuilt",
        "remove   image shop-0a1b2c/hello:a1: superseded",
    ]
    assert printed(changed, there(1), images=(BASE, old), used=used) == [
        "build    hello: what it is made from changed",
        "replace  hello-1 with hello-2: what it is made from changed",
        "remove   image shop-0a1b2c/hello:a1 if another image: superseded",
    ]
    used = {"sha256:1": frozenset({"hello", "other"})}
    assert printed(changed, there(1), images=images, used=used, fresh="sha256:2") == [
        "replace  hello-1 with hello-2: its image `hello` was rebuilt",
        "remove   image shop-0a1b2c/hello:a1 if no other container uses it: superseded",
    ]
    used = {"sha256:1": frozenset({"hello", ""})}
    assert printed(changed, there(1), images=images, used=used, fresh="sha256:2") == [
        "replace  hello-1 with hello-2: its image `hello` was rebuilt",
    ]


def test_a_changed_configuration_is_named() -> None:
    changed = replace(ONE, files=(File("/run/stepflow/envoy.json", ("{1}",)), HELLO.files[1]))
    assert printed(changed, there(1)) == ["replace  hello-1 with hello-2: configuration `envoy.json` changed"]


def test_several_changes_are_named_and_counted_from_the_fourth_on() -> None:
    changed = replace(ONE, env={"PORT": ("9000",)}, command=(("python",),))
    found = "command changed; variable `PORT` changed; variable `GATEWAY` is no longer desired"
    assert printed(changed, there(1)) == [f"replace  hello-1 with hello-2: {found}"]
    more = replace(changed, env={**changed.env, "A": ("1",), "B": ("2",)})
    [line] = printed(more, there(1))
    assert line.startswith("replace  hello-1 with hello-2: command changed; variable `")
    assert line.endswith("; and 2 more")


def test_the_reason_of_a_replacement_names_the_copy_that_changed() -> None:
    changed = replace(ONE, command=(("python",),))
    seen = EngineState(WHO, (there(1),), NETWORK, images=IMAGES, seals=SEALS)
    [action] = reconcile(changed, seen, CHOSEN, {})
    assert str(action) == "replace  hello-1 with hello-2: command changed"
    assert action.reason == "replace `hello-1`: command changed"


def test_a_variable_that_is_left_out_is_a_change() -> None:
    changed = replace(ONE, env={"PORT": ("8000",)})
    assert printed(changed, there(1)) == ["replace  hello-1 with hello-2: variable `GATEWAY` is no longer desired"]


def test_a_secret_that_was_replaced_or_lost_replaces_what_reads_it() -> None:
    said = ["replace  hello-1 with hello-2: configuration `password` changed"]
    assert printed(ONE, there(1), seals={"admin": seal("salt", "another")}) == said
    assert printed(ONE, there(1), seals={}) == said


def test_a_workload_whose_gateway_variable_alone_changed_is_printed_as_the_replacement_that_it_is() -> None:
    assert printed(ONE, there(1), chosen={"gateway": {"http": 8081}}) == [
        "replace  hello-1 with hello-2: variable `GATEWAY` changed",
    ]


def test_a_port_that_is_not_chosen_yet_leaves_open_whether_who_knows_it_is_replaced() -> None:
    assert printed(ONE, there(1), chosen={"gateway": {"http": None}}) == [
        "replace  hello-1 with hello-2 if another port: variable `GATEWAY` holds a port that is not chosen yet",
    ]


def test_a_port_that_nothing_publishes_is_an_error() -> None:
    with pytest.raises(PermanentError) as caught:
        printed(ONE, there(1), chosen={})
    assert caught.value.message == "the port `http` of `gateway` is not published, or does not exist yet"


def test_another_digest_alone_is_a_cause() -> None:
    assert printed(replace(ONE, digest="d2"), there(1))[1] == (
        "replace  hello-1 with hello-2: what it is made from changed"
    )


def test_what_holds_data_or_a_port_of_this_machine_is_replaced_in_place() -> None:
    with_data = replace(ONE, volumes=(Volume("mails", "/var/lib/stepflow/mails"),))
    assert printed(with_data, there(1)) == [
        "create   volume mails: it does not exist",
        "replace  hello-1: volumes are none instead of /var/lib/stepflow/mails shop-0a1b2c-data-mails",
    ]
    chosen = {**CHOSEN, "hello": {"http": 8090}}
    published = replace(ONE, listens=(Listen("http", 8000, 8090),))
    before = there(1, filled(published, chosen=chosen))
    assert printed(published, before, chosen=chosen) == ["keep     hello-1: unchanged and ready"]
    assert printed(replace(published, digest="d2"), before, chosen=chosen)[1] == (
        "replace  hello-1: what it is made from changed"
    )
    assert printed(published, before, chosen={**CHOSEN, "hello": {"http": None}}) == [
        "replace  hello-1: port 8090 is taken",
    ]


def test_more_copies_are_added_and_fewer_removed_and_none_that_stays_is_touched() -> None:
    assert printed(replace(HELLO, replicas=3), there(1), there(2)) == [
        "keep     hello-1: unchanged and ready",
        "keep     hello-2: unchanged and ready",
        "create   hello-3: 2 of 3 copies exist",
    ]
    assert printed(ONE, there(1), there(2)) == [
        "keep     hello-1: unchanged and ready",
        "remove   hello-2: scaled to 1 copy",
    ]


def test_a_copy_that_was_removed_by_hand_is_created_without_a_word_of_scaling() -> None:
    assert printed(HELLO, there(1)) == [
        "keep     hello-1: unchanged and ready",
        "create   hello-2: 1 of 2 copies exist",
    ]
    assert printed(HELLO, there(2)) == [
        "keep     hello-2: unchanged and ready",
        "create   hello-1: 1 of 2 copies exist",
    ]


def test_a_new_copy_does_not_take_the_name_of_one_that_is_still_to_be_replaced() -> None:
    assert printed(replace(HELLO, command=(("python",),)), there(1)) == [
        "create   hello-2: 1 of 2 copies exist",
        "replace  hello-1 with hello-3: command changed",
    ]


def test_of_copies_that_are_too_many_the_running_ones_stay() -> None:
    assert printed(ONE, there(1, condition="exited", code=1), there(2)) == [
        "keep     hello-2: unchanged and ready",
        "remove   hello-1: scaled to 1 copy",
    ]


def test_an_exited_container_is_printed_as_the_start_that_it_is_with_how_it_ended() -> None:
    assert printed(HELLO, there(1, condition="exited", code=137), there(2, condition="paused")) == [
        "start    hello-1: exited with code 137 (signal 9)",
        "start    hello-2: paused",
    ]


def test_what_was_killed_for_want_of_memory_is_said_so() -> None:
    killed = there(1, condition="exited", code=137, out_of_memory=True)
    assert printed(ONE, killed) == ["start    hello-1: was killed by the kernel: it used more memory than it may"]


def test_what_runs_and_is_not_ready_is_waited_for_and_restarted_once_if_it_was_ready_before() -> None:
    silent = there(1, reply=Reply(ok=False, text="GET / had no answer in 2 s"))
    assert printed(ONE, replace(silent, policy="no")) == ["wait     hello-1: GET / had no answer in 2 s"]
    assert printed(ONE, silent) == ["wait     hello-1: GET / had no answer in 2 s; restart if not ready after 60 s"]


def test_what_the_engine_is_restarting_is_waited_for() -> None:
    assert printed(ONE, there(1, condition="restarting", code=1)) == [
        "wait     hello-1: exited with code 1; the engine restarts it; restart if not ready after 60 s",
    ]


def test_what_was_created_and_never_started_is_replaced() -> None:
    assert printed(ONE, there(1, condition="created")) == ["replace  hello-1: it was created, but never started"]


def test_a_run_that_was_cut_off_in_the_middle_of_a_replacement_goes_on() -> None:
    changed = replace(ONE, digest="d2")
    old, new = there(1), there(2, filled(changed))
    assert printed(changed, old, new) == [
        "keep     hello-2: unchanged and ready",
        "remove   hello-1: what it is made from changed",
    ]
    assert printed(changed, old, replace(new, condition="created")) == [
        "replace  hello-2: it was created, but never started",
        "remove   hello-1: what it is made from changed",
    ]


def test_a_copy_that_was_ready_and_of_which_the_engine_does_not_know_it_is_changed_in_place() -> None:
    assert printed(ONE, there(1, policy="no")) == ["change   hello-1: restart policy is `no` instead of `always`"]


def test_containers_outside_the_network_are_replaced() -> None:
    said = ["replace  hello-1 with hello-2: it is not in the platform's network"]
    assert printed(ONE, there(1), network="net2") == said
    assert printed(ONE, there(1), network="") == ["create   platform network: it does not exist", *said]
    assert printed(ONE, there(1, network="")) == said


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"memory limit": 64 * 1024**2}, "change   hello-1: memory limit is 64 MiB instead of 256 MiB"),
        ({"process limit": 7}, "change   hello-1: process limit is 7 instead of 100"),
        ({"processor limit": 500_000_000}, "change   hello-1: processor limit is 0.5 instead of 1"),
        ({"processor limit": 0}, "change   hello-1: processor limit is none instead of 1"),
        ({"user": "0:0"}, "replace  hello-1 with hello-2: user is 0:0 instead of 65532:65532"),
        ({"read-only root": False}, "replace  hello-1 with hello-2: read-only root is off instead of on"),
        ({"init process": False}, "replace  hello-1 with hello-2: init process is off instead of on"),
        ({"privileged mode": True}, "replace  hello-1 with hello-2: privileged mode is on instead of off"),
        ({"dropped capabilities": []}, "replace  hello-1 with hello-2: dropped capabilities are none instead of ALL"),
        (
            {"published ports": {"8000": "0.0.0.0:80"}},
            "replace  hello-1 with hello-2: published ports are 8000 0.0.0.0:80 instead of 8000 127.0.0.1:",
        ),
    ],
)
def test_what_other_hands_changed_is_named_with_its_old_and_its_new_value(
    changed: Mapping[str, object], said: str
) -> None:
    copy = there(1)
    assert printed(ONE, replace(copy, settings={**copy.settings, **changed})) == [said]


IMAGE_CONFIG: Mapping[str, Any] = {"Env": ["PATH=/usr/bin", "LANG=C"], "Entrypoint": ["/entry"], "WorkingDir": "/app/"}
FROM_IMAGE = {"PATH": "/usr/bin", "LANG": "C"}


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({}, "keep     hello-1: unchanged and ready"),
        ({"PORT": "9999"}, "replace  hello-1 with hello-2: variable `PORT` changed"),
        ({"INSTANCE": "hello-7"}, "replace  hello-1 with hello-2: variable `INSTANCE` changed"),
        ({"PATH": "/home/me/bin"}, "replace  hello-1 with hello-2: variable `PATH` changed"),
        ({"EVIL": "s3cret"}, "replace  hello-1 with hello-2: variable `EVIL` was added"),
        (
            {"EVIL": "1", "PORT": "1"},
            "replace  hello-1 with hello-2: variable `PORT` changed; variable `EVIL` was added",
        ),
    ],
)
def test_a_variable_that_other_hands_changed_or_added_is_named_whatever_the_labels_say(
    env: Mapping[str, str], said: str
) -> None:
    made = there(1)
    set_up = {**made.settings, "entry point": ["/entry"], "working directory": "/app"}
    copy = replace(made, settings=set_up, env={**made.env, **FROM_IMAGE, **env})
    assert printed(ONE, copy, configs={copy.image: IMAGE_CONFIG}) == [said]


def test_a_variable_is_not_called_added_while_that_of_its_image_are_not_known() -> None:
    copy = there(1)
    assert printed(ONE, replace(copy, env={**copy.env, **FROM_IMAGE})) == ["keep     hello-1: unchanged and ready"]
    assert printed(ONE, replace(copy, env={**copy.env, **FROM_IMAGE, "PORT": "1"})) == [
        "replace  hello-1 with hello-2: variable `PORT` changed",
    ]


@pytest.mark.parametrize(
    ("config", "host", "said"),
    [
        ({"Entrypoint": ["sh"]}, {}, "entry point changed"),
        ({"WorkingDir": "/root"}, {}, "working directory is /root instead of /app"),
        ({}, {"Binds": ["/:/host"]}, "bind mounts are /:/host instead of none"),
        ({}, {"VolumesFrom": ["other"]}, "other containers' volumes are other instead of none"),
        ({}, {"Devices": [{"PathOnHost": "/dev/kvm"}]}, "devices are /dev/kvm instead of none"),
        ({}, {"ExtraHosts": ["db:10.0.0.1"]}, "extra hosts are db:10.0.0.1 instead of none"),
        ({}, {"PidMode": "host"}, "process namespace is host instead of none"),
        ({}, {"Dns": ["10.0.0.1"]}, "name servers are 10.0.0.1 instead of none"),
        ({}, {"GroupAdd": ["docker"]}, "additional groups are docker instead of none"),
        ({}, {"Sysctls": {"net.ipv4.ip_forward": "1"}}, "kernel parameters are net.ipv4.ip_forward 1 instead of none"),
        ({}, {"Ulimits": [{"Name": "core", "Soft": 0, "Hard": 1}]}, "resource limits are core=0:1 instead of none"),
    ],
)
def test_a_copy_that_other_hands_created_with_another_setting_is_replaced(
    config: Mapping[str, Any], host: Mapping[str, Any], said: str
) -> None:
    made = filled().creation(1, WHO, Machine())
    set_up = settings({**IMAGE_CONFIG, **made, **config}, {**made["HostConfig"], **host})
    copy = replace(there(1), settings=set_up, env={**variables(made), **FROM_IMAGE})
    assert printed(ONE, copy, configs={copy.image: IMAGE_CONFIG}) == [f"replace  hello-1 with hello-2: {said}"]


def test_a_copy_whose_labels_cannot_be_read_is_replaced() -> None:
    spoilt = replace(there(1), record=ContainerRecord("workload", "hello", 1, "d1"), readable=False)
    assert printed(ONE, spoilt) == ["replace  hello-1 with hello-2: its labels cannot be read"]
    unnumbered = replace(spoilt.record, number=0)
    nameless = replace(spoilt, record=unnumbered, name="precious", condition="exited")
    assert printed(ONE, nameless) == ["replace  hello-1: its labels cannot be read"]
    server = replace(there(0, filled(POSTGRES)), record=ContainerRecord("server", "postgres"), readable=False)
    assert printed(POSTGRES, server) == ["replace  postgres: its labels cannot be read"]


def test_a_container_that_was_renamed_is_replaced_by_one_of_its_name() -> None:
    renamed = there(1, name="precious")
    assert printed(ONE, renamed) == ["replace  hello-1 with hello-2: it was renamed to `precious`"]
    assert printed(POSTGRES, there(0, filled(POSTGRES), name="precious")) == [
        "replace  postgres: it was renamed to `precious`",
    ]


def test_a_new_copy_does_not_take_a_name_that_another_copy_was_given_by_hand() -> None:
    swapped = there(1, name=WHO.container("hello-2"))
    assert printed(ONE, swapped) == ["replace  hello-1 with hello-3: it was renamed to `shop-0a1b2c-hello-2`"]


def test_what_drifted_and_hangs_is_changed_and_then_restarted_if_that_does_not_help() -> None:
    copy = there(1, reply=Reply(ok=False, text="GET / answers 503"))
    [said] = printed(ONE, replace(copy, settings={**copy.settings, "process limit": 3}))
    assert said == (
        "change   hello-1: process limit is 3 instead of 100; GET / answers 503; restart if not ready after 60 s"
    )


def test_what_drifted_while_it_was_down_is_put_right_when_it_is_started() -> None:
    copy = there(1, condition="exited", code=0)
    drifted = replace(copy, settings={**copy.settings, "memory limit": 64 * 1024**2}, policy="unless-stopped")
    [said] = printed(ONE, drifted)
    assert said == (
        "start    hello-1: exited with code 0; memory limit is 64 MiB instead of 256 MiB; "
        "restart policy is `unless-stopped` instead of `always`"
    )


@pytest.mark.parametrize(
    ("container", "name", "what"),
    [
        (HELLO, "shop-0a1b2c-hello-1", "container"),
        (HELLO, "shop-0a1b2c", "network"),
        (replace(POSTGRES, volumes=(Volume("postgres", "/data"),)), "shop-0a1b2c-data-postgres", "volume"),
    ],
)
def test_what_is_foreign_and_in_the_way_is_named(container: Container, name: str, what: str) -> None:
    with pytest.raises(PermanentError) as caught:
        printed(container, foreign=frozenset({name}), network="")
    assert caught.value.message == f"there is a {what} `{name}` on the engine that is not stepflow's"
    assert caught.value.hint == "stepflow touches only what carries its label: remove or rename it, then run again"


def test_a_database_that_was_made_is_not_made_again_and_one_that_failed_is() -> None:
    done = there(0, filled(SETUP), condition="exited", policy="no", reply=None)
    assert printed(SETUP, done) == ["keep     database-orders: completed"]
    assert printed(SETUP, replace(done, code=3)) == ["start    database-orders: exited with code 3"]
    assert printed(SETUP, replace(done, condition="running")) == ["wait     database-orders: it has not completed yet"]


def test_a_record_reads_back_as_it_was_written_and_holds_no_secret() -> None:
    written = filled().record(2)
    assert read(labels(written), "workload", "hello") == written
    assert "the-secret" not in str(labels(written))
    assert "the-secret" not in str(filled().creation(1, WHO, Machine()))


def test_a_record_of_an_earlier_version_says_the_same() -> None:
    parts = filled(replace(HELLO, needs=("postgres",))).record(1).parts
    earlier = {
        "image is another: hello was built again": "0",
        "command changed": "0",
        "variable `PORT` changed": parts["variable `PORT`"],
        "configuration `envoy.json` changed": parts["configuration `envoy.json`"],
        "server `postgres` has other data": parts["data of `postgres`"],
    }
    read_again = read({"dev.stepflow.meaning": str(earlier).replace("'", '"')}, "workload", "hello").parts
    assert read_again == {name: parts[name] for name in read_again}
    assert len(read_again) == 3


def test_a_database_is_made_again_in_a_server_that_lost_its_data_and_who_uses_it_is_replaced() -> None:
    lost = {WHO.volume("postgres"): "b2"}
    done = there(0, filled(SETUP), condition="exited", policy="no", reply=None)
    assert printed(SETUP, done, births=lost) == ["replace  database-orders: data of `postgres` changed"]
    orders = replace(ONE, needs=("postgres",))
    assert printed(orders, there(1, filled(orders)), births=lost) == [
        "replace  hello-1 with hello-2: data of `postgres` changed",
    ]


def test_the_same_guessable_secret_has_another_hash_on_another_platform() -> None:
    given = replace(HELLO, files=(File("/run/stepflow/password", (Secret("smtp", given=True),)),))
    one, other = (filled(given, seals={"smtp": seal(salt, "hunter2")}) for salt in ("random-1", "random-2"))
    assert one.parts["configuration `password`"] != other.parts["configuration `password`"]


def test_a_secret_in_a_command_or_a_variable_is_refused() -> None:
    shown = filled(replace(HELLO, env={"KEY": (Secret("admin"),)}))
    with pytest.raises(PermanentError, match="`hello` would show the secret `admin` in its command or environment"):
        shown.creation(1, WHO, Machine())


def test_what_is_done_to_a_copy_that_may_be_replaced_is_printed_for_the_case_that_it_is_not() -> None:
    down = there(1, condition="exited", code=3)
    chosen: ChosenPorts = {"gateway": {"http": None}}
    assert printed(ONE, down, chosen=chosen) == [
        "start    hello-1 if the same port: exited with code 3",
        "replace  hello-1 if another port: variable `GATEWAY` holds a port that is not chosen yet",
    ]
    assert printed(ONE, there(1), chosen=chosen)[0].startswith("replace  hello-1 with hello-2 if another port: ")


def test_copies_get_the_printed_names_whatever_turned_out_about_their_image_since() -> None:
    three, images = replace(HELLO, replicas=3), (BASE, POSTGRES_18)
    found = (there(1), there(2, filled(replace(HELLO, digest="old"))))

    def names(fresh: str = "", printed: Printed | None = None) -> list[tuple[str, str, str]]:
        seen = EngineState(WHO, found, NETWORK, images=images, seals=SEALS)
        actions = reconcile(three, seen, CHOSEN, {}, fresh, printed=printed)
        return [(each.verb, each.old, each.name) for each in actions if not is_early(each)]

    new = [("create", "", "hello-3"), ("replace", "hello-2", "hello-4")]
    planned = [*new, ("replace", "hello-1", "hello-2")]
    assert names() == planned
    since = Printed(fetched=True, chosen=CHOSEN)
    assert names("sha256:9", since) == planned
    assert names("sha256:1", since) == [("keep", "", "hello-1"), *new], "it is the same image after all"
