"""Loops that fit the references of many units, and predict them without a table anyone could read."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.core.jit import jit
from assay.rules.lookup_kernels import PRIOR, best_tokens, estimate_tokens, gain, insert


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
def _estimate_pairs(groups: Any, target: Any, base: float, unit: Any) -> None:
    """The same of every pair, after :func:`estimate_tokens`; pairs with nothing on either side are worth nothing."""
    for pair in range(len(unit.pair_sums)):
        unit.pair_sums[pair] = 0.0
    for row in range(len(target)):
        unit.pair_sums[groups.pair[row]] += target[row] - base
    for pair in range(len(unit.pair_sums)):
        total, count, known = unit.pair_sums[pair], groups.pair_counts[pair], groups.known[pair]
        prior = unit.means[groups.second[pair]]
        value = (total + PRIOR * prior) / (count + PRIOR)
        unit.values[pair] = value
        unit.over_base[pair] = gain(total, count, value) * known
        unit.over_token[pair] = gain(total - count * prior, count, value - prior) * known


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
def _find_all_best(groups: Any, unit: Any) -> None:
    """The best pair of every token while nothing is taken, without a branch to guess."""
    for token in range(len(unit.means)):
        start = groups.start[token]
        best, best_gain = -1, 0.0
        gains = unit.over_base[start : groups.start[token + 1]]
        for k in range(len(gains)):
            best = start + k if gains[k] > best_gain else best
            best_gain = max(gains[k], best_gain)
        unit.best[token], unit.best_gain[token] = best, best_gain


@jit(inner=True)
def _candidates(groups: Any, unit: Any, most: int) -> Any:
    """Tokens among which, and among whose pairs, the first ``most`` picks must be: a pick changes one token's only."""
    by_token, by_pair = np.empty(most, np.int64), np.empty(most, np.int64)
    worth, ranks, size = np.empty(most), np.empty(most, np.int64), 0
    for token in range(len(unit.means)):
        best = unit.best[token]
        if best >= 0:
            size = insert(by_pair, worth, ranks, size, token, unit.best_gain[token], groups.rank[best])
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
    _find_all_best(groups, unit)
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
                unit.gains[token] = gain(unit.sums[token], unit.counts[token], unit.means[token])
        _find_best(groups, unit, token)
    for pick in picks[:size]:
        unit.taken[pick] = 0
    return size


@jit(inner=True)
def _write_full(groups: Any, unit: Any, base: float, by_token: Any, by_pair: Any) -> None:
    """The unlimited tables: values by token and by pair."""
    for token in range(len(by_token)):
        by_token[token] = base + unit.means[token] if unit.gains[token] > 0 else base
    for pair in range(len(unit.values)):
        value = np.float32(base + unit.values[pair])
        by_pair[pair] = value if unit.over_token[pair] > 0 else by_token[groups.second[pair]]


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
