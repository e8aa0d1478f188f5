"""Surveys a platform (`survey`), carries its plan out (`carry_out`) and reads what runs recorded (`past`, `runs`)."""

from stepflow.engine.checks import verify
from stepflow.engine.execution import JOBS, Options
from stepflow.engine.history import (
    Past,
    PastRun,
    attempts_of,
    ever_made,
    known_steps,
    last_attempts,
    latest_run,
    logs_of,
    past,
    present,
    runs,
)
from stepflow.engine.interrupts import interruptible
from stepflow.engine.lock import held, holder
from stepflow.engine.matching import match
from stepflow.engine.output import tail
from stepflow.engine.outside import make_key
from stepflow.engine.retention import KEEP, prune, to_prune
from stepflow.engine.run import carry_out
from stepflow.engine.survey import Platform, Survey, require, survey

__all__ = [
    "JOBS",
    "KEEP",
    "Options",
    "Past",
    "PastRun",
    "Platform",
    "Survey",
    "attempts_of",
    "carry_out",
    "ever_made",
    "held",
    "holder",
    "interruptible",
    "known_steps",
    "last_attempts",
    "latest_run",
    "logs_of",
    "make_key",
    "match",
    "past",
    "present",
    "prune",
    "require",
    "runs",
    "survey",
    "tail",
    "to_prune",
    "verify",
]
