"""The rule `required-tags`: names that everything carries, with the values that they may have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stacks.rules.facts import Tags
from stacks.rules.ordered import Ordered
from stacks.rules.rule import Fault, OverFacts, Parameters, Rule, expression, told


def _order(parameters: Parameters, ordered: Ordered) -> Iterable[Fault]:
    if ordered.deployment is not None:
        yield from _judge(ordered.labels, parameters, "every task here has the label")


def _tags(fact: Tags, parameters: Parameters, ordered: Ordered) -> Iterable[Fault]:
    if parameters.get("on") == "tasks" or (ordered.deployment is None and not parameters.get("networks")):
        return
    yield from _judge(fact.tags, parameters, "it lacks the tag")


def _judge(tags: Mapping[str, str], parameters: Parameters, lacks: str) -> Iterable[Fault]:
    for name, wanted in parameters["tags"].items():
        value = _value(tags, name)
        if value is None:
            yield Fault(f"{lacks} `{name}`", f"add `labels: {{{name}: ...}}` to `resources`")
        elif not _fits(value, wanted):
            yield Fault(f"the tag `{name}` is `{value}`, which is not {_wanted(wanted)}", _hint(name, wanted))


def _value(tags: Mapping[str, str], name: str) -> str | None:
    """Clouds that write labels small have theirs in small letters."""
    if name in tags:
        return tags[name]
    return next((value for one, value in tags.items() if one.lower() == name.lower()), None)


def _fits(value: str, wanted: Any) -> bool:
    if isinstance(wanted, list):
        return value.lower() in {str(one).lower() for one in wanted}
    pattern = expression(wanted) if isinstance(wanted, str) else None
    return pattern is None or pattern.fullmatch(value) is not None


def _wanted(wanted: Any) -> str:
    return f"one of {told(wanted)}" if isinstance(wanted, list) else f"as `{wanted}` says"


def _hint(name: str, wanted: Any) -> str:
    value = wanted[0] if isinstance(wanted, list) else "..."
    return f"`labels: {{{name}: {value}}}` in `resources`"


def _wrong(parameters: Parameters) -> Iterable[tuple[tuple[str | int, ...], str]]:
    for name, wanted in parameters.get("tags", {}).items():
        if isinstance(wanted, str) and expression(wanted) is None:
            yield ("tags", name), f"`{wanted}` is not a regular expression"


RULE = Rule(
    "required-tags",
    "policy/label-missing",
    "what lacks a tag, or has another value than it may have",
    _order,
    (OverFacts(Tags, _tags),),
    _wrong,
)
