"""The schema contract: what fits, what is refused and with which words, what is left out."""

from typing import Any

import pytest
from examples import event, order

from service.contract import BrokenContractError, fit


def test_what_models_need_is_kept_and_personal_data_is_not() -> None:
    registered = event(
        "users.v1.registered",
        {
            "user_id": "u1",
            "email": "ann@example.org",
            "name": "Ann",
            "roles": ["user"],
            "registered_at": "2026-03-01T12:00:00Z",
        },
    )
    assert fit(registered) == {"user_id": "u1", "registered_at": "2026-03-01T12:00:00Z"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"total": "2500"}, "data.total: Input should be a valid integer"),
        ({"total": 25.5}, "data.total: Input should be a valid integer"),
        ({"total": True}, "data.total: Input should be a valid integer"),
        ({"total": -1}, "data.total: Input should be greater than or equal to 0"),
        ({"total": 2**60}, "data.total: Input should be less than 9007199254740992"),
        ({"currency": "euro"}, "data.currency: String should match pattern '^[A-Z]{3}$'"),
        ({"order_id": ""}, "data.order_id: String should have at least 1 character"),
        ({"placed_at": "yesterday"}, "data.placed_at: Input should be a valid datetime"),
        ({"placed_at": "2026-03-01T12:00:00"}, "data.placed_at: Input should have timezone info"),
        ({"placed_at": 1772366400}, "data.placed_at: `1772366400` is not an RFC 3339 time"),
        ({"items": []}, "data.items: List should have at least 1 item"),
        (
            {"items": [{"sku": "A", "name": "A", "quantity": 0, "unit_price": 1}]},
            "data.items.0.quantity: Input should be",
        ),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], says: str) -> None:
    placed = order("placed")
    placed.data.update(change)
    with pytest.raises(BrokenContractError) as caught:
        fit(placed)
    assert str(caught.value).startswith(says)


def test_a_type_without_contract_is_refused() -> None:
    with pytest.raises(BrokenContractError, match=r"^no contract for the type `orders\.v2\.placed`$"):
        fit(event("orders.v2.placed", {"order_id": "o1"}))
