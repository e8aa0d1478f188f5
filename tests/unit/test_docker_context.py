"""The archive that an image is built from: the same bytes for the same sources, and nothing that is not a source."""

from __future__ import annotations

import io
import os
import re
import tarfile
from pathlib import Path

import pytest
from docker_wheels import Wheel

from stepflow.targets.building.context import DEFAULT, BuildContext, context, default_dockerfile, pack
from stepflow.targets.building.dependencies import Lock, Sources
from stepflow.targets.building.lock import read
from stepflow.targets.images import BASE, IMAGES

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted((ROOT / "templates" / "stepflow_templates").glob("*/Dockerfile"))
TREE = {
    "shop/Dockerfile": "FROM scratch\n",
    "shop/src/service/__init__.py": "",
    "shop/src/service/__main__.py": "print(1)\n",
    "chassis/src/chassis/__init__.py": "",
    "shop/README.md": "# Shop\n",
    "shop/Dockerfile.dockerignore": "*\n",
    "shop/.env": "PASSWORD=hush\n",
    "shop/tests/test_shop.py": "",
    "shop/src/service/__pycache__/x.pyc": "",
    "shop/src/service/build/__init__.py": "",
    "shop/src/service/prompts/tests/first.md": "Hello\n",
    "other/src/service/__init__.py": "",
}
SHIPPED = [
    "chassis/requirements.lock",
    "chassis/src/chassis/__init__.py",
    "shop/Dockerfile",
    "shop/requirements.lock",
    "shop/src/service/__init__.py",
    "shop/src/service/__main__.py",
    "shop/src/service/build/__init__.py",
    "shop/src/service/prompts/tests/first.md",
]


def tree(root: Path) -> Path:
    for path, text in TREE.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    return root


def gathered(root: Path, text: str = "") -> BuildContext:
    made = Lock(text, read(text, Path("requirements.lock")))
    sources = Sources(root, "shop")
    return context(sources, dict.fromkeys(sources.folders, made))


def packed(made: BuildContext, wheels: dict[str, dict[str, Path]] | None = None, **labels: str) -> bytes:
    archive = io.BytesIO()
    pack(made, wheels or {}, labels, archive)
    return archive.getvalue()


def members(archive: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return {member.name: member for member in opened}


def test_an_archive_holds_the_sources_of_the_folder_and_of_the_chassis_and_no_secrets_tests_or_caches(
    tmp_path: Path,
) -> None:
    assert list(members(packed(gathered(tree(tmp_path))))) == SHIPPED


def test_the_same_sources_elsewhere_and_at_another_time_give_the_same_bytes_and_hash(tmp_path: Path) -> None:
    first, second = tree(tmp_path / "a"), tree(tmp_path / "b")
    for file in (second / "shop").rglob("*"):
        os.utime(file, (1, 1))
    (second / "shop" / "README.md").write_text("# Another one\n", "utf-8")
    assert packed(gathered(first)) == packed(gathered(second))
    assert gathered(first).hash("sha256:1") == gathered(second).hash("sha256:1")


@pytest.mark.parametrize("path", ["shop/src/service/__main__.py", "chassis/src/chassis/__init__.py", "shop/Dockerfile"])
def test_another_source_gives_another_hash(tmp_path: Path, path: str) -> None:
    before = gathered(tree(tmp_path)).hash("sha256:1")
    (tmp_path / path).write_text("changed", "utf-8")
    assert gathered(tmp_path).hash("sha256:1") != before


def test_another_lock_base_image_mode_or_new_file_gives_another_hash(tmp_path: Path) -> None:
    tree(tmp_path)
    hashes = [gathered(tmp_path).hash("sha256:1"), gathered(tmp_path).hash("sha256:2")]
    hashes.append(gathered(tmp_path, f"colour==1.4 --hash=sha256:{'0' * 64}\n").hash("sha256:1"))
    (tmp_path / "shop" / "src" / "service" / "__main__.py").chmod(0o755)
    hashes.append(gathered(tmp_path).hash("sha256:1"))
    (tmp_path / "shop" / "src" / "service" / "more.py").write_text("", "utf-8")
    hashes.append(gathered(tmp_path).hash("sha256:1"))
    assert len(set(hashes)) == 5


def test_a_link_is_shipped_as_a_link_so_that_nothing_from_outside_gets_into_an_image(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hush", "utf-8")
    root = tree(tmp_path / "out")
    (root / "shop" / "src" / "leak").symlink_to(tmp_path / "secret")
    (root / "shop" / "src" / "folder").symlink_to(tmp_path)
    made = gathered(root)
    archive = packed(made)
    found = members(archive)
    assert found["shop/src/leak"].issym()
    assert found["shop/src/folder"].issym()
    assert b"hush" not in archive
    before = made.hash("sha256:1")
    (tmp_path / "secret").write_text("something else", "utf-8")
    assert gathered(root).hash("sha256:1") == before


def test_wheels_lie_in_their_folders_and_do_not_change_the_hash(tmp_path: Path) -> None:
    colour = Wheel("colour", "1.4").write(tmp_path)
    made = gathered(tree(tmp_path / "out"))
    found = members(packed(made, {"wheels-own": {colour.file: tmp_path / colour.file}, "wheels-shared": {}}))
    assert sorted(found.keys() - set(SHIPPED)) == [f"wheels-own/{colour.file}"]
    assert {(member.mtime, member.uid, member.gid, member.uname) for member in found.values()} == {(0, 0, 0, "")}


def test_labels_are_the_dockerfiles_last_instruction_and_nothing_in_them_is_another(tmp_path: Path) -> None:
    archive = packed(gathered(tree(tmp_path)), state='/home/"me" $HOME\\\nRUN rm -rf /', name="shop")
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        file = opened.extractfile("shop/Dockerfile")
        assert file
        label = r'LABEL state="/home/\"me\" \$HOME\\ RUN rm -rf /" name="shop"'
        assert file.read().decode().splitlines() == ["FROM scratch", "", label]


def test_what_services_have_alike_is_known_by_a_hash_of_its_own(tmp_path: Path) -> None:
    made = gathered(tree(tmp_path))
    (tmp_path / "shop" / "src" / "service" / "more.py").write_text("", "utf-8")
    assert gathered(tmp_path).shared("sha256:1") == made.shared("sha256:1") != made.shared("sha256:2")
    (tmp_path / "chassis" / "src" / "chassis" / "more.py").write_text("", "utf-8")
    assert gathered(tmp_path).shared("sha256:1") != made.shared("sha256:1")


def test_a_folder_without_a_dockerfile_gets_the_default_one(tmp_path: Path) -> None:
    (tree(tmp_path) / "shop" / "Dockerfile").unlink()
    made = gathered(tmp_path)
    assert made.dockerfile == DEFAULT
    assert made.content[DEFAULT] == default_dockerfile()


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.parent.name)
def test_a_template_is_built_on_the_base_of_the_table_of_images(file: Path) -> None:
    base = IMAGES[BASE]
    assert re.findall(r"^ARG BASE=(.*)$", file.read_text("utf-8"), re.MULTILINE) == [f"{base.repository}:{base.tag}"]


def test_the_default_dockerfile_is_built_on_the_base_of_the_table_of_images() -> None:
    base = IMAGES[BASE]
    assert f"ARG BASE={base.repository}:{base.tag}\n" in default_dockerfile().decode()


def test_all_templates_begin_alike_so_that_the_engine_shares_their_layers() -> None:
    stages = [file.read_text("utf-8").split("\nFROM ") for file in DOCKERFILES]
    assert len(stages) == 7
    assert len({shared.partition("\n# What only")[0] for _, shared, *_ in stages}) == 1
    assert len({final.partition("COPY --from=own")[0] for *_, final in stages}) == 1
