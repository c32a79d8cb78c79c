"""Mean scores of many units, never without what stands beside them: an interval over units, and their best nulls."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.stats.strata import mean_over_units
from assay.view.opened import Opened

FEWEST = 20  # units below which a mean has no interval, as everywhere
_DRAWN = 12_000_000  # units drawn again, over all resamples, while a page waits
_RESAMPLES = (300, 1000)  # at least and at most


def mean_beside_null(r: NDArray[np.float64], nulls: NDArray[np.float64]) -> dict[str, float | None]:
    """The mean of r, (u,) and known, its interval over units, and the mean of their best nulls, (u,) NaN for none."""
    if not len(r):
        return dict.fromkeys(("mean_r", "mean_r_lo", "mean_r_hi", "mean_null"))
    low, high = _RESAMPLES
    mean = mean_over_units(r, replicates=min(max(_DRAWN // len(r), low), high))
    lo, hi = (mean.lo, mean.hi) if len(r) >= FEWEST else (None, None)
    beside = None if np.isnan(nulls).all() else float(np.nanmean(nulls))
    return {"mean_r": float(mean.value), "mean_r_lo": lo, "mean_r_hi": hi, "mean_null": beside}


@lru_cache(maxsize=64)
def means_of(opened: Opened, explainer: str) -> dict[str, Any]:
    """The mean r of all units of a run that an explainer explained, beside its null."""
    r, nulls = scores_of(opened, explainer)
    return mean_beside_null(r, nulls)


def scores_of(opened: Opened, explainer: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(u,) each: r and the best null of every scored claim of an explainer, in the order of the units."""
    rows = opened.index.scores(explainer)
    nulls = np.array([np.nan if row[3] is None else row[3] for row in rows], np.float64)
    return np.array([row[2] for row in rows], np.float64), nulls
