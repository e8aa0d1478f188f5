"""Counts requests in Valkey, one round trip for all quotas of a request, correct under concurrency."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import SecretStr
from valkey.asyncio import Valkey

from service.limits import Counted, Standing

TIMEOUT = 0.3  # seconds; the gateway waits half a second
REVOKED = "revoked:"

# A sliding window from two counters: what was counted in the window before weighs as much as of it is still within
# reach. All quotas are looked at before any is charged, so that a refused request costs nothing.
# KEYS: one hash a quota, then the key of the token's revocation. ARGV: limit and window (ms) for each quota.
_SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local quotas = #ARGV / 2
local answer = {redis.call('EXISTS', KEYS[quotas + 1])}
local refused = answer[1] == 1
local states = {}
for i = 1, quotas do
  local limit, window = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local number = math.floor(now / window)
  local current = tonumber(redis.call('HGET', KEYS[i], number) or 0)
  local before = tonumber(redis.call('HGET', KEYS[i], number - 1) or 0)
  local passed = (now % window) / window
  local used = current + before * (1 - passed)
  local exceeded = used + 1 > limit
  local reset = window - now % window
  if exceeded and before > 0 and current < limit then
    reset = math.min(reset, (used + 1 - limit) / before * window)
  end
  refused = refused or exceeded
  states[i] = {exceeded, used, reset, number}
end
for i = 1, quotas do
  local exceeded, used, reset, number = unpack(states[i])
  if not refused then
    redis.call('HINCRBY', KEYS[i], number, 1)
    redis.call('HDEL', KEYS[i], number - 2)
    redis.call('PEXPIRE', KEYS[i], 2 * tonumber(ARGV[2 * i]))
    used = used + 1
  end
  answer[#answer + 1] = exceeded and 1 or 0
  answer[#answer + 1] = math.max(0, math.floor(tonumber(ARGV[2 * i - 1]) - used))
  answer[#answer + 1] = math.ceil(reset)
end
return answer
"""


class Counters:
    """The counters of the whole platform, and which tokens are revoked."""

    def __init__(self, url: SecretStr) -> None:
        self._valkey = Valkey.from_url(
            url.get_secret_value(), socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, protocol=3
        )
        self._script = self._valkey.register_script(_SCRIPT)

    async def charge(self, counted: Sequence[Counted], token: str = "") -> tuple[bool, list[Standing]]:
        """Count a request against its quotas, unless its token is revoked or a quota is exceeded.

        Raises `valkey.exceptions.ValkeyError` or `OSError` when Valkey does not answer.
        """
        arguments = [number for each in counted for number in (each.quota.limit, each.quota.window * 1000)]
        answer = await self._script(keys=[*(each.key for each in counted), REVOKED + token], args=arguments)
        states = (answer[start : start + 3] for start in range(1, len(answer), 3))
        standings = [
            Standing(each.quota, bool(exceeded), int(remaining), reset / 1000)
            for each, (exceeded, remaining, reset) in zip(counted, states, strict=True)
        ]
        return bool(answer[0]), standings

    async def revoke(self, token: str, seconds: int) -> None:
        """Make the gateway refuse a token for the seconds that it would remain valid."""
        await self._valkey.set(REVOKED + token, 1, ex=max(seconds, 1))

    async def check(self) -> None:
        """Ping Valkey; raises what goes wrong."""
        await self._valkey.ping()

    async def close(self) -> None:
        """Close the connections."""
        await self._valkey.aclose()
