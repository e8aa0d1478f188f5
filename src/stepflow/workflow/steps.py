"""Makes steps out of headings and their fences, and one workflow out of the steps that belong together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from stepflow.errors import Span
from stepflow.markdown import Block
from stepflow.workflow.excerpt import excerpt
from stepflow.workflow.fields import FORMAT_KEYS, has_format_key, normalise_key, read_fields
from stepflow.workflow.model import Field, Step
from stepflow.workflow.sections import Reading, Section

_NEARLY = re.compile(r"[^\w<]*step\b", re.IGNORECASE)  # the heading of a step, but for its number
_ARROW = re.compile(r"\u2192|->|=>")
_SETTINGS = frozenset(
    ("config", "configuration", "details", "fields", "inputs", "options", "parameters", "properties", "settings")
)
"""Headings below a step under which all that looks like a field is one."""
_UNREAD = frozenset({"SF107", "SF114", "SF115", "SF117"})
_NOTHING = frozenset({"", "<none>", "none", "null"})
_ID = re.compile(r"[a-z0-9][a-z0-9._-]*")
_SHOWN = 40  # characters of a wrong id


@dataclass(slots=True)
class Draft:
    """A step as it is in the document, before its fields are interpreted."""

    number: int
    title: str
    heading: Block
    home: Block | None
    fence: int | None  # offset of its fence, when no heading outside of it names the step
    outer: bool  # whether a heading outside of a fence names the step
    bodies: list[list[Block]]
    fields: dict[str, Field] = field(default_factory=dict)
    inside: tuple[int | None, int] = (None, 0)  # offset of the fence that it goes on in, and the level of its heading

    def contains(self, section: Section) -> bool:
        """Return whether a section that is not a step stands below the heading of this one."""
        if section.fence is None:
            return self.outer and section.level > self.heading.level
        return section.fence == self.inside[0] and section.level > self.inside[1]


@dataclass(slots=True)
class Group:
    """The steps of one workflow, by number."""

    steps: dict[int, Draft]
    first: Draft  # in the order of the document
    start: Block  # the heading with which the workflow starts, below that of the one before it
    misplaced: list[tuple[Draft, Draft, str]] = field(default_factory=list)  # a step, the other one, and the code


def find_groups(reading: Reading, sections: list[Section]) -> list[Group]:
    """Find the workflows. Headings `Step N` without any field are prose if other steps have fields."""
    drafts = _drafts(reading, sections)
    for draft in drafts:
        draft.fields = read_fields(reading, draft.number, draft.bodies)
    groups = _groups(drafts)
    groups = [group for group in groups if any(draft.fields for draft in group.steps.values())] or groups[:1]
    for group in groups:  # edges run from lower to higher numbers, even where the order is reported as wrong
        group.steps = dict(sorted(group.steps.items()))
        for draft, other, code in group.misplaced:
            _report_order(reading, draft, other, code)
    return groups


def _drafts(reading: Reading, sections: list[Section]) -> list[Draft]:
    drafts: list[Draft] = []
    outer: Draft | None = None  # the step whose heading is open, and may have a fence
    last: Draft | None = None  # the step that a heading below it belongs to
    seen_fence: int | None = None
    for section in sections:
        if section.heading is None:
            continue
        fresh_fence = section.fence is not None and section.fence != seen_fence
        seen_fence = section.fence
        if section.number is None:
            if section.fence is None and outer and section.level <= outer.heading.level:
                outer = None
            last = _read_below(reading, section, last)
        elif outer and fresh_fence:
            _join(reading, outer, section)
            outer = None
        else:
            is_outer = section.fence is None
            last = Draft(
                section.number,
                section.title,
                section.heading,
                section.home,
                section.fence,
                is_outer,
                [section.blocks],
                inside=(section.fence, section.level),
            )
            drafts.append(last)
            if is_outer:
                outer = last
    return drafts


def _read_below(reading: Reading, section: Section, last: Draft | None) -> Draft | None:
    """Add the fields of a section that is not a step to the step above it; return whether that one goes on."""
    assert section.heading is not None
    found = has_format_key(reading, section.blocks)
    if _NEARLY.match(section.title) and not _ARROW.search(section.title):
        if found:
            span = reading.span(section.heading.start, section.heading.end)
            message = f"`{excerpt(section.title)}` is not a step, so the fields under it are not read"
            reading.report("SF114", span, message, "number steps with whole numbers: `## Step 3: Title`", "warning")
        return None
    if last is None or not last.contains(section):
        return None
    if found or re.sub(r"[\W_]+", "", section.title.lower()) in _SETTINGS:
        last.bodies.append(section.blocks)
    return last


def _join(reading: Reading, outer: Draft, inner: Section) -> None:
    """Add a fence to the step of its heading."""
    assert inner.heading is not None
    outer.bodies.append(inner.blocks)
    outer.title = outer.title or inner.title
    outer.inside = (inner.fence, inner.level)
    if inner.number != outer.number:
        line = reading.source.place(outer.heading.start)[0]
        span = reading.span(inner.heading.start, inner.heading.end)
        message = f"this fence defines step {inner.number}, but its heading in line {line} says step {outer.number}"
        reading.report("SF102", span, message, f"write `## Step {outer.number} ##`, or fix the heading")


def _groups(drafts: Sequence[Draft]) -> list[Group]:
    groups: list[Group] = []
    for draft in drafts:
        group = groups[-1] if groups else None
        if group is None or _starts_another(group, draft):
            start = draft.home or draft.heading
            if group and start.start <= group.start.start:  # two workflows under one heading
                start = draft.heading
            groups.append(Group({draft.number: draft}, draft, start))
        elif draft.number in group.steps:
            group.misplaced.append((draft, group.steps[draft.number], "SF103"))
        else:
            last = next(reversed(group.steps.values()))
            if draft.number < last.number:
                group.misplaced.append((draft, last, "SF104"))
            group.steps[draft.number] = draft
    return groups


def _starts_another(group: Group, draft: Draft) -> bool:
    """Return whether a step begins another workflow: its number again under another heading or in another fence."""
    first, last = group.first, next(reversed(group.steps.values()))
    twin = group.steps.get(draft.number)
    if twin is None:
        return draft.number < first.number and draft.home != last.home
    in_fences = not twin.outer and not draft.outer and twin.fence != draft.fence
    return twin.home != draft.home or (in_fences and draft.number == first.number)


def _report_order(reading: Reading, draft: Draft, other: Draft, code: str) -> None:
    span = reading.span(draft.heading.start, draft.heading.end)
    line = reading.source.place(other.heading.start)[0]
    if code == "SF103":
        message = f"step {draft.number} is defined twice: the other is in line {line}"
        hint = "give each step its own number; a second workflow in the same file needs a heading of its own"
    else:
        message = f"step {draft.number} comes after step {other.number} (line {line}): numbers must increase"
        hint = "put the steps in the order of their numbers, or renumber them"
    reading.report(code, span, message, hint)


def make_steps(reading: Reading, group: Group) -> tuple[Step, ...]:
    """Make the steps of one workflow; a `Repo` holds for the later ones until `none` ends it."""
    steps = []
    repo: str | None = None
    bare = not any(draft.fields for draft in group.steps.values())
    if bare := bare and not any(found.code in _UNREAD for found in reading.problems):
        span = reading.span(group.first.heading.start, group.first.heading.end)
        many = "the step has" if len(group.steps) == 1 else f"the {len(group.steps)} steps have"
        message = f"{many} no fields, so a run does nothing: this is a list for people"
        hint = "give a step something to do: `- Playbook: ...` and `- Prompt: ...` under its heading"
        reading.report("SF116", span, message, hint, "info")
    for draft in group.steps.values():
        if "repo" in draft.fields:
            repo = _name(draft.fields["repo"].value)
        steps.append(_make_step(reading, draft, repo, bare=bare))
    _check_ids(reading, steps)
    return tuple(steps)


def _make_step(reading: Reading, draft: Draft, repo: str | None, *, bare: bool) -> Step:
    """Make a step; `bare`: that there is nothing in it is said already."""
    span = reading.span(draft.heading.start, draft.heading.end)
    prompt = _value(draft, "prompt")
    if not prompt and not bare:
        _report_prompt(reading, draft, span)
    playbook = _name(_value(draft, "playbook"))
    if playbook is None and not bare:
        where = draft.fields["playbook"].span if "playbook" in draft.fields else span
        message = f"step {draft.number} has no playbook, so a run does nothing for it"
        reading.report("SF108", where, message, "`stepflow playbooks` lists the installed ones", "info")
    return Step(
        number=draft.number,
        title=draft.title,
        playbook=playbook.removeprefix("playbook-") if playbook else None,
        prompt=prompt,
        handoff=_value(draft, "handoff"),
        repo=repo,
        inputs={key: given for key, given in draft.fields.items() if key not in FORMAT_KEYS},
        fields={key: given for key, given in draft.fields.items() if key in FORMAT_KEYS},
        span=span,
        id=(_name(_value(draft, "id")) or "") if "id" in draft.fields else "",
    )


def _check_ids(reading: Reading, steps: Sequence[Step]) -> None:
    """Report ids that cannot be one, and ids that an earlier step has already."""
    seen: dict[str, Step] = {}
    for step in steps:
        if (given := step.fields.get("id")) is None:
            continue
        if not _ID.fullmatch(step.id):
            message = f"`{excerpt(given.value, _SHOWN)}` cannot be the id of a step"
            hint = "use a-z, 0-9, `.`, `_` and `-`, a letter or digit first: `- Id: build-image`"
            reading.report("SF112", given.value_span, message, hint)
        elif step.id.isdecimal():
            message = f"`{excerpt(step.id)}` cannot be the id of a step: commands take it for the step's number"
            reading.report("SF112", given.value_span, message, f"use a letter as well: `- Id: step-{excerpt(step.id)}`")
        elif other := seen.get(step.id):
            line = other.fields["id"].span.line
            message = (
                f"step {step.number} has the id `{excerpt(step.id)}`, which step {other.number} has in line {line}"
            )
            reading.report("SF113", given.value_span, message, "give each step an id of its own")
        seen.setdefault(step.id, step)


def _value(draft: Draft, key: str) -> str:
    return draft.fields[key].value if key in draft.fields else ""


def _name(value: str) -> str | None:
    """Return a name without quotes, emphasis and comments; None for the words that mean nothing."""
    name = _without_comments(value).strip(" \t\n`'\"*")
    return None if name.lower() in _NOTHING else name


def _without_comments(value: str) -> str:
    kept = []
    at = 0
    while (start := value.find("<!--", at)) >= 0 and (end := value.find("-->", start)) >= 0:
        kept.append(value[at:start])
        at = end + 3
    return "".join([*kept, value[at:]])


def _report_prompt(reading: Reading, draft: Draft, span: Span) -> None:
    """Report that the prompt is missing; a key that is nearly `Prompt` is probably meant to be it."""
    hint = "describe what to build: `- Prompt: ...`"
    if "prompt" in draft.fields:
        span = draft.fields["prompt"].span
        reading.report("SF105", span, f"the `Prompt` of step {draft.number} is empty", hint)
        return
    near = get_close_matches("prompt", [normalise_key(field.key) for field in draft.fields.values()], n=1, cutoff=0.7)
    if near:
        span = draft.fields[near[0]].span
        hint = f"did you mean `Prompt` where line {span.line} says `{draft.fields[near[0]].key}`?"
    reading.report("SF105", span, f"step {draft.number} has no `Prompt`", hint)
