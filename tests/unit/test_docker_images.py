"""Images that are not built come from one table, by digest, and an option replaces each."""

from __future__ import annotations

import re

import pytest

from stepflow.errors import UsageError
from stepflow.targets.images import IMAGES, Image, image, parse, require_known

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize("name", IMAGES)
def test_every_image_of_the_table_has_a_tag_of_an_exact_version_and_a_digest(name: str) -> None:
    known = IMAGES[name]
    assert re.fullmatch(r"v?\d+\.\d+(\.\d+)?(-[a-z-]+)?", known.tag)
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", known.digest)
    assert parse(str(known), name) == known


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("postgres", Image("postgres")),
        ("postgres:18", Image("postgres", "18")),
        (f"postgres@{DIGEST}", Image("postgres", "", DIGEST)),
        (
            f"mirror.example:5000/library/postgres:18@{DIGEST}",
            Image("mirror.example:5000/library/postgres", "18", DIGEST),
        ),
        ("localhost:5000/a__b/c-d:latest", Image("localhost:5000/a__b/c-d", "latest")),
    ],
)
def test_a_reference_is_taken_apart_and_put_together_again(reference: str, parts: Image) -> None:
    assert parse(reference, "image.postgres") == parts
    assert str(parts) == reference


@pytest.mark.parametrize(
    ("repository", "qualified"),
    [
        ("nats", "docker.io/library/nats"),
        ("valkey/valkey", "docker.io/valkey/valkey"),
        ("registry.example/nats", "registry.example/nats"),
        ("localhost/nats", "localhost/nats"),
        ("mirror:5000/nats", "mirror:5000/nats"),
    ],
)
def test_a_reference_can_be_said_with_its_registry(repository: str, qualified: str) -> None:
    assert Image(repository, "1", DIGEST).qualified == f"{qualified}:1@{DIGEST}"


def test_an_option_replaces_one_image_and_no_other() -> None:
    options = {"image.postgres": "mirror.example/postgres:18", "base-image": "mirror.example/python:3.13"}
    assert str(image("postgres", options)) == "mirror.example/postgres:18"
    assert str(image("python", options)) == "mirror.example/python:3.13"
    assert image("nats", options) == IMAGES["nats"]
    require_known(options | {"registry": "anything"})


def test_an_option_for_an_image_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match="no image is called `mysql`") as failure:
        require_known({"image.mysql": "mysql:9"})
    assert failure.value.hint == "one of: nats, postgres, valkey, envoy"
    with pytest.raises(UsageError, match="`python` is what services are built on") as failure:
        require_known({"image.python": "python:3.14"})
    assert failure.value.hint == "`--base-image python:3.14`"


@pytest.mark.parametrize("reference", ["", "Postgres", "postgres:", "a b", "postgres@sha256:12", "-x", "../x", "a:b:c"])
@pytest.mark.parametrize("option", ["image.postgres", "base-image"])
def test_what_is_not_a_reference_is_refused(reference: str, option: str) -> None:
    with pytest.raises(UsageError) as failure:
        require_known({option: reference})
    assert failure.value.message == f"`{reference}`, given for `{option}`, is not an image"
    assert failure.value.hint == "write it as `postgres:18` or `registry.example/postgres:18@sha256:…`"
