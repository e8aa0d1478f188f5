"""What goes wrong on real servers: each failure says what to do, and the platform is whole again afterwards."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import psutil
import pytest

pytestmark = [pytest.mark.platform, pytest.mark.timeout(600)]

STEPFLOW = Path(sys.executable).with_name("stepflow")
GATEWAY = "# Duo\n\n## Step 1: Gateway\n- Playbook: service-discovery\n- Prompt: service discovery and API gateway\n"
USERS = "\n## Step 2: Users\n- Playbook: user-service\n- Replicas: 1\n- RelyPreviousStep: yes\n- Prompt: users\n"
Json = dict[str, Any]
T = TypeVar("T")


def eventually(ask: Callable[[], T], *, within: float = 90.0) -> T:
    """Ask until the answer is true or the time (seconds) is over; fail with the last answer."""
    deadline, pause = time.monotonic() + within, threading.Event()
    while not (answer := ask()):
        if time.monotonic() > deadline:
            pytest.fail(f"still {answer!r} after {within} s")
        pause.wait(0.02)
    return answer


class Command:
    """`stepflow` at work: what it writes goes to a file, so that one can look while it runs."""

    def __init__(self, root: Path, arguments: tuple[str, ...]) -> None:
        self._output = root.with_name(f"{root.name}.{secrets.token_hex(4)}.txt")
        with self._output.open("w") as file:
            self.process = subprocess.Popen([STEPFLOW, *arguments], cwd=root, stdout=file, stderr=subprocess.STDOUT)

    def until(self, phrase: str) -> None:
        """Wait until it wrote something, while it runs."""
        eventually(lambda: phrase in self._output.read_text() or self.process.poll() is not None)
        assert phrase in self._output.read_text(), self._output.read_text()

    def end(self, expect: int) -> str:
        """Wait for its end; give all that it wrote."""
        self.process.wait(timeout=300)
        said = self._output.read_text()
        assert self.process.returncode == expect, f"{self.process.args!r}: {self.process.returncode}\n{said}"
        assert "Traceback" not in re.sub(r"(?m)^ {4}.*$", "", said), "only a service's own log may show one"
        return said


class Directory:
    """A working directory in which `stepflow` is run."""

    def __init__(self, root: Path, document: str) -> None:
        self.root = root
        self.events = ""
        self.write(document)

    def write(self, document: str) -> None:
        (self.root / "workflow.md").write_text(document, encoding="utf-8")

    def begin(self, *arguments: str) -> Command:
        """Type a command and do not wait for its end."""
        return Command(self.root, arguments)

    def type(self, *arguments: str, expect: int = 0) -> str:
        """Run a command to its end; give all that it wrote."""
        return self.begin(*arguments).end(expect)

    def services(self) -> dict[str, Json]:
        listed: list[Json] = json.loads(self.type("status", "--json"))["services"]
        return {each["name"]: each for each in listed}

    def pids(self) -> dict[str, list[int]]:
        return {name: sorted(each["pids"]) for name, each in self.services().items()}

    def url(self) -> str:
        return str(self.services()["gateway"]["url"])

    def seen(self, name: str = "duo") -> Json:
        """Return what the supervisor recorded last."""
        with suppress(OSError):
            found: Json = json.loads((self.root / ".stepflow" / name / "local/observed.json").read_text())
            return found
        return {"processes": {}}

    def processes(self) -> list[psutil.Process]:
        """List what runs on behalf of this directory, told from its files on the command line or in the environment."""
        mark, found = f"{self.root}/.stepflow", []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                words = [*process.cmdline(), *process.environ().values()]
                if process.status() != psutil.STATUS_ZOMBIE and any(mark in word for word in words):
                    found.append(process)
        return found

    def named(self) -> list[str]:
        """Name every service that runs, once for each process."""
        found = []
        for process in self.processes():
            with suppress(psutil.Error):
                found += [process.environ()["INSTANCE"]] if "INSTANCE" in process.environ() else []
        return sorted(found)


@pytest.fixture
def directories(tmp_path: Path) -> Iterator[Callable[[str], Directory]]:
    """Makes working directories by document; nothing runs in any of them in the end."""
    made: list[Directory] = []

    def make(document: str) -> Directory:
        root = (tmp_path / str(len(made))).resolve()
        root.mkdir()
        made.append(Directory(root, document))
        return made[-1]

    yield make
    for each in made:
        take_down(each)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Directory]:
    """A gateway and a user service that stand: a test leaves them as the document says."""
    directory = Directory(tmp_path_factory.mktemp("running").resolve(), GATEWAY + USERS)
    try:
        directory.events = directory.type("run", "workflow.md", "--json")
        yield directory
    finally:
        take_down(directory)


def take_down(directory: Directory) -> None:
    for state in (directory.root / ".stepflow").glob("*/journal.db"):
        directory.type("down", "--data", "--name", state.parent.name)
    assert directory.processes() == []


def register(url: str) -> tuple[str, str]:
    email, password = f"{secrets.token_hex(6)}@example.com", secrets.token_urlsafe(16)
    body = {"email": email, "password": password, "name": "Ada"}
    assert httpx2.post(f"{url}/api/users", json=body, timeout=60).status_code == 201
    return email, password


def signs_in(url: str, email: str, password: str) -> bool:
    with suppress(httpx2.TransportError):
        answer = httpx2.post(f"{url}/api/auth/login", json={"email": email, "password": password}, timeout=60)
        return answer.status_code == 200
    return False


def test_wrong_fields_are_shown_with_their_places_before_anything_starts(
    directories: Callable[[str], Directory],
) -> None:
    wrong = GATEWAY + USERS.replace("Replicas: 1", "Replicas: many\n- Colour: red")
    directory = directories(wrong)
    said = directory.type("run", "workflow.md", expect=2)
    assert (
        "workflow.md:9:13: error[SF303]: `Replicas: many` does not fit playbook `user-service`: "
        "should be a whole number\n 9 | - Replicas: many\n   |             ^^^^\n  hint: "
    ) in said
    assert (
        "workflow.md:10:3: error[SF302]: playbook `user-service` has no input `Colour`\n"
        " 10 | - Colour: red\n    |   ^^^^^^\n  hint: one of: `Replicas`"
    ) in said
    assert said.endswith("error: 2 errors in the document\n")
    assert [path.name for path in directory.root.iterdir()] == ["workflow.md"]


@pytest.mark.parametrize("command", ["resume", "status", "logs", "verify", "down", "credentials", "open", "runs"])
def test_commands_without_a_platform_say_how_to_make_one(directories: Callable[[str], Directory], command: str) -> None:
    said = directories(GATEWAY).type(command, expect=2)
    assert said == "error: there is no platform in this directory\nhint: `stepflow run FILE` creates one\n"


def test_output_folder_that_cannot_be_written_fails_the_step_and_says_how_to_go_on(
    directories: Callable[[str], Directory],
) -> None:
    directory = directories("# Duo\n\n## Step 1: Users\n- Playbook: user-service\n- Prompt: users\n")
    (directory.root / "duo").touch()
    said = directory.type("run", "workflow.md", expect=1)
    assert f"error: step 1 (Users) failed: `{directory.root}/duo` cannot be written: " in said
    hint = "hint: make it a folder that you can write to, or choose another one with `--out`\n"
    assert f"{hint}hint: `stepflow resume` continues from here\n" in said
    assert directory.processes() == []


def test_what_stands_is_left_alone_while_the_next_step_is_interrupted_killed_resumed_and_removed(
    directories: Callable[[str], Directory],
) -> None:
    directory = directories(GATEWAY + USERS)
    run = directory.begin("run", "workflow.md")
    run.until("step 1 (Gateway): deploy")
    run.process.send_signal(signal.SIGINT)
    said = run.end(expect=130)
    assert "interrupted: step 1 will finish, nothing else starts; Ctrl-C again stops at once\n" in said
    assert "step 1 (Gateway): done in " in said
    assert "skipped: step 2 (Users), because the run ended\nhint: `stepflow resume` continues from here\n" in said
    stands = directory.pids()
    assert sorted(stands) == ["gateway", "nats", "service-discovery"]

    resume = directory.begin("resume")
    pid = eventually(lambda: directory.seen()["processes"].get("postgres", {}).get("pid", 0))
    os.kill(pid, signal.SIGKILL)  # initdb: the server itself takes a second to come
    said = resume.end(expect=1)
    assert "step 1 (Gateway): unchanged and healthy: reused\n" in said
    assert "error: step 2 (Users) failed: `postgres` ended by SIGKILL while it prepared its data\n" in said
    assert "  hint: it was killed from outside, by another process or by the kernel for lack of memory" in said
    assert "  log: `.stepflow/duo/logs/postgres.log`\nhint: `stepflow resume` continues from here\n" in said

    resume = directory.begin("resume")
    resume.until("step 2 (Users): deploy")
    resume.process.send_signal(signal.SIGINT)
    resume.until("interrupted: step 2 will finish")
    resume.process.send_signal(signal.SIGINT)
    said = resume.end(expect=130)
    assert "stopping step 2\n" in said
    assert "stopped: step 2 (Users), in the phase deploy\nhint: `stepflow resume` continues from here\n" in said

    assert "`duo` succeeded in " in directory.type("resume")
    assert directory.pids().items() > stands.items()
    assert directory.named().count("user-service-1") == 1

    directory.write(GATEWAY)
    assert "  remove   postgres: no step needs it any more; its data stays\n" in directory.type("plan", "workflow.md")
    said = directory.type("run", "workflow.md")
    assert "removed `user-service`: its step is gone from the document\n" in said
    assert "removed `postgres`: no step needs it any more; its data stays\n" in said
    assert not {"user-service-1", "postgres"} & {*directory.named()}
    assert directory.pids().items() >= stands.items()


def test_strangers_on_its_ports_and_a_killed_engine_leave_one_whole_platform(
    directories: Callable[[str], Directory],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        wish = stranger.getsockname()[1]
        directory = directories(f"{GATEWAY}- GatewayPort: {wish}\n")
        run = directory.begin("run", "workflow.md")
        run.until("`gateway-1/http` gets ")  # port 8500 may be taken as well
        run.process.kill()
        said = run.end(expect=-signal.SIGKILL)
        owner = f"`{psutil.Process().name()}` (pid {os.getpid()})"
        got = re.search(rf"port {wish} is taken by {re.escape(owner)}: `gateway-1/http` gets (\d+) instead\n", said)
        assert got, said
        directory.type("resume")
        assert directory.url() == f"http://127.0.0.1:{got[1]}"
        assert directory.named() == sorted(set(directory.named()))

        directory.type("down")
        assert directory.processes() == []
        with socket.create_server(("127.0.0.1", int(got[1]))):
            assert f"port {wish} is taken by {owner}: " in directory.type("run", "workflow.md")
            assert httpx2.get(directory.url()).status_code == 200


def test_changed_field_reruns_its_step_alone_and_names_it(running: Directory) -> None:
    before, document = running.pids(), (running.root / "workflow.md").read_text()
    running.write(document.replace("Replicas: 1", "Replicas: 2"))
    said = running.type("run", "workflow.md")
    assert "step 1 (Gateway): unchanged and healthy: reused\n" in said
    assert "step 2 (Users): rerun: field `Replicas` changed 1 -> 2" in said
    after = running.pids()
    assert len(after.pop("user-service")) == 2
    assert after.items() < before.items()


def test_service_that_its_user_broke_shows_its_traceback_and_is_repaired_by_resume(running: Directory) -> None:
    before = running.pids()
    source = running.root / "duo/user-service/src/service/account.py"
    good = source.read_text()
    source.write_text(f"def broken(:\n{good}")
    said = running.type("run", "workflow.md", expect=1)
    assert "step 2 (Users): rerun: edited by you: user-service/src/service/account.py\n" in said
    assert re.search(
        r"error: step 2 \(Users\) failed: `user-service-\d+` exited with code 1 before it was ready\n", said
    )
    assert f'      File "{source}", line 1\n        def broken(:\n' in said
    assert re.search(r"  log: `\.stepflow/duo/logs/user-service-\d+\.log`\nhint: `stepflow resume` continues", said)

    source.write_text(mine := f"{good}\n# mine\n")
    said = running.type("resume")
    assert "step 1 (Gateway): unchanged and healthy: reused\n" in said
    assert re.search(r"step 2 \(Users\): render: \d+ files, 1 kept as you edited them\n", said)
    assert source.read_text() == mine
    assert {name: pids for name, pids in running.pids().items() if before[name] != pids}.keys() == {"user-service"}


def test_killed_supervisor_and_guardian_come_back_and_no_account_is_lost(running: Directory) -> None:
    account = register(url := running.url())
    old = running.seen()
    os.kill(old["guardian"], signal.SIGKILL)
    eventually(lambda: running.seen()["guardian"] != old["guardian"])
    assert running.seen()["supervisor"] == old["supervisor"]
    os.kill(old["supervisor"], signal.SIGKILL)
    eventually(lambda: running.seen()["supervisor"] != old["supervisor"])
    eventually(lambda: signs_in(url, *account))

    pair = running.seen()
    for number in (signal.SIGSTOP, signal.SIGKILL):  # neither is quick enough to replace the other
        for each in ("supervisor", "guardian"):
            os.kill(pair[each], number)
    eventually(lambda: running.processes() == [])
    said = running.type("status")
    assert "the platform's supervisor does not run" in said
    assert said.endswith("hint: `stepflow resume` starts what is down\n")
    running.type("run", "workflow.md")
    assert signs_in(running.url(), *account)
    assert running.named() == sorted(set(running.named()))


def test_account_is_still_there_after_down_and_run(running: Directory) -> None:
    account = register(running.url())
    assert "left `.stepflow/duo`: data, secrets and the record" in running.type("down")
    assert running.processes() == []
    assert "Starting nats-server" in running.type("logs", "nats", "-n", "1000")
    assert "error: there is no log of `nobody`\nhint: there is: gateway, " in running.type("logs", "nobody", expect=2)
    running.type("run", "workflow.md")
    assert signs_in(running.url(), *account)


def test_second_platform_of_a_directory_has_everything_of_its_own(running: Directory) -> None:
    before = running.pids()
    (running.root / "second.md").write_text(GATEWAY)
    try:
        running.type("run", "second.md", "--name", "second")
        assert running.type("status", expect=2) == (
            "error: there are 2 platforms in this directory\nhint: say which: `--name duo`, `--name second`\n"
        )
        two = [json.loads(running.type("status", "--json", "--name", name)) for name in ("duo", "second")]
        pids, urls = ([{str(s[key]) for s in each["services"]} for each in two] for key in ("pids", "url"))
        assert not pids[0] & pids[1]
        assert not urls[0] & urls[1]
    finally:
        running.type("down", "--data", "--name", "second")
    assert running.pids() == before


def test_no_secret_stands_in_a_log_an_event_a_command_line_or_an_environment(running: Directory) -> None:
    state = running.root / ".stepflow"
    texts = [path.read_text().strip() for path in (state / "duo/secrets").iterdir() if path.is_file()]
    values = {re.sub(r"^\w+://[^:]*:([^@]*)@.*$", r"\1", text) for text in texts}
    values.add(json.loads(running.type("credentials", "--json"))["admin"]["password"])
    needles = [value.encode() for value in values if len(value) >= 16]
    assert len(needles) >= 3

    def shown(text: bytes) -> bool:
        return any(needle in text for needle in needles)

    private = {state / "duo/secrets", state / "duo/local/configs"}
    for path in running.root.rglob("*"):
        if path.is_file() and not private & set(path.parents):
            assert not shown(path.read_bytes()), path
    for path in (state / "duo/local/configs").rglob("*"):
        assert path.is_dir() or path.stat().st_mode & 0o777 == 0o600, path
    assert not shown(running.events.encode())
    for process in running.processes():
        with suppress(psutil.Error):
            assert not shown(" ".join([*process.cmdline(), *process.environ().values()]).encode()), process
