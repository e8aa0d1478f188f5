"""What a build says while it runs: lines for its log, the step that it is at, and why it failed."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stepflow.errors import PermanentError, StepflowError, TemporaryError
from stepflow.targets.building.program import away
from stepflow.targets.engine.errors import no_space

_STEP = re.compile(r"step (?P<number>\d+)/(?P<of>\d+) ?: ?(?P<instruction>.*)", re.IGNORECASE)
_CODE = re.compile(r"returned a non-zero code: (\d+)")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # the classic builder's, round what goes to stderr
_BUILDERS = ("--->", "Removing intermediate container")  # what it says of itself
_LAYER_GONE = "no such image: sha256:"  # the classic builder takes layers from images that others may remove meanwhile
_LAST = 15  # lines of a failing instruction that people are shown
_WIDTH = 100  # columns of an instruction that they are shown
_ABSENT = (
    "pull access denied",
    "manifest unknown",
    "repository does not exist",
    "lookup ",
    "dial tcp",
    "no such image",
)


@dataclass(slots=True)
class Output:
    """Follows the output of one build."""

    context: str
    log: str  # path of the log
    step: str = ""  # `4/11 RUN ...`
    instruction: str = ""
    last: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST))
    _rest: str = ""  # of a line whose end has not come yet

    def feed(self, item: Mapping[str, Any]) -> list[str]:
        """Take what the engine said; give the lines that are complete. Raises for a build that failed."""
        if "error" in item:
            raise self.failure(str(item["error"]))
        text = _COLOUR.sub("", str(item.get("stream") or item.get("status") or ""))
        *lines, self._rest = (self._rest + text + ("" if "stream" in item or not text else "\n")).split("\n")
        for line in lines:
            self._see(line.rpartition("\r")[2].rstrip() if "\r" in line.strip() else line.strip())
        return [line for line in lines if line.strip()]

    def _see(self, line: str) -> None:
        if found := _STEP.fullmatch(line):
            self.instruction = " ".join(found["instruction"].split())
            shown = self.instruction if len(self.instruction) <= _WIDTH else f"{self.instruction[: _WIDTH - 3]}..."
            self.step = f"{found['number']}/{found['of']} {shown}"
            self.last.clear()
        elif line and not line.startswith(_BUILDERS):
            self.last.append(line)

    def failure(self, text: str) -> StepflowError:
        """Give the error for what the engine said when it gave up."""
        what = f"the image of `{self.context}` cannot be built"
        for line in (text, *self.last):
            if full := no_space(line, what=what, log=self.log):
                return full
        if _LAYER_GONE in text.lower():
            said = f"{what}: somebody removed an image that it shares layers with"
            return TemporaryError(said, delay=0.0, log=self.log)
        if code := _CODE.search(text):
            shown = "".join(f"\n{line}" for line in self.last)
            said = f"{what}: `{self.step}` ended with code {code[1]}{':' if shown else ''}{shown}"
            return PermanentError(said, hint=self._hint(), log=self.log)
        if self.instruction.upper().startswith("FROM ") and any(sign in text.lower() for sign in _ABSENT):
            wanted = self.instruction.split()[1]
            hint = f"`docker pull {wanted}`, or `docker load` an archive of it, then run again"
            return PermanentError(
                f"{what}: `{wanted}` is not here and cannot be pulled: {text}", hint=hint, log=self.log
            )
        return PermanentError(
            f"{what}: {f'`{self.step}`: ' if self.step else ''}{text}", hint=self._hint(), log=self.log
        )

    def _hint(self) -> str:
        where = f"`{self.context}/Dockerfile`"
        if away(self.last):
            return (
                "builds have no network: install from the folders `wheels-*` with the build arguments PIP_NO_INDEX "
                f"and PIP_FIND_LINKS, or start from a `--base-image` that has what {where} fetches"
            )
        return f"mend {where}, or what it copies, then `stepflow resume`"
