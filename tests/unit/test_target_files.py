"""What targets write is whole, private, and in its folder."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stepflow.errors import PermanentError
from stepflow.handoff import SecretFile
from stepflow.targets.resolved import resolve
from stepflow.targets.secretfiles import require_given, secret_file, secret_text
from stepflow.targets.wholefile import remove_folder, write_whole
from stepflow.workload import HttpProbe, Workload


def test_a_file_is_replaced_as_a_whole_and_left_alone_when_it_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, "one")
    before = path.stat()
    write_whole(path, "one")
    assert path.stat() == before
    write_whole(path, "two")
    assert path.read_text() == "two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_secret_is_made_once_random_and_private(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        texts = set(pool.map(lambda _: secret_file(tmp_path, "admin").read_text(), range(32)))
    assert len(texts) == 1
    assert len(texts.pop()) == 32
    assert stat.S_IMODE(secret_file(tmp_path, "admin").stat().st_mode) == 0o600
    assert secret_file(tmp_path, "other").read_text() != secret_text(tmp_path, "admin")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["admin", "other"]


def test_a_secret_that_is_gone_is_said_and_not_made_by_who_reads_it(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=r"^the secret `admin` is gone$") as failure:
        secret_text(tmp_path, "admin")
    hint = (
        f"put `{tmp_path}/admin` back, or `stepflow resume` makes another one (accounts made with the old one keep it)"
    )
    assert failure.value.hint == hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../x", "", "a/b", ".hidden", "a\n", "a b"])
def test_a_secret_cannot_be_outside_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(PermanentError, match="cannot be a file name here"):
        secret_file(tmp_path, name)


def test_a_secret_that_only_a_person_knows_is_asked_for_and_never_made(tmp_path: Path) -> None:
    env = {"MADE_FILE": SecretFile("made"), "PASSWORD_FILE": SecretFile("smtp-password", given=True)}
    workloads = (resolve(Workload("mailer", ("python",), HttpProbe("/"), env=env)),)
    with pytest.raises(PermanentError) as failure:
        require_given(tmp_path, workloads)
    assert failure.value.message == "`mailer` needs the secret `smtp-password`, which only you know"
    assert failure.value.hint == f"write it into `{tmp_path}/smtp-password` (mode 0600), then type the same again"
    assert list(tmp_path.iterdir()) == []
    require_given(tmp_path, workloads, {"smtp-password"})
    with pytest.raises(PermanentError) as failure:
        require_given(tmp_path / "secrets", workloads)
    assert failure.value.hint.startswith(
        f"`mkdir -p -m 700 {tmp_path}/secrets`, write it into `{tmp_path}/secrets/smtp"
    )
    (tmp_path / "smtp-password").write_text("grün", encoding="utf-8")
    require_given(tmp_path, workloads)
    assert secret_text(tmp_path, "smtp-password") == "grün"


def test_a_folder_behind_a_symbolic_link_is_removed_with_the_link(tmp_path: Path) -> None:
    (tmp_path / "disk/data").mkdir(parents=True)
    (tmp_path / "data").symlink_to(tmp_path / "disk")
    remove_folder(tmp_path / "data")
    assert list(tmp_path.iterdir()) == []
