"""How Azure names things: ids, groups, places; and the words with which its API refuses."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tests.standins.kind import Ask, Kind, Refusal
from tests.standins.shape import Wrong, unknown
from tests.standins.stored import at, no_check, stored

CLOUD_NAME = "azure-native"


def subscription(ask: Ask) -> str:
    found = ask.config.get("subscriptionId") or os.environ.get("ARM_SUBSCRIPTION_ID")
    if not found:
        raise Refusal(
            "subscription ID must be configured: azure-native:subscriptionId or ARM_SUBSCRIPTION_ID"
        )
    return str(found)


def refuse(status: int, code: str, text: str) -> Refusal:
    return Refusal(f'Status={status} Code="{code}" Message="{text}"')


def group_id(ask: Ask, name: str) -> str:
    return f"/subscriptions/{subscription(ask)}/resourceGroups/{name}"


def group(ask: Ask) -> dict[str, Any]:
    """The resource group that the inputs name; it has to be there."""
    name = ask.inputs["resourceGroupName"]
    for path, one in ask.store.all(CLOUD_NAME, "ResourceGroup").items():
        if path.lower() == group_id(ask, name).lower():
            return one
    raise refuse(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")


def find(ask: Ask, kind: str, name: str) -> dict[str, Any] | None:
    """By its id, whose case means nothing."""
    for path, one in ask.store.all(CLOUD_NAME, kind).items():
        if path.lower() == str(name).lower():
            return one
    return None


def location(ask: Ask) -> str:
    given = ask.inputs.get("location") or ask.config.get("location")
    return str(given or group(ask)["outputs"]["location"]).replace(" ", "").lower()


def tags_wrong(inputs: Mapping[str, Any]) -> Iterator[Wrong]:
    tags = inputs.get("tags")
    if isinstance(tags, Mapping):
        if len(tags) > 50:
            yield "tags", "a resource has 50 tags at most"
        for name, value in tags.items():
            if len(name) > 512 or re.search(r"[<>%&\\?/]", name):
                yield f"tags.{name}", "a tag's name has 512 characters at most, none of <>%&\\?/"
            if not unknown(value) and len(str(value)) > 256:
                yield f"tags.{name}", "a tag's value has 256 characters at most"


def arm(
    kind: str,
    path: str,
    name: str,
    *,
    pattern: str = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,78}[A-Za-z0-9_]|[A-Za-z0-9]",
    parent: tuple[str, ...] = (),
    replaces: tuple[str, ...] = (),
    outputs: Callable[[Ask, str], Mapping[str, Any]] = lambda ask, path: {},
    refers: Mapping[str, str] | None = None,
    used: str | None = None,
    check: Callable[[Ask], None] = no_check,
    rules: Callable[[Mapping[str, Any]], Iterable[Wrong]] = lambda inputs: (),
    placed: bool = True,
    **more: Any,
) -> Kind:
    """A kind of Azure's resource manager.

    `path`: what stands after `providers/` in its id, with {parent inputs}. `name`: the input that names it, which
    matches `pattern`. `parent`: inputs that the path needs. `refers`: path of an input with an id -> kind.
    """

    def identify(ask: Ask) -> str:
        holder = group_id(ask, ask.inputs["resourceGroupName"])
        return f"{holder}/providers/{path.format(**ask.inputs)}/{ask.inputs[name]}"

    def all_outputs(ask: Ask, found: str) -> dict[str, Any]:
        common: dict[str, Any] = {
            "name": ask.inputs[name],
            "type": re.sub(r"/\{\w+\}", "", path),
            "provisioningState": "Succeeded",
        }
        if placed:
            common["location"] = location(ask)
        return {**common, **outputs(ask, found)}

    def all_checks(ask: Ask) -> None:
        group(ask)
        for each, other in (refers or {}).items():
            for value in at(ask.inputs, each):
                if find(ask, other, value) is None:
                    raise refuse(
                        400,
                        "InvalidResourceReference",
                        f"Resource {value} referenced by resource was not found.",
                    )
        check(ask)

    def all_rules(inputs: Mapping[str, Any]) -> Iterator[Wrong]:
        value = inputs.get(name, "a")
        if not unknown(value) and not re.fullmatch(pattern, value):
            yield name, f"'{value}' does not match expression '{pattern}'"
        yield from tags_wrong(inputs)
        yield from rules(inputs)

    return stored(
        CLOUD_NAME,
        kind,
        identify,
        all_outputs,
        replaces=("resourceGroupName", name, *parent, *(("location",) if placed else ()), *replaces),
        check=all_checks,
        rules=all_rules,
        used=f'Status=400 Code="{used}" Message="{{}} is in use by {{}} and cannot be deleted."'
        if used
        else None,
        exists="cannot create already existing resource '{}'",
        name=name,
        delete_first=True,
        shaped=frozenset({"identity"}),
        kept=frozenset({"location"} if placed else ()),
        **more,
    )


def guid(text: str) -> str:
    """The same UUID for the same text."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, text))
