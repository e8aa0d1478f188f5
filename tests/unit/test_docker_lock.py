"""Locks: read, checked against what the sources require, and resolved again where they do not fit."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest
from docker_wheels import FOR, Wheel, closed_port

from stepflow.errors import MachineError, PermanentError
from stepflow.targets.building import lock
from stepflow.targets.building.dependencies import Lock, Sources, locks
from stepflow.targets.contract import Progress, Site
from stepflow.targets.docker.identity import DockerIdentity
from stepflow.targets.requirements import requirements

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "templates" / "stepflow_templates"
NAMES = sorted(path.parent.name for path in TEMPLATES.glob("*/pyproject.toml"))
HASH = f"--hash=sha256:{'0' * 64}"
FILE = Path("shop/requirements.lock")


def versions(folder: Path) -> set[tuple[str, str]]:
    file = folder / lock.NAME
    return {(pin.name, str(pin.version)) for pin in lock.read(file.read_text("utf-8"), file)}


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize("name", NAMES)
def test_the_lock_of_a_template_meets_its_dependencies_and_those_of_the_chassis(name: str, python: str) -> None:
    markers = FOR.markers | {"python_version": python, "python_full_version": f"{python}.1"}
    file = TEMPLATES / name / lock.NAME
    projects = (TEMPLATES / each / "pyproject.toml" for each in (name, "chassis"))
    wanted = requirements({str(each): each.read_bytes() for each in projects})
    assert len(wanted) >= 12
    assert lock.unmet(lock.read(file.read_text("utf-8"), file), wanted, markers) == ()


@pytest.mark.parametrize("name", NAMES)
def test_the_lock_of_a_template_agrees_with_the_projects(name: str) -> None:
    assert versions(TEMPLATES / name) <= versions(ROOT)


@pytest.mark.parametrize("name", NAMES)
def test_the_lock_of_a_template_holds_all_of_the_chassis(name: str) -> None:
    assert versions(TEMPLATES / "chassis") <= versions(TEMPLATES / name)


@pytest.mark.parametrize("name", NAMES)
def test_the_lock_of_a_template_names_no_registry(name: str) -> None:
    text = (TEMPLATES / name / lock.NAME).read_text("utf-8")
    assert "://" not in text
    assert not [line for line in text.splitlines() if line.startswith("-")]


def test_a_pin_for_another_platform_meets_nothing() -> None:
    pins = lock.read(f"colour==1.0 ; sys_platform == 'win32' {HASH}", FILE)
    assert lock.unmet(pins, ["colour>=1"], FOR.markers) == ("colour>=1",)
    assert lock.unmet(pins, ["colour>=1 ; sys_platform == 'win32'"], FOR.markers) == ()


def test_an_extra_is_met_only_by_a_lock_that_was_made_with_it() -> None:
    assert lock.unmet(lock.read(f"web==1.0 {HASH}", FILE), ["web[ssl]"], FOR.markers) == ("web[ssl]",)
    assert lock.unmet(lock.read(f"web[ssl]==1.0 {HASH}", FILE), ["web[ssl]"], FOR.markers) == ()


def test_a_version_outside_of_what_is_asked_for_is_unmet() -> None:
    assert lock.unmet(lock.read(f"Web_Kit==1.9 {HASH}", FILE), ["web-kit>=2"], FOR.markers) == ("web-kit>=2",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# made by hand\n\nweb>=1", "`shop/requirements.lock`, line 3: `web>=1` is not pinned to one version"),
        ("web==1.*", "`shop/requirements.lock`, line 1: `web==1.*` is not pinned to one version"),
        ("web==1.0", "`shop/requirements.lock`, line 1: `web==1.0` has no `--hash=sha256:...`"),
        ("-r other.txt", "`shop/requirements.lock`, line 1: `-r other.txt` is not a requirement"),
    ],
)
def test_a_lock_that_pins_nothing_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(PermanentError) as refused:
        lock.read(text, FILE)
    assert refused.value.message == said
    assert refused.value.hint == (
        "remove `shop/requirements.lock`, and stepflow resolves the dependencies itself; or write it with "
        "`uv pip compile`"
    )


def test_a_project_that_is_not_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project", "utf-8")
    with pytest.raises(PermanentError, match=r"pyproject.toml` is not valid TOML: "):
        requirements({"pyproject.toml": (tmp_path / "pyproject.toml").read_bytes()})


class Shop:
    """A folder of sources, and the index that uv finds: a folder of wheels."""

    def __init__(self, root: Path) -> None:
        self.links = root / "links"
        self.links.mkdir()
        self.sources = Sources(root / "out", "shop")
        self.folder = root / "out" / "shop"
        self.folder.mkdir(parents=True)
        self.who = DockerIdentity.of(Site("demo", root / "state", root / "out"))
        self.said: list[Progress] = []

    def asks(self, *requirements: str) -> None:
        listed = ", ".join(f'"{each}"' for each in requirements)
        text = f'[project]\nname = "shop"\nversion = "1"\ndependencies = [{listed}]\n'
        assert tomllib.loads(text)
        (self.folder / "pyproject.toml").write_text(text, "utf-8")

    async def locks(self) -> Lock:
        return (await locks(self.sources, FOR, self.who, self.said.append))["shop"]


@pytest.fixture
def shop(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Shop:
    made = Shop(tmp_path)
    for name in [name for name in os.environ if name.startswith("UV_")]:
        monkeypatch.delenv(name)
    settings = tmp_path / "uv.toml"
    settings.write_text(f"no-index = true\nfind-links = [{str(made.links)!r}]\n", "utf-8")
    monkeypatch.setenv("UV_CONFIG_FILE", str(settings))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "uv"))
    return made


async def test_dependencies_without_a_lock_are_resolved_once_and_that_is_said_once(shop: Shop) -> None:
    wheel = Wheel("colour", "1.4").write(shop.links)
    shop.asks("colour>=1")
    first = await shop.locks()
    assert [str(pin) for pin in first.pins] == [wheel.pinned().strip()]
    Wheel("colour", "1.5").write(shop.links)
    assert await shop.locks() == first
    said = "`shop/requirements.lock` is missing; resolved were `colour>=1`: its dependencies were resolved again"
    assert [(each.waiting_for, each.remark) for each in shop.said] == [(said, True)]


async def test_a_new_dependency_is_resolved_and_the_versions_of_the_lock_are_kept(shop: Shop) -> None:
    old = Wheel("colour", "1.4").write(shop.links)
    Wheel("colour", "1.5").write(shop.links)
    Wheel("shape", "2.0").write(shop.links)
    (shop.folder / lock.NAME).write_text(f"colour==1.4 --hash={old.hash}\n", "utf-8")
    shop.asks("colour>=1", "shape")
    assert {f"{pin.name} {pin.version}" for pin in (await shop.locks()).pins} == {"colour 1.4", "shape 2.0"}
    said = "`shop/requirements.lock` does not meet `shape`: its dependencies were resolved again"
    assert [each.waiting_for for each in shop.said] == [said]


async def test_dependencies_that_exclude_each_other_are_said_in_uvs_words(shop: Shop) -> None:
    Wheel("colour", "1.4").write(shop.links)
    shop.asks("colour>=2")
    with pytest.raises(PermanentError) as refused:
        await shop.locks()
    assert refused.value.message.startswith("the dependencies of `shop` cannot be resolved:\n")
    assert "only colour==1.4 is available and you require colour>=2" in " ".join(refused.value.message.split())
    assert refused.value.hint == f"fix `{shop.folder / 'pyproject.toml'}`"


async def test_an_index_that_uv_cannot_reach_is_the_machines_matter(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV_CONFIG_FILE")
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{closed_port()}/simple")
    shop.asks("colour>=1")
    with pytest.raises(MachineError) as refused:
        await shop.locks()
    assert refused.value.message.startswith(
        "the dependencies of `shop` cannot be resolved: the package index is out of reach: "
    )
    assert (
        refused.value.hint == "check the network, `HTTPS_PROXY`, and `UV_DEFAULT_INDEX` or `UV_INDEX`, then run again"
    )
    assert refused.value.log == str(shop.who.logs / "lock-shop.log")
