"""A new playbook from a skeleton, and the contract suite for an installed one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from stepflow import DISTRIBUTION, __version__
from stepflow.errors import MachineError, UsageError
from stepflow.registry import installed
from stepflow.render import render_template, write_tree

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_PACKAGE = "plugin"
_SUITE = """\
from stepflow.playbook import Playbook
from stepflow.registry import installed
from stepflow.testing import PlaybookContract


class TestContract(PlaybookContract):
    def playbook(self) -> Playbook:
        return installed().load({name!r})
"""


def make(name: str, folder: Path) -> tuple[str, ...]:
    """Write the skeleton of a playbook's package and return the paths.

    Raises `UsageError` for a folder in use, and for one that cannot be made or written.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"`{name}` cannot be the name of a playbook", hint="use a-z, 0-9 and `-`, a letter first")
    another = f"`stepflow playbooks new {name} DIR`"
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"`{folder}` already exists", hint=f"name another: {another}")
        return write_tree(folder, _skeleton(name), {}).created
    except OSError as error:
        problem = f"`{folder}` cannot be written: {(error.strerror or str(error)).lower()}"
        raise UsageError(problem, hint=f"name a folder in which you may write: {another}") from error


def _skeleton(name: str) -> dict[str, bytes]:
    module = f"stepflow_{name.replace('-', '_')}"
    context = {
        "name": name,
        "module": module,
        "class_name": "".join(part.title() for part in name.split("-")),
        "stepflow": f"{DISTRIBUTION}>={__version__}",
    }
    rendered = render_template("skeleton", context=context, package="stepflow.cli.playbooks")
    inner = {path.removeprefix("skeleton/"): content for path, content in rendered.items()}
    return {re.sub(rf"^{_PACKAGE}/", f"{module}/", path): content for path, content in inner.items()}


def test(name: str) -> int:
    """Run the contract suite for an installed playbook; 0 if it passes, 1 if it does not.

    Raises `MachineError` without pytest, and what `Registry.load` raises.
    """
    registry = installed()
    registry.load(name)
    if not find_spec("pytest"):
        raise MachineError("the contract suite needs `pytest`", hint="`pip install pytest`")
    with TemporaryDirectory() as folder:
        suite = Path(folder) / "test_contract.py"
        suite.write_text(_SUITE.format(name=registry.name_of(name)), encoding="utf-8")
        options = (
            "-v",
            "--no-header",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:asyncio",
            "-c",
            os.devnull,
            "--rootdir",
            folder,
        )
        done = subprocess.run((sys.executable, "-m", "pytest", *options, str(suite)), check=False)
    return 1 if done.returncode else 0
