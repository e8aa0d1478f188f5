"""Reads a document: the workflows in it, what it says besides its steps (title, overview, labels like
`**Complexity Level**`, lists of outcomes), and everything that is wrong with it.
"""

from __future__ import annotations

import os
import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path

from stepflow.errors import Diagnostic, DocumentError, Span, UsageError
from stepflow.markdown import Block, Source
from stepflow.workflow.chain import Chain, is_chain, read_chain
from stepflow.workflow.comparison import compare
from stepflow.workflow.edges import make_edges
from stepflow.workflow.excerpt import listed
from stepflow.workflow.model import Step, Text, Workflow
from stepflow.workflow.sections import Reading, Section, cut, plain
from stepflow.workflow.steps import Group, find_groups, make_steps
from stepflow.workflow.textfile import read_text

_LONGEST_NAME = 48  # characters
_LABEL = re.compile(
    r"^[ \t]*(?:[-*+][ \t]+)?\*\*(?P<key>[^*:\n]{1,60}?)(?:\*\*[ \t]*:|:[ \t]*\*\*)[ \t]*(?P<value>[^\n]*)$",
    re.MULTILINE,
)
_MARKER = re.compile(r"[ \t]*(?:[-*+]|[0-9]{1,9}[.)])[ \t]+(?:\[[ xX]\][ \t]+)?(?:[^\w\s`*\"'(\[<]+[ \t]+)?")
_COUNT = re.compile(r"\b(?P<count>[0-9]{1,9})[ \t]+(?P<what>dependent|independent|steps?\b)", re.IGNORECASE)


def parse(text: str, file: str) -> tuple[tuple[Workflow, ...], tuple[Diagnostic, ...]]:
    """Read the workflows of a document and all its problems, in the order of its lines. Never raises; linear time.

    `file` is the name in places. Several workflows in one file each take the prose between their own heading and the
    next one's, and their heading as their title.
    """
    reading = Reading(Source(text), file)
    sections = cut(reading)
    groups = find_groups(reading, sections)
    if not groups:
        span = Span(file, 1, 1, max(1, len(reading.source.line(1))))
        hint = "a step is a heading `## Step 1: Title` with the fields `- Playbook: ...` and `- Prompt: ...` under it"
        reading.report("SF101", span, "there is no step in this document", hint)
        return (), (reading.problems[-1], *reading.problems[:-1])
    offsets = [section.heading.start if section.heading else 0 for section in sections]
    cuts = [0, *(bisect_left(offsets, group.start.start) for group in groups[1:]), len(sections)]
    lines = [reading.source.place(group.start.start)[0] for group in groups]
    broken = {bisect_right(lines, found.span.line) for found in reading.problems if found.severity == "error"}
    workflows: list[Workflow] = []
    names: Counter[str] = Counter()
    for at, (group, (first, last)) in enumerate(zip(groups, pairwise(cuts), strict=True), 1):
        sound = not broken & {0, at}
        made = _workflow(reading, group, sections[first:last], alone=len(groups) == 1, sound=sound)
        workflows.append(replace(made, name=_own(made.name, names)))
    return tuple(workflows), tuple(sorted(reading.problems, key=lambda found: (found.span.line, found.span.column)))


def load(path: str) -> Workflow:
    """Read one workflow from a file; `FILE#heading` picks one of several.

    Raises `UsageError` for a file that cannot be read, and when it is ambiguous which workflow is meant;
    `DocumentError` with all diagnostics that concern it when one of them is an error.
    """
    file, wanted = split_path(path)
    workflows, problems = parse(read_text(file), file)
    if not workflows:
        raise DocumentError(problems)
    chosen = choose(workflows, file, wanted)
    own = concerning(chosen, workflows, problems)
    if any(problem.severity == "error" for problem in own):
        raise DocumentError(own)
    return chosen


def concerning(
    workflow: Workflow, workflows: Sequence[Workflow], problems: Sequence[Diagnostic]
) -> tuple[Diagnostic, ...]:
    """Return the problems on the lines of one of a document's workflows, and those above all of them."""
    if len(workflows) == 1:
        return tuple(problems)
    starts = [each.span.line for each in workflows]
    own = bisect_right(starts, workflow.span.line)
    return tuple(problem for problem in problems if bisect_right(starts, problem.span.line) in {0, own})


def choose(workflows: Sequence[Workflow], file: str, wanted: str) -> Workflow:
    """Pick a workflow by its heading. Raises `UsageError` that lists them when none matches."""
    if not wanted and len(workflows) == 1:
        return workflows[0]
    those = listed((f"`{file}#{each.name}` (line {each.span.line})" for each in workflows), len(workflows), ", ")
    if not wanted:
        raise UsageError(f"`{file}` holds {len(workflows)} workflows", hint=f"say which: {those}")
    same = _latin(wanted) or wanted
    names = {each.name: each for each in workflows}
    titles = Counter(each.title for each in workflows)
    for chosen in (
        names.get(wanted),
        next((each for each in workflows if each.title == wanted and titles[wanted] == 1), None),
        names.get(same),
        next((each for each in workflows if _latin(each.title) == same), None),
    ):
        if chosen:
            return chosen
    near = get_close_matches(same, names, n=1)
    hint = f"did you mean `{file}#{near[0]}`?" if near else f"it holds: {those}"
    raise UsageError(f"`{file}` holds no workflow `{wanted}`", hint=hint)


def with_sources(diagnostics: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Add the text of its line to each diagnostic that lacks it, from the file as it is now."""
    sources: dict[str, Source | None] = {}
    done = []
    for found in diagnostics:
        file = found.span.file
        if not found.source and file not in sources:
            try:
                sources[file] = Source(read_text(file))
            except UsageError:
                sources[file] = None
        source = sources.get(file)
        done.append(replace(found, source=source.line(found.span.line)) if source and not found.source else found)
    return tuple(done)


def _own(name: str, taken: Counter[str]) -> str:
    """Make the names of several workflows unique, within the length limit."""
    taken[name] += 1
    mark = f"-{taken[name]}"
    if mark == "-1":
        return name
    return _own(f"{name[: _LONGEST_NAME - len(mark)].rstrip('-')}{mark}", taken)


def slug(*texts: str) -> str:
    """Return a name for a platform, from the first text that gives one: at most 48 of a-z, 0-9 and `-`, other scripts
    in Latin letters (`Привет` is `privet`); `workflow` where nothing is left.
    """
    return next(filter(None, map(_latin, texts)), "workflow")


def former_slug(text: str) -> str:
    """Return the name that version 0.1.0 gave: it left out what has no Latin letter in it."""
    return _plain(unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()) or "workflow"


def _latin(text: str) -> str:
    if text.isascii():
        return _plain(text)
    from anyascii import anyascii  # noqa: PLC0415 - few titles need it

    return _plain(anyascii(text))


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:_LONGEST_NAME].strip("-")


def split_path(path: str) -> tuple[str, str]:
    """Split `FILE#heading`; a file whose own name has a `#` in it is taken as it is."""
    if "#" not in path or os.path.exists(path):  # noqa: PTH110 - `Path.exists` raises for a path that is too long
        return path, ""
    file, _, wanted = path.rpartition("#")
    return file, wanted


def _workflow(reading: Reading, group: Group, sections: list[Section], *, alone: bool, sound: bool) -> Workflow:
    known = len(reading.problems)
    steps = make_steps(reading, group)
    chain = next((index for index, section in enumerate(sections) if is_chain(section)), None)
    said = Chain() if chain is None else read_chain(reading, sections, chain)
    heading = None if chain is None else sections[chain].heading
    place = reading.span(heading.start, heading.end) if heading else None
    stated = make_edges(reading, steps, said)
    compare(reading, stated, place)
    prose = _read_prose(reading, sections)
    if sound and not any(found.severity == "error" for found in reading.problems[known:]):
        _check_counts(reading, prose, steps, frozenset(target for target, sources in stated.edges.items() if sources))
    home = group.first.home
    own_title = plain(home.text) if home else ""
    title = (prose.title or own_title) if alone else (own_title or prose.title)
    start = group.start
    if alone:
        start = next((each.heading for each in sections if each.heading and each.level == 1 and each.title), start)
    place = reading.span(start.start, start.end)
    return Workflow(
        name=slug(title, Path(reading.file).stem),
        title=title or Path(reading.file).stem,
        file=reading.file,
        steps=steps,
        edges=tuple(edge for sources in stated.edges.values() for edge in sources.values()),
        overview=prose.overview,
        complexity=prose.complexity,
        duration=prose.duration,
        outcomes=prose.outcomes,
        patterns=prose.patterns,
        span=place,
    )


@dataclass(frozen=True, slots=True)
class _Prose:
    """The parts of a document that `stepflow show` shows."""

    title: str
    overview: str
    complexity: Text | None
    duration: Text | None
    dependencies: Text | None
    outcomes: tuple[Text, ...]
    patterns: tuple[Text, ...]


def _read_prose(reading: Reading, sections: Sequence[Section]) -> _Prose:
    """Read the prose of the sections that belong to one workflow."""
    open_ones = [section for section in sections if section.fence is None and section.number is None]
    labels = _labels(reading, open_ones)
    return _Prose(
        title=next((section.title for section in open_ones if section.level == 1 and section.title), ""),
        overview=_overview(reading, open_ones),
        complexity=labels.get("complexitylevel") or labels.get("complexity"),
        duration=labels.get("durationestimate") or labels.get("duration"),
        dependencies=labels.get("dependencies"),
        outcomes=_list_under(reading, open_ones, "expectedoutcomes"),
        patterns=_list_under(reading, open_ones, "architecturepatternsdemonstrated"),
    )


def _check_counts(reading: Reading, prose: _Prose, steps: Sequence[Step], targets: frozenset[int]) -> None:
    """Warn where the document counts its steps wrongly; `targets` are the steps that rely on another one."""
    dependent = [step for step in steps if step.number in targets]
    independent = [step for step in steps if step.number not in targets]
    real = {"dependent": dependent, "independent": independent, "step": steps}
    for text in (prose.complexity, prose.dependencies):
        counted: set[str] = set()
        for match in _COUNT.finditer(text.value) if text else ():
            what = match["what"].lower().rstrip("s")
            if what in counted or (what == "step" and text is prose.dependencies):
                continue
            counted.add(what)
            there = real[what]
            if text and int(match["count"]) != len(there):
                kind = "" if what == "step" else f"{what} "
                message = f"this line counts {match['count']} {kind}steps, but there are {len(there)}"
                if there:
                    places = (f"{step.number} (line {step.span.line})" for step in there)
                    message += f": {listed(places, len(there), ', ')}"
                reading.report("SF207", text.span, message, f"write `{len(there)} {match['what']}`", "warning")


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
