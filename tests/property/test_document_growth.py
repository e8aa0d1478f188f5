"""Reading a document takes time linear in its length, whatever it holds, and what is said of it does not grow with it.

Each generator repeats something that a regular expression or a loop could look at again and again. A text four times as
long may take up to nine times as long: linear time takes four times, quadratic time sixteen.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from time import process_time

import pytest

from stepflow.cli.check import as_json, as_text
from stepflow.registry import check
from stepflow.workflow import format_workflow

Text = Callable[[int], str]
"""How many times -> a document."""

_SIZE = 2_000
_MOST = 9
_FLOOR = 0.04  # seconds: below it, the clock and the garbage collector say more than the text
_PRINTED = 60_000  # characters: twenty diagnostics each of several codes
TWO = "## Step 1\n- Playbook: shell\n- Prompt: p\n## Step 2\n- Playbook: shell\n- Prompt: p\n"
HEADING = "## Dependency Chain Analysis\n"
SECTION = TWO + HEADING
CLOSING = "## Step {}\n- RelyPreviousStep: Step 1\n"
GIVES = "## Step 1\n- Playbook: shell\n- Prompt: p\n- Gives: a\n"
SHELL = "## Step 1\n- Playbook: shell\n- Prompt: p\n"


def steps(count: int, field: str = "Handoff: h", head: str = "- Prompt: p\n") -> str:
    lines = (f"## Step {n}\n{head}- {field.format(n=n, next=n + 1)}\n" for n in range(1, count + 1))
    return "".join(lines)


def numbers(first: int, count: int) -> str:
    return ",".join(str(number) for number in range(first, first + count))


def words(count: int) -> list[str]:
    """Make words of letters alone."""
    return ["".join(chr(ord("a") + int(digit)) for digit in str(number)) for number in range(count)]


def repeated(before: str, units: list[str], after: str = "\n") -> Iterator[tuple[str, Text]]:
    """Make generators that repeat one of these between two texts."""
    for unit in units:
        yield f"{before[-24:]}{unit}", lambda n, unit=unit: f"{before}{unit * n}{after}"  # type: ignore[misc]


ARROWS = [" ", "\t", ",", " and", "-", " - ", "(", "()", ")", "->", " -> Step 1", "=", "<", ":", " step", "#", "*", "["]
ARROWS += ["](", ". ", "|", "\u2014", "\u2028", " Step 1,", " (a)"]
NAMED = [
    " ",
    "\u00a0",
    ",",
    " and",
    "-",
    "- ",
    " - ",
    " - a,",
    "(",
    " (",
    " (a)",
    " Step 1",
    " - a, Step 1",
    "\n  a",
    ":",
]
FLAG = [" ", "\n  a", "(", ")", " - ", ",", " (Step 9", " - Step 2 a", " see Step 2"]
WORDS = [" ", "\u00a0", " #", "#", "[", "[a](", "*", "**", " step", "`", ".", "<", " Step 1", "\u200b", "->"]
NUMBER = [" ", " `", "`", " **", "#", " 1", "1", ".", "-", " - ", "(", "\u00a0", "_"]
ABOVE = [
    "<!--\n",
    "<!-- -->\n",
    "<a b\n",
    "x\n<b>\n",
    "<div>\n",
    "<div>\n\n",
    "</a\n",
    "<?\n",
    "<![CDATA[\n",
    "[a]: b\n",
]
ABOVE += ["**a**: b\n", "**", "- **a**: b\n", "> a\n", "> a\n- b\n", "- b\n> a\n", ">", "    a\n", "\t", "-\n", "- - "]
ABOVE += [
    "[a]: b\n",
    "_ ",
    "***\n",
    "1. a\n2) b\n",
    "\x1b",
    "\r",
    "=\n",
    "| a ",
    "\n",
    " ",
    "# a\n## Step 1\n- Prompt: p\n",
]
ABOVE += ["# a\n## b\n### c\n#### d\n##### e\n###### f\n"]
BELOW = ["<!--\n", "```\n", "~~~\n", "- Prompt: p\n", "- Prompt p\n", "- a\n", "- a\n* b\n", "-\n\n", "> - Prompt: p\n"]
BELOW += [
    "**Prompt:** p\n",
    "Prompt: p\n",
    "| Prompt | p |\n",
    "### a\n- Prompt: p\n",
    "### Step 2a\n- Prompt: p\n",
    "`",
]
BELOW += ["2. a\n", "    a\n", "para\n\n", "- a: ", "- a\n  - b\n", "- A: b\n", "```\n# a\n## Step 1\n```\n", "*"]
BELOW += ["`", "## Step 2\n- Prompt: p\n", "## Step 1\n", "- *"]
HTML = [" b", "\tc=d\te\tf=g", " b='", " "]
COMMAND = ["a[", "$a ", "$", "${a", "'", "\\", "a=", "for ", "read ", "read a", "printf -v ", "getopts a ", "a[0]+="]
VALUE = ["<!--", "<!-- -->", "a", "a ", "9", "`", "~", "\n  ```\n", "\n  ~~~", "\n\ta", "\n\n  a", "\n  ```a\n  ```\n"]

GROWING: dict[str, Text] = {
    **dict(repeated(f"{SECTION}- Step 2 -> Step 1", ARROWS, "x\n")),
    **dict(repeated(f"{SECTION}- Step 2 -> Step", [" ", "*"])),
    **dict(repeated(f"{TWO}- RelyPreviousStep: Step 1", NAMED, "x\n")),
    **dict(repeated(f"{TWO}- RelyPreviousStep: yes", FLAG, "x\n")),
    **dict(repeated(f"{TWO}## a", WORDS, "b\n")),
    **dict(repeated("## Step", NUMBER, f"x\n- Prompt: p\n{TWO}")),
    **dict(repeated("", ABOVE, TWO)),
    **dict(repeated(f"{TWO}", BELOW, "")),
    **dict(repeated("<a", HTML, f"\n{TWO}")),
    **dict(repeated(f"{TWO}- Handoff: ", VALUE)),
    **dict(repeated(f"{TWO}- Depends On: ", VALUE)),
    **dict(repeated("## Step 1\n- Prompt: p\n- Playbook: ", VALUE)),
    **dict(repeated("## Step 1\n- Prompt: p\n- Id: ", VALUE)),
    **dict(repeated("## Step 1\n- Playbook: shell\n- Prompt: ", VALUE)),
    **dict(repeated("## Step 1\n- Playbook: shell\n- Prompt: echo ", COMMAND)),
    **dict(
        repeated(f"{GIVES}## Step 2\n- Playbook: shell\n- Prompt: echo ", [".values.b ", "['values']['b", ".values.b("])
    ),
    "values that are not given": lambda n: (
        GIVES + f"## Step 2\n- Playbook: shell\n- Prompt: {''.join(f'.values.{word} ' for word in words(n))}\n"
    ),
    "takers of many values": lambda n: (
        GIVES.replace("a", ", ".join(words(n)))
        + "".join(
            f"## Step {m}\n- Playbook: shell\n- RelyPreviousStep: Step 1\n- Prompt: .values.{m}b\n" for m in range(2, n)
        )
    ),
    **dict(repeated(f"{SHELL}- Creates: ", ["/a,", "[", "\n  - /a"])),
    **dict(repeated(f"{SHELL}- Timeout: ", ["9", "a ", "- "])),
    **dict(repeated(f"{TWO}## Expected Outcomes\n- ", [".", "a\n- "])),
    **dict(repeated("# T\n\n**Dependencies**: 9", [" ", " dependent 9"], f"\n{TWO}")),
    "two lists of unknown steps": lambda n: f"{SECTION}- Steps {numbers(1, n)} -> Steps {numbers(n, n)}\n",
    "lines with unknown steps": lambda n: SECTION + "- Step 2 -> Step 9\n" * n,
    "lines that are not understood": lambda n: SECTION + "- Step 2 -> the gate\n" * n,
    "lines from a step to itself": lambda n: SECTION + "- Step 2 -> Step 2\n" * n,
    "lines that call a step independent": lambda n: SECTION + "- Step 2 is independent\n" * n,
    "lines that call all independent": lambda n: steps(n) + HEADING + "All steps are independent\n" * n,
    "sentences about steps": lambda n: SECTION + "- Step 2 needs Step 9\n" * n,
    "a sentence about many steps": lambda n: f"{steps(n)}{HEADING}- Steps 1-{n} need Step {numbers(1, n)}\n",
    "ranges to nothing": lambda n: steps(n) + HEADING + f"- Steps 1-{n} -> none\n" * n,
    "a field with unknown steps": lambda n: f"{TWO}- RelyPreviousStep: Steps {numbers(9, n)}\n",
    "a field with many steps": lambda n: f"{steps(n)}## Step {n + 1}\n- RelyPreviousStep: Steps {numbers(1, n)}\n",
    "a field with a range": lambda n: f"{steps(n)}## Step {n + 1}\n- RelyPreviousStep: Steps 1-{n}\n",
    "fields with unknown steps": lambda n: steps(n, "RelyPreviousStep: Step 0"),
    "fields with bare numbers": lambda n: steps(n, "RelyPreviousStep: {n}"),
    "fields with later steps": lambda n: steps(n, "RelyPreviousStep: Step {next}"),
    "a chain whose reasons mention the first step": lambda n: steps(n, "RelyPreviousStep: yes - after Step 1"),
    "a long cycle": lambda n: (
        f"{steps(n, 'RelyPreviousStep: Step {next}')}## Step {n + 1}\n- RelyPreviousStep: Step 1\n"
    ),
    "empty fields": lambda n: steps(n, "RelyPreviousStep:"),
    "a heading of many lines": lambda n: "a\n" * n + "===\n" + TWO,
    "many steps": lambda n: steps(n, "Playbook: shell"),
    "steps that take what no step gives": lambda n: steps(n // 4, "Playbook: user-service"),
    "steps that take what the first one gives": lambda n: (
        "## Step 0\n- Playbook: service-discovery\n- Prompt: p\n" + steps(n // 4, "Playbook: user-service")
    ),
    "steps that collect": lambda n: steps(n // 4, "Playbook: orchestration"),
    "steps without fields": lambda n: "".join(f"## Step {number}\n" for number in range(1, n)),
    "steps without prompts": lambda n: steps(n, head=""),
    "numbers that go down": lambda n: "".join(f"## Step {number}\n- Prompt: p\n" for number in range(n, 0, -1)),
    "the same id": lambda n: steps(n, "Id: a"),
    "fences with steps": lambda n: "```\n## Step 1\n- Prompt: p\n```\n" * n,
    "fences with titles": lambda n: "```\n# A\n## Step 1\n- Prompt: p\n```\n" * n,
    "a long value above paragraphs": lambda n: f"{TWO}- Handoff: {'x' * 20 * n}\n\n" + "para\n\n" * n,
    "wrong counts": lambda n: f"# T\n\n**Dependencies**: {'9 dependent ' * n}\n{steps(n)}",
}


def _measure(text: str) -> tuple[float, str]:
    """Return the seconds of CPU that reading, resolving and printing takes, and what is printed."""
    gc.collect()
    gc.freeze()  # what other tests left would be looked through again and again, the more often the longer this takes
    start = process_time()
    try:
        workflows, found = check(text, "w.md")
        printed = as_text("w.md", workflows, found) + as_json(found)
        if len(workflows) == 1:
            format_workflow(workflows[0])
        return process_time() - start, printed
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("name", GROWING)
def test_a_document_is_read_in_linear_time_and_what_is_said_of_it_stays_short(name: str) -> None:
    make = GROWING[name]
    short, long = make(_SIZE // 4), make(_SIZE)
    for attempt in range(3):  # another process may have disturbed one
        before, (after, printed) = _measure(short)[0], _measure(long)
        assert len(printed) < _PRINTED
        if after <= max(_FLOOR, _MOST * before):
            break
        assert attempt < 2, f"{before:.3f} s became {after:.3f} s"
