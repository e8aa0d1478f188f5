"""Makes examples: a value of a model for tests, without knowing the model."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any, TypeVar, Union

from pydantic import BaseModel

Model = TypeVar("Model", bound=BaseModel)
_PLAIN: Mapping[type, object] = {str: "example", int: 1, float: 1.0, bool: False, bytes: b"", type(None): None}


def example_of(model: type[Model]) -> Model:
    """Make a valid instance: defaults where there are some, else a plain value of the annotated type.

    Raises `pydantic.ValidationError` for a model with constraints that plain values do not meet; give it an example
    of your own then.
    """
    required = {name: field.annotation for name, field in model.model_fields.items() if field.is_required()}
    return model.model_validate({name: _value(annotation) for name, annotation in required.items()})


def _value(annotation: Any) -> Any:  # noqa: ANN401 - any type may annotate a field
    origin = typing.get_origin(annotation) or annotation
    if origin is typing.Literal:
        return typing.get_args(annotation)[0]
    if origin in (Union, types.UnionType, typing.Annotated):
        return _value(typing.get_args(annotation)[0])
    return _instance(origin) if isinstance(origin, type) else "example"


def _instance(kind: type) -> object:
    if kind in _PLAIN:
        return _PLAIN[kind]
    if issubclass(kind, BaseModel):
        return example_of(kind)
    if issubclass(kind, Enum):
        return next(iter(kind))
    return _dataclass(kind) if dataclasses.is_dataclass(kind) else kind()


def _dataclass(kind: type) -> object:
    hints = typing.get_type_hints(kind)
    needed = (
        field
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    )
    return kind(**{field.name: _value(hints[field.name]) for field in needed})
