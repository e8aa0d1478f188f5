"""Which step of a document is which recorded one, and what a plan says of it."""

from __future__ import annotations

import pytest

from stepflow.engine.matching import Known, Present, match


def steps(*texts: str) -> list[Present]:
    """Write steps as `title=content#id`."""
    made = []
    for number, text in enumerate(texts, 1):
        rest, _, own = text.partition("#")
        title, _, content = rest.partition("=")
        made.append(Present(number, title, "shell", own, content))
    return made


def recorded(*texts: str, gone: tuple[int, ...] = ()) -> list[Known]:
    """Write what was recorded likewise; the key of step 1 is 11. `gone` are those that the last run no longer had."""
    return [
        Known(each.number + 10, each.number, each.title, each.playbook, each.id, each.content, each.number not in gone)
        for each in steps(*texts)
    ]


def keys(now: list[Present], before: list[Known]) -> list[int | None]:
    return [each.known.key if each.known else None for each in match(now, before).values()]


def notes(now: list[Present], before: list[Known]) -> list[str]:
    return [each.note for each in match(now, before).values()]


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (("A=1", "B=2"), ("N=9", "A=1", "B=2"), [None, 11, 12]),
        (("A=1", "B=2"), ("A=1", "N=9", "B=2"), [11, None, 12]),
        (("A=1", "B=2", "C=3"), ("A=1", "C=3"), [11, 13]),
        (("A=1", "B=2"), ("B=2", "A=1"), [12, 11]),
        (("A=1", "B=2"), ("A=2", "B=1"), [11, 12]),
        (("A=1", "B=2"), ("A=1", "Z=2"), [11, 12]),
        (("A=1", "B=2"), ("A=1", "Z=9"), [11, None]),
        (("=1", "=2"), ("=9", "=1", "=2"), [None, 11, 12]),
        (("=1", "=2", "=3"), ("=1", "=9", "=3"), [11, 12, 13]),
        (("A=1", "A=1", "B=2"), ("A=1", "A=1", "B=2"), [11, 12, 13]),
        (("A=1", "B=2", "A=1"), ("A=1", "B=2"), [11, 12]),
        (("A=1", "B=2"), ("A=1", "B=2", "A=1"), [11, 12, None]),
        (("A=1", "B=2"), ("A=1#a", "B=2#b"), [11, 12]),
        (("A=1#a",), ("A=1",), [11]),
        (("A=1#a",), ("A=1#other",), [None]),
        (("A=1#a", "B=2"), ("B=2", "Z=9#a"), [12, 11]),
        ((), ("A=1",), [None]),
        (("A",), ("B",), [None]),  # without content: that of none equals that of none
        (("A=1", "A=1", "A=2", "A=2"), ("A=2", "A=2", "A=1", "A=1"), [13, 14, 11, 12]),
    ],
)
def test_steps_are_recognised_as_a_diff_recognises_lines(
    before: tuple[str, ...], now: tuple[str, ...], expected: list[int | None]
) -> None:
    assert keys(steps(*now), recorded(*before)) == expected


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ("XAXB", "AXB", [12, 13, 14]),
        ("AXBXXC", "AXXBXC", [11, None, None, 13, None, 16]),
        ("ABXCXXD", "ABXXCXD", [11, 12, None, None, 14, None, 17]),
        ("ABXCXD", "BXCAD", [12, 13, 14, 11, 16]),
        ("AXCXDE", "AECXD", [11, 16, 13, 14, 15]),
    ],
)
def test_of_steps_that_are_alike_each_is_the_one_that_stood_between_the_same_others(
    before: str, now: str, expected: list[int | None]
) -> None:
    """Those others are the most that kept their order: what was moved by itself is not one of them."""
    assert (
        keys(steps(*(f"{each}={each}" for each in now)), recorded(*(f"{each}={each}" for each in before))) == expected
    )


def test_plan_says_where_a_step_was_and_what_it_was_called() -> None:
    assert notes(steps("N=9", "B=2", "Z=1", "C=3"), recorded("A=1", "B=2", "C=3")) == [
        "", "", "was step 1, called `A`", "was step 3",
    ]  # fmt: skip


def test_one_of_two_alike_is_gone_or_new_and_cannot_be_told_so_neither_is_taken_for_done() -> None:
    said = "cannot be told apart from what was step 1; an `- Id:` in each step tells them apart"
    assert notes(steps("A=1", "A=1"), recorded("A=1")) == [said, said]
    said = "cannot be told apart from what was step 1 and step 2; an `- Id:` in each step tells them apart"
    assert notes(steps("A=1"), recorded("A=1", "A=1")) == [said]
    assert notes(steps("A=3"), recorded("A=1", "A=2")) == [said]
    said = "cannot be told apart from what was step 1; an `- Id:` in each step tells them apart"
    assert notes(steps("X=1", "Y=1"), recorded("A=1")) == [said, said]
    other = "cannot be told apart from what was step 2; an `- Id:` in each step tells them apart"
    assert notes(steps("A=1", "A=1", "B=2", "B=2"), recorded("A=1", "B=2")) == [said, said, other, other]


def test_steps_that_were_recorded_without_their_content_are_recognised_by_their_place() -> None:
    before = [Known(1, 1, "", "shell"), Known(2, 2, "", "shell")]
    assert keys(steps("=1", "=2", "=3"), before) == [1, 2, None]


def test_several_of_a_name_that_were_recorded_without_their_content_are_recognised_by_their_order() -> None:
    assert keys(steps("N=9", "A=1", "A=2"), recorded("A", "A")) == [None, 11, 12]


def test_step_that_comes_back_under_its_name_is_recognised_and_one_with_the_content_of_a_removed_one_is_not() -> None:
    assert keys(steps("B=2"), recorded("A=1", "B=2", gone=(2,))) == [12]
    assert keys(steps("C=2"), recorded("A=1", "B=2", gone=(2,))) == [None]
    assert keys(steps("A=1", "A=1"), recorded("A=1", gone=(1,))) == [None, None]
    assert keys(steps("=1"), recorded("=1", gone=(1,))) == [None]
    assert keys(steps("A=1#new"), recorded("A=1", gone=(1,))) == [None]
    assert keys(steps("B=1#own"), recorded("A=1#own", gone=(1,))) == [11]
    assert keys(steps("A=1"), recorded("A=1#own", gone=(1,))) == [11]


def test_of_many_steps_that_cannot_be_told_apart_the_first_are_named_and_the_rest_counted() -> None:
    before = [Known(n, n, "Same", "shell", content="c") for n in range(1, 7)]
    now = [Present(n, "Same", "shell", content="c") for n in range(1, 8)]
    [note] = {each.note for each in match(now, before).values()}
    assert note == (
        "cannot be told apart from what was step 1 and step 2 and step 3 and 3 more; "
        "an `- Id:` in each step tells them apart"
    )
