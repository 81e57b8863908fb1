"""Kinds whose resources are kept in the stand-ins' file: made, read, changed, removed, with what refers to them."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tests.standins.kind import Ask, Kind, Made, Refusal, nothing_wrong
from tests.standins.shape import Wrong, unknown


def now() -> str:
    """The time as clouds write it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def nowhere(_: Ask) -> tuple[str | None, str | None]:
    """A kind that has neither zone nor machine type."""
    return None, None


def no_check(_: Ask) -> None:
    """Any inputs that passed the types will do."""


def stored(
    cloud: str,
    kind: str,
    identify: Callable[[Ask], str],
    outputs: Callable[[Ask, str], Mapping[str, Any]],
    *,
    replaces: tuple[str, ...] | None,
    check: Callable[[Ask], None] = no_check,
    change: Callable[[Ask], None] = no_check,
    remove: Callable[[Ask], None] = no_check,
    place: Callable[[Ask], tuple[str | None, str | None]] = nowhere,
    exists: str = "{} already exists",
    used: str | None = None,
    shared: bool = False,
    rules: Callable[[Mapping[str, Any]], Iterable[Wrong]] = nothing_wrong,
    **more: Any,
) -> Kind:
    """`kind` is the class name. `outputs` are what the cloud adds for an id, and may use the old `ask.state`.

    `check` raises Refusal for what the API would refuse at creation and change, `change` for what it refuses at
    a change, `remove` at a removal. `used`: the words with which a thing that others name in their inputs is not
    removed. `shared`: making one that is there is fine (a binding). `replaces` None: every change takes a new one.
    """

    def create(ask: Ask) -> Made:
        zone, machine = place(ask)
        text = ask.store.refusal(cloud, kind, zone, machine)
        if text:
            raise Refusal(text)
        check(ask)
        name = identify(ask)
        made = {**dict(ask.inputs), **outputs(ask, name)}
        data = {"inputs": dict(ask.inputs), "outputs": made, "created": now(), "unique": uuid.uuid4().hex}
        if not ask.store.add(cloud, kind, name, data) and not shared:
            raise Refusal(exists.format(name))
        return Made(name, made)

    def read(ask: Ask) -> Made | None:
        found = ask.store.get(cloud, kind, ask.id)
        return None if found is None else Made(ask.id, found["outputs"], found["inputs"])

    def update(ask: Ask) -> Mapping[str, Any]:
        found = ask.store.get(cloud, kind, ask.id)
        if found is None:
            raise Refusal(f"{ask.id} was not found")
        check(ask)
        change(ask)
        made = {**found["outputs"], **dict.fromkeys(found["inputs"]), **ask.inputs, **outputs(ask, ask.id)}
        ask.store.put(cloud, kind, ask.id, {**found, "inputs": dict(ask.inputs), "outputs": made})
        return made

    def delete(ask: Ask) -> None:
        if ask.store.get(cloud, kind, ask.id) is None:
            return
        remove(ask)
        user = user_of(ask, cloud, ask.id) if used else None
        if user:
            assert used
            raise Refusal(used.format(ask.id, user))
        ask.store.drop(cloud, kind, ask.id)

    return Kind(
        create=create,
        read=read,
        update=None if replaces is None else update,
        delete=delete,
        replaces=replaces or (),
        rules=rules,
        **more,
    )


def user_of(ask: Ask, cloud: str, name: str) -> str | None:
    """Something whose inputs name `name` by its id or self link."""
    for kind, other in ask.store.kinds(cloud):
        if other == name or other.startswith(f"{name}/"):
            continue
        found = ask.store.get(cloud, kind, other) or {}
        texts = set(_texts(found.get("inputs") or {}))
        if any(text == name or text.endswith(f"/{name}") for text in texts):
            return other
    return None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value


def at(inputs: Any, path: str) -> list[Any]:
    """Every value at `a.b[].c`, absent and unknown ones left out."""
    found = [inputs]
    for step in path.split("."):
        many = step.endswith("[]")
        name = step.removesuffix("[]")
        found = [each.get(name) for each in found if isinstance(each, Mapping)]
        if many:
            found = [item for each in found if isinstance(each, list) for item in each]
    return [each for each in found if each is not None and not unknown(each)]


def choices(inputs: Mapping[str, Any], allowed: Mapping[str, Iterable[str]]) -> Iterator[Wrong]:
    """Texts that are none of the values they have to be."""
    for path, values in allowed.items():
        for value in at(inputs, path):
            if value not in values:
                yield path.replace("[]", ""), f"expected {path} to be one of {list(values)}, got {value}"


def size(value: Any) -> int:
    """Bytes of a text, or of data as JSON."""
    return len((value if isinstance(value, str) else json.dumps(value)).encode())
