"""Which platform a document means: its own one, wherever the file is and whatever its title, and no other's."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepflow.cli import main
from stepflow.workflow import former_slug, parse, slug

STEPS = """
## Step 1: One
- Playbook: shell
- Prompt: echo one >> effects

## Step 2: Two
- Playbook: shell
- Prompt: echo two >> effects
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty directory where `w.md` was run as `shop`."""
    monkeypatch.chdir(tmp_path)
    write("w.md", "Shop")
    return tmp_path


def write(file: str, *titles: str, steps: str = STEPS) -> None:
    Path(file).parent.mkdir(exist_ok=True)
    Path(file).write_text("".join(f"# {title}\n{steps}\n" for title in titles), encoding="utf-8")


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """Run a document and give the name of its platform, or what is said where it is refused."""
    capsys.readouterr()
    assert main(["run", *arguments]) == code
    out, err = capsys.readouterr()
    return err if code else out.partition("run ")[2].partition("`")[2].partition("`")[0]


def platforms() -> set[str]:
    return {path.name for path in Path(".stepflow").iterdir()}


def test_title_that_was_corrected_is_asked_about_once_and_starts_no_second_platform(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(capsys, "w.md") == "shop"
    write("w.md", "Web Shop")
    assert run(capsys, "w.md", code=2) == (
        "error: `w.md` ran as `shop`, and its title now calls it `web-shop`\n"
        "hint: `--name shop` goes on with that platform, `--name web-shop` makes another one beside it\n"
    )
    assert main(["plan", "w.md"]) == 2
    assert platforms() == {"shop"}
    assert run(capsys, "w.md", "--name", "shop") == "shop"
    assert run(capsys, "w.md") == "shop"
    assert Path("effects").read_text() == "one\ntwo\n"
    assert run(capsys, "w.md", "--name", "web-shop") == "web-shop"
    assert run(capsys, "w.md") == "web-shop"


def test_another_document_of_the_same_title_does_not_take_the_platform_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(capsys, "w.md")
    write("other.md", "Shop", steps=STEPS.replace("One", "First").replace("Two", "Second").replace("echo", "printf"))
    assert run(capsys, "other.md", code=2) == (
        "error: `shop` was made from `w.md`, and `other.md` has the same name\n"
        "hint: `--name shop` changes that platform into this one, `--name other` makes another one beside it\n"
    )
    assert run(capsys, "other.md", "--name", "other") == "other"
    assert run(capsys, "other.md") == "other"
    assert run(capsys, "w.md") == "shop"
    assert run(capsys, "other.md", "--name", "shop") == "shop"
    assert "error: `shop` was made from `other.md`, and `w.md` has the same name" in run(capsys, "w.md", code=2)


def test_copy_of_a_document_is_another_document_while_the_first_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "w.md")
    write("copy.md", "Shop")
    assert "error: `shop` was made from `w.md`" in run(capsys, "copy.md", code=2)


def test_document_that_was_moved_keeps_its_platform(capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "w.md")
    Path("docs").mkdir()
    Path("w.md").rename("docs/shop.md")
    assert run(capsys, "docs/shop.md") == "shop"
    assert run(capsys, "./docs/../docs/shop.md") == "shop"
    Path("docs/shop.md").unlink()
    write("new.md", "Shop", steps=STEPS.replace("One", "First").replace("Two", "Second").replace("echo", "printf"))
    assert "docs/shop.md`, and `new.md` has the same name" in run(capsys, "new.md", code=2)


def test_document_that_was_moved_and_renamed_is_asked_about(capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "w.md")
    Path("w.md").unlink()
    write("store.md", "Store")
    assert run(capsys, "store.md", code=2) == (
        "error: `store.md` has the steps of `shop`, whose document is gone, and its title now calls it `store`\n"
        "hint: `--name shop` goes on with that platform, `--name store` makes another one beside it\n"
    )


def test_document_of_another_title_is_another_platform(capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "w.md")
    write("store.md", "Store")
    assert run(capsys, "store.md") == "store"


def test_name_that_was_given_once_is_the_platform_of_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "w.md", "--name", "staging") == "staging"
    assert run(capsys, "w.md") == "staging"
    assert run(capsys, "w.md", "--name", "live") == "live"
    assert run(capsys, "w.md", code=2) == (
        "error: `w.md` ran as `live` and `staging`, and its title now calls it `shop`\n"
        "hint: `--name live` or `--name staging` goes on with that platform, "
        "`--name shop` makes another one beside it\n"
    )


DAMAGE = b"not a database, though long enough to be read as one" * 50


@pytest.mark.parametrize("content", [None, DAMAGE], ids=["deleted", "damaged"])
def test_platform_whose_journal_cannot_be_read_is_asked_about_and_nothing_is_run_again(
    capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    write("w.md", "Shpo")
    run(capsys, "w.md")
    write("w.md", "Shop")
    assert run(capsys, "w.md", "--name", "shpo") == "shpo"
    journal = Path(".stepflow/shpo/journal.db")
    journal.unlink()
    why = f"there is no journal `{journal}` any more"
    if content:
        journal.write_bytes(content)
        why = f"the journal `{journal}` cannot be used: file is not a database"
    asked = (
        f"error: `w.md` may be the document of `shpo`: {why}\n"
        "hint: `--name shpo` goes on with that platform, `--name shop` makes another one beside it\n"
    )
    assert run(capsys, "w.md", code=2) == asked
    assert main(["plan", "w.md"]) == 2
    assert (platforms(), Path("effects").read_text()) == ({"shpo"}, "one\ntwo\n")
    assert run(capsys, "w.md", "--name", "shop") == "shop"
    assert run(capsys, "w.md") == "shop"


def test_platform_whose_journal_is_gone_is_not_taken_over_without_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "w.md")
    Path(".stepflow/shop/journal.db").unlink()
    assert run(capsys, "w.md", code=3) == (
        "error: there is no journal `.stepflow/shop/journal.db` any more\n"
        "hint: `stepflow run FILE --name shop`, which takes over what runs and runs commands again, "
        "or `stepflow down --name shop`\n"
    )
    assert Path("effects").read_text() == "one\ntwo\n"
    assert run(capsys, "w.md", "--name", "shop") == "shop"
    assert run(capsys, "w.md") == "shop"


def test_journal_that_cannot_be_read_is_not_asked_about_where_another_one_decides(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(capsys, "w.md")
    write("other.md", "Store")
    run(capsys, "other.md")
    Path(".stepflow/store/journal.db").write_bytes(DAMAGE)
    assert run(capsys, "w.md") == "shop"
    write("w.md", "Store")
    assert run(capsys, "w.md", code=2) == (
        "error: `w.md` ran as `shop`, and its title now calls it `store`\n"
        "hint: `--name shop` goes on with that platform, `--name w` makes another one beside it\n"
    )


def test_state_directory_of_a_run_that_never_began_is_not_asked_about(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("shop", "cut"):
        folder = Path(".stepflow") / name
        folder.mkdir(parents=True)
        (folder / "lock").touch()
    assert run(capsys, "w.md") == "shop"


def test_workflows_of_one_file_are_platforms_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    write("both.md", "Cinema", "Bakery")
    assert run(capsys, "both.md#cinema") == "cinema"
    assert run(capsys, "both.md#bakery") == "bakery"
    write("both.md", "Kino", "Bakery")
    assert run(capsys, "both.md#bakery") == "bakery"
    assert "error: `both.md#kino` ran as `cinema`, and its title" in run(capsys, "both.md#kino", code=2)
    write("both.md", "Cinema")
    assert run(capsys, "both.md") == "cinema"


def test_title_in_any_script_gives_a_name_and_one_without_letters_the_name_of_the_file(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert (slug("Привет, мир"), slug("微服务架构"), slug("Café №5")) == ("privet-mir", "weifuwujiagou", "cafe-no5")
    assert (slug("——", "shop"), slug("——", "··")) == ("shop", "workflow")
    write("w.md", "——")
    assert parse(Path("w.md").read_text(), "w.md")[0][0].name == "w"
    write("a.md", "Магазин")
    write("b.md", "Кафе")
    assert (run(capsys, "a.md"), run(capsys, "b.md")) == ("magazin", "kafe")


def test_platform_that_the_first_version_named_otherwise_keeps_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    write("w.md", "Straße 5")
    assert (slug("Straße 5"), former_slug("Straße 5")) == ("strasse-5", "strae-5")
    assert run(capsys, "w.md", "--name", "strae-5") == "strae-5"
    assert run(capsys, "w.md") == "strae-5"


def test_graph_shows_the_run_of_the_platform_that_the_document_has(capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "w.md", "--name", "staging")
    assert not main(["graph", "w.md", "--run"])
    assert "done" in capsys.readouterr().out
