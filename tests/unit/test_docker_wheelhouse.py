"""The wheelhouse: whole wheels with the right content, fetched once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from docker_wheels import FOR, Wheel, closed_port

from stepflow.errors import MachineError, PermanentError
from stepflow.targets.building.lock import Pin, read
from stepflow.targets.building.wheelhouse import locked, wheels

HOUSE = "3.13-manylinux_2_36_x86_64"


@dataclass
class Place:
    """An index, a cache and a log of a test's own."""

    root: Path
    said: list[str] = field(default_factory=list)

    @property
    def links(self) -> Path:
        return self.root / "links"

    @property
    def house(self) -> Path:
        return self.root / "cache" / "stepflow" / "wheels" / HOUSE

    @property
    def log(self) -> Path:
        return self.root / "log"

    async def wheels(self, *wanted: Wheel) -> dict[Pin, Path]:
        return await wheels(pins(wanted), FOR, self.log, self.said.append)


def pins(wanted: Collection[Wheel]) -> tuple[Pin, ...]:
    return read("".join(each.pinned() for each in wanted), Path("requirements.lock"))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    made = Place(tmp_path)
    made.links.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(made.links))
    return made


async def test_wheels_are_fetched_once_and_then_found_without_an_index(place: Place) -> None:
    colour, shape = Wheel("colour", "1.4").write(place.links), Wheel("shape", "2.0").write(place.links)
    first = await place.wheels(colour, shape)
    for each in (colour, shape):
        (place.links / each.file).unlink()
    assert await place.wheels(colour, shape) == first
    assert [path.name for path in first.values()] == [colour.file, shape.file]
    assert place.said == ["fetching 2 wheels"]


async def test_the_newest_platform_that_the_image_can_run_is_fetched_for(place: Place) -> None:
    Wheel("fast", "1.0", "cp313-cp313-manylinux_2_39_x86_64").write(place.links)
    Wheel("fast", "1.0", "cp312-cp312-manylinux_2_28_x86_64").write(place.links)
    fits = Wheel("fast", "1.0", "cp313-cp313-manylinux_2_28_x86_64").write(place.links)
    assert [path.name for path in (await place.wheels(fits)).values()] == [fits.file]


@pytest.mark.parametrize(
    ("libc", "minor", "first", "last"),
    [
        ("manylinux", 18, ["manylinux_2_18_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"], "linux_x86_64"),
        ("musllinux", 2, ["musllinux_1_2_x86_64", "musllinux_1_1_x86_64"], "linux_x86_64"),
    ],
)
def test_an_image_runs_wheels_for_its_c_library_and_for_older_ones(
    libc: str, minor: int, first: list[str], last: str
) -> None:
    platforms = list(replace(FOR, libc=libc, minor=minor).platforms())
    assert platforms[: len(first)] == first
    assert platforms[-1] == last


async def test_a_wheel_that_was_damaged_is_fetched_again(place: Place) -> None:
    colour = Wheel("colour", "1.4").write(place.links)
    await place.wheels(colour)
    good = (place.house / colour.file).read_bytes()
    (place.house / colour.file).write_bytes(good[:100])
    found = await place.wheels(colour)
    assert next(iter(found.values())).read_bytes() == good
    assert place.said == ["fetching colour", "fetching colour"]


async def test_a_wheel_that_is_not_what_its_lock_says_is_refused(place: Place) -> None:
    colour = Wheel("colour", "1.4").write(place.links)
    other = Wheel("colour", "1.4", hash=f"sha256:{'0' * 64}")
    assert colour.hash != other.hash
    with pytest.raises(PermanentError, match="THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE"):
        await place.wheels(other)
    assert list(place.house.glob("*.whl")) == []


async def test_what_a_killed_download_left_is_removed_and_never_used(place: Place) -> None:
    colour = Wheel("colour", "1.4").write(place.links)
    left = place.house / "fetching-abc123"
    left.mkdir(parents=True)
    (left / colour.file).write_bytes(b"half of a wheel")
    await place.wheels(colour)
    assert sorted(path.name for path in place.house.iterdir()) == [".lock", colour.file]


async def test_a_package_without_a_wheel_for_the_image_is_named_with_its_platform(place: Place) -> None:
    windows = Wheel("fast", "1.0", "cp313-cp313-win_amd64").write(place.links)
    with pytest.raises(PermanentError) as refused:
        await place.wheels(windows)
    assert refused.value.message == (
        "`fast==1.0` has no wheel for Python 3.13 on manylinux_2_36_x86_64, which the base image has"
    )
    assert refused.value.hint == (
        "pin a version that has one, build the wheel and name its folder in `PIP_FIND_LINKS`, or take another "
        "`--base-image`"
    )
    assert refused.value.log == str(place.log)
    assert place.log.read_text("utf-8").startswith("pip download\n")


async def test_an_index_that_pip_cannot_reach_is_the_machines_matter(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{closed_port()}/simple")
    with pytest.raises(MachineError) as refused:
        await place.wheels(Wheel("colour", "1.4", hash=f"sha256:{'0' * 64}"))
    assert refused.value.message.startswith("wheels cannot be fetched: the package index is out of reach: ")
    assert "Connection refused" in refused.value.message
    assert refused.value.hint == "check the network, `HTTPS_PROXY` and `pip config list`, then run again"


async def test_two_that_want_the_same_wheels_fetch_them_once(place: Place) -> None:
    colour = Wheel("colour", "1.4").write(place.links)
    first, second = await asyncio.gather(place.wheels(colour), place.wheels(colour))
    assert first == second
    assert place.said == ["fetching colour"]


async def test_a_lock_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    inside: list[int] = []

    async def enter(number: int) -> None:
        async with locked(tmp_path / "lock"):
            inside.append(number)
            await asyncio.sleep(0)
            assert inside == [number]
            inside.remove(number)

    await asyncio.gather(*(enter(number) for number in range(3)))
    assert inside == []
