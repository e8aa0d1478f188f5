"""What goes wrong with a platform in a cluster, and how the next run fixes it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
import pytest
from onenode_fixtures import SOME_CLUSTER

from stepflow.errors import PermanentError
from stepflow.handoff import Endpoint
from stepflow.targets import open_target
from stepflow.targets.contract import Desired, Observed, Progress, Site, Target
from stepflow.targets.kubernetes.api.client import Client
from stepflow.targets.kubernetes.api.kinds import Object
from stepflow.targets.kubernetes.state.binding import recorded
from stepflow.targets.kubernetes.state.identity import KubernetesIdentity
from stepflow.workload import Declaration, HttpProbe, Server, Workload

pytestmark = SOME_CLUSTER

HELLO = Path(__file__).parents[1] / "data" / "hello"
GOOD = Workload("hello", ("python", "-m", "service"), HttpProbe("/", deadline=30), context="hello", replicas=2)
BAD = replace(GOOD, env={"EXIT": "3"})


@dataclass
class There:
    """A platform in a cluster, and the cluster itself."""

    target: Target
    site: Site
    client: Client

    async def apply(self, workload: Workload, digest: str, servers: tuple[Server, ...] = ()) -> list[Progress]:
        said: list[Progress] = []
        await self.target.apply(Desired(Declaration((workload,), servers), {workload.name: digest}), said.append)
        return said

    async def observed(self, name: str = "hello") -> Observed:
        return (await self.target.observe())[name]

    async def object(self, api_version: str, kind: str, name: str) -> Object:
        found = await self.client.get(api_version, kind, name, self.namespace)
        assert found is not None, f"{kind}/{name}"
        return found

    @property
    def namespace(self) -> str:
        who = KubernetesIdentity.known(self.site)
        home = recorded(who) if who else None
        assert home is not None
        return home.namespace


@pytest.fixture
async def there(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[There]:
    cluster = request.getfixturevalue("some_cluster")
    for name, value in cluster.env.items():
        monkeypatch.setenv(name, value)
    shutil.copytree(HELLO, tmp_path / "out/hello")
    site = Site("failing", tmp_path / "state", tmp_path / "out", {"context": cluster.context})
    made = There(open_target("kubernetes", site), site, Client(cluster.context))
    yield made
    await made.target.remove(None, data=True)
    made.client.close()


async def test_a_version_that_does_not_start_gives_way_to_the_one_before_and_is_told(there: There) -> None:
    await there.apply(GOOD, "good")
    with pytest.raises(PermanentError) as failed:
        await there.apply(BAD, "bad")
    first, *rest = failed.value.message.splitlines()
    assert first.endswith(" exited with code 3")
    assert "  cannot go on: the moon is in the wrong phase" in rest
    assert rest[-1] == "`hello` was rolled back: the last version that was ready runs again"
    seen = await there.observed()
    assert (seen.state, seen.digest, seen.ready) == ("ready", "good", 2)
    with pytest.raises(PermanentError, match="was rolled back"):
        await there.apply(BAD, "bad")
    await there.apply(replace(GOOD, env={"NEW": "1"}), "better")
    assert (await there.observed()).digest == "better"


async def test_a_run_that_was_cut_off_in_a_rollout_is_gone_on_with(there: There) -> None:
    await there.apply(GOOD, "good")
    begun = asyncio.create_task(there.apply(BAD, "bad"))
    async with asyncio.timeout(60):
        while (await there.observed()).digest != "bad":  # noqa: ASYNC110 - the cluster decides
            await asyncio.sleep(0.1)
    begun.cancel()
    await asyncio.wait([begun])
    with pytest.raises(PermanentError, match="was rolled back"):
        await there.apply(BAD, "bad")
    assert (await there.observed()).digest == "good"


async def test_what_someone_removed_or_changed_is_told_and_repaired(there: There) -> None:
    await there.apply(GOOD, "1")
    service = await there.object("v1", "Service", "hello")
    await there.client.delete(service)
    assert (await there.observed()).state == "ready"  # its pods answer; what is missing is an action of its own
    wanted = Desired(Declaration((GOOD,)), {"hello": "1"})
    found = there.target.reconcile(wanted, await there.target.observe())
    assert [str(each) for each in found if each.verb != "keep"] == ["create   Service/hello: it does not exist"]
    await there.apply(GOOD, "1")
    assert (await there.observed()).state == "ready"
    service = await there.object("v1", "Service", "hello")
    port = service["spec"]["ports"][0] | {"targetPort": 9}
    await there.client.patch(service, {"spec": {"ports": [port]}})
    await there.apply(GOOD, "1")
    assert (await there.object("v1", "Service", "hello"))["spec"]["ports"][0]["targetPort"] == "http"


async def test_what_is_another_owners_is_not_touched(there: There) -> None:
    await there.apply(GOOD, "1")
    foreign = {"name": "other", "namespace": there.namespace, "labels": {"app": "other"}}
    await there.client.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": foreign, "data": {"a": "b"}})
    own = {"name": "taken", "namespace": there.namespace}
    await there.client.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": own})
    with pytest.raises(PermanentError, match="there is a ServiceAccount `taken` in the cluster that is not stepflow's"):
        await there.apply(replace(GOOD, name="taken"), "1")
    await there.target.remove(None)
    assert (await there.object("v1", "ConfigMap", "other"))["data"] == {"a": "b"}


async def test_secrets_that_this_machine_lost_are_read_back(there: There) -> None:
    nats = (Server("nats"),)
    await there.apply(GOOD, "1", nats)
    file = there.site.state / "secrets" / "nats"
    before = file.read_text()
    file.unlink()
    await there.apply(GOOD, "1", nats)
    assert file.read_text() == before
    assert file.stat().st_mode & 0o777 == 0o600


async def test_a_namespace_that_is_going_is_waited_for_and_made_again(there: There) -> None:
    await there.apply(GOOD, "1")
    namespace = await there.object("v1", "Namespace", there.namespace)
    await there.client.delete(namespace)
    said = await there.apply(GOOD, "1")
    assert any(each.waiting_for == f"`Namespace/{there.namespace}`" for each in said)
    assert (await there.observed()).ready == 2


async def test_an_image_that_is_nowhere_is_told_by_its_name(there: There) -> None:
    await there.apply(GOOD, "1")
    broken = await there.object("apps/v1", "Deployment", "hello")
    [container] = broken["spec"]["template"]["spec"]["containers"]
    spec = {"containers": [container | {"image": "127.0.0.1:1/none:1"}]}
    await there.client.patch(broken, {"spec": {"template": {"spec": spec}}})
    async with asyncio.timeout(60):
        while "image" not in (seen := await there.observed()).detail:  # noqa: ASYNC110 - the cluster decides
            await asyncio.sleep(0.2)
    assert seen.state != "ready"
    assert "cannot have the image `127.0.0.1:1/none:1`" in seen.detail
    await there.apply(GOOD, "1")
    assert (await there.observed()).state == "ready"


async def test_connections_go_on_while_the_pod_that_they_went_to_is_killed(there: There) -> None:
    await there.apply(GOOD, "1")
    live = there.target.live()
    address = live.url(Endpoint("hello"))
    killed, left = live.instances("hello")
    await live.kill(killed)
    async with httpx2.AsyncClient() as client:
        answers = [(await client.get(address)).text for _ in range(5)]
    assert killed.name not in answers
    assert left.name in answers
