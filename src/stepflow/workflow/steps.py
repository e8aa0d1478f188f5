"""Turns drafts into steps: what each field of the format means."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from textwrap import shorten

from stepflow.errors import Span
from stepflow.workflow.drafts import Draft, Group
from stepflow.workflow.keys import FORMAT_KEYS, normalise_key
from stepflow.workflow.model import Step
from stepflow.workflow.reading import Reading

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_NOTHING = frozenset({"", "<none>", "none", "null"})
_ID = re.compile(r"[a-z0-9][a-z0-9._-]*")
_SHOWN = 40  # characters of a wrong id


def make_steps(reading: Reading, group: Group) -> tuple[Step, ...]:
    """Make the steps of one workflow; a `Repo` holds for the later ones until `none` ends it."""
    steps = []
    repo: str | None = None
    for draft in group.steps.values():
        if "repo" in draft.fields:
            repo = _name(draft.fields["repo"].value)
        steps.append(_make_step(reading, draft, repo))
    _check_ids(reading, steps)
    return tuple(steps)


def _make_step(reading: Reading, draft: Draft, repo: str | None) -> Step:
    span = reading.span(draft.heading.start, draft.heading.end)
    prompt = _value(draft, "prompt")
    if not prompt:
        _report_prompt(reading, draft, span)
    playbook = _name(_value(draft, "playbook"))
    if playbook is None:
        where = draft.fields["playbook"].span if "playbook" in draft.fields else span
        message = f"step {draft.number} has no playbook, so a run does nothing for it"
        reading.report("SF108", where, message, "`stepflow playbooks` lists what there is", "info")
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
            message = f"`{shorten(given.value, _SHOWN, placeholder=' ...')}` cannot be the id of a step"
            hint = "use a-z, 0-9, `.`, `_` and `-`, a letter or digit first: `- Id: build-image`"
            reading.report("SF112", given.value_span, message, hint)
        elif other := seen.get(step.id):
            line = other.fields["id"].span.line
            message = f"step {step.number} has the id `{step.id}`, which step {other.number} has in line {line}"
            reading.report("SF113", given.value_span, message, "give each step an id of its own")
        seen.setdefault(step.id, step)


def _value(draft: Draft, key: str) -> str:
    return draft.fields[key].value if key in draft.fields else ""


def _name(value: str) -> str | None:
    """Return a name without quotes, emphasis and comments; None for the words that mean nothing."""
    name = _COMMENT.sub("", value).strip(" \t\n`'\"*")
    return None if name.lower() in _NOTHING else name


def _report_prompt(reading: Reading, draft: Draft, span: Span) -> None:
    """Report that the prompt is missing; a key that is nearly `Prompt` is probably meant to be it."""
    hint = "say what is to be built: `- Prompt: ...`"
    if "prompt" in draft.fields:
        span = draft.fields["prompt"].span
        reading.report("SF105", span, f"the `Prompt` of step {draft.number} is empty", hint)
        return
    near = get_close_matches("prompt", [normalise_key(field.key) for field in draft.fields.values()], n=1, cutoff=0.7)
    if near:
        span = draft.fields[near[0]].span
        hint = f"did you mean `Prompt` where line {span.line} says `{draft.fields[near[0]].key}`?"
    reading.report("SF105", span, f"step {draft.number} has no `Prompt`", hint)
