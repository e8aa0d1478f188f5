"""The guardian: starts the supervisor, and restarts it when it is killed; the supervisor does the same for it.

`python -m stepflow.targets.local.guardian STATE [LOCK_FD PARTNER_FD]`; without the numbers it is the first one: it
leaves its parent, takes the platform's lock and starts the supervisor.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from stepflow.targets.local.layout import Layout
from stepflow.targets.local.pair import Partner, take_lock

_BRIEF = 5.0  # seconds; a supervisor that lived shorter is restarted after a pause
_LONGEST = 5.0  # seconds, the longest pause


def watch(partner: Partner) -> None:
    """Restart the supervisor whenever it is killed."""
    pause, begun = 0.1, time.monotonic()
    while partner.died():
        pause = 0.1 if time.monotonic() - begun > _BRIEF else min(_LONGEST, pause * 2)
        time.sleep(pause)
        begun = time.monotonic()
        partner.revive()


def main(state: str, *numbers: str) -> None:
    """Watch over the supervisor until all is done."""
    if numbers:
        lock, connection = map(int, numbers)
        watch(Partner("supervisor", state, lock, connection))
        return
    if os.fork():
        os._exit(0)
    taken = take_lock(Layout(Path(state)))
    if taken is not None:
        partner = Partner("supervisor", state, taken)
        partner.revive()
        watch(partner)


if __name__ == "__main__":
    main(*sys.argv[1:])
