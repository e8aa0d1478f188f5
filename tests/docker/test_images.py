"""Images on a real engine: what is built, when it is built again, and what people are told when it cannot be."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import docker
import pytest
from docker_registry import Registry, serving
from docker_wheels import closed_port
from docker_yard import PYTHON, Yard, opened

from stepflow.errors import MachineError, PermanentError, TemporaryError
from stepflow.targets.building import context
from stepflow.targets.building.image import remove_superseded
from stepflow.targets.building.push import pushed
from stepflow.targets.images import IMAGES

pytestmark = [pytest.mark.docker, pytest.mark.timeout(400)]

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "templates" / "stepflow_templates"
NAMES = sorted(path.parent.name for path in TEMPLATES.glob("*/Dockerfile"))


@pytest.fixture
def yard(tmp_path: Path, docker_client: docker.DockerClient) -> Iterator[Yard]:
    with opened(tmp_path, docker_client) as made:
        made.put(ROOT / "tests" / "data" / "hello")
        yield made


async def test_a_folder_without_a_dockerfile_becomes_an_image_that_runs_with_nothing_but_tmp(yard: Yard) -> None:
    image = await yard.image()
    assert re.fullmatch(rf"yard-{yard.who.id}/hello:[0-9a-f]{{12}}", image)
    program = "import os, pydantic, service, tempfile; tempfile.TemporaryFile(); print(os.getuid(), pydantic.VERSION)"
    assert re.fullmatch(r"65532 2\.\d+\.\d+\n", yard.run(image, program))
    assert yard.left() == []


async def test_an_image_says_whose_it_is_what_it_is_and_how_it_is_asked_for_its_health(yard: Yard) -> None:
    config = yard.client.images.get(await yard.image()).attrs["Config"]
    assert config["User"] == "65532:65532"
    assert config["Healthcheck"]["Test"][0] == "CMD"
    labels = config["Labels"]
    assert yard.who.filters()["label"][0].split("=") == ["dev.stepflow.id", labels["dev.stepflow.id"]]
    assert (labels["dev.stepflow.kind"], labels["dev.stepflow.name"]) == ("image", "hello")
    assert str(yard.root) not in str(labels), "a path of this machine, in what a registry shows"
    oci = {name.removeprefix("org.opencontainers.image."): text for name, text in labels.items()}
    assert (oci["title"], oci["version"], oci["base.name"]) == ("hello", "0", PYTHON)
    assert oci["created"].endswith("+00:00")


async def test_the_same_folder_is_not_built_again_and_a_changed_one_is(yard: Yard) -> None:
    first = await yard.image()
    yard.said.clear()
    assert await yard.image() == first
    assert yard.said == []
    (yard.hello / "src" / "service" / "more.py").write_text("", "utf-8")
    assert await yard.image() != first
    assert yard.steps()


async def test_a_source_that_changes_while_it_is_packed_makes_no_image_under_the_hash_of_the_old_one(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def edited(*arguments: Any) -> None:  # noqa: ANN401 - those of `pack`
        (yard.hello / "src" / "service" / "__main__.py").write_text("", encoding="utf-8")
        context.pack(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr("stepflow.targets.building.image.pack", edited)
        with pytest.raises(TemporaryError) as caught:
            await yard.image()
    assert caught.value.message == "the source of `hello` changed while it was packed"
    assert await yard.image()


async def test_two_who_want_an_image_at_once_cause_one_build(yard: Yard) -> None:
    first, second = await asyncio.gather(yard.image(), yard.image())
    assert first == second
    assert len([step for step in yard.steps() if step.startswith("1/")]) == 1


async def test_superseded_images_are_removed_unless_a_container_uses_them(yard: Yard) -> None:
    other = yard.put(TEMPLATES / "chassis").rename(yard.root / "out" / "other").name
    (yard.root / "out" / other / "requirements.lock").unlink()
    (yard.root / "out" / other / "pyproject.toml").unlink()
    of_another_folder = await yard.image(other)
    images = [await yard.image()]
    for text in ("1", "2"):
        (yard.hello / "src" / "service" / "more.py").write_text(f"number = {text}\n", "utf-8")
        images.append(await yard.image())
    user = yard.client.containers.create(images[0], labels=yard.who.labels("workload", "hello"))
    assert await remove_superseded(yard.engine, yard.who, "hello", keep=images[2]) == (images[1],)
    user.remove()
    assert await remove_superseded(yard.engine, yard.who, "hello", keep=images[2]) == (images[0],)
    assert yard.client.images.get(images[2]).tags == [images[2]]
    assert yard.client.images.get(of_another_folder)


async def test_a_folder_with_nothing_but_a_page_becomes_an_image_that_starts_beside_it(yard: Yard) -> None:
    (yard.root / "out" / "greeter").mkdir()
    (yard.root / "out" / "greeter" / "index.html").write_text("hello\n", "utf-8")
    image = await yard.image("greeter")
    assert yard.run(image, "print(open('index.html').read())") == "hello\n\n"


async def test_a_failing_instruction_is_said_with_its_output_and_once_fixed_the_build_goes_on(yard: Yard) -> None:
    fixed = "ARG BASE\nFROM ${BASE}\nRUN echo all is well\n"
    dockerfile = yard.hello / "Dockerfile"
    dockerfile.write_text(f"{fixed}RUN echo the moon is in the wrong phase >&2 && exit 3\n", "utf-8")
    with pytest.raises(PermanentError) as refused:
        await yard.image()
    error = refused.value
    assert error.message == (
        "the image of `hello` cannot be built: `4/5 RUN echo the moon is in the wrong phase >&2 && exit 3` "
        "ended with code 3:\n"
        "the moon is in the wrong phase"
    )
    assert error.hint == "fix `hello/Dockerfile`, or what it copies, then `stepflow resume`"
    assert error.log == str(yard.log)
    assert "the moon is in the wrong phase\n" in yard.log.read_text("utf-8")
    dockerfile.write_text(fixed, "utf-8")
    assert await yard.image()
    assert yard.left() == []


async def test_a_build_has_no_network_and_says_so_to_a_dockerfile_that_wants_one(yard: Yard) -> None:
    fetch = "import urllib.request as r; r.urlopen('http://192.0.2.1/', timeout=1)"
    text = f'ARG BASE\nFROM ${{BASE}}\nRUN python -c "{fetch}"\n'
    (yard.hello / "Dockerfile").write_text(text, "utf-8")
    with pytest.raises(PermanentError) as refused:
        await yard.image()
    assert "Network is unreachable" in refused.value.message
    assert refused.value.hint.startswith("builds have no network: ")


async def test_a_dockerfile_that_cannot_be_read_is_said_in_the_engines_words(yard: Yard) -> None:
    (yard.hello / "Dockerfile").write_text("FROM scratch\nRUM true\n", "utf-8")
    with pytest.raises(PermanentError) as refused:
        await yard.image()
    assert refused.value.message.startswith("the image of `hello` cannot be built: dockerfile parse error line 2: ")


async def test_a_base_image_that_cannot_be_had_is_named_with_the_way_to_get_it(yard: Yard) -> None:
    wanted = f"127.0.0.1:{closed_port()}/python:3.13"
    with pytest.raises(PermanentError) as refused:
        await yard.image(base_image=wanted)
    assert refused.value.message.startswith(f"the image `{wanted}` is not here and cannot be pulled: ")
    assert "connection refused" in refused.value.message
    assert refused.value.hint.startswith(f"with a network `docker pull {wanted}`; without one `docker load` an archive")


async def test_a_base_image_without_python_is_refused_with_what_it_must_have(yard: Yard) -> None:
    wanted = f"{IMAGES['nats'].repository}:{IMAGES['nats'].tag}"
    with pytest.raises(PermanentError) as refused:
        await yard.image(base_image=wanted)
    assert refused.value.message.startswith(f"`python` cannot be run in the base image `{wanted}`: ")
    assert refused.value.hint == (
        "`--base-image` must name an image with Python 3.11 or newer and pip, such as the official `python` images"
    )
    assert yard.left() == []


async def test_a_folder_that_is_gone_is_said(yard: Yard) -> None:
    with pytest.raises(PermanentError) as refused:
        await yard.image("nothing")
    assert refused.value.message == f"`{yard.root / 'out' / 'nothing'}` is not there"
    assert refused.value.hint == "`stepflow resume` renders it again"


async def test_with_a_registry_the_image_is_pushed_once(yard: Yard) -> None:
    with serving(Registry()) as registry:
        image = await yard.image(registry=registry.host)
        assert image.startswith(f"{registry.host}/yard/hello:")
        [(name, manifest)] = registry.manifests.items()
        assert name == image.partition("/")[2]
        digest = f"{registry.host}/yard/hello@sha256:{sha256(manifest).hexdigest()}"
        assert await pushed(yard.engine, image) == digest
        registry.manifests.clear()
        assert await yard.image(registry=registry.host) == image
        assert registry.manifests == {}


async def test_an_archive_of_several_images_holds_what_they_share_once(yard: Yard) -> None:
    images = [await yard.image()]
    assert await pushed(yard.engine, images[0]) == ""
    (yard.hello / "src" / "service" / "more.py").write_text("", "utf-8")
    images.append(await yard.image())
    file = yard.root / "images.tar"
    with file.open("wb") as archive:
        archive.writelines(yard.engine.archive(images))
    with tarfile.open(file) as archive:
        made = json.load(archive.extractfile("manifest.json") or io.BytesIO())
        layers = [each["Layers"] for each in made]
        assert {tag for each in made for tag in each["RepoTags"]} == set(images)
        assert set(layers[0]) & set(layers[1])
        assert set(layers[0] + layers[1]) <= set(archive.getnames())
    yard.client.images.remove(images[1])
    yard.client.images.load(file.read_bytes())
    assert yard.client.images.get(images[1])


async def test_a_registry_that_wants_a_sign_in_is_said_with_how_to_do_it(yard: Yard) -> None:
    with serving(Registry(closed=True)) as registry:
        with pytest.raises(PermanentError) as refused:
            await yard.image(registry=registry.host)
        pushed = (
            rf"`{registry.host}/yard/hello:[0-9a-f]{{12}}` cannot be pushed: the registry rejected the credentials: "
        )
        assert re.match(pushed, refused.value.message)
        hint = f"`docker login {registry.host}`, then `stepflow resume`; may you write to that repository?"
        assert refused.value.hint == hint


async def test_a_registry_that_is_away_is_the_machines_matter_and_the_image_is_pushed_later(yard: Yard) -> None:
    host = f"127.0.0.1:{closed_port()}"
    with pytest.raises(MachineError) as refused:
        await yard.image(registry=host)
    assert f"cannot be pushed: the registry `{host}` is out of reach: " in refused.value.message
    assert refused.value.hint == "is `--registry` right, and does the engine reach it?"


PROGRAM = """
import asyncio, sys
from pathlib import Path
from stepflow.targets.contract import Site
from stepflow.targets.building.image import image_for
from stepflow.targets.docker.identity import DockerIdentity
from stepflow.targets.building.cache import cache
from stepflow.targets.docker_api.client import Engine
root = Path(sys.argv[1])
site = Site("yard", root / "state", root / "out")
asyncio.run(image_for(Engine(), DockerIdentity.of(site), site, "hello", lambda each: print(each.answer, flush=True)))
"""


def killed_while_compiling(yard: Yard) -> None:
    """Let another process build the image, and kill it in the middle of an instruction."""
    command = [sys.executable, "-c", PROGRAM, str(yard.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as building:
        assert building.stdout
        while not re.match(r"\d+/\d+ RUN python -m compileall", building.stdout.readline()):
            assert building.poll() is None
        os.kill(building.pid, signal.SIGKILL)


async def test_a_build_that_was_killed_is_made_again_and_leaves_no_container(yard: Yard) -> None:
    (yard.hello / "src" / "service" / "more.py").write_text(f"unique = {yard.who.id!r}\n", "utf-8")
    killed_while_compiling(yard)
    image = await yard.image()
    assert yard.client.images.get(image)
    assert yard.left() == []
