"""The playbook user-service, and the journey helpers that all playbooks' checks use."""

from __future__ import annotations

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
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.seen.append((self.path, body))
        status, text = self.answers.pop(0)
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

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


async def test_someone_new_is_registered_and_signed_in(live: Seen) -> None:
    Gateway.answers[:] = [(201, "{}"), (200, '{"access_token": "abc"}')]
    async with register_and_sign_in(live) as http:
        assert http.headers["authorization"] == "Bearer abc"
    assert [path for path, _ in Gateway.seen] == ["/api/users", "/api/auth/login"]


async def test_a_gateway_that_does_not_answer_yet_is_asked_again(live: Seen) -> None:
    Gateway.answers[:] = [(503, "no healthy upstream")]
    with pytest.raises(TemporaryError, match="POST /api/users answers 503: no healthy upstream"):
        async with register_and_sign_in(live):
            pass
    with pytest.raises(TemporaryError, match="POST /api/users: "):
        async with register_and_sign_in(replace(live, gateway="http://127.0.0.1:9")):
            pass


def handed_off() -> tuple[Handoff, ...]:
    """What the steps of a document hand off: a client, which is not an administrator, and the administrator."""
    client = Credential("client", "robot", SecretFile("client-secret"))
    settings = UserServiceSettings(admin_email="root@shop.example")
    users = UserService().handoff(replace(Example().step(), settings=settings))
    return (Handoff(credentials=(client,)), users.model_copy(update={"credentials": (client, *users.credentials)}))


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
