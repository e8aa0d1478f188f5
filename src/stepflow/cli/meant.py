"""Which platform a document means when no name is given. Pure.

A platform is its state directory: what it is called there, it stays. Its document is the one of its last run: the file,
and in a file that holds several workflows the one of that name. A title can change, a file can move, and two documents
can have the same title, so a name alone decides nothing; where it would be a guess, the user is asked.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from stepflow.errors import UsageError
from stepflow.workflow import slug


@dataclass(frozen=True, slots=True)
class Asked:
    """The document of this call."""

    document: str  # as it was typed
    file: str  # its real path
    workflow: str  # the name that it gives itself
    former: str  # the one that version 0.1.0 gave it
    beside: frozenset[str]  # the names of other workflows in the file


@dataclass(frozen=True, slots=True)
class Claim:
    """A platform of this directory, and the document of its last run."""

    name: str
    document: str
    file: str  # its real path
    workflow: str  # the name that the document gave itself then
    gone: bool  # the file is not there any more
    related: bool  # at least half of its steps are in the document of this call


def settle(asked: Asked, claims: Sequence[Claim]) -> str:
    """Return the name of the platform that is meant. Raises `UsageError` that says what to type."""
    own = [each for each in claims if each.file == asked.file and each.workflow not in asked.beside]
    named = next((each for each in claims if each.name == asked.workflow), None)
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
    return asked.workflow


def _called_otherwise(asked: Asked, own: Sequence[Claim], claims: Sequence[Claim]) -> UsageError:
    were = " and ".join(f"`{each.name}`" for each in own)
    ran = f"ran as {were}" if own[0].file == asked.file else f"has the steps of {were}, whose document is gone"
    goes_on = " or ".join(f"`--name {each.name}`" for each in own)
    hint = f"{goes_on} goes on with that platform, `--name {_free(asked, claims)}` makes another one beside it"
    return UsageError(f"`{asked.document}` {ran}, and its title now calls it `{asked.workflow}`", hint=hint)


def _another(asked: Asked, named: Claim, claims: Sequence[Claim]) -> UsageError:
    problem = f"`{named.name}` was made from `{named.document}`, and `{asked.document}` has the same name"
    free = _free(asked, claims)
    hint = f"`--name {named.name}` turns it into what this one says, `--name {free}` makes another one beside it"
    return UsageError(problem, hint=hint)


def _free(asked: Asked, claims: Collection[Claim]) -> str:
    """Return a name that no platform of this directory has."""
    taken = {each.name for each in claims}
    wishes = (asked.workflow, slug(Path(asked.file).stem), *(f"{asked.workflow[:45]}-{n}" for n in range(2, 99)))
    return next(name for name in wishes if name not in taken)
