"""Where no engine can be had, the tests that need one say why and what to do."""

from __future__ import annotations

import private_engine
import pytest
from docker_fixtures import decline


@pytest.mark.parametrize(
    ("platform", "user", "programs", "reason"),
    [
        ("darwin", 0, "/bin", "which needs Linux, and this is darwin"),
        ("linux", 1000, "/bin", "which needs root: `sudo make docker`"),
        ("linux", 0, "", "not on this machine: dockerd, mmdebstrap, iptables, ip: `apt-get install docker.io"),
    ],
)
def test_where_no_engine_can_be_had_the_reason_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, platform: str, user: int, programs: str, reason: str
) -> None:
    monkeypatch.setattr(private_engine.sys, "platform", platform)
    monkeypatch.setattr(private_engine, "geteuid", lambda: user)
    monkeypatch.setenv("PATH", programs)
    assert reason in private_engine.refusal()


def test_without_an_engine_a_test_is_skipped_but_in_ci_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no root here"):
        decline("no root here")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no root here"):
        decline("no root here")
