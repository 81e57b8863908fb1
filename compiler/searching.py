"""Search: what the passes hand on, offers that are left and why the others are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from compiler.offer import Offer
from compiler.task import Requirements


@dataclass(frozen=True, slots=True)
class Search:
    """`rejected` counts offers by (pass, reason); `says` is what the last pass asked for, for people,
    and `asks` whether the task asked for it itself."""

    requirements: Requirements
    nodes: int
    enabled: frozenset[str]
    avoided: frozenset[str]
    left: tuple[Offer, ...]
    rejected: tuple[tuple[str, str, int], ...] = ()
    says: str = ""
    asks: bool = False

    def keep(self, by: str, says: str, reason: Callable[[Offer], str | None], asks: bool = False) -> Search:
        """Without the offers that `reason` has a word against; the first word counts, so each has one."""
        left, counts = [], dict[str, int]()
        for offer in self.left:
            word = reason(offer)
            if word is None:
                left.append(offer)
            else:
                counts[word] = counts.get(word, 0) + 1
        worst = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        rejected = (*self.rejected, *((by, word, count) for word, count in worst))
        return replace(self, left=tuple(left), rejected=rejected, says=says, asks=asks)

    def but(self, **changes: object) -> Search:
        return replace(self, requirements=replace(self.requirements, **changes))  # type: ignore[arg-type]
