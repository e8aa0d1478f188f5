"""Runs `stepflow ARGUMENTS` and dies by SIGKILL at a write or commit of the journal: `killed_run.py WHEN N ARGUMENTS`.

WHEN is `before` or `after`. With N = 0 it survives, and tells the number of writes in the file `writes`.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from stepflow import journal
from stepflow.cli import main
from stepflow.journal.record import Change

WHEN, AT = sys.argv[1], int(sys.argv[2])


class KillingJournal(journal.Journal):
    writes = 0

    def _write(self, *changes: Change) -> int:
        self.writes += 1
        self._die("before")
        number = super()._write(*changes)
        self._die("after")
        if not AT:
            Path("writes").write_text(str(self.writes), encoding="ascii")
        return number

    def commit(self) -> None:
        if not self.waiting:
            return
        self.writes += 1
        self._die("before")
        super().commit()
        self._die("after")

    def _die(self, when: str) -> None:
        if (when, self.writes) == (WHEN, AT):
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    journal.Journal = KillingJournal  # type: ignore[misc]
    sys.exit(main(sys.argv[3:]))
