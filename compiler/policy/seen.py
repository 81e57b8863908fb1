"""What has been seen of spot capacity in one place: how often it was there, and how long it stayed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

MOST = 200
"""Stays that are remembered; older ones are forgotten."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Observations at steps of equal length; all counts and ages are in steps.

    `age` is how many steps in a row it has been as it is now (`there`). `stays` are the lengths of stays that ended.
    """

    steps: int = 0
    present: int = 0
    starts: int = 0
    there: bool = False
    age: int = 0
    stays: tuple[int, ...] = field(default=())

    def add(self, there: bool) -> Seen:
        """With one more step: was there capacity?"""
        changed = there != self.there or not self.steps
        ended = self.there and not there
        return replace(
            self,
            steps=self.steps + 1,
            present=self.present + there,
            starts=self.starts + (there and changed),
            there=there,
            age=1 if changed else self.age + 1,
            stays=(*self.stays, self.age)[-MOST:] if ended else self.stays,
        )

    def share(self, prior: float, weight: float) -> float:
        """Steps with capacity among all, as if `weight` steps with a share of `prior` had been seen before."""
        return (self.present + prior * weight) / (self.steps + weight)

    def rate(self, prior: float, weight: float) -> float:
        """Stays that begin per step, with a prior as of `share`."""
        return (self.starts + prior * weight) / (self.steps + weight)

    def rest(self, prior: float) -> float:
        """Steps that capacity is expected to stay from now on: the mean rest of stays that lasted as long as this one,
        and of one that would last `prior` steps more."""
        age = self.age if self.there else 0
        rests = [stay - age for stay in self.stays if stay >= age]
        return (sum(rests) + prior) / (len(rests) + 1)
