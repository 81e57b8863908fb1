"""What is known of nodes only while control runs: when each was heard last, and what it last observed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

LEASE_S = 30.0
"""A node that was not heard for so long is silent: the cloud is asked."""

HUNG_UP_S = 4.0
"""A node whose connection broke and that did not call again for so long is asked about early."""

ASK_EVERY_S = 4.0
"""How often the cloud is asked about a silent node."""


@dataclass(slots=True)
class Contact:
    """Times are steady seconds, `last` alone is seconds since 1970.

    `hung_up`: when its held call broke off; `told`: its silence stands in the timeline.
    """

    seen: float
    last: float | None = None
    calls: int = 0
    hung_up: float | None = None
    asked: float | None = None
    told: bool = False
    observed: dict[str, Any] = field(default_factory=dict)


class Presence:
    """Contacts by node. After a restart of control every node has a whole lease to be heard again."""

    def __init__(self) -> None:
        self._contacts: dict[str, Contact] = {}

    def of(self, node: str, now: float) -> Contact:
        """The contact of a node; one never heard of counts as heard now."""
        if node not in self._contacts:
            self._contacts[node] = Contact(seen=now)
        return self._contacts[node]

    def heard(self, node: str, now: float, wall: float) -> Contact:
        contact = self.of(node, now)
        contact.last = wall
        contact.seen, contact.hung_up, contact.asked, contact.told = now, None, None, False
        contact.calls += 1
        return contact

    def broke_off(self, node: str, call: int, now: float) -> None:
        """The held call number `call` broke off; if the node has called again since, that says nothing."""
        contact = self.of(node, now)
        if contact.calls == call:
            contact.hung_up = now

    def observed(self, node: str) -> dict[str, Any]:
        contact = self._contacts.get(node)
        return contact.observed if contact else {}

    def last(self, node: str) -> float | None:
        """When it was heard last, in seconds since 1970; None when it was not since control started."""
        contact = self._contacts.get(node)
        return contact.last if contact else None

    def forget(self, node: str) -> None:
        self._contacts.pop(node, None)

    def silent(self, node: str, now: float) -> bool:
        """Is there reason to ask the cloud about it?"""
        contact = self.of(node, now)
        if contact.hung_up is not None and now - contact.hung_up >= HUNG_UP_S:
            return True
        return now - contact.seen >= LEASE_S
