"""Writing a rendered tree: what the user edited is theirs, and nothing lands outside the root."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from tests.unit.rights import as_somebody_else

from stepflow.engine.disk import compare
from stepflow.errors import PermanentError
from stepflow.render import Written, digest, write_tree
from stepflow.render.tree import require_paths

LONG = "has a name of 256 bytes, and a file's name has 255 at most"
OLD, NEW, MINE = b"old", b"new", b"mine"


def put(root: Path, path: str, content: bytes) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(content)


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_first_write_creates_everything_and_a_second_changes_nothing(tmp_path: Path) -> None:
    tree = {"a/b.txt": OLD, "c.txt": NEW}
    first = write_tree(tmp_path / "out", tree, {})
    assert first == Written(created=("a/b.txt", "c.txt"), base={"a/b.txt": digest(OLD), "c.txt": digest(NEW)})
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.txt")}
    second = write_tree(tmp_path / "out", tree, first.base)
    assert second == Written(identical=("a/b.txt", "c.txt"), base=first.base)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.txt")} == before
    assert files(tmp_path / "out") == tree


@pytest.mark.parametrize(
    ("there", "base", "rendered", "outcome", "after", "recorded"),
    [
        (OLD, OLD, NEW, "updated", NEW, NEW),
        (MINE, OLD, OLD, "kept", MINE, OLD),
        (MINE, OLD, NEW, "conflicts", MINE, OLD),
        (MINE, None, NEW, "conflicts", MINE, None),
        (NEW, None, NEW, "identical", NEW, NEW),
        (NEW, OLD, NEW, "identical", NEW, NEW),
        (None, OLD, OLD, "created", OLD, OLD),
        (OLD, OLD, None, "removed", None, None),
        (MINE, OLD, None, "kept", MINE, None),
        (None, OLD, None, "", None, None),
    ],
)
def test_three_ways(  # noqa: PLR0917 - the columns of a table
    tmp_path: Path,
    there: bytes | None,
    base: bytes | None,
    rendered: bytes | None,
    outcome: str,
    after: bytes | None,
    recorded: bytes | None,
) -> None:
    """What was there, what was rendered last, what is rendered now; and what comes of it."""
    if there is not None:
        put(tmp_path, "d/f", there)
    tree = {} if rendered is None else {"d/f": rendered}
    report = write_tree(tmp_path, tree, {} if base is None else {"d/f": digest(base)})
    assert [name for name in Written.__slots__ if name != "base" and getattr(report, name)] == (
        [outcome] if outcome else []
    )
    assert files(tmp_path) == ({} if after is None else {"d/f": after})
    assert report.base == ({} if recorded is None else {"d/f": digest(recorded)})
    assert outcome != "removed" or not (tmp_path / "d").exists()


def test_the_new_text_of_a_conflict_is_put_beside_only_if_asked_and_then_counts_as_seen(tmp_path: Path) -> None:
    put(tmp_path, "f", MINE)
    report = write_tree(tmp_path, {"f": NEW}, {"f": digest(OLD)}, beside=True)
    assert report.conflicts == ("f",)
    assert files(tmp_path) == {"f": MINE, "f.stepflow-new": NEW}
    assert write_tree(tmp_path, {"f": NEW}, report.base).kept == ("f",)


@pytest.mark.parametrize("path", ["../f", "/f", "a/../../f", "a//f", "./f", "", "a\\f", "a\0f"])
def test_a_path_that_leaves_the_root_is_refused_before_anything_is_written(tmp_path: Path, path: str) -> None:
    with pytest.raises(PermanentError, match="would be written outside of"):
        write_tree(tmp_path / "out", {"good": NEW, path: NEW}, {})
    with pytest.raises(PermanentError, match="would be written outside of"):
        write_tree(tmp_path / "out", {}, {path: digest(NEW)})
    assert files(tmp_path) == {}


def test_a_folder_that_is_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermanentError, match="is a symbolic link where a folder is needed") as raised:
        write_tree(tmp_path / "out", {"a/f": NEW}, {})
    assert raised.value.hint == f"move `{tmp_path / 'out/a'}` away, then run again"
    assert files(tmp_path / "elsewhere") == {}


def test_a_file_that_is_a_symbolic_link_is_the_users_and_not_written_through(tmp_path: Path) -> None:
    put(tmp_path, "secret", OLD)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/f").symlink_to(tmp_path / "secret")
    report = write_tree(tmp_path / "out", {"f": NEW, "g": NEW}, {"f": digest(OLD)})
    assert (report.conflicts, report.created) == (("f",), ("g",))
    assert (tmp_path / "secret").read_bytes() == OLD


def test_a_folder_where_a_file_belongs_is_a_conflict_and_a_file_where_a_folder_belongs_is_said(tmp_path: Path) -> None:
    put(tmp_path, "f/inner", MINE)
    assert write_tree(tmp_path, {"f": NEW}, {}).conflicts == ("f",)
    with pytest.raises(PermanentError, match="is a file where a folder is needed"):
        write_tree(tmp_path, {"f/inner/deep": NEW}, {})


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (("good", "../f"), "it renders `../f`, which would be written outside of the output folder"),
        (("a\0f",), "it renders `a\0f`, which would be written outside of the output folder"),
        (
            ("a/" + "n" * 256,),
            f"it renders `a/{'n' * 256}`, which has a name of 256 bytes, and a file's name has 255 at most",
        ),
        (("ü" * 128,), f"it renders `{'ü' * 128}`, which has a name of 256 bytes, and a file's name has 255 at most"),
        (("\ud800",), "it renders `\ud800`, which is not Unicode text"),
        (("a", "a/b/c"), "it renders `a/b/c` and `a`, which cannot be a file and a folder at once"),
    ],
)
def test_paths_that_cannot_be_files_are_found_before_anything_is_written(paths: tuple[str, ...], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        require_paths(paths)


def test_the_longest_name_there_is_can_be_written(tmp_path: Path) -> None:
    name = "ü" * 127 + "x"
    require_paths((name,))
    assert write_tree(tmp_path, {name: NEW}, {}).created == (name,)


def test_a_file_that_cannot_be_read_is_an_error_and_not_kept(open_to_all: Path) -> None:
    put(open_to_all / "out", "f", OLD)
    (open_to_all / "out/f").chmod(0o200)
    with as_somebody_else(open_to_all / "out"), pytest.raises(PermanentError) as raised:
        write_tree(open_to_all / "out", {"f": NEW}, {"f": digest(OLD)})
    assert raised.value.message == f"`{open_to_all / 'out/f'}` cannot be read: Permission denied"
    assert raised.value.hint == "make it readable for your account, or move it away, then run again"
    with (
        as_somebody_else(open_to_all / "out"),
        pytest.raises(PermanentError, match="cannot be read: Permission denied"),
    ):
        compare({"f": digest(NEW)}, {"f": digest(OLD)}, (), open_to_all / "out")


def test_a_socket_in_the_place_of_a_file_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as there:
        there.bind("f")
        assert write_tree(tmp_path, {"f": NEW}, {}).conflicts == ("f",)
        assert compare({"f": digest(NEW)}, {}, (), tmp_path).diff.conflicts == ("f",)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "f", OLD)

    def fail(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="the disk is full"):
        write_tree(tmp_path, {"f": NEW}, {"f": digest(OLD)})
    assert files(tmp_path) == {"f": OLD}
