"""What every service of the platform shares; a service holds only its domain."""

import sys

if "aiohttp" not in sys.modules:
    # nats-py imports aiohttp where it finds it, for WebSockets, which are not used here: an eighth of a service's
    # start.
    sys.modules["aiohttp"] = None  # type: ignore[assignment]  # "there is none", as the import system understands it
    try:
        import nats.aio.transport  # noqa: F401 - loaded here, so that it is not loaded with aiohttp later
    finally:
        del sys.modules["aiohttp"]
