"""Signs access tokens, and publishes the keys that verify them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from pydantic import SecretStr

from chassis.auth.tokens import AUDIENCE
from chassis.ids import uuid7

if TYPE_CHECKING:
    from joserfc._rfc7517.types import KeyParameters

    from chassis.app import Service

LOCK = 0x7369676E  # "sign": one replica makes the keys
ROTATE_AFTER = timedelta(days=30)
OVERLAP = timedelta(hours=24)  # how long a key is still published after its successor was created
LOOK_EVERY = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and its id."""

    kid: str
    algorithm: str
    key: ECKey | RSAKey


class Signer:
    """Signs with the newest key of the table `signing_keys`; publishes all valid ones as `issuers.<name>`.

    Make it before the app: it hooks itself into the service's start. With a `passphrase` the keys are stored encrypted.
    """

    def __init__(
        self,
        service: Service,
        *,
        name: str,
        issuer: str,
        algorithm: Literal["ES256", "RS256"] = "ES256",
        passphrase: SecretStr | None = None,
    ) -> None:
        self._service = service
        self._name = name
        self.issuer = issuer
        self._algorithm = algorithm
        self._passphrase = passphrase.get_secret_value() if passphrase else None
        self._keys: list[SigningKey] = []
        service.on_start(self.refresh)
        service.background("signing-keys", self._follow)

    def sign(self, claims: dict[str, Any], lifetime_s: int) -> str:
        """Return a token (RFC 9068) with the claims; missing `iss`, `aud`, `iat`, `exp` and `jti` are added."""
        newest = self._keys[0]
        now = int(time.time())
        standard = {"iss": self.issuer, "aud": AUDIENCE, "iat": now, "exp": now + lifetime_s, "jti": str(uuid7())}
        header = {"alg": newest.algorithm, "kid": newest.kid, "typ": "at+jwt"}
        return jwt.encode(header, standard | claims, newest.key, algorithms=[newest.algorithm])

    def jwks(self) -> dict[str, Any]:
        """Return the public keys as a JWK set (RFC 7517)."""
        return dict(KeySet([one.key for one in self._keys]).as_dict(private=False))

    async def refresh(self) -> None:
        """Load the keys, create one where none is recent enough, publish what changed."""
        database = self._service.main_database
        async with database.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
            rows = await self._load(connection)
            if not rows or datetime.now(UTC) - rows[0]["created_at"] > ROTATE_AFTER:
                await self._make(connection)
                rows = await self._load(connection)
        self._keys = [self._import(row) for row in _valid(rows)]
        value = {"issuer": self.issuer, "audience": AUDIENCE, "jwks": self.jwks()}
        await self._service.config.put(f"issuers.{self._name}", value)

    async def rotate(self) -> None:
        """Create a new key now; the old ones stay valid for the overlap."""
        async with self._service.main_database.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
            await self._make(connection)
        await self.refresh()

    async def _follow(self) -> None:
        """Pick up keys of other replicas, and create a new key when it is time."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await self.refresh()

    async def _load(self, connection: Any) -> list[Any]:  # noqa: ANN401 - asyncpg has no types
        rows: list[Any] = await connection.fetch(
            "SELECT kid, algorithm, private_key, created_at FROM signing_keys WHERE name = $1 ORDER BY created_at DESC",
            self._name,
        )
        return rows

    async def _make(self, connection: Any) -> None:  # noqa: ANN401 - asyncpg has no types
        kid = str(uuid7())
        key = ECKey.generate_key("P-256") if self._algorithm == "ES256" else RSAKey.generate_key(2048)
        pem = key.as_pem(private=True, password=self._passphrase).decode()
        await connection.execute(
            "INSERT INTO signing_keys (kid, name, algorithm, private_key, created_at)"
            " VALUES ($1, $2, $3, $4, clock_timestamp())",
            kid,
            self._name,
            self._algorithm,
            pem,
        )

    def _import(self, row: Any) -> SigningKey:  # noqa: ANN401 - asyncpg has no types
        of = ECKey if row["algorithm"] == "ES256" else RSAKey
        parameters: KeyParameters = {"kid": row["kid"], "use": "sig", "alg": row["algorithm"]}
        key = of.import_key(row["private_key"], parameters, password=self._passphrase)
        return SigningKey(row["kid"], row["algorithm"], key)


def _valid(rows: list[Any]) -> list[Any]:
    """Keep the newest key, and each older one whose successor is younger than the overlap."""
    kept = rows[:1]
    for successor, row in pairwise(rows):
        if datetime.now(UTC) - successor["created_at"] < OVERLAP:
            kept.append(row)
    return kept
