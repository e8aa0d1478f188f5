"""Entity tags and `If-Match` (RFC 9110 §13.1.1): an update names the version it is based on."""

from __future__ import annotations

from chassis.problem import Problem


def etag(version: int | str) -> str:
    """Return the strong entity tag of a version."""
    return f'"{version}"'


def if_match(header: str | None, current: int | str, *, required: bool = False) -> None:
    """Compare `If-Match` with the current version.

    Raises `Problem` 412 when none of its tags is the current one, and 428 when it is `required` and missing.
    `*` matches anything; weak tags never match, as RFC 9110 requires.
    """
    if header is None:
        if required:
            raise Problem(428, detail="Send the `ETag` of what you read as `If-Match`.")
        return
    tags = {tag.strip() for tag in header.split(",")}
    if "*" not in tags and etag(current) not in tags:
        detail = f"The current version is {etag(current)}: read it again, then repeat the change."
        raise Problem(412, "Version conflict", detail=detail, headers={"ETag": etag(current)})
