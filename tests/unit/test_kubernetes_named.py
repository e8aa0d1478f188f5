"""Names in a values file are those of the document, or the run is refused before anything is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from manifest_cases import ALL, TELEMETRY

from stepflow.errors import UsageError
from stepflow.targets import open_target
from stepflow.targets.contract import Naming, Site
from stepflow.targets.kubernetes.options.values import Values
from stepflow.targets.kubernetes.target import require_named
from stepflow.workload import Declaration

HOST = {"host": "shop.example"}


def values(**said: Any) -> Values:  # noqa: ANN401 - as a values file has them
    return Values.model_validate(said)


def egress(workload: str) -> tuple[dict[str, Any], ...]:
    return ({"workload": workload, "cidr": "203.0.113.0/24", "ports": (587,)},)


def external(database: str) -> dict[str, Any]:
    return {"external": {database: {"secret": "theirs"}}}


def test_what_the_document_declares_may_be_named() -> None:
    require_named(values(egress=egress("users"), postgres=external("users"), entry=HOST), (ALL,))
    require_named(values(postgres=external("")), (ALL,))
    require_named(values(), ())


@pytest.mark.parametrize(
    ("said", "problem", "hint"),
    [
        (
            {"egress": egress("user")},
            "`egress` of the values names the workload `user`, which no step of the document declares",
            "did you mean `users`?",
        ),
        (
            {"egress": egress("mailer")},
            "`egress` of the values names the workload `mailer`, which no step of the document declares",
            "there are: `gateway`, `telemetry`, `users`",
        ),
        (
            {"postgres": external("orders")},
            "`postgres.external` of the values names the database `orders`, which no step of the document declares",
            "there are: `users`",
        ),
    ],
)
def test_a_name_that_no_step_declares_is_told_with_those_that_there_are(
    said: dict[str, Any], problem: str, hint: str
) -> None:
    with pytest.raises(UsageError) as error:
        require_named(values(**said), (ALL,))
    assert (error.value.message, error.value.hint) == (problem, hint)


def test_an_entry_without_a_gateway_is_told() -> None:
    with pytest.raises(UsageError) as error:
        require_named(values(entry=HOST), (Declaration((TELEMETRY,)),))
    assert error.value.message == "the values have an `entry`, and no step of the document declares a gateway"


def test_the_target_asks_its_own_values(tmp_path: Path) -> None:
    text = values(egress=egress("user")).model_dump_json(by_alias=True, exclude_defaults=True)
    target = open_target("kubernetes", Site("shop", tmp_path, tmp_path / "out", {"values": text}))
    assert isinstance(target, Naming)
    with pytest.raises(UsageError, match="names the workload `user`"):
        target.require_named((ALL,))
