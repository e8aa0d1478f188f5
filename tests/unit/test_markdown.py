"""Cutting a text into blocks, each with its place."""

from __future__ import annotations

import pytest

from stepflow.markdown import Source


def cut(text: str) -> list[tuple[str, str]]:
    source = Source(text)
    return [(block.kind, source.text[block.start : block.end]) for block in source.blocks()]


def test_every_block_is_cut_where_it_stands() -> None:
    text = "para\n- a\n  b\n\n-   c\n# H\n> q\nlazy\n\n***\n\nSet\ntwo\n===\n    code\n\n~~~x\ny\n~~~\n<div>\n\nend"
    assert cut(text) == [
        ("text", "para\n"),
        ("list", "- a\n  b\n\n-   c\n"),
        ("heading", "# H\n"),
        ("other", "> q\nlazy\n"),
        ("other", "***\n"),
        ("heading", "Set\ntwo\n===\n"),
        ("fence", "    code\n\n"),
        ("fence", "~~~x\ny\n~~~\n"),
        ("other", "<div>\n"),
        ("text", "end"),
    ]


def test_control_characters_become_replacement_characters_of_the_same_place() -> None:
    assert (
        Source("\ufeffa\x1b[31m\tb\r\n\x00\x85\u202ec\u2069\u200f\n").text
        == "a\ufffd[31m\tb\n\ufffd\ufffd\ufffdc\ufffd\u200f\n"
    )


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("- a\n- b\n", ["- a\n", "- b\n"]),
        ("- a\n\n  more\n- b\n> q\n", ["- a\n\n  more\n", "- b\n"]),
        ("* a\n* ```\n  x\n  ```\n* b\n", ["* a\n", "* ```\n  x\n  ```\n", "* b\n"]),
        ("1. a\n2. b\n", ["1. a\n", "2. b\n"]),
        ("- a\n    - inner\nlazy\n- b\n# H\n", ["- a\n    - inner\nlazy\n", "- b\n"]),
        ("- a\n-\n", ["- a\n", "-\n"]),
    ],
)
def test_a_list_knows_where_its_items_start(text: str, items: list[str]) -> None:
    block = Source(text).blocks()[0]
    ends = [*block.items[1:], block.end]
    assert [text[start:end] for start, end in zip(block.items, ends, strict=True)] == items


@pytest.mark.parametrize(
    ("text", "inner", "closed"),
    [
        ("```md\na\nb\n```\n", "a\nb\n", True),
        ("````\n```\n````", "```\n", True),
        ("~~~\na\n```\n", "a\n```\n", False),
        ("```", "", False),
        ("```\n```", "", True),
    ],
)
def test_a_fence_knows_what_is_inside_and_whether_it_is_closed(text: str, inner: str, *, closed: bool) -> None:
    source = Source(text)
    block = source.blocks()[0]
    assert (source.text[slice(*block.inner)], block.closed) == (inner, closed)


def test_lines_and_columns_count_from_1_and_the_byte_order_mark_does_not_count() -> None:
    source = Source("\ufeffab\r\ncd\re")
    assert [source.place(offset) for offset in (0, 1, 3, 6)] == [(1, 1), (1, 2), (2, 1), (3, 1)]
    assert [source.line(number) for number in (1, 2, 3, 4)] == ["ab", "cd", "e", ""]


def test_blocks_of_a_part_have_their_place_in_the_whole() -> None:
    text = "```\n# H\n- a\n```\n"
    source = Source(text)
    fence = source.blocks()[0]
    assert [(block.kind, block.start) for block in source.blocks(*fence.inner)] == [("heading", 4), ("list", 8)]


@pytest.mark.parametrize("pair", [("> q", "- a"), ("- a", "> q")])
def test_lists_and_quotations_that_end_each_other_nest_as_deep_as_nothing_and_stay_in_order(
    pair: tuple[str, str],
) -> None:
    lines = list(pair) * 2_000
    assert [text for _, text in cut("\n".join(lines) + "\n")] == [f"{line}\n" for line in lines]


def test_a_heading_ends_a_quotation_and_a_line_of_its_paragraph_does_not() -> None:
    assert cut("> q\nlazy\n# H\n> q\n>\nnot lazy\n") == [
        ("other", "> q\nlazy\n"),
        ("heading", "# H\n"),
        ("other", "> q\n>\n"),
        ("text", "not lazy\n"),
    ]


def test_a_tag_alone_in_its_line_is_no_paragraph_and_one_with_a_broken_attribute_is_one() -> None:
    assert cut('<x-y a=b c="d" e>\nt\n\n</x-y>\n') == [
        ("other", '<x-y a=b c="d" e>\nt\n'),
        ("other", "</x-y>\n"),
    ]
    assert cut("<x a='b>\nt\n") == [("text", "<x a='b>\nt\n")]
    assert cut("t\n<x>\n") == [("text", "t\n<x>\n")]


@pytest.mark.parametrize(
    ("line", "text"), [("## a ##", "a"), ("## a#", "a#"), ("## #", ""), ("#", ""), ("# a # b", "a # b")]
)
def test_the_marks_that_close_a_heading_are_not_its_text(line: str, text: str) -> None:
    assert Source(line).blocks()[0].text == text
