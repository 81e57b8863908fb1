"""How often a node and control use the bucket that lies between them, and what a day of that costs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from compiler.catalog.tariffs import RequestPrices

DAY_S = 86400.0
ACK_S = 30.0
"""What control has of a log that goes on is acknowledged so often."""
LOOKS_A_SECOND, MOST_S = 20.0, 10.0
"""Of all nodes together; but no node waits longer than that, or its lease would end."""
REFRESH_S = 60.0
"""Without anything new the document is written so often: nodes see that control lives."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between a node's signs of life, its looks at the document, and its log segments; and between control's
    looks at the node's sign of life."""

    beat_s: float
    poll_s: float
    segment_s: float
    look_s: float

    def among(self, nodes: int) -> Pace:
        """For one of so many: control looks less often, so that its work does not grow with them for ever."""
        return replace(self, look_s=max(self.look_s, min(MOST_S, nodes / LOOKS_A_SECOND)))

    def every(self) -> dict[str, float]:
        """What the node is told."""
        return {"beat_s": self.beat_s, "poll_s": self.poll_s, "segment_s": self.segment_s}


IDLE = Pace(beat_s=10, poll_s=5, segment_s=8, look_s=5)
RUNNING = Pace(beat_s=10, poll_s=5, segment_s=8, look_s=1)
"""A notice is known one look after the node's own probe saw it."""
WATCHED = Pace(beat_s=2, poll_s=1, segment_s=1, look_s=0.5)
"""Somebody reads the log now."""

PACES = {"idle": IDLE, "running": RUNNING, "watched": WATCHED}


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests for one node in one day, both sides together. Deleting costs nothing in any of the stores."""

    writes: int
    reads: int

    def cost(self, prices: RequestPrices) -> float:
        """USD a day."""
        return (self.writes * prices.write + self.reads * prices.read) / 1000


def requests(name: str) -> Requests:
    """Of a node that is `idle`, `running` (and writing all the time), or `watched` while it does."""
    pace = PACES[name]
    beats, polls, looks = DAY_S / pace.beat_s, DAY_S / pace.poll_s, DAY_S / pace.look_s
    if name == "idle":
        return Requests(writes=round(beats + DAY_S / REFRESH_S), reads=round(polls + looks))
    segments = DAY_S / pace.segment_s
    # Control looks for a segment twice as often as one is made, and when it has found one for the next.
    return Requests(writes=round(beats + segments + DAY_S / ACK_S), reads=round(polls + looks + 3 * segments))
