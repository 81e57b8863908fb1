"""Frozen values to plain data and back, by their type hints: what equals its default is left out.

Small values that are plain pairs (`Quantity`, `Accelerator`) become lists. `decode(cls, encode(value))` gives an
equal value; a property test holds that for every field.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from compiler.offer import Accelerator
from compiler.quantity import Quantity

_PAIRS = (Quantity, Accelerator)

T = TypeVar("T")


def encode(value: Any) -> Any:
    """Plain data of a frozen value, a mapping, a tuple, an enum or a scalar."""
    if isinstance(value, _PAIRS):
        return [getattr(value, one.name) for one in fields(value)]
    if is_dataclass(value) and not isinstance(value, type):
        return {
            one.name: encode(found)
            for one in fields(value)
            if one.compare and (found := getattr(value, one.name)) != _default(one)
        }
    if isinstance(value, Mapping):
        return {name: encode(member) for name, member in value.items()}
    if isinstance(value, (tuple, list)):
        return [encode(item) for item in value]
    return value.value if isinstance(value, Enum) else value


def decode(cls: type[T], data: Mapping[str, Any]) -> T:
    """The value of type `cls` that `encode` made `data` of. Unknown names are left out: they are of another version."""
    hints = _hints(cast(Hashable, cls))
    return cls(**{name: _value(hints[name], member) for name, member in data.items() if name in hints})


@cache
def _hints(cls: Hashable) -> dict[str, Any]:
    return _typed(cls)


def _typed(cls: Any) -> dict[str, Any]:
    known = get_type_hints(cls)
    return {one.name: known[one.name] for one in fields(cls) if one.compare}


def _value(hint: Any, data: Any) -> Any:
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        if data is None:
            return None
        return _value(next(part for part in parts if part is not NoneType), data)
    if hint in _PAIRS:
        return hint(*data)
    if is_dataclass(hint):
        return decode(hint, data) if isinstance(hint, type) else data
    if origin is tuple:
        return tuple(_value(parts[0], item) for item in data)
    if origin is not None and issubclass(origin, Mapping):
        return {name: _value(parts[1], member) for name, member in data.items()}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(data)
    return data


def _default(one: Field[Any]) -> Any:
    if one.default is not MISSING:
        return one.default
    return one.default_factory() if one.default_factory is not MISSING else MISSING
