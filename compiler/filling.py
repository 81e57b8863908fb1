"""`$NAME` and `${NAME}` of a task's envs, filled into the texts of other fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compiler import paths


class Filling:
    """The values of `envs`; a name whose value is still to be given leaves its text waiting."""

    def __init__(self, envs: Mapping[str, str | None]) -> None:
        self.known = {name: value for name, value in envs.items() if value is not None}
        self.pending = frozenset(name for name, value in envs.items() if value is None)

    def fill(self, value: Any) -> Any:
        """`value` with every text in it filled in; keys of mappings stay."""
        if isinstance(value, str):
            return paths.fill(value, self.known)
        if isinstance(value, Mapping):
            return {name: self.fill(member) for name, member in value.items()}
        return [self.fill(item) for item in value] if isinstance(value, list) else value

    def waits(self, value: Any) -> bool:
        """Does a text in `value` need a value that is still to be given?"""
        if isinstance(value, str):
            return not self.pending.isdisjoint(paths.variables(value))
        members = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
        return any(self.waits(member) for member in members)

    def settled(self, value: Any) -> Any:
        """`value` filled in, without the members that wait: they cannot be judged yet."""
        if isinstance(value, Mapping):
            return {name: self.settled(one) for name, one in value.items() if self._ready(one)}
        if isinstance(value, list):
            return [self.settled(one) for one in value if self._ready(one)]
        return self.fill(value)

    def _ready(self, value: Any) -> bool:
        return not isinstance(value, str) or not self.waits(value)
