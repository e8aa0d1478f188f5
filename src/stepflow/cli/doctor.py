"""`stepflow doctor`: what this machine has and lacks."""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def command(
    *,
    target: Annotated[
        str, typer.Option("--target", metavar="TARGET", help="For which target; by default for all.")
    ] = "",
) -> int:
    """Say what this machine has and lacks, with the remedy.

    The exit code is 3 when something is lacking.

    Example: `stepflow doctor`
    """
    import shutil  # noqa: PLC0415 - keeps `--help` quick
    from importlib import import_module  # noqa: PLC0415 - likewise

    from stepflow.targets import TARGETS, Finding, require_target  # noqa: PLC0415 - likewise

    if target:
        require_target(target)
    bash = shutil.which("bash")
    findings = [Finding("bash", bool(bash), bash or "not found", "" if bash else "install bash: `shell` steps need it")]
    for name in (target,) if target else tuple(TARGETS):
        try:
            findings += import_module(TARGETS[name]).doctor()
        except ModuleNotFoundError as error:
            remedy = f"`pip install 'stepflow[{name}]'`"
            findings.append(Finding(f"target {name}", ok=False, detail=f"no package `{error.name}`", remedy=remedy))
    width = max(len(each.name) for each in findings)
    for each in findings:
        head = f"{'ok' if each.ok else 'lacks':<5}  {each.name:<{width}}  "
        _write(head, each.detail)
        if each.remedy and not each.ok:
            _write(" " * len(head), f"hint: {each.remedy}")
    return 0 if all(each.ok for each in findings) else 3


def _write(head: str, text: str) -> None:
    """Write a finding; on a terminal, what does not fit goes on below its own column."""
    import shutil  # noqa: PLC0415 - keeps `--help` quick
    import textwrap  # noqa: PLC0415 - likewise

    wide = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    if len(head) + len(text) > wide > 0:
        text = textwrap.fill(text, wide, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False)
        head = ""
    sys.stdout.write(f"{head}{text}\n")
