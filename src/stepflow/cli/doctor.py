"""`stepflow doctor`: what this machine has and lacks."""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def command(
    *, target: Annotated[str, typer.Option("--target", help="For which target; by default for all.")] = ""
) -> int:
    """Say what this machine has and lacks, with the remedy.

    The exit code is 3 when something is lacking.

    Example: `stepflow doctor`
    """
    import shutil  # noqa: PLC0415 - keeps `--help` quick
    from importlib import import_module  # noqa: PLC0415 - likewise

    from stepflow.errors import UsageError  # noqa: PLC0415 - likewise
    from stepflow.targets import TARGETS, Finding  # noqa: PLC0415 - likewise

    if target and target not in TARGETS:
        raise UsageError(f"unknown target `{target}`", hint=f"one of: {', '.join(TARGETS)}")
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
        sys.stdout.write(f"{'ok' if each.ok else 'lacks':<5}  {each.name:<{width}}  {each.detail}\n")
        if each.remedy and not each.ok:
            sys.stdout.write(f"       {'':<{width}}  hint: {each.remedy}\n")
    return 0 if all(each.ok for each in findings) else 3
