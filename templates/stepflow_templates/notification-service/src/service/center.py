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
class Center:
    """The parts of the running service; kept as `app.state.center`."""

    database: Database
    composer: Composer
    providers: Mapping[str, Provider]


async def center_of(request: Request) -> Center:
    """Return the parts of the app that received a request."""
    center: Center = request.app.state.center
    return center


TheCenter = Annotated[Center, Depends(center_of)]
