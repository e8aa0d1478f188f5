"""What Envoy asks about each request (ext_authz over HTTP): may it pass?"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from valkey.exceptions import ValkeyError

from chassis.metrics import counter
from chassis.problem import Problem, declared
from service.counters import Counters
from service.limits import Caller, Quota, applicable, headers, refusal

log = logging.getLogger(__name__)
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
DECISIONS = counter("authz_decisions_total", "Answers to the gateway, by decision.", ("decision",))


def router(counters: Counters, quotas: Sequence[Quota]) -> APIRouter:
    """The one route. While Valkey does not answer, requests pass: limits must not take the platform down."""
    routes = APIRouter(tags=["gateway"])

    @routes.api_route(
        "/authz{path:path}",
        methods=METHODS,
        include_in_schema=False,
        responses={401: declared("The token is revoked."), 429: declared("A quota is exceeded.")},
    )
    async def decide(
        path: str,
        request: Request,
        x_token_subject: Annotated[str, Header()] = "",
        x_token_id: Annotated[str, Header()] = "",
        x_forwarded_for: Annotated[str, Header()] = "",
    ) -> Response:
        caller = Caller(address=x_forwarded_for.rpartition(",")[2].strip() or "unknown", subject=x_token_subject)
        counted = applicable(quotas, caller, request.method, path)
        try:
            revoked, standings = await counters.charge(counted, x_token_id)
        except (ValkeyError, OSError) as error:
            log.warning("no limits while Valkey does not answer: %s", error)
            DECISIONS.labels("unlimited").inc()
            return Response()
        if revoked:
            DECISIONS.labels("revoked").inc()
            challenge = 'Bearer error="invalid_token", error_description="the token is revoked"'
            problem = Problem(401, detail="The token is revoked.", headers={"WWW-Authenticate": challenge})
            return problem.response(path)
        if any(each.exceeded for each in standings):
            DECISIONS.labels("limited").inc()
            return refusal(standings).response(path)
        DECISIONS.labels("allowed").inc()
        return Response(headers=headers(standings))

    return routes
