"""Placebos: what the same thing does without its meaning. Treatments of one size share them, so they are run once."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import numpy as np

from assay.steer.half import Half
from assay.steer.treatment import Treatment

T = TypeVar("T")

Arms = Sequence[tuple[int | None, Treatment]]

_SAMPLE = 3  # placebos that the KL of all is told from


class Placebos:
    """So many placebos of any treatment, and what was measured of them.

    Args:
        count: of each; 20 at least, so that one in twenty can be exceeded.
        choosing, reporting: the two halves.
        cap: most KL on neutral text, nats.
        first: number of the first; those that follow are the others'.
    """

    def __init__(
        self, count: int, choosing: Callable[[], Half], reporting: Callable[[], Half], cap: float, first: int = 0
    ) -> None:
        self.count, self.cap = count, cap
        self._numbers = range(first, first + count)
        self._posing = range(first + count, first + count + posing(count))
        self._choosing, self._reporting = choosing, reporting
        self._known: dict[Hashable, Any] = {}

    def of(self, treatment: Treatment) -> list[Treatment]:
        """The placebos of a treatment."""
        return [treatment.placebo(number) for number in self._numbers]

    def once(self, what: str, treatment: Treatment, dose: float, make: Callable[[], T]) -> T:
        """What ``make`` gives for treatments of this size at this dose; made for the first of them."""
        key = what, treatment.size, dose
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    def first_told(self, treatment: Treatment, dose: float) -> bool:
        """Whether nobody has told of the placebos of this size at this dose: they pose as claims once."""
        told: list[bool] = []
        self.once("told", treatment, dose, lambda: told.append(True))
        return bool(told)

    def rises(self, treatment: Treatment, dose: float) -> list[Any]:
        """(p, k, n) what placebos do to log odds on the half reported; see :meth:`Scored.rises`."""
        scored = self._reporting().scored
        return self.once("rises", treatment, dose, lambda: scored.rises_each(self.of(treatment), dose).tolist())

    def pose(self, treatment: Treatment, dose: float) -> list[list[float]]:
        """(c, n) rises on the half reported of further placebos, which pose as claims against these."""
        scored, numbers = self._reporting().scored, self._posing
        return self.once(
            "pose",
            treatment,
            dose,
            lambda: scored.rises_each([treatment.placebo(n) for n in numbers], dose)[:, 0].tolist(),
        )

    def kl(self, treatment: Treatment, dose: float) -> list[float]:
        """Mean KL on the neutral text of the half reported, of some placebos."""
        return self._harm(treatment, dose)[0]

    def loss(self, treatment: Treatment, dose: float) -> list[float]:
        """Mean loss there, nats, of the same placebos."""
        return self._harm(treatment, dose)[1]

    def _harm(self, treatment: Treatment, dose: float) -> tuple[list[float], list[float]]:
        return self.once("harm", treatment, dose, lambda: self._harms(self._reporting(), treatment, dose))

    def likewise(self, arms: Arms) -> list[list[float]] | None:
        """(p, n) rises on the half reported of placebos that had the choice of layer and dose that the claim had.

        At each layer a placebo may take every dose at which the mean KL of some of them keeps the cap. It takes the
        layer at whose highest dose its log odds rise the most on the half that is chosen on, and there the dose at
        which they do. None where there is one layer only.
        """
        if len(arms) < 2:
            return None
        key = "likewise", tuple((arm.size, arm.doses) for _, arm in arms)
        if key not in self._known:
            self._known[key] = self._likewise(arms)
        return self._known[key]

    def _likewise(self, arms: Arms) -> list[list[float]]:
        doses: list[tuple[float, ...]] = []
        for _, arm in arms:
            doses.append(self._kept(arm, len(doses[-1]) if doses else None))
        choosing, reporting = self._choosing().scored, self._reporting().scored
        fakes = [self.of(arm) for _, arm in arms]
        highest = np.array(
            [choosing.rises_each(own, tried[-1])[:, 0].mean(1) for own, tried in zip(fakes, doses, strict=True)]
        )
        at = highest.argmax(0)
        found: dict[int, list[float]] = {}
        for layer in np.unique(at):
            who = np.flatnonzero(at == layer)
            effects = [
                choosing.rises_each([fakes[layer][i] for i in who], dose)[:, 0].mean(1) for dose in doses[layer][:-1]
            ]
            best = np.array([*effects, highest[layer, who]]).argmax(0)
            for place in np.unique(best):
                those = who[best == place]
                rises = reporting.rises_each([fakes[layer][i] for i in those], doses[layer][place])
                found |= dict(zip(those.tolist(), rises[:, 0].tolist(), strict=True))
        return [found[i] for i in range(self.count)]

    def _kept(self, arm: Treatment, near: int | None) -> tuple[float, ...]:
        """The doses that keep the cap, else the lowest."""
        half = self._choosing()
        count = allowed(arm.doses, lambda dose: float(np.mean(self._harms(half, arm, dose)[0])) <= self.cap, near)
        return arm.doses[: max(1, count)]

    def _harms(self, half: Half, treatment: Treatment, dose: float) -> tuple[list[float], list[float]]:
        """Mean KL and loss of some placebos."""
        harms = [half.neutral.harm(fake, dose) for fake in self.of(treatment)[:_SAMPLE]]
        return [float(one.kl.mean()) for one in harms], [float(one.loss.mean()) for one in harms]


def posing(count: int) -> int:
    """How many further placebos pose as claims, beside so many that claims are held against."""
    return count // 2


def allowed(doses: Sequence[float], keeps: Callable[[float], bool], near: int | None = None) -> int:
    """How many of the doses, from the lowest on, keep the cap; divergence grows with the dose, so few need be tried.

    ``near``: a guess, from another layer; two are tried where it is right.
    """
    low, high = 0, len(doses)
    if near is not None:
        if near and not keeps(doses[near - 1]):
            high = near - 1
        elif near == high or not keeps(doses[near]):
            return near
        else:
            low = near + 1
    return bisect_left(range(len(doses)), True, low, high, key=lambda at: not keeps(doses[at]))
