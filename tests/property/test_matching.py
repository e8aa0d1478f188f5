"""Whatever is done to a document, its steps are recognised as a diff would recognise them, and none for another."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from stepflow.engine.matching import Known, Present, match

NAMES = st.sampled_from(["", "Build", "Test", "Publish"])
CONTENTS = st.sampled_from(["make", "make test", "make publish"])


@dataclass(frozen=True)
class Line:
    """A step with the identity that no document tells: the key under which the last run recorded it."""

    key: int
    title: str
    content: str
    id: str = ""


@st.composite
def edited(draw: st.DrawFn, line: Line) -> Line:
    """Rename a step, change it, or leave it alone."""
    kind = draw(st.sampled_from(["same", "same", "renamed", "changed"]))
    if kind == "renamed":
        return replace(line, title=f"{line.title} again")
    return replace(line, content=f"{line.content} again") if kind == "changed" else line


@st.composite
def edits(draw: st.DrawFn, *, distinct: bool) -> tuple[list[Line], list[Line]]:
    """Draw a document and what became of it: steps inserted, removed, moved, renamed or changed."""
    size = draw(st.integers(0, 8))
    titles = draw(st.lists(NAMES, min_size=size, max_size=size))
    contents = draw(st.lists(CONTENTS, min_size=size, max_size=size))
    before = [
        Line(key, f"{title}{key}" if distinct else title, f"{text}{key}" if distinct else text)
        for key, (title, text) in enumerate(zip(titles, contents, strict=True), 1)
    ]
    after = [line for line in before if draw(st.integers(0, 4))]
    if draw(st.booleans()):
        after = draw(st.permutations(after))
    changed = [draw(edited(line)) for line in after]
    for fresh in range(100, 100 + draw(st.integers(0, 3))):
        title, text = draw(NAMES), draw(CONTENTS)
        new = Line(fresh, f"{title}{fresh}" if distinct else title, f"{text}{fresh}" if distinct else text)
        changed.insert(draw(st.integers(0, len(changed))), new)
    return before, changed


def known(lines: list[Line]) -> list[Known]:
    return [Known(line.key, place, line.title, "shell", line.id, line.content) for place, line in enumerate(lines, 1)]


def present(lines: list[Line]) -> list[Present]:
    return [Present(place, line.title, "shell", line.id, line.content) for place, line in enumerate(lines, 1)]


@given(edits(distinct=True))
def test_steps_that_differ_are_recognised_wherever_they_moved_and_new_ones_are_new(
    case: tuple[list[Line], list[Line]],
) -> None:
    before, after = case
    found = match(present(after), known(before))
    keys = {line.key for line in before}
    for place, line in enumerate(after, 1):
        recognised = found[place].known
        assert (recognised.key if recognised else None) == (line.key if line.key in keys else None)
        assert found[place].unsure == ()


@given(edits(distinct=False))
def test_no_recorded_step_stands_for_two_and_one_that_is_unsure_is_matched_with_none(
    case: tuple[list[Line], list[Line]],
) -> None:
    before, after = case
    found = match(present(after), known(before))
    matched = [each.known.key for each in found.values() if each.known]
    assert len(matched) == len(set(matched))
    assert all(each.known is None for each in found.values() if each.unsure)
    assert set(found) == set(range(1, len(after) + 1))


@given(edits(distinct=False))
def test_no_more_steps_are_taken_for_done_than_were_done_with_that_content(case: tuple[list[Line], list[Line]]) -> None:
    before, after = case
    found = match(present(after), known(before))
    reused = Counter(
        each.present.content for each in found.values() if each.known and each.known.content == each.present.content
    )
    done = Counter(line.content for line in before)
    assert all(count <= done[content] for content, count in reused.items())


@given(edits(distinct=False))
def test_document_that_did_not_change_is_recognised_step_by_step(case: tuple[list[Line], list[Line]]) -> None:
    _, lines = case
    found = match(present(lines), known(lines))
    assert [each.known.key if each.known else None for each in found.values()] == [line.key for line in lines]
    assert {each.note for each in found.values()} <= {""}


@given(edits(distinct=False))
def test_ids_decide_whatever_else_changes(case: tuple[list[Line], list[Line]]) -> None:
    before, after = ([replace(line, id=f"s{line.key}") for line in lines] for lines in case)
    found = match(present(after), known(before))
    ids = {line.id: line.key for line in before}
    for place, line in enumerate(after, 1):
        recognised = found[place].known
        assert (recognised.key if recognised else None) == ids.get(line.id)
