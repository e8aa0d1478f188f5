"""What commands read and write without a field that says so: a run cannot know that it changed.

The command itself is not parsed as a shell would: a name counts as a variable that comes from outside where the text
has `$NAME` and nothing in it that sets `NAME`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches

from stepflow.errors import Diagnostic, Severity
from stepflow.playbook import CommandSettings
from stepflow.registry.resolution import ResolvedWorkflow
from stepflow.registry.wiring import ResolvedStep
from stepflow.workflow import excerpt, listed

_QUOTED = re.compile(r"'[^']*'|\\.", re.DOTALL)
_USED = re.compile(r"\$\{?[#!]?([A-Za-z_][A-Za-z0-9_]*)")
_SET = re.compile(
    r"\b([A-Za-z_][A-Za-z0-9_]*)(?:\[[^\]\n]{0,200}\])?\+?=|\bfor\s+([A-Za-z_]\w*)"
    r"|\b(?:read|local|declare|typeset|export|readonly|mapfile|readarray|getopts\s+\S+|printf\s+-v)\s+([^;&|<>\n)]*)"
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_USUAL = re.compile(
    r"STEPFLOW_\w*|BASH\w*|LC_\w+|COMP_\w+|PATH|HOME|USER|LOGNAME|SHELL|PWD|OLDPWD|LANG|TERM|TMPDIR|HOSTNAME|UID|EUID"
    r"|PPID|RANDOM|SECONDS|LINENO|EPOCHSECONDS|EPOCHREALTIME|IFS|OPTARG|OPTIND|OPTERR|REPLY|PIPESTATUS|FUNCNAME|SHLVL"
    r"|SHELLOPTS|OSTYPE|MACHTYPE|HOSTTYPE|DIRSTACK|GROUPS|MAPFILE|COLUMNS|LINES|PS4"
)
_TAKEN = re.compile(r"""\.values\.([A-Za-z_]\w*)\b(?!\s*\()|\[["']?values["']?\]\[["']([^"'\]]+)["']\]""")
_HANDOFF = "STEPFLOW_HANDOFF"
_HINTS = 20  # more are not printed


def undeclared(resolved: ResolvedWorkflow, *, strict: bool = False) -> Iterator[Diagnostic]:
    """Report, once for the document, what its commands do not declare; an error each when that is `strict`."""
    severity: Severity = "error" if strict else "info"
    commands = [each for each in resolved.steps if isinstance(each.settings, CommandSettings) and _executes(each)]
    relied_on = {edge.source for edge in resolved.workflow.edges}
    silent = [each.step for each in commands if each.step.number in relied_on and _says_nothing(each)]
    if silent:
        does, they, them = ("does", "it", "it") if len(silent) == 1 else ("do", "they", "them")
        message = f"{_steps([step.number for step in silent])} {does} not say what {they} {_s('make', silent)}: "
        message += f"what relies on {them} runs again only when a value that {they} {_s('hand', silent)} off changes"
        hint = "name it: `- Creates: PATH`, `- Gives: NAME`, or `- Creates: none`"
        yield Diagnostic("SF309", severity, silent[0].span, message, hint)
    outside = {each.step.number: _from_outside(each) for each in commands}
    if using := [each.step for each in commands if outside[each.step.number]]:
        names = list(dict.fromkeys(name for step in using for name in outside[step.number]))
        those = listed((f"`${name}`" for name in names), len(names))
        it, them = ("it", "it") if len(names) == 1 else ("they", "them")
        message = f"{_steps([step.number for step in using])} {_s('read', using)} {those}, and no field names {them}: "
        message += f"nothing runs again when {it} {'has' if len(names) == 1 else 'have'} another value"
        hint = f"name each where it is read: `- Env: {names[0]}`, or `- Secrets: {names[0]}`"
        yield Diagnostic("SF310", severity, using[0].fields["prompt"].value_span, message, hint)


def unknown_values(resolved: ResolvedWorkflow) -> Iterator[Diagnostic]:
    """Report each value that a command takes from handoffs and that no step gives which it takes from."""
    given = {each.step.number: _given(each) for each in resolved.steps}
    reported = 0
    for each in resolved.steps:
        sources = [given[number] for number in each.takes] if _executes(each) else []
        known = [names for names in sources if names is not None]
        if not sources or len(known) < len(sources):
            continue
        spelled = _steps(each.takes)
        for name in dict.fromkeys(found[1] or found[2] for found in _TAKEN.finditer(each.step.prompt)):
            if any(name in names for names in known):
                continue
            hint = _meant(name, each, known) if reported < _HINTS else ""
            reported += 1
            does = "does" if len(each.takes) == 1 else "do"
            message = f"step {each.step.number} takes the value `{excerpt(name)}`, which {spelled} {does} not give"
            yield Diagnostic("SF311", "error", each.step.fields["prompt"].value_span, message, hint)


def _meant(name: str, each: ResolvedStep, known: Sequence[Collection[str]]) -> str:
    """Return which value may be meant, or all that there are."""
    names = sorted({other for one in known for other in one})
    if near := get_close_matches(name, names, n=1):
        return f"did you mean `{near[0]}`?"
    gives = listed((f"`{other}`" for other in names), len(names)) or "no value"
    return f"{_steps(each.takes)} {_s('give', each.takes)} {gives}"


def _executes(each: ResolvedStep) -> bool:
    return each.playbook is not None and each.playbook.executes_prompt and "prompt" in each.step.fields


def _says_nothing(each: ResolvedStep) -> bool:
    return not {"creates", "gives"} & set(each.step.inputs)


def _given(source: ResolvedStep) -> Collection[str] | None:
    """Return the names of all values that a step hands off; None where that is not said."""
    if not isinstance(source.settings, CommandSettings) or "gives" not in source.step.inputs:
        return None
    return frozenset(source.settings.given)


def _from_outside(each: ResolvedStep) -> list[str]:
    """Return the variables that a command reads, and neither sets nor declares."""
    assert isinstance(each.settings, CommandSettings)
    text = _QUOTED.sub(" ", each.step.prompt)
    own = {name for found in _SET.finditer(text) for part in found.groups() if part for name in _NAME.findall(part)}
    own |= {*each.settings.env, *each.settings.secrets}
    return [name for name in dict.fromkeys(_USED.findall(text)) if name not in own and not _USUAL.fullmatch(name)]


def _steps(numbers: Sequence[int]) -> str:
    return f"step{'' if len(numbers) == 1 else 's'} {listed(map(str, numbers), len(numbers))}"


def _s(verb: str, several: Sequence[object]) -> str:
    """Return a verb as it goes with one or with several."""
    return f"{verb}s" if len(several) == 1 else verb
