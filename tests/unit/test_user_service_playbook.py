"""The playbook user-service, and the journey helpers that all playbooks' checks use."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import ValidationError

from stepflow.errors import PermanentError, TemporaryError
from stepflow.handoff import Credential, Endpoint, Handoff, SecretFile
from stepflow.playbook import Playbook
from stepflow.testing import PlaybookContract
from stepflow.workload import Instance
from stepflow_playbooks import journey
from stepflow_playbooks.journey import register_and_sign_in, sign_in_admin
from stepflow_playbooks.user_service.playbook import UserService, UserServiceSettings


class Example(PlaybookContract):
    """Returns the step that the contract suite tests with (in `tests/contract`)."""

    def playbook(self) -> Playbook:
        return UserService()


def test_what_the_step_says_reaches_the_service_and_its_papers() -> None:
    settings = UserServiceSettings(admin_email="root@shop.example", replicas=3, access_token_seconds=60)
    step = replace(Example().step(), settings=settings)
    (workload,) = UserService().declare(step).workloads
    assert (workload.replicas, workload.env["ADMIN_EMAIL"], workload.env["ACCESS_SECONDS"]) == (
        3,
        "root@shop.example",
        "60",
    )
    assert workload.env["ADMIN_PASSWORD_FILE"] == SecretFile("admin-password")
    files = UserService().render(step)
    assert b"ADMIN_EMAIL=root@shop.example\n" in files["user-service/.env.example"]
    assert b"`root@shop.example`" in files["user-service/README.md"]
    (admin,) = UserService().handoff(step).credentials
    assert (admin.kind, admin.identity, admin.secret) == ("admin", "root@shop.example", SecretFile("admin-password"))


@pytest.mark.parametrize("email", ["root", "a@b", "a b@c.example", "a@c.example\nSECRET=x", "`id`@c.example"])
def test_an_administrator_without_a_plain_address_is_refused(email: str) -> None:
    with pytest.raises(ValidationError, match="String should match pattern"):
        UserServiceSettings(admin_email=email)


class Gateway(BaseHTTPRequestHandler):
    """Answers as it is told, and remembers what it was sent."""

    answers: ClassVar[list[tuple[int, str]]] = []
    seen: ClassVar[list[tuple[str, str]]] = []

    def do_POST(self) -> None:
        """Return the next answer."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.seen.append((f"{self.command} {self.path}", body))
        status, text = self.answers.pop(0)
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_DELETE = do_POST  # noqa: N815 - the names that http.server calls

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@dataclass
class Seen:
    """A platform whose gateway is ours."""

    gateway: str
    out: Path
    target: str = "local"
    handoffs: tuple[Handoff, ...] = ()

    def url(self, endpoint: Endpoint) -> str:
        assert endpoint == Endpoint("gateway")
        return self.gateway

    def secret(self, secret: SecretFile) -> str:
        return f"secret of {secret.name}\n"

    def instances(self, workload: str) -> tuple[Instance, ...]:
        raise AssertionError(workload)

    async def kill(self, instance: Instance) -> None:
        raise AssertionError(instance)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Seen]:
    Gateway.answers.clear()
    Gateway.seen.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield Seen(f"http://127.0.0.1:{server.server_port}", tmp_path)
    server.shutdown()
    thread.join()
    server.server_close()


def handed_off() -> tuple[Handoff, ...]:
    """What the steps of a document hand off: a client, which is not an administrator, and the administrator."""
    client = Credential("client", "robot", SecretFile("client-secret"))
    settings = UserServiceSettings(admin_email="root@shop.example")
    users = UserService().handoff(replace(Example().step(), settings=settings))
    return (Handoff(credentials=(client,)), users.model_copy(update={"credentials": (client, *users.credentials)}))


SIGNED_IN = (200, '{"access_token": "abc", "refresh_token": "next"}')
NO_ONE, OPENED, GONE = (200, '{"items": []}'), (201, '{"id": "u-1"}'), (204, "")


@pytest.fixture
def shop(live: Seen) -> Seen:
    """The platform, with an administrator."""
    return replace(live, handoffs=handed_off())


async def test_a_journey_has_a_test_account_that_the_administrator_opens_and_deletes(shop: Seen) -> None:
    Gateway.answers[:] = [SIGNED_IN, NO_ONE, NO_ONE, OPENED, SIGNED_IN, GONE, GONE]
    async with sign_in_admin(shop) as admin, register_and_sign_in(shop, admin) as http:
        assert http.headers["authorization"] == "Bearer abc"
    assert [request for request, _ in Gateway.seen] == [
        "POST /api/auth/login",
        "GET /api/users?test=true&limit=100",
        "GET /api/users/me/sessions",
        "POST /api/users",
        "POST /api/auth/login",
        "DELETE /api/users/u-1",
        "POST /api/auth/logout",
    ]
    account = json.loads(Gateway.seen[3][1])
    assert (account["test"], account["email"].rpartition("@")[2]) == (True, "checks.invalid")
    assert Gateway.seen[6][1] == '{"refresh_token":"next"}'


async def test_a_journey_removes_what_a_killed_verification_left_and_nothing_else(shop: Seen) -> None:
    left = [
        {"id": "u-7", "email": "check-0-1@checks.invalid"},
        {"id": "u-8", "email": f"{journey.OURS}1@checks.invalid"},
    ]
    listed = (200, json.dumps({"items": left}))
    agents = {"s-1": "Mozilla/5.0", "s-2": journey.AGENT, "s-3": f"{journey.CHECK}check-0-"}
    sessions = (200, json.dumps({"items": [{"id": each, "user_agent": agent} for each, agent in agents.items()]}))
    Gateway.answers[:] = [SIGNED_IN, listed, GONE, sessions, GONE, OPENED, SIGNED_IN, GONE, GONE]
    async with sign_in_admin(shop) as admin, register_and_sign_in(shop, admin):
        pass
    deleted = [request for request, _ in Gateway.seen if request.startswith("DELETE")]
    assert deleted == ["DELETE /api/users/u-7", "DELETE /api/users/me/sessions/s-3", "DELETE /api/users/u-1"]


@pytest.mark.parametrize("deletion", [GONE, (404, "gone"), (503, "no healthy upstream"), (401, "expired")])
async def test_a_journey_that_fails_deletes_its_account_and_says_why_it_failed(
    shop: Seen, deletion: tuple[int, str]
) -> None:
    Gateway.answers[:] = [SIGNED_IN, NO_ONE, NO_ONE, OPENED, SIGNED_IN, deletion, GONE]
    with pytest.raises(PermanentError, match=r"^it costs too much$"):
        async with sign_in_admin(shop) as admin, register_and_sign_in(shop, admin):
            raise PermanentError("it costs too much")
    assert Gateway.seen[-2][0] == "DELETE /api/users/u-1"


async def test_an_account_that_cannot_be_deleted_fails_the_journey(shop: Seen) -> None:
    Gateway.answers[:] = [SIGNED_IN, NO_ONE, NO_ONE, OPENED, SIGNED_IN, (503, "no healthy upstream"), GONE]
    with pytest.raises(TemporaryError, match=r"^DELETE /api/users/u-1 answers 503: no healthy upstream$"):
        async with sign_in_admin(shop) as admin, register_and_sign_in(shop, admin):
            pass


async def test_a_gateway_that_does_not_answer_yet_is_asked_again(shop: Seen) -> None:
    Gateway.answers[:] = [SIGNED_IN, NO_ONE, NO_ONE, (503, "no healthy upstream"), GONE]
    with pytest.raises(TemporaryError, match=r"^POST /api/users answers 503: no healthy upstream$"):
        async with sign_in_admin(shop) as admin, register_and_sign_in(shop, admin):
            pass
    with pytest.raises(TemporaryError, match=r"^POST /api/auth/login: "):
        async with sign_in_admin(replace(shop, gateway="http://127.0.0.1:9")):
            pass


@pytest.mark.parametrize("rendered", ["ADMIN_EMAIL=somebody@else.example\n", "HOST=x\n", None])
async def test_the_administrator_signs_in_as_handed_off_whatever_became_of_the_rendered_file(
    live: Seen, rendered: str | None
) -> None:
    if rendered is not None:
        (live.out / "user-service").mkdir()
        (live.out / "user-service/.env.example").write_text(rendered)
    Gateway.answers[:] = [(401, "wrong")]
    with pytest.raises(PermanentError, match="POST /api/auth/login answers 401: wrong"):
        async with sign_in_admin(replace(live, handoffs=handed_off())):
            pass
    assert Gateway.seen[0][1] == '{"email":"root@shop.example","password":"secret of admin-password"}'


async def test_without_a_user_service_there_is_no_administrator_to_sign_in_as(live: Seen) -> None:
    with pytest.raises(PermanentError, match="no step hands off an administrator") as error:
        async with sign_in_admin(live):
            pass
    assert error.value.hint == "add a step with `Playbook: user-service`"
