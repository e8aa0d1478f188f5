"""Run the service: `python -m service`."""

from __future__ import annotations

from chassis.app import serve
from chassis.settings import load
from service.assembly import build
from service.settings import UserSettings

settings = load(UserSettings)
serve(build(settings), settings)
