"""Rules of a team over what is ordered and planned: RULES, one line each ([docs/policy.md](docs/policy.md))."""

from __future__ import annotations

from stacks.rules import (
    addresses,
    encrypted_disks,
    identities,
    machines,
    openings,
    places,
    prices,
    required_tags,
)
from stacks.rules.rule import Rule

RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        required_tags.RULE,
        openings.NO_OPEN_SSH,
        openings.OPEN_PORTS,
        addresses.RULE,
        encrypted_disks.RULE,
        places.ALLOWED_CLOUDS,
        places.ALLOWED_REGIONS,
        identities.ALLOWED_ROLES,
        identities.PERMISSION_BOUNDARY,
        prices.HOURLY_CEILING,
        prices.BUDGET,
        machines.SPOT_DECLARED,
        machines.LARGER_THAN_ASKED,
    )
}
"""Rule by its name, in the order in which docs/policy.md tells them."""
