"""A package index, a fresh environment, and nothing of the checkout: what a user's `pip install` gives.

Only the two wheels under test come from the index here; what they depend on comes from the machine's usual one, in
the versions of requirements.lock.
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from packaging.utils import parse_wheel_filename

from stepflow import DISTRIBUTION, __version__

LOCK = Path(__file__).parents[2] / "requirements.lock"
PLUGIN = "stepflow-tea-time"
TIMEOUT = 300

pytestmark = [pytest.mark.install, pytest.mark.timeout(TIMEOUT)]


def _run(*command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a scaffolded playbook."""
    folder = tmp_path_factory.mktemp("scaffold")
    _run(Path(sys.executable).with_name("stepflow"), "playbooks", "new", "tea-time", cwd=folder)
    return folder / "tea-time"


@pytest.fixture(scope="module")
def index(wheel: Path, plugin: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a simple index (PEP 503) with two projects: this distribution and the plugin."""
    root = tmp_path_factory.mktemp("index")
    _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", plugin / "dist", plugin)
    for file in (wheel, *(plugin / "dist").glob("*.whl")):
        content = file.read_bytes()
        project = root / "simple" / parse_wheel_filename(file.name)[0]
        project.mkdir(parents=True)
        (project / file.name).write_bytes(content)
        link = f'<a href="{file.name}#sha256={sha256(content).hexdigest()}">{file.name}</a>'
        (project / "index.html").write_text(f"<!DOCTYPE html><html><body>{link}</body></html>", encoding="utf-8")
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(root))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/simple/"
        server.shutdown()
        thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Keep requests out of the report."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment outside of the checkout, with the plugin installed into it."""

    folder: Path

    def path(self, program: str) -> Path:
        return self.folder / "bin" / program

    def stepflow(self, *arguments: str | Path, cwd: Path) -> str:
        return _run(self.path("stepflow"), *arguments, cwd=cwd, env=_bare())


def _bare() -> dict[str, str]:
    """Return the environment variables without what leads Python or pip elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_", "VIRTUAL_ENV"))}


def _by_pip(folder: Path, index: str) -> None:
    """Install the two wheels from this index alone (pip prefers none of several), then what they depend on."""
    _run(sys.executable, "-m", "venv", folder)
    pip = (folder / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check")
    only_here = _bare() | {"PIP_CONFIG_FILE": os.devnull}
    _run(*pip, "--no-deps", "--index-url", index, PLUGIN, DISTRIBUTION, env=only_here)
    pins = [line.removesuffix(" \\") for line in LOCK.read_text("utf-8").splitlines() if re.match(r"[\w.-]+==", line)]
    (folder / "constraints.txt").write_text("\n".join(pins), encoding="utf-8")
    _run(*pip, "--constraint", folder / "constraints.txt", PLUGIN)
    _run(folder / "bin" / "python", "-m", "pip", "check")


def _by_uv(folder: Path, index: str) -> None:
    """Resolve the plugin and all it depends on at once: uv takes a project from the first index that has it."""
    _run(sys.executable, "-m", "venv", "--without-pip", folder)
    _add(folder, index, PLUGIN)


def _add(folder: Path, index: str, requirement: str) -> None:
    options = ("--python", folder / "bin" / "python", "--index", index, "--constraint", LOCK)
    _run("uv", "pip", "install", "-q", *options, requirement)


@pytest.fixture(scope="module", params=[_by_pip, _by_uv], ids=["pip", "uv"])
def installed(request: pytest.FixtureRequest, index: str, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("environment")
    request.param(folder, index)
    return Environment(folder)


def test_command_has_the_version_of_the_distribution(installed: Environment, tmp_path: Path) -> None:
    assert installed.stepflow("--version", cwd=tmp_path) == f"stepflow {__version__}\n"
    ask = f"from importlib.metadata import version; print(version({DISTRIBUTION!r}))"
    assert _run(installed.path("python"), "-c", ask, cwd=tmp_path, env=_bare()) == f"{__version__}\n"


def test_scaffolded_plugin_stands_beside_the_built_in_playbooks(installed: Environment, tmp_path: Path) -> None:
    listed = json.loads(installed.stepflow("playbooks", "--json", cwd=tmp_path))["playbooks"]
    packages = {row["name"]: (row["package"], row["error"]) for row in listed}
    assert packages["tea-time"] == (PLUGIN, "")
    assert packages["shell"] == (DISTRIBUTION, "")


def test_example_of_the_scaffold_runs(installed: Environment, plugin: Path, tmp_path: Path) -> None:
    installed.stepflow("run", plugin / "example.md", cwd=tmp_path)
    assert "unchanged" in installed.stepflow("plan", plugin / "example.md", cwd=tmp_path)
    assert [path.read_text("utf-8") for path in tmp_path.glob("*/tea-time/greeting.txt")] == [
        "Good day to you, world!\n"
    ]


def test_hint_about_a_missing_extra_installs_it(index: str, tmp_path: Path) -> None:
    """What is printed can be typed: the name in it is that of this distribution, and the extra exists."""
    environment = Environment(tmp_path / "environment")
    _by_uv(environment.folder, index)
    hint = re.search(r"`pip install '(.+?)'`", _doctor(environment, tmp_path))
    assert hint is not None
    _add(environment.folder, index, hint[1])
    assert "pip install" not in _doctor(environment, tmp_path)


def _doctor(environment: Environment, cwd: Path) -> str:
    """Return what is said about the Docker target, whether or not an engine is there."""
    command = (environment.path("stepflow"), "doctor", "--target", "docker")
    done = subprocess.run(command, cwd=cwd, env=_bare(), capture_output=True, text=True, check=False)
    assert not done.stderr
    return done.stdout
