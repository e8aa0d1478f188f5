"""`stepflow doctor`: what this machine has and lacks."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from stepflow.targets.contract import Finding


def command(
    *,
    target: Annotated[
        str, typer.Option("--target", metavar="TARGET", help="For one target only; by default for all.")
    ] = "",
    **options: list[str] | None,
) -> int:
    """Show what this machine has and lacks, with the remedy.

    The exit code is 3 when something is missing for the target that is named, by default `{default}`; the other targets
    are only reported as available or not.

    Example: `stepflow doctor --target {other}`
    """
    from stepflow.cli.options import gather  # noqa: PLC0415 - keeps `--help` quick
    from stepflow.targets import DEFAULT, installed  # noqa: PLC0415 - likewise

    given = gather(target or DEFAULT, options)
    groups = {"": (_bash(),)} | {name: _examined(name, given) for name in ((target,) if target else installed())}
    width = max(len(each.name) for found in groups.values() for each in found)
    for name, found in groups.items():
        if name:
            available = "available" if all(each.ok for each in found) else "not available"
            sys.stdout.write(f"\ntarget {name}{', the default' if name == DEFAULT else ''}: {available}\n")
        for each in found:
            head = f"{'ok' if each.ok else 'lacks':<5}  {each.name:<{width}}  "
            _write(head, each.detail)
            remedy = each.remedy.removesuffix(f"; `stepflow doctor --target {name}`")  # which is this command
            if remedy and not each.ok:
                _write(" " * len(head), f"hint: {remedy}")
    needed = (*groups[""], *groups.get(target or DEFAULT, ()))
    return 0 if all(each.ok for each in needed) else 3


def _bash() -> Finding:
    import shutil  # noqa: PLC0415 - keeps `--help` quick

    from stepflow.targets.contract import Finding  # noqa: PLC0415 - likewise

    found = shutil.which("bash")
    return Finding("bash", bool(found), found or "not found", "install bash: `shell` steps need it")


def _examined(name: str, options: Mapping[str, str]) -> Sequence[Finding]:
    """Return what the target itself finds, or why it cannot look."""
    from stepflow.cli.patience import patience  # noqa: PLC0415 - keeps `--help` quick
    from stepflow.errors import MachineError  # noqa: PLC0415 - likewise
    from stepflow.targets import examine  # noqa: PLC0415 - likewise
    from stepflow.targets.contract import Finding  # noqa: PLC0415 - likewise

    try:
        with patience(name):
            return examine(name, options)
    except MachineError as error:
        return (Finding(f"extra {name}", ok=False, detail=error.message, remedy=error.hint),)


def _write(head: str, text: str) -> None:
    """Write a finding; on a terminal, what does not fit continues below its own column."""
    import shutil  # noqa: PLC0415 - keeps `--help` quick
    import textwrap  # noqa: PLC0415 - likewise

    wide = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    if len(head) + len(text) > wide > 0:
        text = textwrap.fill(text, wide, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False)
        head = ""
    sys.stdout.write(f"{head}{text}\n")
