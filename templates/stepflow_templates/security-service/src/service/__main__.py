"""`python -m service`: the authorization server and the gateway's limiter."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fastapi import FastAPI

from chassis.app import Service, serve
from chassis.auth import Signer
from chassis.settings import load
from service import audit, authz
from service.clients import SCOPES, Client, hashed, is_secret
from service.counters import Counters
from service.oauth import api, errors
from service.oauth.grants import Grants
from service.policies import PROBE, quotas, security
from service.settings import Settings
from service.storage import Storage

VERSION = "1.0.0"
PUBLIC = (
    "POST /oauth2/token",
    "POST /oauth2/introspect",
    "POST /oauth2/revoke",
    "GET /oauth2/jwks.json",
    "GET /.well-known/*",
)


class NoGatewayError(Exception):
    """The issuer is the gateway's URL, which is not known yet."""


def build(settings: Settings) -> FastAPI:
    """Assemble the service; nothing starts before it is served."""
    service = Service(
        settings,
        title="Security service",
        version=VERSION,
        summary="OAuth2 for machine clients, rate limits, audit log.",
        routes=("/oauth2", "/.well-known", "/api/audit"),
        public=PUBLIC,
    )
    storage = Storage(service.database(Path(__file__).parent / "migrations"))
    counters = Counters(settings.valkey_url)
    service.ready_check("valkey", counters.check)
    service.on_stop(counters.close)

    async def learn_issuer() -> None:
        gateway = service.config.get("gateway")
        if not gateway:
            raise NoGatewayError("`config/gateway` does not exist yet: service-discovery writes it")
        signer.issuer = gateway["url"].rstrip("/")

    async def publish() -> None:
        await service.config.put("security", security(rules))

    rules = quotas(settings)
    service.on_start(learn_issuer)
    signer = Signer(service, name="security", issuer="")
    service.on_start(lambda: _seed(storage, settings))
    service.on_start(publish)
    grants = Grants(storage, signer, service.tokens, counters, lifetime=settings.token_lifetime)
    app = service.app(api.router(grants, signer), audit.router(storage), authz.router(counters, rules))
    errors.install(app)
    return app


async def _seed(storage: Storage, settings: Settings) -> None:
    """Create the two initial clients; an unchanged secret is not hashed again."""
    wanted = (
        (settings.client_id, settings.client_secret, frozenset(SCOPES), "The platform's client"),
        (PROBE, settings.probe_secret, frozenset[str](), "Tries the rate limits"),
    )
    for client_id, secret, scopes, name in wanted:
        text, known = secret.get_secret_value(), await storage.client(client_id)
        same = known is not None and await asyncio.to_thread(is_secret, text, known.secret_hash)
        stored = known.secret_hash if known and same else await asyncio.to_thread(hashed, text)
        await storage.keep_client(Client(client_id, stored, scopes), name)


if __name__ == "__main__":
    chosen = load(Settings)
    serve(build(chosen), chosen)
