"""The output of one image build: lines for its log, the step it is at, and why it failed.

The engine's build endpoint answers in one of two ways: the classic builder (and Podman) with text, BuildKit with
protobuf messages that its API does not document. Images are built the first way: it needs no `docker` program, works
on every engine, and pulls base images; BuildKit does so only for a client that serves it a gRPC session.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stepflow.errors import PermanentError, StepflowError, TemporaryError
from stepflow.targets.building.program import away
from stepflow.targets.docker_api.errors import no_space

_STEP = re.compile(r"step (\d+/\d+) ?: ?(.*)", re.IGNORECASE)  # Docker says `Step 1/2 : …`, Podman `STEP 1/2: …`
_CODE = re.compile(r"returned a non-zero code: (\d+)")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # around what an instruction writes to stderr
_BUILDERS = ("--->", "Removing intermediate container")  # about itself, not from the instruction
_LAYER_GONE = "no such image: sha256:"  # layers come from other images, which may be removed while a build runs
_LAST = 15  # lines of a failing instruction that are shown
_WIDTH = 100  # columns of an instruction that are shown
_ABSENT = (
    "pull access denied", "manifest unknown", "repository does not exist", "lookup ", "dial tcp", "no such image",
)  # fmt: skip


@dataclass(slots=True)
class BuildOutput:
    """Follows the output of one build."""

    context: str
    log: str  # path of the log
    step: str = ""  # `4/11 RUN ...`
    instruction: str = ""
    last: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST))
    _rest: str = ""  # of a line whose end has not come yet

    def feed(self, item: Mapping[str, Any]) -> list[str]:
        """Take one item of the engine's answer and return the lines that are complete.

        Raises the error of `failure` for a build that failed.
        """
        if "error" in item:
            raise self.failure(str(item["error"]))
        text = str(item.get("stream", "")) or (f"{item['status']}\n" if "status" in item else "")
        *lines, self._rest = (self._rest + _COLOUR.sub("", text)).split("\n")
        for line in lines:
            self._see(line.strip().rpartition("\r")[2])  # of a progress bar, what it showed last
        return [line for line in lines if line.strip()]

    def _see(self, line: str) -> None:
        if found := _STEP.fullmatch(line):
            self.instruction = " ".join(found[2].split())
            long = len(self.instruction) > _WIDTH
            self.step = f"{found[1]} {f'{self.instruction[: _WIDTH - 3]}...' if long else self.instruction}"
            self.last.clear()
        elif line and not line.startswith(_BUILDERS):
            self.last.append(line)

    def failure(self, text: str) -> StepflowError:
        """Return the error for the text with which the engine gave up."""
        what = f"the image of `{self.context}` cannot be built"
        full = (no_space(line, what=what, log=self.log) for line in (text, *self.last))
        if error := next(filter(None, full), None):
            return error
        if _LAYER_GONE in text.lower():
            return TemporaryError(f"{what}: an image that it shares layers with was removed", delay=0.0, log=self.log)
        hint = self._hint()
        if code := _CODE.search(text):
            why = "\n".join((f"`{self.step}` ended with code {code[1]}{':' if self.last else ''}", *self.last))
        elif self.instruction.upper().startswith("FROM ") and any(sign in text.lower() for sign in _ABSENT):
            base = self.instruction.split()[1]
            why = f"`{base}` is not here and cannot be pulled: {text}"
            hint = f"`docker pull {base}`, or `docker load` an archive of it, then run again"
        else:
            why = f"`{self.step}`: {text}" if self.step else text
        return PermanentError(f"{what}: {why}", hint=hint, log=self.log)

    def _hint(self) -> str:
        where = f"`{self.context}/Dockerfile`"
        if away(self.last):
            return (
                "builds have no network: install from the folders `wheels-*` with the build arguments PIP_NO_INDEX "
                f"and PIP_FIND_LINKS, or start from a `--base-image` that has what {where} fetches"
            )
        return f"fix {where}, or what it copies, then `stepflow resume`"
