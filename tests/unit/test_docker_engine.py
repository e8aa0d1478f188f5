"""An engine that is not there, cannot be used, or refuses: what a user is told, and what to do."""

from __future__ import annotations

import errno
import io
import json
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer

import pytest
from docker.errors import DockerException

from stepflow.errors import MachineError, PermanentError, StepflowError, TemporaryError
from stepflow.targets.building.pull import present
from stepflow.targets.building.push import push, pushed
from stepflow.targets.docker.doctor import examine
from stepflow.targets.docker.execute import taken
from stepflow.targets.docker_api.client import Engine
from stepflow.targets.docker_api.errors import EngineRefusedError, translated
from stepflow.targets.images import IMAGES


class Cut(bytes):
    """A body that does not come to its end."""


Answers = Mapping[str, tuple[int, object]]
"""Path without the version -> status and JSON of the answer; the engine hangs up where there is none."""


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answers], UnixStreamServer]]:
    """Serve answers on a socket that `DOCKER_HOST` names."""
    started: list[tuple[UnixStreamServer, threading.Thread]] = []

    def serve(answers: Answers) -> UnixStreamServer:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                known = [each for each in answers if path.endswith(each)]
                if not known:
                    return
                status, content = answers[known[0]]
                body = content if isinstance(content, Cut) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body) + isinstance(content, Cut)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815 - http.server's name

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                pass

            def address_string(self) -> str:
                return "unix"

        socket = tmp_path / "engine.sock"
        server = UnixStreamServer(str(socket), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        started.append((server, thread))
        monkeypatch.setenv("DOCKER_HOST", f"unix://{socket}")
        return server

    yield serve
    for server, thread in started:
        server.shutdown()
        thread.join()
        server.server_close()


def failure(host: str, monkeypatch: pytest.MonkeyPatch) -> StepflowError:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(StepflowError) as caught:
        Engine().ask_now(lambda api: api.ping())
    return caught.value


def test_a_missing_socket_is_named_with_what_starts_an_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = failure(f"unix://{tmp_path}/none.sock", monkeypatch)
    assert isinstance(error, MachineError)
    assert error.message == f"no Docker engine answers at unix://{tmp_path}/none.sock: there is no such socket"
    assert error.hint == (
        "start it (`systemctl start docker`, Docker Desktop), or say where it is in `DOCKER_HOST`; "
        "`stepflow doctor --target docker`"
    )


def test_a_port_where_nothing_listens_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    error = failure("tcp://127.0.0.1:1", monkeypatch)
    assert error.message == "no Docker engine answers at tcp://127.0.0.1:1: nothing listens there"


def test_a_socket_that_this_user_may_not_open_names_the_group() -> None:
    denied = DockerException("Error while fetching server API version", PermissionError(errno.EACCES, "no"))
    error = translated(denied, "unix:///var/run/docker.sock", met=False)
    assert isinstance(error, MachineError)
    assert error.message == (
        "this user may not use the Docker engine at unix:///var/run/docker.sock: permission denied"
    )
    assert error.hint == "`sudo usermod -aG docker $USER`, then sign in again; or use a rootless engine"


@pytest.mark.parametrize("host", ["tcp://192.0.2.1:2375", "ssh://builder"])
def test_an_engine_on_another_machine_is_refused(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    error = failure(host, monkeypatch)
    assert isinstance(error, MachineError)
    assert error.message == (
        f"the Docker engine at {host} is on another machine, where its ports cannot be reached from here"
    )
    assert error.hint == "run stepflow on that machine, or unset `DOCKER_HOST`"


def test_an_engine_that_is_too_old_is_told_its_api(served: Callable[[Answers], UnixStreamServer]) -> None:
    served({"/version": (200, {"ApiVersion": "1.40"})})
    with pytest.raises(MachineError, match=r"is too old: its API is 1\.40, 1\.41 is needed") as caught:
        Engine().ask_now(lambda api: api.ping())
    assert caught.value.hint == "install Docker 20.10 or newer"


def test_a_refusal_is_told_in_the_engines_words(served: Callable[[Answers], UnixStreamServer]) -> None:
    absent = {"message": "No such container: x"}
    served({"/version": (200, {"ApiVersion": "1.41"}), "/containers/x/json": (404, absent)})
    with pytest.raises(EngineRefusedError) as caught:
        Engine().ask_now(lambda api: api.inspect_container("x"))
    assert (caught.value.status, caught.value.message) == (404, "the Docker engine refuses: No such container: x")


def test_a_full_disk_of_the_engine_is_told_with_what_frees_it(served: Callable[[Answers], UnixStreamServer]) -> None:
    full = "write /var/lib/docker/tmp/x: no space left on device"
    served({"/version": (200, {"ApiVersion": "1.41"}), "/containers/x/json": (500, {"message": full})})
    with pytest.raises(MachineError, match=f"the Docker engine has no space left: {full}") as caught:
        Engine().ask_now(lambda api: api.inspect_container("x"))
    assert caught.value.hint == (
        "`docker system df` shows what takes it, `docker image prune` frees what is not used; then `stepflow resume`"
    )


def test_an_archive_of_an_image_that_is_not_there_is_refused(served: Callable[[Answers], UnixStreamServer]) -> None:
    served({"/version": (200, {"ApiVersion": "1.41"}), "/images/get": (404, {"message": "No such image: x"})})
    with pytest.raises(EngineRefusedError) as caught:
        list(Engine().archive(["x"]))
    assert (caught.value.status, caught.value.message) == (404, "the Docker engine refuses: No such image: x")


def test_an_archive_that_ends_too_soon_is_not_taken_for_a_whole_one(
    served: Callable[[Answers], UnixStreamServer],
) -> None:
    served({"/version": (200, {"ApiVersion": "1.41"}), "/images/get": (200, Cut(b"half"))})
    with pytest.raises(TemporaryError, match=r"the Docker engine at unix://.*/engine.sock went away"):
        list(Engine().archive(["x"]))


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [("extfs", nullcontext()), ("io.containerd.snapshotter.v1", pytest.raises(PermanentError, match="denied: pushed"))],
)
async def test_a_digest_says_that_an_image_was_pushed_but_where_every_image_has_one(
    kind: str, outcome: AbstractContextManager[object], served: Callable[[Answers], UnixStreamServer], tmp_path: Path
) -> None:
    served(
        {
            "/version": (200, {"ApiVersion": "1.41"}),
            "/info": (200, {"DriverStatus": [["what", kind]]}),
            "/json": (200, {"RepoDigests": ["127.0.0.1:1/shop/old@sha256:1", "127.0.0.1:1/shop/hello@sha256:2"]}),
            "/push": (200, {"error": "denied: pushed"}),
        }
    )
    log, image = tmp_path / "log", "127.0.0.1:1/shop/hello:0"
    assert await pushed(Engine(), image) == "127.0.0.1:1/shop/hello@sha256:2"
    with outcome:
        await push(Engine(), image, "hello", log, lambda _: None)


def test_an_engine_that_hangs_up_in_the_middle_may_come_back(served: Callable[[Answers], UnixStreamServer]) -> None:
    served({"/version": (200, {"ApiVersion": "1.41"})})
    with pytest.raises(TemporaryError, match=r"the Docker engine at unix://.*/engine.sock went away"):
        Engine().ask_now(lambda api: api.inspect_container("x"))


def test_an_engine_that_was_there_and_whose_socket_is_gone_may_come_back(
    served: Callable[[Answers], UnixStreamServer], tmp_path: Path
) -> None:
    served({"/version": (200, {"ApiVersion": "1.41"}), "/_ping": (200, "OK")})
    engine = Engine()
    engine.ask_now(lambda api: api.ping())
    (tmp_path / "engine.sock").unlink()
    with pytest.raises(TemporaryError, match="went away"):
        engine.ask_now(lambda api: api.ping())


async def test_what_is_streamed_comes_as_it_comes_and_an_engine_that_ends_is_noticed() -> None:
    engine = Engine()

    def lines() -> Iterator[str]:
        yield "one"
        raise ConnectionResetError(errno.ECONNRESET, "reset")

    engine._client = engine
    engine.host = ""
    stream = engine.stream(lambda _: lines())
    assert await anext(stream) == "one"
    with pytest.raises(TemporaryError, match="went away"):
        await anext(stream)


def test_doctor_says_that_there_is_no_engine_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    [found] = examine()
    assert (found.name, found.ok) == ("docker engine", False)
    assert found.detail == f"no Docker engine answers at unix://{tmp_path}/none.sock: there is no such socket"
    assert found.remedy.startswith("start it")


def test_an_engine_that_cannot_hold_a_container_to_its_limits_is_told_so(
    served: Callable[[Answers], UnixStreamServer],
) -> None:
    limits = {"MemoryLimit": True, "CpuCfsQuota": False, "PidsLimit": False}
    info = {
        "OSType": "linux",
        "Architecture": "riscv64",
        "NCPU": 4,
        "MemTotal": 2**30,
        "Driver": "fuse-overlayfs",
        "DockerRootDir": "/nowhere",
        "SecurityOptions": ["name=seccomp,profile=default", "name=rootless"],
        **limits,
    }
    served(
        {
            "/version": (200, {"ApiVersion": "1.41", "Version": "20.10.24"}),
            "/info": (200, info),
            "/system/df": (200, {"LayersSize": 3 * 2**30}),
            "/containers/json": (200, []),
        }
    )
    found = {each.name: each for each in examine()}
    engine = found["docker engine"].detail
    assert engine.startswith("20.10.24, API 1.41, fuse-overlayfs, rootless, at unix://")
    assert engine.endswith("; it cannot limit processors, processes")
    system, memory, disk = (found[f"docker {name}"] for name in ("system", "memory", "disk"))
    assert (system.ok, system.detail) == (False, "linux riscv64, 4 processors")
    assert system.remedy == "images exist for x86_64, aarch64"
    assert (memory.ok, memory.detail, memory.remedy) == (False, "1.0 GiB for all containers", "give it 3 GiB")
    assert (disk.ok, disk.detail) == (True, "images take 3.0 GiB")


def test_the_sdk_is_not_loaded_before_the_target_is_opened() -> None:
    looked = "import sys, stepflow.targets.docker; sys.exit('docker' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", looked], check=False).returncode == 0


@pytest.mark.parametrize("asked", ["pull", "build"])
async def test_a_credential_helper_that_fails_is_told_with_where_it_is_named(
    served: Callable[[Answers], UnixStreamServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    helper = tmp_path / "docker-credential-broken"
    helper.write_text("#!/bin/sh\necho no keychain here\nexit 1\n", encoding="utf-8")
    helper.chmod(0o755)
    (tmp_path / "config.json").write_text('{"credsStore": "broken"}', encoding="utf-8")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    served({"/version": (200, {"ApiVersion": "1.41"})})
    calls = {
        "pull": lambda api: api.pull("nats", tag="2", stream=True, decode=True),
        "build": lambda api: api.build(fileobj=io.BytesIO(), custom_context=True),
    }
    with pytest.raises(MachineError, match=r"the passwords of registries cannot be read: .*no keychain here") as caught:
        await anext(Engine().stream(calls[asked]))
    assert "`credsStore` and `credHelpers` in `~/.docker/config.json`" in caught.value.hint


def test_tls_settings_without_their_files_are_told_also_by_the_doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:2376")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path / "none"))
    with pytest.raises(MachineError, match=r"the Docker engine at tcp://127.0.0.1:2376 cannot be used: Path") as caught:
        Engine()
    assert caught.value.hint == "check `DOCKER_CERT_PATH` and `DOCKER_TLS_VERIFY`, or unset them"
    [finding] = examine()
    assert (finding.ok, finding.detail) == (False, caught.value.message)


@pytest.mark.parametrize(
    "text",
    [
        "driver failed programming external connectivity: Bind for 127.0.0.1:8080 failed: port is already allocated",
        "Error starting userland proxy: listen tcp4 127.0.0.1:8080: bind: address already in use",
        "failed to bind host port for 127.0.0.1:8080:172.18.0.2:8000/tcp: address already in use",
        "failed to bind host port 127.0.0.1:8080/tcp: address already in use",
        "exposing port TCP 127.0.0.1:8080 -> 127.0.0.1:0: Only one usage of each socket address is normally permitted.",
    ],
)
def test_a_port_that_is_taken_is_found_in_the_words_of_each_engine(text: str) -> None:
    assert taken(text) == 8080


def test_what_is_refused_for_another_reason_names_no_port() -> None:
    assert taken("the network has no address left") is None
    assert taken("listen tcp4 127.0.0.1:80: bind: permission denied") is None


async def test_an_engine_without_space_for_an_image_is_told_what_frees_it_and_not_how_to_pull() -> None:
    class Full(Engine):
        async def ask(self, call: object) -> object:
            del call
            return []

        async def stream(self, call: object) -> AsyncGenerator[dict[str, str]]:
            del call
            yield {"error": "failed to register layer: write /data: no space left on device"}

    with pytest.raises(MachineError) as caught:
        await present(Full(), IMAGES["nats"], lambda _: None)
    assert caught.value.message.startswith("the image `nats:")
    assert "cannot be pulled: the Docker engine has no space left: failed to register layer" in caught.value.message
    assert caught.value.hint.startswith("`docker system df` shows what takes it")
