"""The rule `public-addresses`: nothing is reached from the internet by an address of its own."""

from __future__ import annotations

from collections.abc import Iterable

from stacks.rules.facts import Address
from stacks.rules.ordered import Ordered
from stacks.rules.rule import Fault, OverFacts, Parameters, Rule


def _address(fact: Address, parameters: Parameters, ordered: Ordered) -> Iterable[Fault]:
    hint = f"`given: {{{ordered.cloud}: {{network: ...}}}}` in the settings names a network with a way out"
    yield Fault(f"it has {fact.what}", hint)


RULE = Rule(
    "public-addresses",
    "policy/public-address",
    "nodes and services with an address of their own in the internet",
    of_facts=(OverFacts(Address, _address),),
)
