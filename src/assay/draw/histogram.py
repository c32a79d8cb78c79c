"""How a unit's activations are distributed: most near nothing, few far out, so the height is a logarithm."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import altair as alt
import numpy as np
from numpy.typing import ArrayLike, NDArray

from assay.draw.figures import BLUE, INK, NOISE, NULL, VERMILION, DataSets, Figure, figure
from assay.draw.words import counted, plain, short

FIRING = 0.99  # the level above which a unit fires, unless a threshold is given
_NARROWEST = 250  # a bar from quantiles is at least this part of the range wide
_SIDES = {"below 0": BLUE, "above 0": VERMILION}

Vector = NDArray[np.floating]


class _Look(NamedTuple):
    name: str
    heights: str
    base: float
    log: bool
    width: int
    height: int


def activation_histogram(
    values: ArrayLike,
    *,
    fires_above: float | None = None,
    bins: int = 60,
    log: bool = True,
    name: str = "activation",
    width: int = 440,
    height: int = 130,
) -> Figure:
    """Histogram of a unit's activations: counts in about ``bins`` bins of equal width, one of whose edges is 0.

    Args:
        values: (n,) activations; what is not finite is left out.
        fires_above: where the threshold of firing is marked; the 99th percentile by default.
        log: the height is the logarithm of the count, so that the tails can be seen.
        name: what the x axis is called.

    Raises:
        ValueError: no value is finite.
    """
    array = np.asarray(values, np.float64).ravel()
    array = array[np.isfinite(array)]
    if not array.size:
        raise ValueError("a histogram needs at least one finite value. Got none.")
    low, high = float(array.min()), float(array.max())
    counts, edges = np.histogram(array, _edges(low, high, bins))
    level = float(np.quantile(array, FIRING)) if fires_above is None else fires_above
    quarter, half, last = np.quantile(array, [0.25, 0.5, 0.75]).tolist()
    alternative = (
        f"Histogram of the {name} on {counted(array.size, 'token')}, from {short(low)} to {short(high)}. "
        f"Half of them lie between {short(quarter)} and {short(last)}, the median is {short(half)}, "
        f"{short(100 * float(np.mean(array > 0)))} % are above 0. "
        f"The unit fires above {short(level)}, on {short(100 * float(np.mean(array > level)))} % of the tokens."
    )
    said = [counted(count, "token") for count in counts.tolist()]
    look = _Look(plain(name), "tokens", 0.5 if log else 0.0, log, width, height)
    return _figure(edges, counts.astype(np.float64), said, level, look, alternative)


def quantile_histogram(
    levels: ArrayLike,
    values: ArrayLike,
    *,
    fires_above: float | None = None,
    log: bool = True,
    name: str = "activation",
    width: int = 440,
    height: int = 130,
) -> Figure:
    """The same from quantiles, where the values themselves are not at hand: the density between neighbouring ones.

    A bar's area is the share of the tokens between its ends. Quantiles that nearly coincide share a bar.

    Args:
        levels: (k,) ascending from 0 to 1; with 0 and 1, the ends of the range, the bars hold all tokens.
        values: (k,) the quantiles at these levels.
        fires_above, log, name: as for :func:`activation_histogram`; without a threshold the quantile at .99 is marked.

    Raises:
        ValueError: fewer than two levels, levels or values that do not ascend, or that are not finite.
    """
    shares, edges = np.asarray(levels, np.float64).ravel(), np.asarray(values, np.float64).ravel()
    if shares.size != edges.size or shares.size < 2 or not np.isfinite([shares, edges]).all():
        raise ValueError(f"levels and values must be two or more finite pairs. Got {shares.size} and {edges.size}.")
    if (np.diff(shares) <= 0).any() or (np.diff(edges) < 0).any() or shares[0] < 0 or shares[-1] > 1:
        raise ValueError("levels must ascend within 0 and 1, and values must not descend.")
    known = fires_above is None and shares[0] <= FIRING <= shares[-1]
    level = float(np.interp(FIRING, shares, edges)) if known else fires_above
    named = [(share, value) for share, value in zip(shares.tolist(), edges.tolist(), strict=True) if 0 < share < 1]
    below = ", ".join(f"{short(100 * share)} % below {short(value)}" for share, value in _few(named))
    alternative = f"Histogram of the {name}, from {short(edges[0])} to {short(edges[-1])}"
    alternative += f": {below}." if below else "."
    alternative += "" if level is None else f" The unit fires above {short(level)}."
    edges, masses = _split(*_merged(edges, np.diff(shares)))
    densities = masses / np.diff(edges)
    lowest = float(densities[densities > 0].min())
    base = 10.0 ** math.floor(math.log10(lowest) - 0.3) if log else 0.0
    said = [f"{short(100 * mass)} % of tokens" for mass in masses.tolist()]
    look = _Look(plain(name), "density", base, log, width, height)
    return _figure(edges, densities, said, level, look, alternative)


def _edges(low: float, high: float, bins: int) -> Vector:
    """Multiples of one width that hold the range and 0, about ``bins`` of them."""
    low, high = min(low, 0.0), max(high, 0.0)
    step = (high - low) / bins or 1.0
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    edges = step * np.arange(first, max(last, first + 1) + 1)
    edges[0], edges[-1] = min(edges[0], low), max(edges[-1], high)  # rounding must not leave the ends out
    return edges


def _merged(edges: Vector, masses: Vector) -> tuple[Vector, Vector]:
    """Bars wide enough to be seen: each takes in its right neighbours until it is, and the last one what is left."""
    narrowest = (edges[-1] - edges[0]) / _NARROWEST
    if not narrowest > 0:
        return np.array([edges[0] - 0.5, edges[0] + 0.5]), masses.sum(keepdims=True)
    ends: list[float] = [float(edges[0])]
    sums: list[float] = []
    mass = 0.0
    for end, part in zip(edges[1:].tolist(), masses.tolist(), strict=True):
        mass += part
        if end - ends[-1] >= narrowest:
            ends.append(end)
            sums.append(mass)
            mass = 0.0
    ends[-1], sums[-1] = float(edges[-1]), sums[-1] + mass
    return np.array(ends), np.array(sums)


def _split(edges: Vector, masses: Vector) -> tuple[Vector, Vector]:
    """The bar that 0 is in as two, of the same density."""
    at = int(np.searchsorted(edges, 0.0))
    if not 0 < at < edges.size or edges[at] == 0:
        return edges, masses
    share = -edges[at - 1] / (edges[at] - edges[at - 1])
    parts = masses[at - 1] * np.array([share, 1 - share])
    return np.insert(edges, at, 0.0), np.concatenate([masses[: at - 1], parts, masses[at:]])


def _few(named: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The quantiles that are nearest to 1, 50 and 99 %."""
    found = {min(named, key=lambda pair: abs(pair[0] - wanted)) for wanted in (0.01, 0.5, 0.99) if named}
    return sorted(found)


def _figure(
    edges: Vector, heights: Vector, said: list[str], level: float | None, look: _Look, alternative: str
) -> Figure:
    ends = edges.tolist()
    rows = [
        {
            "low": low,
            "high": high,
            "height": height,
            "base": look.base,
            "side": "below 0" if low < 0 else "above 0",
            "said": f"{short(low)} to {short(high)}: {words}",
        }
        for low, high, height, words in zip(ends, ends[1:], heights.tolist(), said, strict=False)
        if height > 0
    ]
    domain = [ends[0], ends[-1]]
    x = alt.X("low:Q", axis=alt.Axis(title=look.name, tickCount=6)).scale(domain=domain, nice=False, zero=False)
    data = DataSets()
    layers: list[Any] = [
        data.chart("bars", rows)
        .mark_bar(aria=True)
        .encode(
            x=x,
            x2=alt.X2("high"),
            y=_heights(max(row["height"] for row in rows), look),
            y2=alt.Y2("base"),
            color=alt.Color("side:N", legend=None).scale(domain=list(_SIDES), range=list(_SIDES.values())),
            description=alt.Description("said:N"),
        )
    ]
    layers += _lines(data, domain, level)
    return figure(alt.LayerChart(layer=layers, width=look.width, height=look.height), data, alternative)


def _heights(most: float, look: _Look) -> alt.Y:
    if not look.log:
        return alt.Y("height:Q", axis=alt.Axis(title=look.heights, tickCount=4, format="~s")).scale(domain=[0, most])
    powers = range(math.floor(math.log10(look.base)) + 1, math.ceil(math.log10(most) + 1e-9) + 1)
    ticks = [10.0**power for power in powers if 10.0**power <= most]
    axis = alt.Axis(
        title=f"{look.heights}, log", values=ticks[:: 1 + len(ticks) // 6], format="~s" if most > 10 else "~g"
    )
    return alt.Y("height:Q", axis=axis).scale(type="log", domain=[look.base, most * 1.15], nice=False)


def _lines(data: DataSets, domain: list[float], level: float | None) -> list[alt.Chart]:
    """A line at 0, where the range has it inside, and one at the threshold of firing."""
    lines: list[alt.Chart] = []
    x = alt.X("at:Q")
    if domain[0] < 0 < domain[1]:
        zero = data.chart("zero", [{"at": 0.0}])
        lines.append(zero.mark_rule(color=NULL, strokeDash=[3, 3]).encode(x=x))
    if level is not None and domain[0] <= level <= domain[1]:
        right = level > sum(domain) / 2
        fires = data.chart("threshold", [{"at": level, "says": f"fires above {short(level)}"}])
        text = fires.mark_text(align="right" if right else "left", dx=-5 if right else 5, dy=-7, color=INK, fontSize=11)
        lines.append(fires.mark_rule(color=NOISE, strokeWidth=1.4).encode(x=x))
        lines.append(text.encode(x=x, y=alt.YValue(0), text=alt.Text("says:N")))
    return lines
