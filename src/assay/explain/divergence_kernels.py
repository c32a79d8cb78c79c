"""Compiled divergences of distributions that hardly differ. Importing this imports numba, so import it late.

The same sum as :func:`assay.explain.divergences.jensen_shannon`, J = sum p f(s) with f(s) = e^s (s sinh s - cosh s log
cosh s), from polynomials of (e^u - 1) / u and of f(s) / s^2: one walk over a row for the normaliser and one for J.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial

from assay.core.jit import jit

LARGEST = 1.0  # change of a logit up to which the polynomials hold, to a few parts in a million
LARGEST_HALF = 0.75  # and half of log q/p


def _powers(values: Any, degree: int, bound: float) -> tuple[np.float32, ...]:
    """From the highest: the polynomial through a function at the Chebyshev points of [-bound, bound]."""
    fitted = Chebyshev.interpolate(values, degree, [-bound, bound]).convert(kind=Polynomial)
    return tuple(np.float32(c) for c in fitted.coef[::-1])


def _of_change(u: Any) -> Any:
    """(e^u - 1) / u; no Chebyshev point is 0."""
    return np.expm1(u) / u


def _of_half(s: Any) -> Any:
    """f(s) / s^2."""
    return (s * np.expm1(2 * s) - (np.exp(2 * s) + 1) * np.log(np.cosh(s))) / (2 * s * s)


C0, C1, C2, C3, C4, C5, C6, C7 = _powers(_of_change, 7, LARGEST)
D0, D1, D2, D3, D4, D5, D6, D7, D8, D9 = _powers(_of_half, 9, LARGEST_HALF)
SIGN = np.uint32(0x7FFFFFFF)
ORDER = {"reassoc", "contract", "nsz"}  # sums may be taken in any order, which lets a row go sixteen numbers at a time


@jit(inner=True, fastmath=ORDER)
def _load(change: Any, row: int, shift: Any, bits: Any) -> Any:
    """The row as the bits of float32; gives those of its largest distance from 0."""
    largest = np.uint32(0)
    for i in range(len(bits)):
        it = np.uint32(change[row, i]) << shift
        bits[i] = it
        largest = max(largest, it & SIGN)
    return largest


@jit(inner=True, fastmath=ORDER)
def _growth(p: Any, row: int, change: Any) -> Any:
    """The sum of p (exp(u) - 1)."""
    total = np.float32(0)
    for i in range(len(change)):
        u = change[i]
        w = ((C0 * u + C1) * u + C2) * u + C3
        w = (((w * u + C4) * u + C5) * u + C6) * u + C7
        total += p[row, i] * (w * u)
    return total


@jit(inner=True, fastmath=ORDER)
def _divergence(p: Any, row: int, change: Any, less: Any) -> Any:
    """The sum of p f(s) with s = u / 2 - less."""
    total, half = np.float32(0), np.float32(0.5)
    for i in range(len(change)):
        s = half * change[i] - less
        w = (((D0 * s + D1) * s + D2) * s + D3) * s + D4
        w = ((((w * s + D5) * s + D6) * s + D7) * s + D8) * s + D9
        total += p[row, i] * (w * s * s)
    return total


@jit()
def divergences(p: Any, change: Any, shift: Any, out: Any) -> None:
    """J of every row in nats, NaN where the change is too large for the polynomials.

    Args:
        p: (n, v) float32 probabilities.
        change: (n, v) unsigned integers that, shifted to the left by ``shift``, are the bits of float32: bf16 or fp32.
        out: (n,) float64, filled.
    """
    bits = np.empty(p.shape[1], np.uint32)
    values = bits.view(np.float32)
    bound = np.full(1, LARGEST, np.float32).view(np.uint32)[0]
    for row in range(len(out)):
        out[row] = np.nan
        if _load(change, row, shift, bits) > bound:
            continue
        half_log_z = 0.5 * math.log1p(float(_growth(p, row, values)))
        if abs(half_log_z) <= LARGEST_HALF - 0.5 * LARGEST:
            out[row] = max(_divergence(p, row, values, np.float32(half_log_z)), 0.0)
