"""The rules `allowed-roles` and `permission-boundary`: who nodes are, and what they can never be allowed."""

from __future__ import annotations

from collections.abc import Iterable

from stacks.rules.facts import UNKNOWN, Acting, MadeRole
from stacks.rules.ordered import Ordered
from stacks.rules.rule import Fault, OverFacts, Parameters, Rule, matches, told


def _role(fact: Acting, parameters: Parameters, ordered: Ordered) -> Iterable[Fault]:
    if not matches(fact.role, parameters["roles"]):
        hint = f"`given: {{{ordered.cloud}: {{role: ...}}}}` in the settings names the one to use"
        yield Fault(f"it acts as `{fact.role}`, which is not one of {told(parameters['roles'])}", hint)


def _boundary(fact: MadeRole, parameters: Parameters, ordered: Ordered) -> Iterable[Fault]:
    allowed = parameters.get("boundaries", ())
    hint = f"`given: {{{ordered.cloud}: {{permissions_boundary: {allowed[0] if allowed else 'ARN'}}}}}`"
    if not fact.boundary or fact.boundary == UNKNOWN:
        yield Fault(f"the role `{fact.role}` has no permissions boundary", f"{hint} in the settings sets it")
    elif allowed and not matches(fact.boundary, allowed):
        yield Fault(
            f"its boundary `{fact.boundary}` is not one of {told(allowed)}", f"{hint} in the settings"
        )


ALLOWED_ROLES = Rule(
    "allowed-roles",
    "policy/role",
    "nodes that act as any other role, service account or identity",
    of_facts=(OverFacts(Acting, _role),),
)
PERMISSION_BOUNDARY = Rule(
    "permission-boundary",
    "policy/no-boundary",
    "roles made without a permissions boundary (AWS; other clouds have none)",
    of_facts=(OverFacts(MadeRole, _boundary),),
)
