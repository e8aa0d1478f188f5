"""The options of the installed targets on the command line: each target describes, reads and checks its own.

A command that hands them on has `**options` in its signature; `expanded` puts the targets' options in its place.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepflow.errors import UsageError

if TYPE_CHECKING:
    from stepflow.targets import Option

Command = Callable[..., int | None]

Accepted = Annotated[
    list[str] | None,
    typer.Option(
        "--accept-unchanged",
        metavar="STEP",
        help=(
            "Count a finished step (its number or id) as unchanged, whatever changed of it in the document; "
            "what differs in what runs is still put right. Repeatable."
        ),
    ),
]
TargetName = Annotated[
    str,
    typer.Option("--target", metavar="TARGET", help="Where it runs; `stepflow doctor` lists the targets."),
]


def expanded(command: Command, *, doctor: bool = False, load: bool = True) -> Command:
    """Return the command with the options of all installed targets in place of its `**options`.

    `doctor` leaves only those that `stepflow doctor` takes; without `load`, as for a summary, no target is loaded.
    """
    own = inspect.signature(command, eval_str=True)
    kept = [each for each in own.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    if len(kept) == len(own.parameters):
        return command
    taken = {each.name.replace("_", "-") for each in kept}
    more = [_parameter(*each) for each in _offered(taken, doctor=doctor)] if load else []

    @wraps(command)
    def expanded_command(*arguments: Any, **named: Any) -> int | None:  # noqa: ANN401 - whatever the command takes
        return command(*arguments, **named)

    expanded_command.__signature__ = own.replace(parameters=[*kept, *more])  # type: ignore[attr-defined]
    expanded_command.__annotations__ = {}
    return expanded_command


def gather(target: str, given: Mapping[str, str | list[str] | None]) -> dict[str, str]:
    """Read what was given for a target's options, as `Site.options` holds it; empty ones are left out.

    Raises `UsageError` for an unknown target, an option that it does not take, and whatever the option itself refuses.
    """
    from stepflow.blame import blaming, expect  # noqa: PLC0415 - keeps `--help` quick
    from stepflow.targets import provider, providers, require_options  # noqa: PLC0415 - likewise

    takers = [provider(target), *providers()]
    found: dict[str, str] = {}
    for parameter, value in given.items():
        key = parameter.replace("_", "-")
        name, option = next((taker.name, o) for taker in takers if (o := taker.option(key)))
        for path, text in _texts(option, value):
            with blaming("target", name, f"to read `--{option.name}`"):
                found[path] = expect(option.read(text), str, "read()")
    options = {path: text for path, text in found.items() if text}
    require_options(target, options)
    return options


def _texts(option: Option, value: str | list[str] | None) -> Iterable[tuple[str, str]]:
    """Return each text that was typed, with its key: `image.postgres` for one of an option that takes several."""
    if not option.several:
        return [(option.name, str(value))] if value else []
    found = []
    for each in value or ():
        name, _, text = each.partition("=")
        if not (name and text):
            hint = f"such as `--{option.name} {option.example}`" if option.example else option.help
            raise UsageError(f"`--{option.name} {each}` needs {option.metavar}", hint=hint)
        found.append((f"{option.name}.{name}", text))
    return found


def _offered(reserved: Collection[str], *, doctor: bool) -> Iterable[tuple[Option, tuple[str, ...]]]:
    """Return each option with the targets that take it, by name; none that the command has itself (`reserved`)."""
    from stepflow.targets import providers  # noqa: PLC0415 - keeps `--help` quick

    found: dict[str, Option] = {}
    takers: dict[str, list[str]] = {}
    for offered in providers():
        for option in offered.options:
            if option.name not in reserved and (option.doctor or not doctor):
                found.setdefault(option.name, option)
                takers.setdefault(option.name, []).append(offered.name)
    return [(found[name], tuple(takers[name])) for name in sorted(found)]


def _parameter(option: Option, takers: tuple[str, ...]) -> inspect.Parameter:
    info = typer.Option(
        f"--{option.name}",
        metavar=option.metavar,
        help=option.help,
        rich_help_panel=f"With --target {' or '.join(takers)}",
        show_default=False,
    )
    kind = list[str] | None if option.several else str
    return inspect.Parameter(
        option.name.replace("-", "_"),
        inspect.Parameter.KEYWORD_ONLY,
        default=None if option.several else "",
        annotation=Annotated[kind, info],
    )
