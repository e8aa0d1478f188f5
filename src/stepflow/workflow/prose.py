"""What a document says besides its steps: title, overview, labels like `**Complexity Level**`, lists of outcomes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stepflow.markdown import Block
from stepflow.workflow.model import Step, Text
from stepflow.workflow.sections import Reading, Section

_LABEL = re.compile(
    r"^[ \t]*(?:[-*+][ \t]+)?\*\*(?P<key>[^*:\n]{1,60}?)(?:\*\*[ \t]*:|:[ \t]*\*\*)[ \t]*(?P<value>[^\n]*)$",
    re.MULTILINE,
)
_MARKER = re.compile(r"[ \t]*(?:[-*+]|[0-9]{1,9}[.)])[ \t]+(?:\[[ xX]\][ \t]+)?(?:[^\w\s`*\"'(\[<]+[ \t]+)?")
_COUNT = re.compile(r"\b(?P<count>[0-9]{1,9})[ \t]+(?P<what>dependent|independent|steps?\b)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Prose:
    """The parts of a document that `stepflow show` shows."""

    title: str
    overview: str
    complexity: Text | None
    duration: Text | None
    dependencies: Text | None
    outcomes: tuple[Text, ...]
    patterns: tuple[Text, ...]


def read_prose(reading: Reading, sections: Sequence[Section]) -> Prose:
    """Read the prose of the sections that belong to one workflow."""
    open_ones = [section for section in sections if section.fence is None and section.number is None]
    labels = _labels(reading, open_ones)
    return Prose(
        title=next((section.title for section in open_ones if section.level == 1 and section.title), ""),
        overview=_overview(reading, open_ones),
        complexity=labels.get("complexitylevel") or labels.get("complexity"),
        duration=labels.get("durationestimate") or labels.get("duration"),
        dependencies=labels.get("dependencies"),
        outcomes=_list_under(reading, open_ones, "expectedoutcomes"),
        patterns=_list_under(reading, open_ones, "architecturepatternsdemonstrated"),
    )


def check_counts(reading: Reading, prose: Prose, steps: Sequence[Step], targets: frozenset[int]) -> None:
    """Warn where the document counts its steps wrongly; `targets` are the steps that rely on another one."""
    real = {"dependent": len(targets), "independent": len(steps) - len(targets), "step": len(steps)}
    for text in (prose.complexity, prose.dependencies):
        for match in _COUNT.finditer(text.value) if text else ():
            what = match["what"].lower().rstrip("s")
            if what == "step" and text is prose.dependencies:
                continue
            if text and int(match["count"]) != real[what]:
                kind = "" if what == "step" else f"{what} "
                message = f"this line counts {match['count']} {kind}steps, but there are {real[what]}"
                where = [step for step in steps if what == "step" or (step.number in targets) == (what == "dependent")]
                if where:
                    message += f": {_spell(where)}"
                reading.report("SF207", text.span, message, f"write `{real[what]} {match['what']}`", "warning")


def _spell(steps: Sequence[Step]) -> str:
    shown = [f"{step.number} (line {step.span.line})" for step in steps[:8]]
    return ", ".join(shown) + (", ..." if len(steps) > len(shown) else "")


def _labels(reading: Reading, sections: Sequence[Section]) -> dict[str, Text]:
    labels: dict[str, Text] = {}
    for section in sections:
        for block in section.blocks:
            if block.kind in {"text", "list"}:
                for match in _LABEL.finditer(reading.source.text, block.start, block.end):
                    key = re.sub(r"[\W_]+", "", match["key"].lower())
                    value = match["value"].strip().rstrip("\\").strip()
                    start = match.start("value")
                    labels.setdefault(key, Text(value, reading.span(start, start + len(value))))
    return labels


def _overview(reading: Reading, sections: Sequence[Section]) -> str:
    for section in sections:
        if re.sub(r"[\W_]+", "", section.title.lower()) == "overview":
            return _paragraphs(reading, section.blocks)
    return next((_paragraphs(reading, section.blocks) for section in sections if section.level == 1), "")


def _paragraphs(reading: Reading, blocks: Sequence[Block]) -> str:
    texts = (reading.source.text[block.start : block.end] for block in blocks if block.kind == "text")
    lines = (" ".join(_LABEL.sub("", text).split()) for text in texts)
    return "\n\n".join(line for line in lines if line)


def _list_under(reading: Reading, sections: Sequence[Section], heading: str) -> tuple[Text, ...]:
    """Read the first list under such a heading; the document's title may be such a heading without a list."""
    named = (section for section in sections if re.sub(r"[\W_]+", "", section.title.lower()).startswith(heading))
    return next(filter(None, (tuple(_items(reading, section.blocks)) for section in named)), ())


def _items(reading: Reading, blocks: Sequence[Block]) -> Iterator[Text]:
    text = reading.source.text
    for block in blocks:
        for start, end in zip(block.items, (*block.items[1:], block.end), strict=True) if block.items else ():
            marker = _MARKER.match(text, start, end)
            first = marker.end() if marker else start
            words = " ".join(text[first:end].split())
            if words:
                line_end = text.find("\n", first, end)
                yield Text(words, reading.span(first, line_end if line_end >= 0 else end))
