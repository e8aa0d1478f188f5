"""Pagination by cursor: stable under inserts, with RFC 8288 `Link` to the next page."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl, urlencode

from pydantic import BaseModel
from starlette.datastructures import URL

from chassis.problem import Problem

T = TypeVar("T")
MAX_INTEGER = 2**63  # the upper bound of a bigint of PostgreSQL


class Page(BaseModel, Generic[T]):
    """One page of a list; `next` is the cursor of the following one, None on the last."""

    items: list[T]
    next: str | None = None


def encode_cursor(*key: Any) -> str:  # noqa: ANN401 - JSON scalars; others become text
    """Make an opaque cursor of the sort key of a page's last item."""
    return base64.urlsafe_b64encode(json.dumps(key, default=str).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *types: type) -> tuple[Any, ...]:
    """Read a cursor's key, each part turned into its type. Raises `Problem` 422 for one that we did not make."""
    try:
        parts = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return tuple(_part(of, part) for of, part in zip(types, list(parts), strict=True))
    except (ValueError, TypeError, AttributeError, OverflowError, binascii.Error) as error:
        errors = [{"pointer": "query/cursor", "detail": "not a cursor of this list"}]
        raise Problem(422, "Unacceptable values", detail="The cursor is not one of ours.", errors=errors) from error


def _part(of: type, part: object) -> Any:  # noqa: ANN401 - whatever the list's key consists of
    value = of(part)
    if isinstance(value, int) and not -MAX_INTEGER <= value < MAX_INTEGER:
        raise OverflowError(value)
    return value


def link_header(url: URL, cursor: str | None, parameter: str = "cursor") -> dict[str, str]:
    """Return the `Link` header to the next page as a path, which holds behind any gateway; none on the last page."""
    if cursor is None:
        return {}
    query = [(name, value) for name, value in parse_qsl(url.query) if name != parameter]
    return {"Link": f'<{url.path}?{urlencode([*query, (parameter, cursor)])}>; rel="next"'}
