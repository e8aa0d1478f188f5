"""What the API tells of itself: its version, and which kinds it has."""

from __future__ import annotations

from onenode.kinds import KINDS, VERSIONS, Object


def discovery(path: str) -> Object | None:
    """Answer a path of discovery; None where it is none."""
    parts = path.strip("/")
    if parts == "version":
        return {"major": "1", "minor": "36", "gitVersion": "v1.36.2", "platform": "linux/amd64"}
    if parts == "api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if parts == "apis":
        groups = []
        for version in VERSIONS[1:]:
            one = {"groupVersion": version, "version": version.rpartition("/")[2]}
            groups.append({"name": version.rpartition("/")[0], "versions": [one], "preferredVersion": one})
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    version = parts.removeprefix("apis/").removeprefix("api/")
    if version in VERSIONS:
        found = [each for kind in KINDS if kind.version == version for each in kind.described()]
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": found}
    return None
