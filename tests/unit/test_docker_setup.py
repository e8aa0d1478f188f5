"""The script that makes secrets and files in a platform that compose started, run as it is."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from stepflow.targets.docker.compose.setup.prepare import NotGivenError, prepare

Piece = str | dict[str, str]


def wanted(tmp_path: Path, files: dict[str, list[Piece]]) -> dict[str, Any]:
    """Declare that one service gets these files and one folder of its own."""
    for name in ("files", "data", "secrets"):
        (tmp_path / name).mkdir(exist_ok=True)
    return {
        "files": [{"folder": str(tmp_path / "files"), "group": os.getgid(), "files": files}],
        "folders": [{"path": str(tmp_path / "data" / "mails"), "user": os.getuid(), "group": os.getgid()}],
    }


def made(tmp_path: Path, files: dict[str, list[Piece]], **variables: str) -> list[str]:
    """Run it; gives what it wrote, below the test's folder."""
    said = prepare(wanted(tmp_path, files), tmp_path / "secrets", variables)
    return [str(Path(path).relative_to(tmp_path)) for path in said]


def mode(path: Path) -> str:
    """Return a path's permissions as `ls` does."""
    return stat.filemode(path.stat().st_mode)


def test_a_file_is_its_pieces_and_only_its_group_reads_it(tmp_path: Path) -> None:
    assert made(tmp_path, {"a/b.conf": ["x ", {"variable": "PORT"}, " y"]}, PORT="9000") == [
        "data/mails",
        "files/a/b.conf",
    ]
    assert (tmp_path / "files/a/b.conf").read_text() == "x 9000 y"
    assert mode(tmp_path / "files/a/b.conf") == "-r--r-----"
    assert mode(tmp_path / "files/a") == mode(tmp_path / "files") == "drwxr-x---"
    assert mode(tmp_path / "data/mails") == "drwx------"


def test_a_secret_is_random_made_once_and_closed(tmp_path: Path) -> None:
    files: dict[str, list[Piece]] = {
        "one": [{"secret": "s"}],
        "two": ["<", {"secret": "s"}, ">"],
        "other": [{"secret": "t"}],
    }
    made(tmp_path, files)
    first = (tmp_path / "files/one").read_text()
    assert re.fullmatch(r"[A-Za-z0-9_-]{32}", first)
    assert (tmp_path / "files/two").read_text() == f"<{first}>"
    assert (tmp_path / "files/other").read_text() != first
    assert mode(tmp_path / "secrets/s") == "-r--------"
    made(tmp_path, files)
    assert (tmp_path / "files/one").read_text() == first


def test_a_second_run_writes_nothing(tmp_path: Path) -> None:
    files: dict[str, list[Piece]] = {"a": ["1\r\n"], "b": [{"secret": "s"}]}
    assert made(tmp_path, files)
    assert made(tmp_path, files) == []


def test_a_changed_file_is_written_and_one_that_is_no_longer_wanted_goes(tmp_path: Path) -> None:
    made(tmp_path, {"a": ["1"], "b": ["2"], "c/d": [{"secret": "s"}]})
    assert made(tmp_path, {"a": ["1"], "b": ["3"]}) == ["files/b"]
    assert {path.name for path in (tmp_path / "files").rglob("*") if path.is_file()} == {"a", "b"}
    assert (tmp_path / "secrets/s").exists()


@pytest.mark.parametrize("left", ["files/.a.new", "secrets/.s.new"])
def test_what_a_killed_run_left_half_written_is_written_again(tmp_path: Path, left: str) -> None:
    files: dict[str, list[Piece]] = {"a": [{"secret": "s"}]}
    wanted(tmp_path, files)
    (tmp_path / left).write_text("half")
    made(tmp_path, files)
    assert re.fullmatch(r"[A-Za-z0-9_-]{32}", (tmp_path / "files/a").read_text())
    assert not (tmp_path / left).exists()


def test_a_secret_that_a_person_has_to_give_is_asked_for_and_then_closed(tmp_path: Path) -> None:
    files: dict[str, list[Piece]] = {"a": [{"given": "smtp"}]}
    path = tmp_path / "secrets/smtp"
    asked = f"the secret `smtp` is not there: `docker compose cp FILE setup:{path}`, then start again"
    with pytest.raises(NotGivenError, match=f"^{re.escape(asked)}$"):
        made(tmp_path, files)
    path.write_text("theirs\n")
    made(tmp_path, files)
    assert (tmp_path / "files/a").read_text() == "theirs\n"
    assert mode(path) == "-r--------"
