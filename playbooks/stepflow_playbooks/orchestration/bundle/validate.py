"""Strict validation against the API of a Kubernetes version, with the schemas of `kubernetes-validate --strict`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import yaml

from stepflow.errors import PermanentError
from stepflow.targets.kubernetes.bundle import Object

_KUSTOMIZATION = "Kustomization"
_LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


def objects_in(files: Mapping[str, bytes]) -> list[tuple[str, Object]]:
    """Read the Kubernetes objects of YAML files, each with its file. Raises `PermanentError` for bad YAML."""
    found: list[tuple[str, Object]] = []
    for path in sorted(files):
        if not path.endswith(".yaml"):
            continue
        try:
            documents = list(yaml.load_all(files[path], _LOADER))
        except yaml.YAMLError as error:
            raise PermanentError(
                f"{path} is not YAML: {error}", hint="correct it, or delete it and `stepflow run` again"
            ) from error
        found += [(path, item) for item in documents if item is not None and item.get("kind") != _KUSTOMIZATION]
    return found


def repeated(objects: Iterable[tuple[str, Object]]) -> list[str]:
    """Return a message for each object that is defined more than once."""
    seen: set[tuple[Any, ...]] = set()
    found = []
    for path, item in objects:
        meta = item.get("metadata", {})
        name = (item.get("apiVersion"), item.get("kind"), meta.get("namespace"), meta.get("name"))
        found += [f"{path}: {item.get('kind')} `{meta.get('name')}` is defined twice"] if name in seen else []
        seen.add(name)
    return found


def problems(objects: Iterable[tuple[str, Object]], version: str) -> list[str]:
    """Return everything that the API of this version would reject: file, object, field, reason."""
    found: list[str] = []
    for path, item in objects:
        name = f"{path}: {item.get('kind')} `{item.get('metadata', {}).get('name')}`"
        validator = _validator(str(item.get("apiVersion")), str(item.get("kind")), version)
        if validator is None:
            found.append(f"{name}: Kubernetes {version} has no kind `{item.get('kind')}` in {item.get('apiVersion')}")
            continue
        found += [
            f"{name}: {error.json_path.removeprefix('$.')}: {error.message}" for error in validator.iter_errors(item)
        ]
    return found


@cache
def _validator(api_version: str, kind: str, version: str) -> Any:  # noqa: ANN401 - jsonschema has no types
    """Return the validator of a kind, built once; `kubernetes_validate.validate` reads 770 kB each time."""
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - 0.2 s that only this check needs
    from kubernetes_validate.utils import schema_contents  # noqa: PLC0415 - likewise
    from referencing import Resource  # noqa: PLC0415 - likewise

    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    try:
        schema = schema_contents(f"{_schemas(version)}/{kind.lower()}-{group}.json", version)
    except FileNotFoundError:
        return None
    registry = Resource.from_contents(schema) @ _definitions(version)
    return Draft202012Validator(schema, registry=registry)


@cache
def _definitions(version: str) -> Any:  # noqa: ANN401 - likewise
    from kubernetes_validate.utils import schema_contents  # noqa: PLC0415 - likewise
    from referencing import Registry, Resource  # noqa: PLC0415 - likewise

    return Resource.from_contents(schema_contents(f"{_schemas(version)}/_definitions.json", version)) @ Registry()


def _schemas(version: str) -> str:
    return f"kubernetes-json-schema/v{version}.0-local-strict"
