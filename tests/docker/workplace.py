"""A directory in which `stepflow` is run, for any target."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from patience import eventually

STEPFLOW = Path(sys.executable).with_name("stepflow")
Json = dict[str, Any]


class Command:
    """`stepflow` at work: what it writes goes to a file, so that one can look while it runs."""

    def __init__(self, root: Path, arguments: tuple[str, ...], env: Mapping[str, str]) -> None:
        self._output = root.with_name(f"{root.name}.{secrets.token_hex(4)}.txt")
        with self._output.open("w") as file:
            self.process = subprocess.Popen(
                [STEPFLOW, *arguments], cwd=root, stdout=file, stderr=subprocess.STDOUT, env={**os.environ, **env}
            )

    def until(self, phrase: str, *, within: float = 120) -> None:
        """Wait until it wrote something, while it runs."""
        eventually(lambda: phrase in self._output.read_text() or self.process.poll() is not None, within=within)
        assert phrase in self._output.read_text(), self._output.read_text()

    def said(self) -> str:
        """Return what it wrote so far."""
        return self._output.read_text()

    def interrupt(self, *, within: float = 120) -> None:
        """End it as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=within)

    def end(self, expect: int, *, within: float = 300) -> str:
        """Wait for its end; give all that it wrote."""
        try:
            self.process.wait(timeout=within)
        finally:
            self.process.kill()
            self.process.wait()
        said = self._output.read_text()
        assert self.process.returncode == expect, f"{self.process.args!r}: {self.process.returncode}\n{said[-9000:]}"
        assert "Traceback" not in re.sub(r"(?m)^ {4}.*$", "", said), "only a service's own log may show one"
        return said


@dataclass
class Workplace:
    """A working directory with a `workflow.md`."""

    target: ClassVar[str]
    root: Path
    env: dict[str, str] = field(default_factory=dict)
    _begun: list[Command] = field(default_factory=list)

    def write(self, document: str) -> None:
        """Write the document."""
        (self.root / "workflow.md").write_text(document, encoding="utf-8")

    def begin(self, *arguments: str) -> Command:
        """Type a command and do not wait for its end."""
        self._begun.append(command := Command(self.root, arguments, self.env))
        return command

    def type(self, *arguments: str, expect: int = 0) -> str:
        """Run a command to its end; give all that it wrote."""
        return self.begin(*arguments).end(expect)

    def run(self, *arguments: str, expect: int = 0) -> str:
        """Run the document on the target."""
        return self.type("run", "workflow.md", "--target", self.target, *arguments, expect=expect)

    def interrupt(self) -> None:
        """End every command that a test which failed did not wait for."""
        for each in self._begun:
            each.process.kill()
            each.process.wait()

    def services(self) -> dict[str, Json]:
        """Return what `status` says about each, by name."""
        listed: list[Json] = json.loads(self.type("status", "--json"))["services"]
        return {each["name"]: each for each in listed}

    def not_ready(self) -> dict[str, str]:
        """Return the state and detail of each that is not ready with all its copies."""
        said = self.services().values()
        bad = [each for each in said if each["state"] != "ready" or each["ready"] < each["replicas"]]
        return {each["name"]: f"{each['state']}: {each['detail']}" for each in bad}

    def gateway(self) -> str:
        """Return the gateway's URL."""
        return str(self.services()["gateway"]["url"])

    @property
    def state(self) -> Path:
        """The one platform's state directory; gone with its data."""
        (found,) = (self.root / ".stepflow").glob(f"*/{self.target}")
        return found.parent
