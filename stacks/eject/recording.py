"""What a program registers with the engine: every resource with its inputs, options, id and outputs, as plain data.

A recording of a stack that stands holds real ids, so that inputs which come from another resource can be told by value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stacks.state import State

Row = dict[str, Any]

SIGNATURE = "4dabf18193072939515e22adb298388d"
"""Under this key the engine says what a special value is."""
SECRET_VALUE = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105
ASSET = "c44067f5952c0a294b673a41bacd8c17"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"

STACK = "pulumi:pulumi:Stack"

SECRET, FILE = "$secret", "$file"
"""Keys of our own: a secret is its ciphertext (None: not known), a file asset is its path."""

LONGEST = 4096
"""Outputs that are longer are no names by which others are told."""


class Recording:
    """Filled while a program runs, by `listen` within it. `state` is what the stack has, secrets encrypted."""

    def __init__(self, state: State) -> None:
        self._encryption = state.encryption()
        deployment = state.data.get("deployment") or {}
        self._kept: dict[str, Mapping[str, Any]] = {
            row["urn"]: row for row in deployment.get("resources") or ()
        }
        self._made: dict[tuple[str, str], tuple[int, str]] = {}
        self._rows: list[Row] = []
        self._exports: Mapping[str, Any] = {}

    def listen(self) -> None:
        """Called at the beginning of the running program: everything that it registers is noted."""
        import pulumi
        from pulumi.runtime.settings import get_monitor

        monitor: Any = get_monitor()
        register, export = monitor.RegisterResource, monitor.RegisterResourceOutputs

        def registered(request: Any, *more: Any, **named: Any) -> Any:
            response = register(request, *more, **named)
            if request.type != STACK:
                self._rows.append(self._row(request, response))
            return response

        def exported(request: Any, *more: Any, **named: Any) -> Any:
            kept = self._kept.get(request.urn) or {}
            self._exports = plain(_data(request.outputs), kept.get("outputs"))
            return export(request, *more, **named)

        monitor.RegisterResource, monitor.RegisterResourceOutputs = registered, exported
        pulumi.runtime.register_stack_transformation(self._note)

    def to_data(self) -> dict[str, Any]:
        """`{resources, exports, encryption}`: resources in the order in which the program makes them, and what a
        stack's configuration says of how its secrets are encrypted."""
        rows = sorted(self._rows, key=lambda row: int(row["order"]))
        return {"resources": rows, "exports": dict(self._exports), "encryption": self._encryption}

    def _note(self, made: Any) -> None:
        kind = type(made.resource)
        number = len(self._made)
        self._made.setdefault((made.type_, made.name), (number, f"{kind.__module__}:{kind.__name__}"))

    def _row(self, request: Any, response: Any) -> Row:
        order, made = self._made.get((request.type, request.name), (len(self._made), ""))
        kept = self._kept.get(response.urn) or {}
        return {
            "order": order,
            "class": made,
            "type": request.type,
            "name": request.name,
            "urn": response.urn,
            "id": response.id,
            "inputs": plain(_data(request.object), kept.get("inputs")),
            "outputs": dict(flat(_data(response.object))),
            "needs": {name: sorted(found.urns) for name, found in request.propertyDependencies.items()},
            "after": sorted(request.dependencies),
            "options": _options(request),
        }


def plain(value: Any, kept: Any = None) -> Any:
    """A value without what the engine's wire adds; `kept` is the same value in the state, with its ciphertexts."""
    if isinstance(value, Mapping):
        signature = value.get(SIGNATURE)
        if signature == SECRET_VALUE:
            return {SECRET: kept.get("ciphertext") if isinstance(kept, Mapping) else None}
        if signature == ASSET and value.get("path"):
            return {FILE: value["path"]}
        if signature == ASSET and "text" in value:
            return value["text"]
        inner = kept if isinstance(kept, Mapping) else {}
        return {name: plain(one, inner.get(name)) for name, one in value.items()}
    if isinstance(value, list):
        others = kept if isinstance(kept, list) and len(kept) == len(value) else [None] * len(value)
        return [plain(one, other) for one, other in zip(value, others, strict=True)]
    return value


def flat(value: Any, path: str = "", deep: int = 2) -> list[tuple[str, str]]:
    """Texts in a resource's outputs by their path (`metadata.name`); secrets and long ones are left out."""
    if isinstance(value, str):
        known = value and value != UNKNOWN and len(value) <= LONGEST
        return [(path, value)] if known else []
    if not isinstance(value, Mapping) or SIGNATURE in value or deep == 0:
        return []
    return [
        found
        for name, one in value.items()
        for found in flat(one, f"{path}.{name}" if path else name, deep - 1)
    ]


def _options(request: Any) -> Row:
    """What differs from the engine's defaults, by the names of the SDK."""
    timeouts = {name: getattr(request.customTimeouts, name) for name in ("create", "update", "delete")}
    found = {
        "parent": request.parent,
        "provider": request.provider.rpartition("::")[0],
        "protect": request.protect,
        "retain_on_delete": request.retainOnDelete,
        "delete_before_replace": request.deleteBeforeReplace if request.deleteBeforeReplaceDefined else None,
        "ignore_changes": list(request.ignoreChanges),
        "custom_timeouts": {name: value for name, value in timeouts.items() if value},
    }
    return {name: value for name, value in found.items() if value}


def _data(struct: Any) -> Any:
    from google.protobuf import json_format

    return _whole(json_format.MessageToDict(struct)) if struct is not None else {}


def _whole(value: Any) -> Any:
    """Numbers of the wire are all floats: whole ones are integers again."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _whole(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_whole(one) for one in value]
    return value
