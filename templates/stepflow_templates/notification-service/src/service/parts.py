"""What the routes work with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from chassis.database import Database
from service.composing import Composer
from service.providers import Provider


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of the running service; kept as `app.state.parts`."""

    database: Database
    composer: Composer
    providers: Mapping[str, Provider]


async def parts_of(request: Request) -> Parts:
    """Return the parts of the app that received a request."""
    parts: Parts = request.app.state.parts
    return parts


TheParts = Annotated[Parts, Depends(parts_of)]
