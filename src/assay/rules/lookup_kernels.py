"""Loops that fit lookups of many units, and predict them without a table anyone could read. Compiled on first use."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.core.jit import jit

PRIOR = 2.0


class Groups(NamedTuple):
    """The n tokens of a view by their text, t kinds, and by their pair of texts, p kinds.

    The pairs with one second text lie together, from ``start`` of that text on. ``token``, ``pair``: (n,) the kinds.
    ``counts``: (t,) and ``pair_counts``: (p,) tokens of each kind. ``second``: (p,) the pair's token. ``known``: (p,)
    has it text on either side? ``rank``: (p,) which of equally good pairs comes first.
    """

    token: NDArray[np.int32]
    pair: NDArray[np.int32]
    counts: NDArray[np.float64]
    pair_counts: NDArray[np.float64]
    start: NDArray[np.int64]
    second: NDArray[np.int32]
    known: NDArray[np.uint8]
    rank: NDArray[np.int64]


class Estimates(NamedTuple):
    """What is known of one unit: sums, shrunk means and gains by token, sums and shrunk means by pair.

    ``over_base``, ``over_token``: what a pair's entry removes without its token's entry, and with it. ``best``: (t,)
    the best pair of each token, ``best_gain`` its gain. The rest is scratch of the choice.
    """

    sums: NDArray[np.float64]
    means: NDArray[np.float64]
    gains: NDArray[np.float64]
    pair_sums: NDArray[np.float64]
    values: NDArray[np.float64]
    over_base: NDArray[np.float64]
    over_token: NDArray[np.float64]
    best: NDArray[np.int64]
    best_gain: NDArray[np.float64]
    counts: NDArray[np.float64]
    listed: NDArray[np.uint8]
    taken: NDArray[np.uint8]


class Picked(NamedTuple):
    """The tables of b units: ``token`` (b, t) and ``pair`` (b, p + 1) are the values of the unlimited ones.

    Of those of equal bits: ``tokens`` (b, most) entries of the table of tokens, ``both`` and ``pairs`` those of the
    table of pairs; ``sizes`` (b, 3) how many they are. ``values`` (b, most): of ``pairs``.
    """

    token: NDArray[np.float32]
    pair: NDArray[np.float32]
    tokens: NDArray[np.int64]
    both: NDArray[np.int64]
    pairs: NDArray[np.int64]
    sizes: NDArray[np.int64]
    values: NDArray[np.float32]


class Seen(NamedTuple):
    """A view of n tokens by the kinds of another: 0 and p where the other has no such token or pair.

    ``token_start``, ``token_rows``, ``pair_start``, ``pair_rows``: the tokens of each kind.
    """

    token: NDArray[np.int32]
    pair: NDArray[np.int32]
    token_start: NDArray[np.int64]
    token_rows: NDArray[np.int32]
    pair_start: NDArray[np.int64]
    pair_rows: NDArray[np.int32]


@jit(inner=True)
def _gain(total: float, count: float, value: float) -> float:
    return 2 * value * total - value * value * count


@jit(inner=True)
def estimate_tokens(groups: Any, target: Any, base: float, unit: Any) -> None:
    """Sums, shrunk means and gains of every token."""
    for token in range(len(unit.sums)):
        unit.sums[token] = 0.0
    for row in range(len(target)):
        unit.sums[groups.token[row]] += target[row] - base
    for token in range(len(unit.sums)):
        total, count = unit.sums[token], groups.counts[token]
        unit.means[token] = total / (count + PRIOR)
        unit.gains[token] = _gain(total, count, unit.means[token])
    unit.gains[0] = 0.0  # a token without text can't be looked up


@jit(inner=True)
def _estimate_pairs(groups: Any, target: Any, base: float, unit: Any) -> None:
    """The same of every pair, after :func:`estimate_tokens`; pairs with nothing on either side are worth nothing."""
    for pair in range(len(unit.pair_sums)):
        unit.pair_sums[pair] = 0.0
    for row in range(len(target)):
        unit.pair_sums[groups.pair[row]] += target[row] - base
    for token in range(len(unit.means)):
        prior = unit.means[token]
        for pair in range(groups.start[token], groups.start[token + 1]):
            total, count, known = unit.pair_sums[pair], groups.pair_counts[pair], groups.known[pair]
            value = (total + PRIOR * prior) / (count + PRIOR)
            unit.values[pair] = value
            unit.over_base[pair] = _gain(total, count, value) * known
            unit.over_token[pair] = _gain(total - count * prior, count, value - prior) * known


@jit(inner=True)
def _insert(items: Any, worth: Any, ranks: Any, size: int, item: int, own: float, rank: int) -> int:
    """Put an item into a list that is sorted by worth, of equals that of lower rank first; its new size."""
    most = len(items)
    if most == 0 or (size == most and (own < worth[-1] or (own == worth[-1] and rank > ranks[-1]))):
        return size
    at = size if size < most else most - 1
    while at > 0 and (worth[at - 1] < own or (worth[at - 1] == own and ranks[at - 1] > rank)):
        items[at], worth[at], ranks[at] = items[at - 1], worth[at - 1], ranks[at - 1]
        at -= 1
    items[at], worth[at], ranks[at] = item, own, rank
    return min(size + 1, most)


@jit(inner=True)
def best_tokens(gains: Any, picks: Any) -> int:
    """The tokens that gain most, as many as ``picks`` holds, best first; how many."""
    worth, ranks, size = np.empty(len(picks)), np.empty(len(picks), np.int64), 0
    for token in range(len(gains)):
        if gains[token] > 0:
            size = _insert(picks, worth, ranks, size, token, gains[token], token)
    return size


@jit(inner=True)
def _find_best(groups: Any, unit: Any, token: int) -> None:
    """The best of a token's pairs that are not taken."""
    gains = unit.over_token if unit.taken[token] else unit.over_base
    best, best_gain, tokens = -1, 0.0, len(unit.means)
    for pair in range(groups.start[token], groups.start[token + 1]):
        if gains[pair] > best_gain and not unit.taken[tokens + pair]:
            best, best_gain = pair, gains[pair]
    unit.best[token], unit.best_gain[token] = best, best_gain


@jit(inner=True)
def _candidates(groups: Any, unit: Any, most: int) -> Any:
    """Tokens among which, and among whose pairs, the first ``most`` picks must be: a pick changes one token's only."""
    by_token, by_pair = np.empty(most, np.int64), np.empty(most, np.int64)
    worth, ranks, size = np.empty(most), np.empty(most, np.int64), 0
    for token in range(len(unit.means)):
        best = unit.best[token]
        if best >= 0:
            size = _insert(by_pair, worth, ranks, size, token, unit.best_gain[token], groups.rank[best])
    both, n = np.empty(2 * most, np.int64), 0
    for token in by_token[: best_tokens(unit.gains, by_token)]:
        both[n], unit.listed[token] = token, 1
        n += 1
    for token in by_pair[:size]:
        if not unit.listed[token]:
            both[n] = token
            n += 1
    for token in both[:n]:
        unit.listed[token] = 0
    return both[:n]


@jit(inner=True)
def _next(groups: Any, unit: Any, candidates: Any, budget: float, cost: float, pair_cost: float) -> int:
    """What removes most per bit of all that the budget can pay, by rank among equals; -1 for nothing.

    A token by its number, a pair by its own after all tokens.
    """
    tokens, pick, pick_rate, pick_rank = len(unit.means), -1, 0.0, 0
    for token in candidates:
        rate = unit.gains[token] / cost
        if cost <= budget and (rate > pick_rate or (pick >= 0 and rate == pick_rate and token < pick_rank)):
            pick, pick_rate, pick_rank = token, rate, token
        pair = unit.best[token]
        if pair < 0 or pair_cost > budget:
            continue
        rate, rank = unit.best_gain[token] / pair_cost, tokens + groups.rank[pair]
        if rate > pick_rate or (pick >= 0 and rate == pick_rate and rank < pick_rank):
            pick, pick_rate, pick_rank = tokens + pair, rate, rank
    return pick


@jit(inner=True)
def _choose(groups: Any, unit: Any, budget: float, cost: float, pair_cost: float, picks: Any) -> int:
    """Entries of a table of tokens and pairs, greedily by what each removes per bit given those before; how many."""
    tokens, size = len(unit.means), 0
    for token in range(tokens):
        unit.counts[token] = groups.counts[token]
        _find_best(groups, unit, token)
    candidates = _candidates(groups, unit, len(picks) + 1)
    while size < len(picks):
        pick = _next(groups, unit, candidates, budget, cost, pair_cost)
        if pick < 0:
            break
        picks[size], unit.taken[pick] = pick, 1
        size += 1
        if pick < tokens:
            token = pick
            budget -= cost
            unit.gains[token] = -np.inf
        else:
            pair = pick - tokens
            token = groups.second[pair]
            budget -= pair_cost
            unit.sums[token] -= unit.pair_sums[pair]
            unit.counts[token] -= groups.pair_counts[pair]
            if not unit.taken[token]:
                unit.gains[token] = _gain(unit.sums[token], unit.counts[token], unit.means[token])
        _find_best(groups, unit, token)
    for pick in picks[:size]:
        unit.taken[pick] = 0
    return size


@jit()
def fit_tokens(groups: Any, targets: Any, bases: Any, unit: Any, picks: Any, means: Any, sizes: Any) -> None:
    """Tables of tokens: as many entries a unit as ``sizes`` (b,) says or fewer, into ``picks`` and ``means`` (b, most).

    ``sizes`` says afterwards how many they are.
    """
    for i in range(len(targets)):
        estimate_tokens(groups, targets[i], bases[i], unit)
        sizes[i] = best_tokens(unit.gains, picks[i, : sizes[i]])
        for at in range(sizes[i]):
            means[i, at] = unit.means[picks[i, at]]


@jit(inner=True)
def _write_full(groups: Any, unit: Any, base: float, by_token: Any, by_pair: Any) -> None:
    """The unlimited tables: values by token and by pair."""
    for token in range(len(by_token)):
        own, value = np.float32(base), np.float32(base + unit.means[token])
        by_token[token] = own = value if unit.gains[token] > 0 else own
        for pair in range(groups.start[token], groups.start[token + 1]):
            value = np.float32(base + unit.values[pair])
            by_pair[pair] = value if unit.over_token[pair] > 0 else own


@jit()
def fit_tables(
    groups: Any, targets: Any, bases: Any, budgets: Any, cost: float, pair_cost: float, unit: Any, picked: Any
) -> None:
    """All four tables of some units: of tokens and of pairs, of at most ``budgets`` bits (without header) or any."""
    tokens, picks = len(unit.means), np.empty(picked.both.shape[1], np.int64)
    for i in range(len(targets)):
        base, most = bases[i], int(budgets[i] // cost)
        estimate_tokens(groups, targets[i], base, unit)
        _estimate_pairs(groups, targets[i], base, unit)
        picked.sizes[i, 0] = best_tokens(unit.gains, picked.tokens[i, :most])
        _write_full(groups, unit, base, picked.token[i], picked.pair[i])
        n_tokens, n_pairs = 0, 0
        for pick in picks[: _choose(groups, unit, budgets[i], cost, pair_cost, picks[:most])]:
            if pick < tokens:
                picked.both[i, n_tokens] = pick
                n_tokens += 1
            else:
                picked.pairs[i, n_pairs] = pick - tokens
                picked.values[i, n_pairs] = base + unit.values[pick - tokens]
                n_pairs += 1
        picked.sizes[i, 1], picked.sizes[i, 2] = n_tokens, n_pairs


@jit()
def look_up(seen: Any, picked: Any, bases: Any, first: int, last: int, out: Any) -> None:
    """Predictions of the four tables of the units from ``first`` to ``last``, into ``out`` (4, units, n)."""
    for unit in range(first, last):
        i = unit - first
        for table in range(2):
            line, chosen = out[table, unit], picked.tokens[i] if table == 0 else picked.both[i]
            for row in range(len(line)):
                line[row] = bases[i]
            for token in chosen[: picked.sizes[i, table]]:
                for at in range(seen.token_start[token], seen.token_start[token + 1]):
                    line[seen.token_rows[at]] = picked.token[i, token]
        for j in range(picked.sizes[i, 2]):
            pair = picked.pairs[i, j]
            for at in range(seen.pair_start[pair], seen.pair_start[pair + 1]):
                out[1, unit, seen.pair_rows[at]] = picked.values[i, j]
        by_token, by_pair = picked.token[i], picked.pair[i]
        unknown = len(by_pair) - 1
        for row in range(len(seen.token)):
            pair, value, of_pair = seen.pair[row], by_token[seen.token[row]], by_pair[seen.pair[row]]
            out[2, unit, row] = value
            out[3, unit, row] = value if pair == unknown else of_pair
