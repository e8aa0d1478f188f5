"""Where a platform lives: `.stepflow/<name>/` in the working directory, and which one a command or a document means.

A platform is its state directory: its name there never changes. Its document is the one of its last run: the file, and
in a file that holds several workflows the one of that name. A title can change, a file can move, and two documents can
have the same title, so a name alone decides nothing; where stepflow would have to guess, it asks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from stepflow.cli.terminal import short_path
from stepflow.engine import (
    PastRun,
    Platform,
    ever_made,
    holder,
    known_steps,
    last_attempts,
    latest_run,
    match,
    present,
    runs,
)
from stepflow.errors import MachineError, StepflowError, UsageError
from stepflow.journal import BEFORE_A_RUN, Journal
from stepflow.registry import ResolvedWorkflow, require
from stepflow.targets import open_target, provider, require_options, used_in
from stepflow.targets.contract import Site, Target
from stepflow.workflow import former_slug, load, parse, read_text, slug, split_path

STATE = Path(".stepflow")
_NONE: Mapping[str, str] = MappingProxyType({})
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?")


def names() -> list[str]:
    """List the platforms of the working directory, one whose journal is gone included."""
    return sorted({path.parent.name for file in ("journal.db", "lock") for path in STATE.glob(f"*/{file}")})


def pick(name: str) -> str:
    """Return the platform that is meant: the named one, or the only one. Raises `UsageError` otherwise."""
    there = names()
    if name in there:
        return name
    if not there:
        raise UsageError("there is no platform in this directory", hint="`stepflow run FILE` creates one")
    listed = ", ".join(f"`--name {each}`" for each in there)
    if name:
        raise UsageError(f"there is no platform `{name}` in this directory", hint=f"there is: {listed}")
    if len(there) > 1:
        raise UsageError(f"there are {len(there)} platforms in this directory", hint=f"say which: {listed}")
    return there[0]


def say(command: str, name: str) -> str:
    """Return what to type for a command on a platform: the name is left out where it is the only one."""
    return f"stepflow {command}" + (f" --name {name}" if set(names()) - {name} else "")


def site(name: str, out: str = "", options: Mapping[str, str] = _NONE) -> Site:
    """Return the folders of a platform's state and rendered source. Raises `UsageError` for ones it cannot have."""
    if not _NAME.fullmatch(name):
        hint = "use at most 48 of a-z, 0-9 and `-`"
        raise UsageError(f"`{name}` cannot be the name of a platform", hint=hint)
    if out and Path(_real(out)).is_relative_to(_real(STATE)):
        problem = f"`{out}` is inside `{STATE}`, which holds the state of platforms"
        raise UsageError(problem, hint="give `--out` a folder outside of it")
    return Site(name, STATE.absolute() / name, Path(out or name).absolute(), options)


def journal(name: str) -> Journal:
    """Open the journal of a platform that exists, to read it."""
    return Journal(STATE / name / "journal.db", read_only=True)


def history(name: str) -> tuple[PastRun, ...]:
    """List the runs of a platform that exists, the last one first, with the output folders where they are now."""
    with journal(name) as record:
        return tuple(replace(run, out=_followed(run.out, name)) for run in runs(record))


def _followed(out: str, name: str) -> str:
    """Return where a run rendered to. Version 0.1.0 recorded an absolute path, which does not follow when the directory
    with the document is moved or copied; what lay in the directory then lies in it now.
    """
    path = Path(out)
    if not path.is_absolute() or path.is_relative_to(Path.cwd()):
        return out
    from stepflow.targets.identity import read  # noqa: PLC0415 - rarely needed

    state, before = (STATE / name).resolve(), path.parent
    if homes := [read(state, each)[1] for each in used_in(state)]:
        before, moved = homes[0].parents[1], homes[0] != state
    else:  # it was never on a target; by default, the folder has the platform's name
        moved = path.name == name and (not path.exists() or (before / STATE / name).is_dir())
    return str(path.relative_to(before)) if moved and path.is_relative_to(before) else out


def step_log(name: str, recorded: str) -> Path:
    """Return the path of a step's log, which was recorded as it was when the step ran."""
    return STATE.absolute() / name / "logs" / Path(recorded).name


def last_run(name: str) -> PastRun:
    """Return the last run of a platform. Raises `UsageError` when there is none."""
    found = _latest(name)
    if not found:
        raise UsageError(f"`{name}` has never been run", hint="`stepflow run FILE`")
    return found


def _latest(name: str) -> PastRun | None:
    with journal(name) as record:
        run = latest_run(record)
    return replace(run, out=_followed(run.out, name)) if run else None


def ending(name: str, run: PastRun) -> str:
    """Return how a run ended, in words. One without an end goes on as long as its process works on the platform."""
    return run.status or ("going on" if run.pid and run.pid == holder(STATE / name) else "cut off")


def made_workloads(name: str) -> bool:
    """Return whether a run ever set out to create workloads: otherwise there is nothing to ask the target."""
    with journal(name) as record:
        return bool(ever_made(record))


def why_nothing_runs(name: str) -> str:
    """Return why nothing of a platform is there, where its target has nothing of it."""
    with journal(name) as record:
        deploying = [each for each in last_attempts(record).values() if each.stood and each.workloads]
    if not deploying:
        return "no step that ran deploys anything"
    done = any(each.record.outcome == "done" for each in deploying)
    return f"it was taken down, or {'removed by something else' if done else 'no step has started anything yet'}"


def target(name: str) -> Target:
    """Open the target that a platform runs on."""
    run = last_run(name)
    return open_target(run.target, site(name, run.out, run.options))


def standing(name: str) -> tuple[Mapping[str, Target], PastRun | None, str]:
    """Return the targets that a platform may be on, its last run, and what is wrong with its journal.

    Where the journal says nothing, these are all that the platform was ever on.
    """
    try:
        last, problem = _latest(name), ""
        if last:
            return ({last.target: target(name)} if made_workloads(name) else {}), last, ""
    except MachineError as error:
        problem = error.message
    where = site(name)
    return {each: open_target(each, where) for each in used_in(where.state)}, None, problem


def platform(
    document: str, *, name: str, out: str, on: str, options: Mapping[str, str] = _NONE, strict: bool = False
) -> Platform:
    """Read and resolve a document.

    Raises `DocumentError` with all of its problems, `UsageError` for no target, or an option that it does not take.
    """
    require_options(on, options)
    resolved = require(load(document), strict=strict)
    for path in (document, out, str(STATE.absolute())):
        _require_text(path)
    name = name or meant(document, resolved)
    where = site(name, out or _out_of_last_run(name), options)
    _require_possible(where.out)
    return Platform(document, resolved.workflow, resolved.steps, where, provider(on))


def _require_text(path: str) -> None:
    """Raise `UsageError` for a path that is not UTF-8: a run records it, as text, and hands it to others in JSON."""
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"the path `{path}` is not UTF-8 text", hint="rename it: `mv OLD NEW`") from error


def _require_possible(out: Path) -> None:
    """Raise `UsageError` for a place at which no folder can be made, such as below a link to itself."""
    try:
        out.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        problem = f"`{short_path(str(out))}` cannot be written: {(error.strerror or str(error)).lower()}"
        raise UsageError(problem, hint="choose another folder with `--out`") from error


def meant(document: str, resolved: ResolvedWorkflow) -> str:
    """Return the name of the platform that a document means when none is given: its own, or the one that it has.

    Raises `UsageError` with what to type when that is not clear, and what is wrong with the journal of the platform
    that has its name, where that cannot be read.
    """
    claims, unread = [], {}
    for each in names():
        try:
            claims += [claim] if (claim := _claim(each, resolved)) else []
        except StepflowError as error:
            unread[each] = error
    if not (claims or unread):
        return resolved.workflow.name
    file, workflow = split_path(document)[0], resolved.workflow
    beside = frozenset(each.name for each in parse(read_text(file), file)[0]) - {workflow.name}
    return settle(Asked(document, _real(file), workflow.name, former_slug(workflow.title), beside, unread), claims)


def _claim(name: str, resolved: ResolvedWorkflow) -> Claim | None:
    """Return what a platform was made from; None where it was never run.

    Raises `StepflowError` for a journal that cannot be read, or that is gone though a run left something.
    """
    if {path.name for path in (STATE / name).glob("*")} <= BEFORE_A_RUN:
        return None
    with journal(name) as record:
        last, known = latest_run(record), known_steps(record)
    if last is None:
        return None
    file = _real(split_path(last.document)[0])
    standing = [each for each in known if each.stood]
    same = [each for each in match(present(resolved.steps), standing).values() if each.known]
    return Claim(
        name,
        last.document,
        file,
        last.workflow or name,
        gone=not Path(file).exists(),
        related=bool(same) and len(same) * 2 >= len(standing),
        foreign=bool(standing) and not same,
    )


def _real(file: str | Path) -> str:
    return os.path.realpath(file)  # `Path.resolve` raises for a link to itself


def again(run: PastRun, name: str) -> Platform:
    """Read and resolve the document of an earlier run, with the folders, target and options of that run."""
    return platform(run.document, name=name, out=run.out, on=run.target, options=run.options)


def _out_of_last_run(name: str) -> str:
    found = _latest(name) if (STATE / name / "journal.db").exists() else None
    return found.out if found else ""


@dataclass(frozen=True, slots=True)
class Asked:
    """The document of this call."""

    document: str  # as it was typed
    file: str  # its real path
    workflow: str  # the name that it gives itself
    former: str  # the one that version 0.1.0 gave it
    beside: frozenset[str]  # the names of other workflows in the file
    unread: Mapping[str, StepflowError]  # platforms that may be its own: why their journal cannot be read


@dataclass(frozen=True, slots=True)
class Claim:
    """A platform of this directory, and the document of its last run."""

    name: str
    document: str
    file: str  # its real path
    workflow: str  # the name that the document gave itself then
    gone: bool  # the file is not there any more
    related: bool  # at least half of its steps are in the document of this call
    foreign: bool  # it has steps, and none of them is


def settle(asked: Asked, claims: Sequence[Claim]) -> str:
    """Return the name of the platform that is meant. Raises `StepflowError` that says what to type."""
    own = [each for each in claims if each.file == asked.file and each.workflow not in asked.beside]
    named = next((each for each in claims if each.name == asked.workflow), None)
    if (
        named and named in own and named.foreign and asked.beside
    ):  # another workflow of the file may have taken its name
        raise _another(asked, named, claims)
    if named and (named in own or (named.gone and named.related)):
        return named.name
    unchanged = [each.name for each in own if each.workflow == asked.workflow or each.name == asked.former]
    if len(unchanged) == 1:  # a name was given before, or version 0.1.0 made another one of the same title
        return unchanged[0]
    moved = [each for each in claims if each.gone and each.related and each != named]
    if own or (moved and not named):
        raise _called_otherwise(asked, own or moved, claims)
    if named:
        raise _another(asked, named, claims)
    if asked.workflow in asked.unread:
        raise asked.unread[asked.workflow]
    if asked.unread:
        raise _perhaps(asked, claims)
    return asked.workflow


def _called_otherwise(asked: Asked, own: Sequence[Claim], claims: Sequence[Claim]) -> UsageError:
    were = " and ".join(f"`{each.name}`" for each in own)
    ran = f"ran as {were}" if own[0].file == asked.file else f"has the steps of {were}, whose document is gone"
    goes_on = " or ".join(f"`--name {each.name}`" for each in own)
    hint = f"{goes_on} goes on with that platform, `--name {_free(asked, claims)}` makes another one beside it"
    return UsageError(f"`{asked.document}` {ran}, and its title now calls it `{asked.workflow}`", hint=hint)


def _another(asked: Asked, named: Claim, claims: Sequence[Claim]) -> UsageError:
    problem = f"`{named.name}` was made from `{named.document}`, and `{asked.document}` has the same name"
    if named.file == asked.file:
        problem = f"`{named.name}` has none of the steps of `{asked.document}`, which has the same name"
    free = _free(asked, claims)
    hint = f"`--name {named.name}` changes that platform into this one, `--name {free}` makes another one beside it"
    return UsageError(problem, hint=hint)


def _perhaps(asked: Asked, claims: Sequence[Claim]) -> UsageError:
    those = " or ".join(f"`{name}`" for name in asked.unread)
    why = "; ".join(error.message for error in asked.unread.values())
    goes_on = " or ".join(f"`--name {name}`" for name in asked.unread)
    hint = f"{goes_on} goes on with that platform, `--name {_free(asked, claims)}` makes another one beside it"
    return UsageError(f"`{asked.document}` may be the document of {those}: {why}", hint=hint)


def _free(asked: Asked, claims: Collection[Claim]) -> str:
    """Return a name that no platform of this directory has."""
    taken = {*asked.unread, *(each.name for each in claims)}
    wishes = (asked.workflow, slug(Path(asked.file).stem), *(f"{asked.workflow[:45]}-{n}" for n in range(2, 99)))
    return next(name for name in wishes if name not in taken)
