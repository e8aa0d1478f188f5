"""The options of the installed targets on the command line: each target describes, reads and checks its own.

A command that hands them on has `**options` in its signature; `expanded` puts the targets' options in its place.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepflow.errors import MachineError, UsageError

if TYPE_CHECKING:
    from stepflow.targets.contract import Option

Command = Callable[..., int | None]
_OURS = "target_"  # begins the name of an option's parameter, so that it may be any word
_TIME = re.compile(r"(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+(?:\.[0-9]+)?)s?)?")
_TYPED = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")  # the name of an option

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
Deadline = Annotated[
    str,
    typer.Option(
        "--deadline",
        metavar="TIME",
        help="Stop everything that runs after this time, such as `90`, `90s`, `10m` or `1h30m`; `resume` goes on.",
    ),
]
NoVerify = Annotated[
    bool, typer.Option("--no-verify", help="Leave the expected outcomes unchecked; each step is checked as ever.")
]
RefuseUndeclared = Annotated[
    bool, typer.Option("--strict", help="Refuse commands that read or make what no field of their step names.")
]
TargetName = Annotated[
    str,
    typer.Option("--target", metavar="TARGET", help="Where it runs; `stepflow doctor` lists the targets."),
]


def seconds(option: str, text: str) -> float | None:
    """Read a time as seconds; None where none is given. Raises `UsageError` that names the option."""
    if not text:
        return None
    found = _TIME.fullmatch(text.replace(" ", "").lower())
    hours, minutes, rest = (float(part or 0) for part in found.groups()) if found else (0, 0, 0)
    if not (total := hours * 3600 + minutes * 60 + rest):
        raise UsageError(f"`{option} {text}` is not a time above 0", hint=f"such as `{option} 90s` or `{option} 1h30m`")
    return total


def expanded(command: Command, *, doctor: bool = False, load: bool = True) -> Command:
    """Return the command with the options of all installed targets in place of its `**options`.

    `doctor` leaves only those that `stepflow doctor` takes; without `load`, as for a summary, no target is loaded.
    """
    own = inspect.signature(command, eval_str=True)
    kept = [each for each in own.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    if len(kept) == len(own.parameters):
        return command
    taken = {"help", *(each.name.replace("_", "-") for each in kept)}
    more = [_parameter(each) for each in _offered(taken, doctor=doctor)] if load else []

    @wraps(command)
    def expanded_command(*arguments: Any, **named: Any) -> int | None:  # noqa: ANN401 - whatever the command takes
        _require_free(str(named.get("target") or ""), taken)
        return command(*arguments, **named)

    expanded_command.__signature__ = own.replace(parameters=[*kept, *more])  # type: ignore[attr-defined]
    expanded_command.__annotations__ = {}
    expanded_command.__doc__ = _described(command.__doc__ or "") if load else command.__doc__
    return expanded_command


def _described(text: str) -> str:
    """Fill in the help of a command which targets there are: `{default}`, and `{other}` for an example."""
    from stepflow.targets import DEFAULT, installed  # noqa: PLC0415 - keeps `--help` quick

    other = next((name for name in installed() if name != DEFAULT), DEFAULT)
    return text.replace("{default}", DEFAULT).replace("{other}", other)


def _require_free(target: str, taken: Collection[str]) -> None:
    """Raise `MachineError` for a target with an option that the command takes for itself, or that cannot be typed."""
    from stepflow.targets import DEFAULT, package, provider  # noqa: PLC0415 - keeps `--help` quick

    name = target or DEFAULT
    for option in provider(name).options:
        if option.name not in taken and _TYPED.fullmatch(option.name):
            continue
        offers = package(name)
        what = "which the command has itself" if option.name in taken else "which is not lower-case words with `-`"
        raise MachineError(
            f"the target `{name}` of `{offers}` has an option `--{option.name}`, {what}",
            hint=f"rename the option in `{offers}`, or uninstall it",
        )


def gather(target: str, given: Mapping[str, list[str] | None]) -> dict[str, str]:
    """Read what was given for a target's options, as `Site.options` holds it; empty ones are left out.

    Raises `UsageError` for an unknown target, an option that it does not take, and whatever the option itself refuses.
    """
    from stepflow.blame import blaming, expect  # noqa: PLC0415 - keeps `--help` quick
    from stepflow.targets import provider, providers, require_options  # noqa: PLC0415 - likewise

    takers = [provider(target), *providers()]  # of several options of one name, that of the target decides
    found: dict[str, str] = {}
    for parameter, value in given.items():
        key = parameter.removeprefix(_OURS).replace("_", "-")
        name, option = next((taker.name, o) for taker in takers if (o := taker.option(key)))
        for path, text in _texts(option, value):
            with blaming("target", name, f"to read `--{option.name}`"):
                found[path] = expect(option.read(text), str, "read()")
    options = {path: text for path, text in found.items() if text}
    require_options(target, options)
    return options


def _texts(option: Option, value: list[str] | None) -> Iterable[tuple[str, str]]:
    """Return each text that was typed, with its key: `image.postgres` for one of an option that takes several."""
    if not option.several:
        return [(option.name, value[-1])] if value else []
    found = []
    for each in value or ():
        name, _, text = each.partition("=")
        if not (name and text):
            hint = f"such as `--{option.name} {option.example}`" if option.example else option.help
            raise UsageError(f"`--{option.name} {each}` needs {option.metavar}", hint=hint)
        found.append((f"{option.name}.{name}", text))
    return found


def _offered(taken: Collection[str], *, doctor: bool) -> Iterable[Mapping[str, Option]]:
    """Return each option, by name, as each target that takes it describes it; none that cannot be typed."""
    from stepflow.targets import providers  # noqa: PLC0415 - keeps `--help` quick

    found: dict[str, dict[str, Option]] = {}
    for offered in providers():
        for option in offered.options:
            if option.name not in taken and _TYPED.fullmatch(option.name) and (option.doctor or not doctor):
                found.setdefault(option.name, {})[offered.name] = option
    return [found[name] for name in sorted(found)]


def _parameter(takers: Mapping[str, Option]) -> inspect.Parameter:
    """Return the parameter of an option; how it is read, and whether it may be repeated, its target decides later."""
    first, *others = takers.values()
    alike = all(each.help == first.help for each in others)
    info = typer.Option(
        f"--{first.name}",
        metavar=first.metavar,
        help=first.help if alike else " ".join(f"{name}: {each.help}" for name, each in takers.items()),
        rich_help_panel=f"With --target {' or '.join(takers)}",
        show_default=False,
    )
    return inspect.Parameter(
        _OURS + first.name.replace("-", "_"),
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[list[str] | None, info],
    )
