"""The Python of an image: what its wheels must be made for, and how it answers environment markers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from stepflow.errors import PermanentError
from stepflow.targets.building.cache import cache
from stepflow.targets.docker_api.client import Engine
from stepflow.targets.docker_api.errors import EngineRefusedError
from stepflow.targets.identity import Identity
from stepflow.targets.wholefile import write_whole

_OLDEST = {"manylinux": 5, "musllinux": 1}  # the first minor version of glibc, and of musl, that wheels are made for
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_ASK = """
import json, os, platform, sys, sysconfig
libc, version = platform.libc_ver()
musl = "musl" in (sysconfig.get_config_var("SOABI") or "")
print(json.dumps({
    "machine": sysconfig.get_platform().removeprefix("linux-").replace("-", "_").replace(".", "_"),
    "libc": "musllinux" if musl else "manylinux",
    "minor": 2 if musl else int((version or "2.17").split(".")[1]),
    "markers": {
        "implementation_name": sys.implementation.name,
        "implementation_version": platform.python_version(),
        "os_name": os.name,
        "platform_machine": platform.machine(),
        "platform_python_implementation": platform.python_implementation(),
        "platform_release": "",
        "platform_system": platform.system(),
        "platform_version": "",
        "python_full_version": platform.python_version(),
        "python_version": ".".join(platform.python_version_tuple()[:2]),
        "sys_platform": sys.platform,
    },
}))
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """The Python of an image."""

    machine: str  # `x86_64`
    libc: str  # `manylinux` or `musllinux`: whose wheels fit
    minor: int  # of the libc's version: 41 for glibc 2.41
    markers: dict[str, str]  # as PEP 508 names them

    @property
    def python(self) -> str:
        """Return its version without the last number, `3.13`."""
        return self.markers["python_version"]

    @property
    def platform(self) -> str:
        """Name what wheels must be made for, `manylinux_2_41_x86_64`."""
        return f"{self.libc}_{self._major}_{self.minor}_{self.machine}"

    @property
    def _major(self) -> int:
        return 2 if self.libc == "manylinux" else 1

    def platforms(self) -> Iterator[str]:
        """Return the platform tags of wheels that run there, the best first."""
        for minor in range(self.minor, _OLDEST[self.libc] - 1, -1):
            yield f"{self.libc}_{self._major}_{minor}_{self.machine}"
            if self.libc == "manylinux" and minor in _LEGACY:
                yield f"{_LEGACY[minor]}_{self.machine}"
        yield f"linux_{self.machine}"


async def interpreter(engine: Engine, who: Identity, base: str, image: str) -> Interpreter:
    """Ask the image with this id, known as `base`, for its Python; asked once for each image.

    Raises `PermanentError` when there is no Python in it.
    """
    file = cache() / "interpreters" / f"{image.removeprefix('sha256:')}.json"
    with suppress(FileNotFoundError, ValueError, TypeError):  # a file of another version is replaced
        return Interpreter(**json.loads(file.read_text(encoding="utf-8")))
    found = await _asked(engine, who, base, image)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, json.dumps(asdict(found)), 0o644)
    return found


async def _asked(engine: Engine, who: Identity, base: str, image: str) -> Interpreter:
    hint = "`--base-image` must name an image with Python 3.11 or newer and pip, such as the official `python` images"
    try:
        text = await engine.ask(lambda api: _run(api, who, image))
        return Interpreter(**json.loads(text))
    except EngineRefusedError as error:
        raise PermanentError(
            f"`python` cannot be run in the base image `{base}`: {error.message}", hint=hint
        ) from error
    except (ValueError, TypeError) as error:
        raise PermanentError(f"`python` in the base image `{base}` says: {text.strip()[-500:]}", hint=hint) from error


def _run(api: Any, who: Identity, image: str) -> str:  # noqa: ANN401 - only `engine` knows the SDK
    """Run the question in a container that leaves nothing behind; return what it printed."""
    made = api.create_container(
        image,
        command=["-c", _ASK],
        entrypoint=["python"],
        labels=who.labels("setup", "question"),  # one that a crash leaves behind is not a server, and `down` sees it
        network_disabled=True,
        use_config_proxy=False,
        host_config=api.create_host_config(read_only=True, cap_drop=["ALL"], security_opt=["no-new-privileges"]),
    )["Id"]
    try:
        api.start(made)
        api.wait(made, timeout=60)
        return bytes(api.logs(made)).decode(errors="replace")
    finally:
        api.remove_container(made, force=True, v=True)
