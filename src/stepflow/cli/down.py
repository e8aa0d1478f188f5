"""`stepflow down`: remove what runs created."""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def command(
    *,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Which platform; by default the only one.")] = "",
    data: Annotated[bool, typer.Option("--data", help="Also remove its data, secrets, logs and record.")] = False,
) -> None:
    """Stop and remove everything that runs created.

    Data, secrets and the record stay unless `--data` is given. The rendered source always stays: it is yours.

    Example: `stepflow down`
    """
    import asyncio  # noqa: PLC0415 - keeps `--help` quick
    from pathlib import Path  # noqa: PLC0415 - likewise

    from stepflow.cli import state  # noqa: PLC0415 - likewise
    from stepflow.cli.patience import notice, patiently  # noqa: PLC0415 - likewise
    from stepflow.cli.terminal import home  # noqa: PLC0415 - likewise
    from stepflow.engine import held  # noqa: PLC0415 - likewise
    from stepflow.targets import provider  # noqa: PLC0415 - likewise
    from stepflow.targets.contract import Progress  # noqa: PLC0415 - likewise
    from stepflow.targets.wholefile import remove_folder  # noqa: PLC0415 - likewise

    picked = state.pick(name)
    folder = state.STATE / picked
    watched = sys.stderr.isatty()
    if watched:
        sys.stderr.write(f"taking `{picked}` down ...\n")

    heard: list[Progress] = []

    def tell(progress: Progress) -> None:
        heard.append(progress)
        if watched:
            sys.stderr.write(f"  waits for {progress.waiting_for} {progress.answer}\n")

    with held(folder, waiting=notice):
        targets, last, problem = state.standing(picked)
        if problem:
            sys.stderr.write(f"hint: {problem}; removing what its state directory says there is\n")
        kept = " and ".join(filter(None, (provider(each).keeps for each in targets)))
        removed: list[str] = []
        for each, target in targets.items():
            removing = target.remove(data=data, progress=tell)
            removed += asyncio.run(patiently(removing, each, heard=lambda: bool(heard)))
        if data:
            remove_folder(folder)
    sys.stdout.writelines(f"removed {each}\n" for each in removed)
    if not removed:
        sys.stdout.write(f"nothing of `{picked}` was running\n")
    kept = f"{kept}, and " if kept else ""
    if data:
        sys.stdout.write(f"removed {kept}`{folder}`: data, secrets, logs and the record of runs\n")
    else:
        again = f"`{state.say('down --data', picked)}` removes {'them' if kept else 'it'}"
        sys.stdout.write(f"left {kept}`{folder}`: data, secrets and the record; {again}\n")
    if last and Path(last.out).is_dir():
        sys.stdout.write(f"left `{home(last.out)}`: the source is yours\n")
