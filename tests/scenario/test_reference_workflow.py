"""A newcomer runs the reference workflow on one machine and uses what came out of it.

The journey is made here by a client of its own, through the gateway, without a line of the playbooks' checks.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import httpx2
import psutil
import pytest

pytestmark = [pytest.mark.platform, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
STEPFLOW = Path(sys.executable).with_name("stepflow")
PLATFORM = "microservices-architecture-development-workflow"
Json = dict[str, Any]
T = TypeVar("T")


def eventually(ask: Callable[[], T], *, within: float = 90.0) -> T:
    """Ask until the answer is true or the time (seconds) is over; fail with the last answer."""
    deadline = time.monotonic() + within
    pause = threading.Event()
    while not (answer := ask()):
        if time.monotonic() > deadline:
            pytest.fail(f"still {answer!r} after {within} s")
        pause.wait(0.05)
    return answer


def stepflow(cwd: Path, *arguments: str, expect: int = 0) -> str:
    """Run the command as a person would, and give what it wrote to stdout."""
    done = subprocess.run([STEPFLOW, *arguments], cwd=cwd, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == expect, f"{arguments}: {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@dataclass(frozen=True)
class Platform:
    """A running platform: the directory it was started in, its gateway, what the run reported."""

    cwd: Path
    gateway: str
    events: tuple[Json, ...]

    def status(self) -> Json:
        status: Json = json.loads(stepflow(self.cwd, "status", "--json"))
        return status

    def client(self, token: str = "") -> httpx2.Client:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx2.Client(base_url=self.gateway, headers=headers, timeout=60)

    def sign_in(self, email: str, password: str) -> httpx2.Client:
        with self.client() as http:
            answer = http.post("/api/auth/login", json={"email": email, "password": password})
        assert answer.status_code == 200, answer.text
        return self.client(answer.json()["access_token"])

    def admin(self) -> httpx2.Client:
        admin = json.loads(stepflow(self.cwd, "credentials", "--json"))["admin"]
        return self.sign_in(admin["email"], admin["password"])

    def new_user(self) -> tuple[str, httpx2.Client]:
        email, password = f"{secrets.token_hex(6)}@example.com", secrets.token_urlsafe(16)
        with self.client() as http:
            made = http.post("/api/users", json={"email": email, "password": password, "name": "Ada"})
        assert made.status_code == 201, made.text
        return email, self.sign_in(email, password)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    cwd = tmp_path_factory.mktemp("newcomer")
    shutil.copy(ROOT / "examples/microservices/workflow.md", cwd / "workflow.md")
    try:
        lines = stepflow(cwd, "run", "workflow.md", "--json").splitlines()
        status = json.loads(stepflow(cwd, "status", "--json"))
    except BaseException:
        subprocess.run([STEPFLOW, "down", "--data"], cwd=cwd, capture_output=True, check=False)
        raise
    yield Platform(cwd, status["endpoints"]["gateway"], tuple(json.loads(line) for line in lines))
    take_down_and_look(cwd)


def take_down_and_look(cwd: Path) -> None:
    """Take the platform down; no process, no port, no file outside its own folders is left."""
    status = json.loads(stepflow(cwd, "status", "--json"))
    pids = [int(pid) for service in status["services"] for pid in service["pids"]]
    port = int(status["endpoints"]["gateway"].rsplit(":", 1)[1].strip("/"))
    stepflow(cwd, "down", "--data")
    assert len(pids) >= len(status["services"])
    assert [pid for pid in pids if _alive(pid)] == []
    assert [p for p in psutil.process_iter(["cmdline"]) if str(cwd) in " ".join(p.info["cmdline"] or [])] == []
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    assert {p.name for p in cwd.iterdir()} <= {"workflow.md", ".stepflow", PLATFORM}
    assert list((cwd / ".stepflow").iterdir()) == []


def order(http: httpx2.Client, sku: str, payment: str = "tok_ok") -> Json:
    """Place an order and wait for what became of it."""
    body = {"items": [{"sku": sku, "quantity": 1}], "payment": {"token": payment}}
    placed = http.post("/api/orders", json=body, headers={"Idempotency-Key": secrets.token_hex(8)})
    assert placed.status_code == 202, placed.text
    return eventually(lambda: settled_order(http, placed.json()["id"]))


def settled_order(http: httpx2.Client, order_id: str) -> Json:
    """The order once it is no longer pending; until then, and while something that was killed starts, nothing."""
    answer = http.get(f"/api/orders/{order_id}")
    found: Json = answer.json() if answer.status_code == 200 else {"status": "pending"}
    return found if found["status"] != "pending" else {}


def a_product(http: httpx2.Client) -> Json:
    return next(p for p in _products(http) if p["sku"] != "OUT-OF-STOCK" and p["stock"] > 3)


def stock_of(http: httpx2.Client, sku: str) -> int:
    return next(int(p["stock"]) for p in _products(http) if p["sku"] == sku)


def _products(http: httpx2.Client) -> list[Json]:
    products: list[Json] = http.get("/api/products").json()["items"]
    return products


def test_all_eight_steps_succeed_and_every_outcome_is_answered(platform: Platform) -> None:
    finished = platform.events[-1]
    assert finished["event"] == "run_finished"
    assert finished["status"] == "succeeded"
    assert len(finished["outcomes"]) == 7
    assert [o for o in finished["outcomes"] if o["verdict"] != "verified" or not o["evidence"]] == []
    states = {s["name"]: s["state"] for s in platform.status()["services"]}
    assert {n for n, s in states.items() if s != "ready"} == set(), states


def test_run_of_the_workflow_leaves_no_trace_of_its_checks_in_the_shops_figures(platform: Platform) -> None:
    """The shop has not opened yet: after the run with its journeys there is an administrator, and the whole stock."""
    catalogue = json.loads((platform.cwd / PLATFORM / "order-service/src/service/catalogue.json").read_text("utf-8"))
    with platform.admin() as admin:
        eventually(lambda: no_test_is_left(admin))
        assert {p["sku"]: p["stock"] for p in _products(admin)} == {p["sku"]: p["stock"] for p in catalogue}
        assert [user["name"] for user in items(admin, "/api/users")] == ["Administrator"]
        assert items(admin, "/api/orders") == []
        assert {note["user_id"] for note in items(admin, "/api/notifications")} == {admin_id(admin)}
        assert len(items(admin, "/mailbox/api/messages")) == 1
        assert report(admin, "daily-revenue") == report(admin, "top-products") == []
        assert {row["orders"] for row in report(admin, "order-funnel")} == {0}
        growth = [(row["registered"], row["deleted"], row["total"]) for row in report(admin, "user-growth")]
        assert growth == [(1, 0, 1)]
        assert [row["messages"] for row in report(admin, "notification-outcomes")] == [1]


def test_chaos_is_left_out_of_a_run_and_its_outcome_says_so(platform: Platform) -> None:
    mesh = platform.events[-1]["outcomes"][0]
    left_out = "left out, since it kills a replica: `stepflow verify --chaos` includes it"
    assert mesh["evidence"][-1] == f"a killed instance goes unnoticed: {left_out}"
    assert [service["restarts"] for service in platform.status()["services"] if service.get("restarts")] == []


def test_user_registers_signs_in_and_sees_only_their_own_account(platform: Platform) -> None:
    email, http = platform.new_user()
    _, other = platform.new_user()
    with http, other:
        me = http.get("/api/users/me")
        assert (me.status_code, me.json()["email"]) == (200, email)
        assert other.get(f"/api/users/{me.json()['id']}").status_code in {403, 404}


def test_order_with_a_good_token_is_confirmed_and_takes_from_stock(platform: Platform) -> None:
    _, http = platform.new_user()
    with http:
        product = a_product(http)
        settled = order(http, product["sku"])
        assert settled["status"] == "confirmed", settled
        eventually(lambda: stock_of(http, product["sku"]) < product["stock"])


def test_declined_order_is_cancelled_with_its_reason_and_the_stock_comes_back(platform: Platform) -> None:
    _, http = platform.new_user()
    with http:
        product = a_product(http)
        settled = order(http, product["sku"], "tok_declined")
        assert settled["status"] == "cancelled"
        assert "declined" in settled["reason"]
        eventually(lambda: stock_of(http, product["sku"]) == product["stock"])


def test_order_of_something_out_of_stock_is_cancelled(platform: Platform) -> None:
    _, http = platform.new_user()
    with http:
        assert order(http, "OUT-OF-STOCK")["status"] == "cancelled"


def test_welcome_mail_arrives_once(platform: Platform) -> None:
    email, http = platform.new_user()
    with http, platform.admin() as admin:

        def subjects() -> list[str]:
            found = admin.get("/mailbox/api/messages", params={"to": email}).json()["items"]
            return [message["subject"].lower() for message in found]

        eventually(subjects)
        assert len([subject for subject in subjects() if "welcome" in subject]) == 1


def test_report_counts_a_confirmed_order_within_seconds(platform: Platform) -> None:
    _, http = platform.new_user()
    with http, platform.admin() as admin:

        def revenue() -> int:
            return sum(int(row["revenue"]) for row in admin.get("/api/reports/daily-revenue").json()["rows"])

        before = revenue()
        total = order(http, a_product(http)["sku"])["total"]
        eventually(lambda: revenue() >= before + total)


def test_one_trace_shows_an_order_through_at_least_four_services(platform: Platform) -> None:
    _, http = platform.new_user()
    trace = secrets.token_hex(16)
    http.headers["traceparent"] = f"00-{trace}-{secrets.token_hex(8)}-01"
    with http, platform.admin() as admin:
        body = {"items": [{"sku": a_product(http)["sku"], "quantity": 1}], "payment": {"token": "tok_ok"}}
        assert http.post("/api/orders", json=body).status_code == 202

        def services() -> set[str]:
            answer = admin.get(f"/observability/api/traces/{trace}")
            return {s["service"] for s in answer.json()["spans"]} if answer.status_code == 200 else set()

        eventually(lambda: services() >= {"gateway", "order-service", "payment-provider", "notification-service"})


@pytest.mark.parametrize(
    "path", ["/api/users/me", "/api/orders", "/api/reports/daily-revenue", "/observability/api/logs"]
)
def test_call_without_a_token_gets_401_that_says_how_to_authenticate(platform: Platform, path: str) -> None:
    with platform.client() as http:
        answer = http.get(path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["content-type"].startswith("application/problem+json")


def test_client_credentials_give_a_token_that_is_accepted_where_its_scope_allows(platform: Platform) -> None:
    client = json.loads(stepflow(platform.cwd, "credentials", "--json"))["clients"][0]
    with platform.client() as http:
        answer = http.post(
            "/oauth2/token",
            data={"grant_type": "client_credentials", "scope": "reports:read"},
            auth=(client["client_id"], client["client_secret"]),
        )
    assert answer.status_code == 200, answer.text
    with platform.client(answer.json()["access_token"]) as http:
        assert http.get("/api/reports/daily-revenue").status_code == 200
        assert http.get("/api/users").status_code == 403


def test_flood_is_answered_with_429_and_when_to_come_back_while_others_are_served(platform: Platform) -> None:
    _, flooding = platform.new_user()
    _, other = platform.new_user()
    with flooding, other:
        answers = (flooding.get("/api/products") for _ in range(2000))
        limited = next((a for a in answers if a.status_code == 429), None)
        assert limited is not None, "2000 requests in a row and none was refused"
        assert int(limited.headers["retry-after"]) >= 0
        assert "ratelimit" in limited.headers
        assert "ratelimit-policy" in limited.headers
        assert limited.json()["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
        assert other.get("/api/products").status_code == 200


def test_second_run_does_nothing_and_says_why(platform: Platform) -> None:
    events = [json.loads(line) for line in stepflow(platform.cwd, "run", "workflow.md", "--json").splitlines()]
    assert events[-1]["status"] == "succeeded"
    assert not [e for e in events if e["event"] == "phase_started" and e.get("phase") in {"render", "deploy"}]
    assert "reused" in stepflow(platform.cwd, "plan", "workflow.md")


def test_kill_of_any_one_process_is_repaired_within_seconds_and_no_order_is_lost(platform: Platform) -> None:
    _, http = platform.new_user()
    with http:
        mine = [order(http, a_product(http)["sku"])["id"]]
        for service in platform.status()["services"]:
            psutil.Process(int(service["pids"][0])).kill()
            eventually(lambda name=service["name"], was=service["pids"]: _is_back(platform, name, was))
            eventually(lambda: http.get("/api/products").status_code == 200)
            mine.append(order(http, a_product(http)["sku"])["id"])
        assert {http.get(f"/api/orders/{each}").json()["status"] for each in mine} == {"confirmed"}


def _is_back(platform: Platform, name: str, was: list[int]) -> bool:
    now = next(s for s in platform.status()["services"] if s["name"] == name)
    return now["state"] == "ready" and now["pids"][:1] not in ([], was[:1])


def test_verify_repeats_the_outcomes_and_leaves_the_books_as_they_are(platform: Platform) -> None:
    """To the cent, while a customer has ordered: figures, stock, charges, mails, and each row of the event store."""
    _, http = platform.new_user()
    with http, platform.admin() as admin:
        total = order(http, a_product(http)["sku"])["total"]
        assert total > 0
        eventually(lambda: [note["status"] for note in items(http, "/api/notifications")] == ["sent", "sent"])
        books = eventually(lambda: settled_books(platform, admin))
        eventually(lambda: killed_while_it_orders(platform))
        assert items(admin, "/api/users?test=true")
        assert "Service mesh with API gateway" in stepflow(platform.cwd, "verify", "--chaos")
        eventually(lambda: no_test_is_left(admin))
        after = eventually(lambda: settled_books(platform, admin))
        assert after == books


def killed_while_it_orders(platform: Platform) -> bool:
    """Kill a verification as soon as it has ordered something; whether it could not delete its account."""
    verification = subprocess.Popen([STEPFLOW, "verify"], cwd=platform.cwd, stdout=subprocess.DEVNULL)
    eventually(lambda: rows_of(platform, "orders", {"marked": "SELECT stream FROM events WHERE test"})["marked"])
    verification.kill()
    verification.wait()
    return bool(rows_of(platform, "users", {"left": "SELECT email FROM users WHERE test"})["left"])


def settled_books(platform: Platform, admin: httpx2.Client) -> Json:
    """What the shop remembers and shows, once nothing is under way; nothing while something is."""
    freshness = admin.get("/api/reports/freshness").json()
    first = books_of(platform, admin)
    return first if freshness["seconds_behind"] == 0 and first == books_of(platform, admin) else {}


def books_of(platform: Platform, admin: httpx2.Client) -> Json:
    names = ("daily-revenue", "top-products", "order-funnel", "user-growth", "notification-outcomes")
    shown: Json = {name: report(admin, name) for name in names}
    lists = ("/api/products", "/api/users", "/api/orders", "/api/notifications", "/mailbox/api/messages")
    shown |= {path: items(admin, path) for path in lists}
    shown["loaded"] = [each["rows"] for each in admin.get("/api/reports/freshness").json()["streams"]]
    shown["sessions"] = len(items(admin, "/api/users/me/sessions"))
    orders = ("events", "snapshots", "sagas", "order_view", "product_view")
    stored = {"orders": {table: f"SELECT to_jsonb(t) FROM {table} t" for table in orders}}  # noqa: S608 - ours
    stored["payments"] = {"charged": "SELECT to_jsonb(p) FROM payments p WHERE NOT test"}
    stored["users"] = {"users": "SELECT to_jsonb(u) FROM users u"}
    stored["notifications"] = {"messages": "SELECT to_jsonb(m) FROM messages m"}
    return shown | {database: rows_of(platform, database, queries) for database, queries in stored.items()}


def rows_of(platform: Platform, database: str, queries: Json) -> dict[str, list[str]]:
    url = (platform.cwd / f".stepflow/{PLATFORM}/secrets/postgres-{database}.url").read_text(encoding="utf-8").strip()

    async def read() -> dict[str, list[str]]:
        connection = await asyncpg.connect(url)
        try:
            return {name: sorted(row[0] for row in await connection.fetch(sql)) for name, sql in queries.items()}
        finally:
            await connection.close()

    return asyncio.run(read())


def no_test_is_left(admin: httpx2.Client) -> bool:
    """Whether no test account is left, nor what it ordered and was told."""
    return not any(items(admin, f"/api/{what}?test=true") for what in ("users", "orders", "notifications"))


def report(admin: httpx2.Client, name: str) -> list[Json]:
    rows: list[Json] = admin.get(f"/api/reports/{name}").json()["rows"]
    return rows


def items(http: httpx2.Client, path: str) -> list[Json]:
    """All items of a list, page by page."""
    found: list[Json] = []
    page: Json = {"next": ""}
    while page["next"] is not None:
        cursor = f"{'&' if '?' in path else '?'}cursor={page['next']}" if page["next"] else ""
        page = {"next": None} | http.get(path + cursor).json()
        found += page["items"]
    return found


def admin_id(admin: httpx2.Client) -> str:
    return str(admin.get("/api/users/me").json()["id"])


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
