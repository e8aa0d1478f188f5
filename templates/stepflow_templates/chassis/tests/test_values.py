"""Settings, entity tags, cursors, ids and the breaker: values in, values out."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notes import NotesSettings
from starlette.datastructures import URL

from chassis.breaker import CircuitBreaker, CircuitOpen
from chassis.etag import etag, if_match
from chassis.ids import uuid7
from chassis.paging import decode_cursor, encode_cursor, link_header
from chassis.problem import Problem
from chassis.settings import Settings, load

EVERYWHERE = "0.0.0.0"  # noqa: S104 - a value to be read, not bound to


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NATS_URL", "DATABASE_URL", "PORT", "HOST", "SERVICE", "INSTANCE", "LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)


def test_all_problems_of_the_configuration_are_named_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORT", "high")
    with pytest.raises(SystemExit) as stopped:
        load(NotesSettings)
    assert stopped.value.code == 78
    assert capsys.readouterr().err == (
        "error: the configuration is wrong:\n"
        "  - PORT: Input should be a valid integer, unable to parse string as an integer\n"
        "  - NATS_URL is not set (nor NATS_URL_FILE)\n"
        "  - DATABASE_URL is not set (nor DATABASE_URL_FILE)\n"
        "hint: set the environment variables named above\n"
    )


def test_secrets_come_from_files_and_are_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "nats").write_text("nats://app:hush@h:1\n")
    monkeypatch.setenv("NATS_URL_FILE", str(tmp_path / "nats"))
    monkeypatch.setenv("DATABASE_URL", "postgresql://app:hush@h:2/db")
    settings = load(NotesSettings)
    assert settings.nats_url.get_secret_value() == "nats://app:hush@h:1"
    assert "hush" not in repr(settings)


def test_a_secret_file_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NATS_URL_FILE", "/nonexistent/nats")
    with pytest.raises(SystemExit):
        load(NotesSettings)
    assert "NATS_URL_FILE: cannot read `/nonexistent/nats`: No such file or directory" in capsys.readouterr().err


def test_a_name_to_be_advertised_becomes_an_address_since_the_gateway_takes_no_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = {"notes-1": "172.18.0.5"}

    def lookup(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET6, 0, 0, "", ("fd00::5", 0)), (socket.AF_INET, 0, 0, "", (names[host], 0))]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    monkeypatch.setenv("ADVERTISE_HOST", "notes-1")
    assert settings(host=EVERYWHERE).advertised == "172.18.0.5"


@pytest.mark.parametrize("given", ["127.0.0.1", "::1"])
def test_an_address_to_be_advertised_stays_as_it_is(given: str) -> None:
    assert settings(advertise_host=given).advertised == given


def test_a_service_that_listens_everywhere_advertises_the_address_of_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "localhost")
    assert settings(host=EVERYWHERE).advertised == "127.0.0.1"
    assert settings(host="10.0.0.7").advertised == "10.0.0.7"


def test_a_host_that_does_not_know_its_own_name_is_advertised_as_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert settings(host=EVERYWHERE).advertised == "127.0.0.1"


def test_a_name_to_be_advertised_that_no_one_knows_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    for name, value in (("SERVICE", "notes"), ("NATS_URL", "nats://h:1"), ("ADVERTISE_HOST", "nowhere.invalid")):
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        load(Settings)
    assert ended.value.code == 78
    assert "ADVERTISE_HOST: Value error, `nowhere.invalid` cannot be resolved: Name or service not known" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(("pid", "name"), [(1, "notes-3f2a9c"), (812, "notes-3f2a9c-812")])
def test_a_copy_without_a_name_is_called_by_its_host_for_in_containers_all_are_process_one(
    monkeypatch: pytest.MonkeyPatch, pid: int, name: str
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "3f2a9c.example.org")
    monkeypatch.setattr(os, "getpid", lambda: pid)
    assert settings().instance_name == name
    assert settings(instance="notes-7").instance_name == "notes-7"


def settings(**given: str) -> Settings:
    return Settings.model_validate({"service": "notes", "nats_url": "nats://h:1"} | given)


def unknown(*_: object, **__: object) -> list[tuple[object, ...]]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def test_if_match_accepts_the_current_version_and_the_star_only() -> None:
    if_match('"7"', 7)
    if_match('"6", "7"', 7)
    if_match("*", 7)
    if_match(None, 7)
    for header in ('"6"', 'W/"7"', "7", ""):
        with pytest.raises(Problem) as refused:
            if_match(header, 7)
        assert (refused.value.status_code, refused.value.headers) == (412, {"ETag": etag(7)})
    with pytest.raises(Problem, match="If-Match") as missing:
        if_match(None, 7, required=True)
    assert missing.value.status_code == 428


@given(number=st.integers(-(2**63), 2**63 - 1), text=st.text())
def test_a_cursor_gives_back_the_key_that_it_was_made_of(number: int, text: str) -> None:
    identity = uuid4()
    assert decode_cursor(encode_cursor(number, text, identity), int, str, UUID) == (number, text, identity)


@given(
    cursor=st.text(max_size=30)
    | st.sampled_from([encode_cursor(float("inf")), encode_cursor(), encode_cursor([]), encode_cursor(2**63)])
)
def test_any_other_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(Problem) as refused:
        decode_cursor(cursor, int)
    assert refused.value.status_code == 422


def test_the_link_to_the_next_page_keeps_the_other_parameters() -> None:
    url = URL("http://inner:1/api/users?limit=2&q=a%26b&cursor=old")
    assert link_header(url, "new") == {"Link": '</api/users?limit=2&q=a%26b&cursor=new>; rel="next"'}
    assert link_header(url, None) == {}


def test_ids_are_of_version_7_and_sort_by_time() -> None:
    made = [uuid7() for _ in range(50)]
    assert {(one.version, one.variant) for one in made} == {(7, "specified in RFC 4122")}
    assert [one.int >> 80 for one in made] == sorted(one.int >> 80 for one in made)


def test_the_breaker_opens_after_failures_in_a_row_and_closes_after_a_success() -> None:
    now = [0.0]
    breaker = CircuitBreaker("x", failures=2, seconds=5, clock=lambda: now[0])
    breaker.failure()
    breaker.before()
    breaker.failure()
    with pytest.raises(CircuitOpen, match=r"calls to `x` are suspended for 5\.0 s"):
        breaker.before()
    now[0] = 5.1
    breaker.before()  # one is let through, to see
    with pytest.raises(CircuitOpen):
        breaker.before()
    breaker.success()
    breaker.before()
