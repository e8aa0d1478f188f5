"""The journal: the durable record of runs, in SQLite (WAL, one writer, simple types, nothing pickled).

`runs`      one row a run: the document, the name that it gives itself, its steps with the key of each, the target and
            its options, the output folder, when it began and ended, how.
`attempts`  one row each time that a step was worked on. Written before anything is done: which step, the
            fingerprint with its components, the rendered files with their hashes, the declared workloads. Then the
            phase it is in. At the end the outcome, what it handed off, what its job wrote, or the error.

A step is known by its key (`step`), a number that it keeps wherever it moves in the document and whatever it is called;
`number` is where it stood. Journals from before there were keys get the number for one.
The files that describe the whole platform are recorded as an attempt at the step `PLATFORM`.

An attempt without an outcome was cut off: its step is worked on again. The last attempt counts, so a second resume
loses nothing of the first run. Columns that end in `_json` hold JSON; times are seconds since the epoch.
"""

from stepflow.journal.entries import Attempt, Declared, Result
from stepflow.journal.file import BEFORE_A_RUN, VALUES
from stepflow.journal.record import Journal
from stepflow.journal.schema import MIGRATIONS, PLATFORM

__all__ = ["BEFORE_A_RUN", "MIGRATIONS", "PLATFORM", "VALUES", "Attempt", "Declared", "Journal", "Result"]
