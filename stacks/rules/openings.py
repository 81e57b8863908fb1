"""The rules `no-open-ssh` and `open-ports`: which ports take connections, and from where."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from stacks.rules.facts import Opening
from stacks.rules.ordered import Ordered
from stacks.rules.rule import Fault, OverFacts, Parameters, Rule

SSH = 22
WIDE = {4: 8, 6: 16}
"""By version of IP: a network with a shorter prefix than this is the internet, whatever it is called."""


def _ssh(fact: Opening, parameters: Parameters, ordered: Ordered) -> Iterable[Fault]:
    outside = _outside(fact.sources, parameters)
    if outside and fact.first <= SSH <= fact.last and fact.protocol in ("tcp", "all"):
        hint = "`skywright ssh` needs no open port: leave 22 out of `ports`"
        yield Fault(f"SSH is open to {', '.join(outside)} ({fact.ports})", hint)


def _ports(fact: Opening, parameters: Parameters, ordered: Ordered) -> Iterable[Fault]:
    outside = _outside(fact.sources, parameters)
    if not outside or fact.protocol not in ("tcp", "udp", "all"):
        return
    allowed = [ports(one) for one in parameters.get("allowed", ())]
    if fact.protocol == "all" or not _within(fact.first, fact.last, allowed):
        may = ", ".join(str(one) for one in parameters.get("allowed", ())) or "none"
        hint = f"ports that may be open: {may}; `skywright forward` reaches the others without opening them"
        yield Fault(f"{fact.ports} ({fact.protocol}) open to {', '.join(outside)}", hint)


def ports(text: object) -> tuple[int, int]:
    """`8080` or `8000-8010`. Raises ValueError for what is neither."""
    first, _, last = str(text).partition("-")
    found = int(first), int(last or first)
    if not 0 < found[0] <= found[1] < 65536:
        raise ValueError(text)
    return found


def _within(first: int, last: int, allowed: Sequence[tuple[int, int]]) -> bool:
    """Is every port of the range in one of those that follow each other?"""
    for low, high in sorted(allowed):
        if low <= first <= high:
            first = high + 1
    return first > last


def _outside(sources: Sequence[str], parameters: Parameters) -> list[str]:
    """Sources that are not in the networks that may connect; without such a list, those that are the internet."""
    allowed = [ipaddress.ip_network(one, strict=False) for one in parameters.get("from", ())]
    found = []
    for source in sources:
        try:
            network = ipaddress.ip_network(source, strict=False)
        except ValueError:  # a name that a cloud has for a network of its own
            found.append(source)
            continue
        if allowed:
            inside = any(one.version == network.version and network.subnet_of(one) for one in allowed)  # type: ignore[arg-type]
        else:
            inside = network.prefixlen >= WIDE[network.version]
        if not inside:
            found.append("everybody" if network.prefixlen == 0 else source)
    return list(dict.fromkeys(found))


def _wrong(parameters: Parameters) -> Iterable[tuple[tuple[str | int, ...], str]]:
    for index, one in enumerate(parameters.get("from", ())):
        try:
            ipaddress.ip_network(one, strict=False)
        except ValueError:
            yield ("from", index), f"`{one}` is not a network; write `10.0.0.0/8`"
    for index, one in enumerate(parameters.get("allowed", ())):
        try:
            ports(one)
        except ValueError:
            yield ("allowed", index), f"`{one}` is neither a port nor a range of ports"


NO_OPEN_SSH = Rule(
    "no-open-ssh",
    "policy/open-ssh",
    "port 22 open to the internet",
    of_facts=(OverFacts(Opening, _ssh),),
    wrong=_wrong,
)
OPEN_PORTS = Rule(
    "open-ports",
    "policy/open-port",
    "ports open to the internet beyond a list",
    of_facts=(OverFacts(Opening, _ports),),
    wrong=_wrong,
)
