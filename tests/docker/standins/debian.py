"""What Debian 13 gives: the root file systems below the stand-ins, and the Compose plugin; made once and kept."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

SUITE = "trixie"
MIRROR = "STEPFLOW_TEST_DEBIAN_MIRROR"
_OPTIONS = (
    "--variant=minbase",
    "--quiet",
    '--aptopt=Acquire::Languages "none"',
    '--aptopt=APT::Sandbox::User "root"',
    *(f"--dpkgopt=path-exclude=/usr/share/{unused}/*" for unused in ("man", "doc", "locale", "lintian")),
)
_COMPOSE = "usr/libexec/docker/cli-plugins/docker-compose"


class NotMade(Exception):  # noqa: N818 - it is what happened, and the tests' only one
    """Something could not be made; says what was tried and its last words."""


@dataclass(frozen=True, slots=True)
class Root:
    """A root file system: what is installed on top of Debian's essential packages."""

    name: str
    packages: tuple[str, ...]
    finish: str = ""  # a shell command, with the root as $1

    @property
    def digest(self) -> str:
        """Of what it is made from, 12 hex digits; Debian's point releases do not count."""
        return hashlib.sha256(repr((SUITE, _OPTIONS, self)).encode()).hexdigest()[:12]


_WITHOUT_COMPILED = """find "$1/usr" -name '*.pyc' -delete"""  # as the official image
PLAIN = Root("plain", ("busybox", "valkey-tools"))  # each for one of the images; the others purge them
PYTHON = Root("python", ("ca-certificates", "netbase", "python3", "python3-venv", "tzdata"), _WITHOUT_COMPILED)


def cache() -> Path:
    """Return the folder of everything that the tests keep between runs."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "stepflow-tests"


def tarball(root: Root) -> Path:
    """Return the root file system as a tar file; it is made when it is not there."""
    kept = cache() / "debian" / f"{root.name}-{root.digest}.tar"
    if not kept.exists():
        _bootstrap(root, kept)
    return kept


def compose() -> Path:
    """Return the program `docker-compose` (version 2); it is fetched from Debian when it is not there."""
    kept = cache() / "debian" / "docker-compose"
    if not kept.exists():
        _bootstrap(PLAIN, cache() / "debian" / f"{PLAIN.name}-{PLAIN.digest}.tar")
    return kept


def _bootstrap(root: Root, kept: Path) -> None:
    """Make a root; the plain one brings the Compose plugin along, since the package lists are there then."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=kept.parent) as folder:
        scratch = Path(folder)
        made = scratch / "root.tar"
        fetch = f'cd "{folder}" && APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get download --quiet docker-compose'
        hooks = (f"--customize-hook={hook}" for hook in (root.finish, fetch if root is PLAIN else "") if hook)
        _run("mmdebstrap", *_OPTIONS, f"--include={','.join(root.packages)}", *hooks, SUITE, str(made), *_mirror())
        for package in scratch.glob("docker-compose_*.deb"):
            _run("dpkg-deb", "--extract", str(package), str(scratch))
            (scratch / _COMPOSE).replace(kept.parent / "docker-compose")
        for of_another_recipe in kept.parent.glob(f"{root.name}-*.tar"):
            of_another_recipe.unlink()
        made.replace(kept)


def _mirror() -> tuple[str, ...]:
    """Return the mirror that this machine's apt uses for Debian; without one mmdebstrap has its own."""
    if os.environ.get(MIRROR):
        return (os.environ[MIRROR],)
    apt = Path("/etc/apt")
    for sources in (apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))):
        found = (
            re.search(r"^[^#\n]*?(\w+://\S+/debian/?)(?=\s|$)", sources.read_text(), re.MULTILINE)
            if sources.is_file()
            else None
        )
        if found:
            return (found[1],)
    return ()


def _run(*command: str) -> None:
    if shutil.which(command[0]) is None:
        raise NotMade(f"`{command[0]}` is not installed: `apt-get install {command[0].replace('-deb', '')}`")
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, umask=0o022)
    if done.returncode:
        raise NotMade(
            f"`{' '.join(command)}` ended with {done.returncode}:\n" + "\n".join(done.stderr.splitlines()[-15:])
        )
