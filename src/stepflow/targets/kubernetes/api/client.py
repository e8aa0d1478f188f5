"""Read, apply (server-side) and delete objects in a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stepflow.targets.kubernetes.api.errors import ClusterRefusedError, stranger
from stepflow.targets.kubernetes.api.kinds import Object, Objects, path, path_of
from stepflow.targets.kubernetes.api.transport import Transport

MANAGER = "stepflow"
"""The field manager: the cluster records under this name which fields stepflow set."""
_APPLY = "application/apply-patch+yaml"  # JSON is YAML
_MERGE = "application/merge-patch+json"
_PAGE = 500  # objects in one answer


class Client(Transport):
    """The objects behind one context. Raises as `Transport.send` does."""

    async def get(self, api_version: str, kind: str, name: str, namespace: str = "") -> Object | None:
        """Return one object; None when there is none."""
        return await self.in_thread(lambda: self.get_now(api_version, kind, name, namespace))

    async def list(
        self, api_version: str, kind: str, namespace: str = "", labels: str = "", fields: str = ""
    ) -> Objects:
        """Return all objects of a kind that carry the labels (`a=b,c=d`); `fields` selects by fields, too."""
        return await self.in_thread(lambda: self.list_now(api_version, kind, namespace, labels, fields))

    async def create(self, desired: Object) -> Object:
        """Create an object and return it as the cluster stored it. Raises `ClusterRefusedError` for one that exists."""
        return await self.in_thread(lambda: self.send("POST", path_of(desired, named=False), (), desired))

    async def apply(
        self, desired: Object, *, dry_run: bool = False, force: bool = False, manager: str = MANAGER
    ) -> Object:
        """Apply an object server-side and return it as the cluster stored it.

        Fields that others manage are a conflict; with `force` stepflow takes them over.
        """
        query = [("fieldManager", manager), ("force", "true" if force else "false")]
        query += [("dryRun", "All")] if dry_run else []
        return await self.in_thread(lambda: self.send("PATCH", path_of(desired), query, desired, _APPLY))

    async def patch(self, there: Object, changes: Mapping[str, Any]) -> Object:
        """Change fields of an existing object (JSON merge patch, RFC 7396)."""
        query = [("fieldManager", MANAGER)]
        return await self.in_thread(lambda: self.send("PATCH", path_of(there), query, dict(changes), _MERGE))

    async def delete(self, there: Object, *, grace: int | None = None, policy: str = "Background") -> None:
        """Delete exactly the object that was read, and (except with `Orphan`) what it created.

        An object that is gone or was replaced by another is not an error.
        """
        await self.in_thread(lambda: self.delete_now(there, grace, policy))

    async def version(self) -> tuple[int, int]:
        """Return the version of the API server: (1, 36)."""
        version, _ = await self.in_thread(self.version_now)
        return version

    def version_now(self) -> tuple[tuple[int, int], str]:
        """Return the version of the API server, blocking, as numbers and in its own notation: `v1.36.2`."""
        answer = self.send("GET", "/version")
        try:
            number = int(answer["major"]), int("".join(filter(str.isdigit, answer["minor"])))
            return number, str(answer["gitVersion"])
        except (KeyError, ValueError) as error:
            raise stranger(self.address) from error

    def get_now(self, api_version: str, kind: str, name: str, namespace: str = "") -> Object | None:
        """Do what `get` does, blocking."""
        try:
            found = self.send("GET", path(api_version, kind, name, namespace))
        except ClusterRefusedError as error:
            if error.gone:
                return None
            raise
        if "metadata" not in found:
            raise stranger(self.address)
        return found

    def list_now(self, api_version: str, kind: str, namespace: str = "", labels: str = "", fields: str = "") -> Objects:
        """Do what `list` does, blocking."""
        found: Objects = []
        asked = {"limit": str(_PAGE), "labelSelector": labels, "fieldSelector": fields}
        while True:
            query = [(name, value) for name, value in asked.items() if value]
            answer = self.send("GET", path(api_version, kind, "", namespace), query)
            if "items" not in answer:
                raise stranger(self.address)
            found += [{"apiVersion": api_version, "kind": kind, **each} for each in answer["items"] or ()]
            asked["continue"] = (answer.get("metadata") or {}).get("continue", "")
            if not asked["continue"]:
                return found

    def delete_now(self, there: Object, grace: int | None = None, policy: str = "Background") -> None:
        """Do what `delete` does, blocking."""
        options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy}
        options |= {"gracePeriodSeconds": grace} if grace is not None else {}
        uid = there["metadata"].get("uid")
        options |= {"preconditions": {"uid": uid}} if uid else {}
        try:
            self.send("DELETE", path_of(there), (), options)
        except ClusterRefusedError as error:
            if not (error.gone or error.conflict):
                raise
