"""The rule `encrypted-disks`: what rests is encrypted, if wanted by a key of the team's."""

from __future__ import annotations

from collections.abc import Iterable

from stacks.rules.facts import Disk
from stacks.rules.ordered import Ordered
from stacks.rules.rule import Fault, OverFacts, Parameters, Rule, matches, told


def _disk(fact: Disk, parameters: Parameters, ordered: Ordered) -> Iterable[Fault]:
    keys = parameters.get("keys", ())
    if fact.encrypted is None:
        yield Fault(f"{fact.what}: whether it is encrypted cannot be told", judged=False)
    elif not fact.encrypted:
        yield Fault(
            f"{fact.what} is not encrypted", f"`given: {{{ordered.cloud}: {{key: ...}}}}` names a key"
        )
    elif keys and not (fact.key and matches(fact.key, keys)):
        by = f"by `{fact.key}`" if fact.key else "by the cloud's own key"
        hint = f"`given: {{{ordered.cloud}: {{key: ...}}}}` in the settings names the key"
        yield Fault(f"{fact.what} is encrypted {by}, and not by {told(keys)}", hint)


RULE = Rule(
    "encrypted-disks",
    "policy/not-encrypted",
    "disks and buckets that are not encrypted, or not by a key of the team's",
    of_facts=(OverFacts(Disk, _disk),),
)
