"""The reference workflow on Docker, against `docker compose up --wait` of the compose file that it renders.

How it is measured: on a Docker engine of the tests' own with the tests' stand-ins for the official images (the real
servers in them), all images built, volumes kept, so that both start the same thing from the same state. stepflow: from
`run` until the last step is done (every container ready, every step's own checks passed), and the whole command, which
makes the journeys that answer the expected outcomes, too. compose: `up --wait`, until every container is healthy by its
own healthcheck, which the engine asks only every five seconds. Rounds alternate between the two. Image sizes: what a
service adds to the layers that all services share.

    .venv/bin/python bench/docker_target.py [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "docker"))

from private_engine import lent, refusal  # noqa: E402 - it lies beside the tests
from standins.debian import compose  # noqa: E402 - likewise

from stepflow.targets.images import BASE, IMAGES  # noqa: E402 - with the others

STEPFLOW = Path(sys.executable).with_name("stepflow")
_MB = 1_000_000


def run(cwd: Path, *command: str | Path, **env: str) -> bytes:
    """Run a command that has to succeed; give what it printed."""
    done = subprocess.run(
        [str(c) for c in command], cwd=cwd, env={**os.environ, **env}, capture_output=True, check=False
    )
    if done.returncode:
        said = (done.stdout + done.stderr).decode(errors="replace")[-4000:]
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}\n{said}")
    return done.stdout


def seconds(cwd: Path, *command: str | Path, **env: str) -> float:
    """Return the wall-clock seconds of a command that has to succeed."""
    start = time.perf_counter()
    run(cwd, *command, **env)
    return time.perf_counter() - start


def a_run(cwd: Path) -> dict[str, float]:
    """Run the workflow; give the seconds until the last step was done, of the whole command, and of the engine."""
    began, start = datetime.now(UTC), time.perf_counter()
    said = run(cwd, STEPFLOW, "run", "workflow.md", "--target", "docker", "--json")
    whole = time.perf_counter() - start
    events = [json.loads(line) for line in said.splitlines()]
    ends = [datetime.fromisoformat(e["time"]) for e in events if e["event"] == "step_finished"]
    ready = (max(ends) - began).total_seconds()
    return {"all healthy": ready, "whole run": whole, "engine": float(events[-1]["seconds"])}


class Composed:
    """The rendered tree's `compose.yaml` with the images that stepflow built, in a project of its own."""

    def __init__(self, tree: Path, built: Mapping[str, str]) -> None:
        self._tree, self._name = tree, "stepflow-bench"
        self._program = compose()
        by_hand = {f"{n.upper()}_IMAGE": str(replace(i, digest="")) for n, i in IMAGES.items() if n != BASE}
        ports = {name: free_port() for name in ("GATEWAY_HTTP_PORT", "SERVICE_DISCOVERY_REGISTRY_PORT")}
        self._env = {"BASE_IMAGE": str(replace(IMAGES[BASE], digest="")), **by_hand, **ports}
        self._env["COMPOSE_PROJECT_NAME"] = self._name
        override = {"services": {service: {"image": image} for service, image in built.items()}}
        self._override = tree.parent / "images.json"
        self._override.write_text(json.dumps(override))

    def __call__(self, *arguments: str) -> float:
        """Run compose; give its seconds."""
        files = ("-f", "compose.yaml", "-f", str(self._override))
        return seconds(self._tree, self._program, *files, *arguments, **self._env)


def free_port() -> str:
    """Return the number of a port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


@contextmanager
def workflow() -> Iterator[Path]:
    """Yield a fresh directory with the reference workflow; whatever was created from it is removed afterwards."""
    cwd = Path(tempfile.mkdtemp(prefix="stepflow-bench-"))
    shutil.copy(ROOT / "examples/microservices/workflow.md", cwd / "workflow.md")
    try:
        yield cwd
    finally:
        subprocess.run([str(STEPFLOW), "down", "--data"], cwd=cwd, capture_output=True, check=False)
        shutil.rmtree(cwd)


def built_images(client: Any, tree: Path) -> dict[str, str]:  # noqa: ANN401 - the SDK has no types
    """Return the image that each workload of this platform runs."""
    state = tree.parent / ".stepflow" / tree.name
    found = client.api.containers(filters={"label": ["dev.stepflow.kind=workload", f"dev.stepflow.state={state}"]})
    return {each["Labels"]["dev.stepflow.name"]: each["Image"] for each in found}


def sizes(client: Any, images: Sequence[str]) -> tuple[dict[str, float], float]:  # noqa: ANN401 - as above
    """Return the megabytes of each image, and of all of them together with every layer counted once."""
    layers: dict[str, float] = {}
    whole: dict[str, float] = {}
    for image in sorted(set(images)):
        history = client.api.history(image)
        below: list[str] = client.api.inspect_image(image)["RootFS"]["Layers"]
        amounts = [each["Size"] for each in reversed(history) if each["Size"]]
        layers |= dict(zip(below[-len(amounts) :], amounts, strict=True))
        whole[image] = sum(amounts) / _MB
    return whole, sum(layers.values()) / _MB


def measure(rounds: int) -> None:
    """Print the figures."""
    with lent(lambda line: print(line, file=sys.stderr)) as engine, workflow() as cwd:
        os.environ["DOCKER_HOST"] = engine.host
        print(f"first run, images built         {a_run(cwd)['all healthy']:7.2f} s")
        noop = statistics.median(a_run(cwd)["engine"] for _ in range(3))
        [tree] = [path.parent for path in cwd.glob("*/compose.yaml")]
        with engine.client() as client:
            built = built_images(client, tree)
            whole, together = sizes(client, list({n: i for n, i in built.items() if n != "gateway"}.values()))
        down = [seconds(cwd, STEPFLOW, "down")]
        composed = Composed(tree, {n: i for n, i in built.items() if n != "gateway"})
        ours, whole_run, theirs, theirs_down = [], [], [], []
        try:
            composed("build", "setup")  # its script is the one thing that only compose has
            composed("up", "--no-build", "--wait")
            composed("down")
            for _ in range(rounds):
                figures = a_run(cwd)
                ours.append(figures["all healthy"])
                whole_run.append(figures["whole run"])
                down.append(seconds(cwd, STEPFLOW, "down"))
                theirs.append(composed("up", "--no-build", "--wait"))
                theirs_down.append(composed("down"))
        finally:
            composed("down", "--volumes", "--rmi", "local")
    report(ours, theirs, whole_run, down, theirs_down)
    print(f"second run, engine              {noop:7.2f} s  {noop:.2f} x the limit of 1 s")
    named = {image: service for service, image in sorted(built.items(), reverse=True)}
    for image, size in sorted(whole.items(), key=lambda pair: named[pair[0]]):
        print(f"image of {named[image]:22} {size:7.0f} MB")
    print(f"all of them together            {together:7.0f} MB  {together / sum(whole.values()):.2f} x their sum")


def report(
    ours: list[float], theirs: list[float], whole_run: list[float], down: list[float], theirs_down: list[float]
) -> None:
    """Print both sides' medians and their ratio."""
    mine, other = statistics.median(ours), statistics.median(theirs)
    print(f"all healthy, stepflow           {mine:7.2f} s  {mine / other:.2f} x compose")
    print(f"all healthy, docker compose     {other:7.2f} s")
    print(f"with the outcomes' journeys     {statistics.median(whole_run):7.2f} s")
    print(f"down, stepflow                  {statistics.median(down):7.2f} s")
    print(f"down, docker compose            {statistics.median(theirs_down):7.2f} s")


def main() -> None:
    """Measure, where there can be an engine; say why where not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    why_not = refusal()
    if why_not:
        print(f"skipped: {why_not}")
        return
    measure(rounds)


if __name__ == "__main__":
    main()
