"""The rules `allowed-clouds` and `allowed-regions`: where anything may be made."""

from __future__ import annotations

from collections.abc import Iterable

from stacks.rules.ordered import Ordered
from stacks.rules.rule import Fault, Parameters, Rule, matches, told


def _cloud(parameters: Parameters, ordered: Ordered) -> Iterable[Fault]:
    if not matches(ordered.cloud, parameters["clouds"]):
        allowed = told(parameters["clouds"])
        yield Fault(f"`{ordered.cloud}` is not a cloud that may be used: {allowed}", "choose by `infra`")


def _region(parameters: Parameters, ordered: Ordered) -> Iterable[Fault]:
    allowed, region = parameters["regions"], ordered.region
    if region is None:  # this machine is in no region of anybody's
        return
    if not matches(region, allowed) and not matches(f"{ordered.cloud}/{region}", allowed):
        hint = f"regions that may be used: {', '.join(map(str, allowed))}; choose by `infra`"
        yield Fault(f"`{ordered.cloud}/{region}` is not a region that may be used", hint)


ALLOWED_CLOUDS = Rule("allowed-clouds", "policy/cloud", "stacks on any other cloud", _cloud)
ALLOWED_REGIONS = Rule("allowed-regions", "policy/region", "stacks in any other region", _region)
