"""What has to be done, as it is printed: an action a line, each with its cause."""

from __future__ import annotations

from dataclasses import replace

from stepflow.targets.docker.container import Build, Container, File, HostPort, Limits, Listen, Secret, Volume
from stepflow.targets.docker.look import Found
from stepflow.targets.docker.reconcile import reconcile
from stepflow.targets.docker.record import labels, read, record
from stepflow.targets.docker.wanted import SALT, Filling, Wanted, want

NETWORK = "net1"
FILLING = Filling(secret=lambda name: f"the-secret-{name}", port=lambda _: 8080)
HELLO = Container(
    name="hello",
    kind="workload",
    image=Build("hello"),
    command=(("python",), ("-m",), ("service",)),
    limits=Limits(memory=256, pids=100, cpus=1.0),
    env={"PORT": ("8000",), "GATEWAY": ("http://127.0.0.1:", HostPort("gateway", "http"))},
    files=(File("/run/stepflow/envoy.json", ("{}",)), File("/run/stepflow/password", (Secret("admin"),))),
    listens=(Listen("http", 8000),),
    replicas=2,
    digest="d1",
)
POSTGRES = replace(HELLO, name="postgres", kind="server", image="postgres:18", replicas=1, digest="")
SETUP = replace(HELLO, name="database-orders", kind="setup", image="postgres:18", replicas=1, digest="")


def wanted(container: Container = HELLO, image: str = "sha256:1", filling: Filling = FILLING) -> Wanted:
    return want(container, image, filling, {}, {})


def there(number: int, of: Wanted | None = None, **changes: object) -> Found:
    of = of or wanted()
    found = Found(f"id-{number}", record(of, number), "running", proven=True, network=NETWORK)
    return replace(found, **changes)  # type: ignore[arg-type]


def printed(want: Wanted, *found: Found, network: str = NETWORK) -> list[str]:
    return [str(action) for action in reconcile(want, found, network)]


def test_what_is_not_there_is_created() -> None:
    assert printed(wanted()) == ["create hello-1: there is none", "create hello-2: there is none"]
    assert printed(wanted(POSTGRES)) == ["create postgres: there is none"]


def test_what_is_as_it_shall_be_is_kept() -> None:
    assert printed(wanted(), there(1), there(2)) == ["keep hello-1: unchanged", "keep hello-2: unchanged"]


def test_another_image_replaces_one_copy_after_the_other_each_new_one_first() -> None:
    assert printed(wanted(image="sha256:2"), there(1), there(2)) == [
        "replace hello-1 with hello-3: its image is another: hello was built anew",
        "replace hello-2 with hello-1: its image is another: hello was built anew",
    ]


def test_an_image_of_another_name_is_told_by_that_name() -> None:
    newer = wanted(replace(POSTGRES, image="postgres:19"), image="sha256:2")
    assert printed(newer, there(0, wanted(POSTGRES))) == ["replace postgres: its image is another: postgres:19"]


def test_a_changed_configuration_is_named() -> None:
    changed = replace(HELLO, replicas=1, files=(File("/run/stepflow/envoy.json", ("{1}",)), HELLO.files[1]))
    assert printed(wanted(changed), there(1)) == [
        "replace hello-1 with hello-2: its configuration `envoy.json` changed",
    ]


def test_several_changes_are_counted() -> None:
    changed = replace(HELLO, replicas=1, env={"PORT": ("9000",)}, command=(("python",),))
    assert printed(wanted(changed), there(1)) == ["replace hello-1 with hello-2: its command changed and 2 more"]


def test_a_variable_that_is_left_out_is_a_change() -> None:
    changed = replace(HELLO, replicas=1, env={"PORT": ("8000",)})
    assert printed(wanted(changed), there(1)) == [
        "replace hello-1 with hello-2: its variable `GATEWAY` is no longer wanted",
    ]


def test_a_secret_that_was_made_anew_replaces_who_reads_it() -> None:
    other = wanted(replace(HELLO, replicas=1), filling=replace(FILLING, secret=lambda name: f"another-{name}"))
    assert printed(other, there(1)) == ["replace hello-1 with hello-2: its configuration `password` changed"]


def test_another_port_of_the_gateway_replaces_who_knows_it() -> None:
    other = wanted(replace(HELLO, replicas=1), filling=replace(FILLING, port=lambda _: 8081))
    assert printed(other, there(1)) == ["replace hello-1 with hello-2: its variable `GATEWAY` changed"]


def test_another_digest_alone_is_a_cause() -> None:
    assert printed(wanted(replace(HELLO, replicas=1, digest="d2")), there(1)) == [
        "replace hello-1 with hello-2: what it is made from changed",
    ]


def test_what_holds_data_or_a_port_of_this_machine_is_replaced_in_place() -> None:
    with_data = replace(HELLO, replicas=1, volumes=(Volume("mails", "/var/lib/stepflow/mails"),))
    assert printed(wanted(with_data), there(1)) == ["replace hello-1: its volumes changed"]
    published = want(replace(HELLO, replicas=1, digest="d2"), "sha256:1", FILLING, {"http": 8080}, {})
    before = want(replace(HELLO, replicas=1), "sha256:1", FILLING, {"http": 8080}, {})
    assert printed(published, there(1, before)) == ["replace hello-1: what it is made from changed"]


def test_more_copies_are_added_and_fewer_taken_away_and_none_that_stays_is_touched() -> None:
    three, one = wanted(replace(HELLO, replicas=3)), wanted(replace(HELLO, replicas=1))
    assert printed(three, there(1), there(2)) == [
        "keep hello-1: unchanged",
        "keep hello-2: unchanged",
        "create hello-3: another copy is wanted",
    ]
    assert printed(one, there(1), there(2)) == ["keep hello-1: unchanged", "remove hello-2: only 1 copy is wanted"]


def test_of_copies_that_are_too_many_the_running_ones_stay() -> None:
    assert printed(wanted(replace(HELLO, replicas=1)), there(1, condition="exited", code=1), there(2)) == [
        "keep hello-2: unchanged",
        "remove hello-1: only 1 copy is wanted",
    ]


def test_what_ended_is_started_and_it_is_said_how_it_ended() -> None:
    assert printed(wanted(), there(1, condition="exited", code=137), there(2, condition="paused")) == [
        "start hello-1: it is not running: it exited with code 137 (signal 9)",
        "start hello-2: it is paused",
    ]


def test_what_was_killed_for_want_of_memory_is_said_so() -> None:
    one = wanted(replace(HELLO, replicas=1))
    killed = there(1, condition="exited", code=137, out_of_memory=True)
    assert printed(one, killed) == [
        "start hello-1: it is not running: it was killed by the kernel: it used more memory than it may",
    ]


def test_what_the_engine_is_starting_again_is_waited_for() -> None:
    one = wanted(replace(HELLO, replicas=1))
    assert printed(one, there(1, condition="restarting", code=1)) == ["keep hello-1: unchanged"]


def test_what_was_made_and_never_started_is_made_anew() -> None:
    one = wanted(replace(HELLO, replicas=1))
    assert printed(one, there(1, condition="created")) == ["replace hello-1: it was made, but never started"]


def test_a_run_that_was_cut_off_in_the_middle_of_a_replacement_goes_on() -> None:
    one = wanted(replace(HELLO, replicas=1, digest="d2"))
    old, new = there(1), there(2, one)
    assert printed(one, old, new) == ["keep hello-2: unchanged", "remove hello-1: what it is made from changed"]
    assert printed(one, old, replace(new, condition="created")) == [
        "replace hello-2: it was made, but never started",
        "remove hello-1: what it is made from changed",
    ]


def test_containers_without_the_network_are_replaced() -> None:
    one = wanted(replace(HELLO, replicas=1))
    assert printed(one, there(1), network="net2") == [
        "replace hello-1 with hello-2: the platform's network was made anew",
    ]


def test_a_database_that_was_made_is_not_made_again_and_one_that_failed_is() -> None:
    setup = wanted(SETUP)
    done = there(0, setup, condition="exited", proven=False)
    assert printed(setup, done) == ["keep database-orders: it has done its work"]
    assert printed(setup, replace(done, code=3)) == [
        "start database-orders: it is not running: it exited with code 3",
    ]


def test_a_record_reads_back_as_it_was_written_and_holds_no_secret() -> None:
    written = record(wanted(), 2)
    assert read(labels(written), "workload", "hello") == written
    assert "the-secret" not in str(labels(written))
    assert "the-secret" not in str(wanted().parts)


def test_a_database_is_made_again_in_a_server_that_lost_its_data_and_who_uses_it_starts_anew() -> None:
    before, now = (want(SETUP, "sha256:1", FILLING, {}, {"postgres": birth}) for birth in ("a1", "b2"))
    done = there(0, before, condition="exited", proven=False)
    assert printed(before, done) == ["keep database-orders: it has done its work"]
    assert printed(now, done) == ["replace database-orders: its server `postgres` has other data"]
    one = replace(HELLO, replicas=1)
    before, now = (want(one, "sha256:1", FILLING, {}, {"nats": birth}) for birth in ("a1", "b2"))
    assert printed(now, there(1, before)) == ["replace hello-1 with hello-2: its server `nats` has other data"]


def test_the_same_guessable_secret_has_another_hash_on_another_platform() -> None:
    given = replace(HELLO, files=(File("/run/stepflow/password", (Secret("smtp", given=True),)),))
    one, other = (
        wanted(given, filling=replace(FILLING, secret={"smtp": "hunter2", SALT: salt}.__getitem__))
        for salt in ("random-1", "random-2")
    )
    assert one.parts["configuration `password` changed"] != other.parts["configuration `password` changed"]
