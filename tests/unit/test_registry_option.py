"""What `--registry` may say: the beginning of an image's name, and nothing that fails only when it is pushed."""

from __future__ import annotations

import pytest

from stepflow.cli.options import gather
from stepflow.errors import UsageError


@pytest.mark.parametrize("registry", ["ghcr.io/Team", "ghcr.io/team:1", "ghcr.io/team@sha256", "a//b", "-/x:y"])
def test_registry_that_no_image_could_be_called_after_is_refused(registry: str) -> None:
    with pytest.raises(UsageError) as error:
        gather("docker", {"registry": [registry]})
    assert error.value.message == f"`{registry}` cannot be the value of `--registry`"
    assert error.value.hint == "`--registry HOST/PATH`, the path in lower case and without a tag: `ghcr.io/team`"


@pytest.mark.parametrize("registry", ["ghcr.io/team", "localhost:5000", "[::1]:5000/a/b-c", "10.0.0.1/x_y.z/", "team"])
def test_registry_as_docker_knows_them_is_taken(registry: str) -> None:
    assert gather("docker", {"registry": [registry]}) == {"registry": registry.rstrip("/")}
