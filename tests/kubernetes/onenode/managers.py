"""Server-side apply, and what any other change does to who manages which fields."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import groupby

from onenode.fields import Path, flat, nested, owned, spoken, value_at
from onenode.kinds import Kind, Object
from onenode.merging import merged, without
from onenode.statuses import RefusedError

Owner = tuple[str, str]  # manager and operation
Owners = dict[Owner, frozenset[Path]]


def now() -> str:
    """Give the time as the API writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def applied(kind: Kind, live: Object | None, wanted: Object, manager: str, *, force: bool) -> Object:
    """Give the object after `manager` applied a body to it. Raises `RefusedError` for conflicts."""
    before: Object = live or {}
    owners = _owners(before)
    ours = owned(kind, wanted)
    conflicts = list(_conflicts(kind, before, wanted, ours, owners, manager))
    if conflicts and not force:
        raise _conflict(kind, conflicts)
    for owner, path in conflicts:
        owners[owner] -= {path}
    given_up = owners.get((manager, "Apply"), frozenset()) - ours
    others = frozenset().union(*(paths for owner, paths in owners.items() if owner != (manager, "Apply")))
    result = without(kind, merged(kind, before, wanted), given_up - others)
    owners[manager, "Apply"] = ours
    return _signed(kind, before, result, owners)


def updated(kind: Kind, live: Object | None, after: Object, manager: str) -> Object:
    """Give an object that was written as a whole or patched, with what `manager` changed now being its own."""
    before: Object = live or {}
    owners = _owners(before)
    was, now_there = owned(kind, before, maps=True), owned(kind, after, maps=True)
    changed = {path for path in now_there if path not in was or _differs(kind, before, after, path)}
    gone = was - now_there
    owners = {owner: paths - changed - gone for owner, paths in owners.items()}
    ours = (manager, "Update")
    if changed:
        owners[ours] = owners.get(ours, frozenset()) | changed
    return _signed(kind, before, after, owners)


def _differs(kind: Kind, before: Object, after: Object, path: Path) -> bool:
    return path[-1] != "." and value_at(kind, before, path) != value_at(kind, after, path)


def _owners(body: Object) -> Owners:
    entries = body.get("metadata", {}).get("managedFields", ())
    return {(each["manager"], each["operation"]): frozenset(flat(each["fieldsV1"])) for each in entries}


def _conflicts(  # noqa: PLR0917 - what is compared
    kind: Kind, live: Object, wanted: Object, ours: Iterable[Path], owners: Owners, manager: str
) -> Iterable[tuple[Owner, Path]]:
    for owner, paths in sorted(owners.items()):
        if owner == (manager, "Apply"):
            continue
        for path in sorted(paths & frozenset(ours)):
            if path[-1] != "." and value_at(kind, live, path) != value_at(kind, wanted, path):
                yield owner, path


def _conflict(kind: Kind, conflicts: list[tuple[Owner, Path]]) -> RefusedError:
    def who(owner: Owner) -> str:
        return f'"{owner[0]}"' + (f" using {kind.version}" if owner[1] == "Update" else "")

    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {who(owner)}", "field": spoken(path)}
        for owner, path in conflicts
    ]
    if len(conflicts) == 1:
        said = f"1 conflict: conflict with {who(conflicts[0][0])}: {spoken(conflicts[0][1])}"
    else:
        lines = [
            f"conflicts with {who(owner)}:\n" + "\n".join(f"- {spoken(path)}" for _, path in paths)
            for owner, paths in groupby(conflicts, key=lambda each: each[0])
        ]
        said = f"{len(conflicts)} conflicts: " + "\n".join(lines)
    return RefusedError(409, "Conflict", f"Apply failed with {said}", causes=causes)


def _signed(kind: Kind, before: Object, after: Object, owners: Owners) -> Object:
    old = {(each["manager"], each["operation"]): each for each in before.get("metadata", {}).get("managedFields", ())}
    entries = []
    for owner, paths in sorted(owners.items(), key=lambda each: (each[0][1], each[0][0])):
        if not paths:
            continue
        fields = nested(paths)
        kept = old.get(owner)
        entries.append(
            kept
            if kept and kept["fieldsV1"] == fields
            else {
                "manager": owner[0], "operation": owner[1], "apiVersion": kind.version, "time": now(),
                "fieldsType": "FieldsV1", "fieldsV1": fields,
            }
        )  # fmt: skip
    return {**after, "metadata": {**after.get("metadata", {}), "managedFields": entries}}
