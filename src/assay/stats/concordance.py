"""Do people choose the explanation that a score puts first?

A choice agrees with a score where the explanation that was chosen has the better one. Choices about one unit are not
independent, so whole units are drawn again (the cluster bootstrap; see :mod:`assay.stats.bootstrap`). What comes of it
is the number of independent choices that these are worth, share (1 - share) over the bootstrap's variance, and the
interval is Wilson's of so many, with Student's t in the place of the normal quantile. In simulated studies of 10 to 30
units it holds the truth in 93 to 99 %; plain percentiles of the same resamples do in 80 to 94 %, and collapse to a
point where all agree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

from assay.stats.bootstrap import Interval, document_index, document_sums, document_weights

CHANCE = 0.5
LEAST_CHOICES, LEAST_UNITS = 30, 10  # under which a share is not told
_ROUNDING = 1e-15
_NOTHING = Interval(math.nan, math.nan, math.nan)


class Concordance(NamedTuple):
    """The share of choices that agree with its 95 % interval, how many choices, and about how many units.

    The null is :data:`CHANCE`, a coin. NaN throughout without a choice; no bounds with fewer than two units.
    """

    share: Interval
    choices: int
    units: int

    @property
    def enough(self) -> bool:
        """Whether there are as many choices and units as a share is told from."""
        return self.choices >= LEAST_CHOICES and self.units >= LEAST_UNITS


class Choice(NamedTuple):
    """One choice. ``pair`` is what was compared, ``side`` which of it was chosen, by whom."""

    unit: str
    pair: str
    side: str
    rater: str


class Repeated(NamedTuple):
    """Of two choices about one pair, how often both are the same: of one rater, and of two."""

    one: Concordance
    two: Concordance


def concordance(
    chosen: Float[np.ndarray, " n"],
    other: Float[np.ndarray, " n"],
    units: Shaped[np.ndarray, " n"],
    *,
    lower_is_better: bool = False,
    replicates: int = 2000,
    seed: int = 0,
) -> Concordance:
    """The share of choices in which what was chosen has the better score.

    Args:
        chosen: the score of the explanation that was chosen, one a choice; NaN where it has none.
        other: the score of the one that was not. Choices where one is NaN, or both are equal, say nothing of the
            score and are left out.
        units: what the choice was about: integers or strings.
        lower_is_better: as of a rank.
        replicates: how many times units are drawn again, with ``seed``.
    """
    told = ~np.isnan(chosen) & ~np.isnan(other) & (chosen != other)
    agree = (chosen < other) if lower_is_better else (chosen > other)
    return clustered_share(agree[told], units[told], replicates=replicates, seed=seed)


def clustered_share(
    yes: Shaped[np.ndarray, " n"], units: Shaped[np.ndarray, " n"], *, replicates: int = 2000, seed: int = 0
) -> Concordance:
    """The share of cases that are true, with its interval over units."""
    if not yes.size:
        return Concordance(_NOTHING, 0, 0)
    index = document_index(units)
    sums = document_sums([yes, np.ones(yes.size)], index.of_token, index.n_documents)
    share, count = float(yes.mean()), index.n_documents
    if count < 2:
        return Concordance(Interval(share, math.nan, math.nan), yes.size, count)
    drawn = document_weights(count, replicates, seed) @ sums
    variance = float(np.var(drawn[:, 0] / drawn[:, 1])) * count / (count - 1)
    worth = min(share * (1 - share) / variance, float(yes.size)) if variance > _ROUNDING else float(count)
    return Concordance(_wilson(share, worth, _student(count - 1)), yes.size, count)


def repeated(choices: Iterable[Choice], *, replicates: int = 2000, seed: int = 0) -> Repeated:
    """How far choices about the same pair agree: each with each other one, of the same rater and of another."""
    by_pair: dict[tuple[str, str], list[Choice]] = {}
    for choice in choices:
        by_pair.setdefault((choice.unit, choice.pair), []).append(choice)
    same: dict[bool, list[tuple[bool, str]]] = {True: [], False: []}
    for own in by_pair.values():
        for i, first in enumerate(own):
            for second in own[:i]:
                same[first.rater == second.rater].append((first.side == second.side, first.unit))
    one, two = (
        clustered_share(
            np.array([yes for yes, _ in same[by_one]], bool),
            np.array([unit for _, unit in same[by_one]], str),
            replicates=replicates,
            seed=seed,
        )
        for by_one in (True, False)
    )
    return Repeated(one, two)


def _wilson(share: float, worth: float, z: float) -> Interval:
    """Wilson's interval (1927) of a share of ``worth`` cases, which need not be whole."""
    centre = (share + z * z / (2 * worth)) / (1 + z * z / worth)
    half = z / (1 + z * z / worth) * math.sqrt(share * (1 - share) / worth + z * z / (4 * worth * worth))
    return Interval(share, max(centre - half, 0.0), min(centre + half, 1.0))


def _student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t (Abramowitz and Stegun 26.7.5), to .002 from 6 degrees of freedom on."""
    z = NormalDist().inv_cdf(0.975)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom ** (i + 1) for i, term in enumerate(terms))
