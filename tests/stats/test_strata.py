from __future__ import annotations

import numpy as np
import pytest

from assay.errors import UsageError
from assay.stats.strata import (
    SINGLE,
    TokenSums,
    paired_difference,
    token_shares,
    token_sums,
    trained_minus_twin,
)

N = 40_000


def zipf(draw: np.random.Generator, n: int = N, words: int = 4000) -> np.ndarray:
    """Ids of tokens as frequent as words are: rank r once in r, many of them rare."""
    weights = 1 / np.arange(1, words + 1)
    return draw.choice(words, n, p=weights / weights.sum())


def shares_of(ids: np.ndarray, *columns: np.ndarray):
    return token_shares(token_sums(ids, np.stack(columns, axis=1)))


def test_sums_are_those_of_a_loop() -> None:
    draw = np.random.default_rng(0)
    ids, values = draw.integers(0, 7, 200), draw.normal(size=(200, 3)).astype(np.float32)
    ids[ids == 4] = 5
    got = token_sums(ids, values)
    for token in range(7):
        assert got.counts[token] == (ids == token).sum()
        np.testing.assert_allclose(got.sums[:, token], values[ids == token].sum(0, dtype=np.float64), atol=1e-9)
    np.testing.assert_allclose(got.squares, (values.astype(np.float64) ** 2).sum(0))


def test_without_noise_the_shares_can_be_worked_out() -> None:
    """Six tokens: a 8 times at 3, b 8 times at 1, four others 6 times each at 0."""
    ids = np.repeat([0, 1, 2, 3, 4, 5], [8, 8, 6, 6, 6, 6])
    one, two = 3.0 * (ids == 0), 3.0 * (ids == 0) + 1.0 * (ids == 1)
    got = shares_of(ids, one, two)
    np.testing.assert_allclose(got.explained, [1, 1])
    mean = two.mean()
    best = 8 * (3 - mean) ** 2 * 40 / 32
    share = best / ((two - mean) ** 2).sum()
    np.testing.assert_allclose(got.single, [1, share])
    np.testing.assert_allclose(got.alone, [1, share])
    assert got.best.tolist() == [0, 0]


def test_planted_units() -> None:
    """One token, ten tokens, one token beside a context, no token, the frequent against the rest, all over noise."""
    draw = np.random.default_rng(1)
    ids = zipf(draw)
    noise = lambda: draw.normal(0, 0.3, N)  # noqa: E731
    context = draw.random(N) < 0.02
    got = shares_of(
        ids,
        4.0 * (ids == 30) + noise(),
        4.0 * np.isin(ids, np.arange(30, 40)) + noise(),
        4.0 * (ids == 30) + 4.0 * context + noise(),
        noise(),
        draw.normal(size=4000)[ids] + noise(),
        -2.0 * (ids == 12) + noise(),
    )
    assert got.is_single.tolist() == [True, False, True, False, False, True]
    assert got.best[[0, 2, 5]].tolist() == [30, 30, 12]
    assert got.single[0] > 0.95
    assert 0.05 < got.single[1] < 0.2
    assert got.single[3] == 0
    assert got.best[3] == -1
    signal = np.var(4.0 * (ids == 30))
    assert got.explained[0] == pytest.approx(signal / (signal + 0.09), abs=0.02)
    assert got.explained[2] == pytest.approx(signal / (signal + 0.09 + np.var(4.0 * context)), abs=0.02)
    assert got.explained[4] == pytest.approx(1 - 0.09 / (0.09 + np.var(draw.normal(size=4000))), abs=0.1)


def test_rare_tokens_do_not_pass_for_explanation() -> None:
    """Means of tokens that occur once or twice fit noise: 3,000 strings explain a tenth of it, unadjusted."""
    draw = np.random.default_rng(2)
    ids = zipf(draw, 20_000, 6000)
    noise = draw.normal(size=(20_000, 200))
    table = token_sums(ids, noise)
    got = token_shares(table)
    raw = ((table.sums**2) / np.maximum(table.counts, 1)).sum(1) / table.squares
    assert raw.mean() > 0.1
    assert abs(got.explained.mean()) < 5 * got.explained.std() / 200**0.5
    assert got.is_single.mean() <= 0.02


def test_an_outlier_is_no_token_unit() -> None:
    draw = np.random.default_rng(3)
    ids = zipf(draw)
    rare = int(np.flatnonzero(np.bincount(ids, minlength=4000) == 2)[0])
    got = shares_of(ids, draw.normal(0, 0.1, N) + 50.0 * (ids == rare))
    assert not got.is_single[0]


def test_half_of_next_to_nothing_is_nothing() -> None:
    """A token that stands out of the noise, alone, and explains a two-hundredth of the variance."""
    draw = np.random.default_rng(9)
    ids = zipf(draw)
    got = shares_of(ids, (ids == 30) * 1.2 + draw.normal(size=N))
    assert got.best[0] == 30
    assert got.single[0] > SINGLE
    assert 0.003 < got.alone[0] < 0.007
    assert not got.is_single[0]


def test_scale_and_offset_do_not_matter() -> None:
    draw = np.random.default_rng(4)
    ids = zipf(draw)
    unit = 4.0 * (ids == 30) + 1.0 * (ids == 7) + draw.normal(0, 0.3, N)
    got = shares_of(ids, unit, 1e-3 * unit, -7 * unit, unit + 5)
    np.testing.assert_allclose(got.single, got.single[0], rtol=1e-6)
    np.testing.assert_allclose(got.explained, got.explained[0], rtol=1e-6)


def test_a_constant_unit_and_text_of_one_token_have_no_share() -> None:
    got = shares_of(np.arange(100) % 5, np.full(100, 0.1))
    assert (got.explained[0], got.single[0], got.best[0]) == (0, 0, -1)
    got = shares_of(np.zeros(100, int), np.arange(100.0))
    assert (got.explained[0], got.single[0]) == (0, 0)


def test_blocks_of_units_give_what_units_alone_give() -> None:
    draw = np.random.default_rng(5)
    ids = zipf(draw, 2000, 50)
    units = draw.normal(size=50)[ids, None] * draw.random(600) + draw.normal(size=(2000, 600))
    whole, last = token_shares(token_sums(ids, units)), token_shares(token_sums(ids, units[:, -1:]))
    np.testing.assert_allclose(whole.single[-1:], last.single)
    np.testing.assert_allclose(whole.explained[-1:], last.explained)


def test_too_few_tokens() -> None:
    with pytest.raises(UsageError, match="3 tokens of 3 strings say nothing"):
        token_shares(TokenSums(np.ones(3, int), np.ones((1, 3)), np.ones(1)))


def test_differences_by_stratum() -> None:
    """Half of the twin's units are single-token units and score .9: over all it wins, in each stratum it loses."""
    draw = np.random.default_rng(6)
    single, twin_single = np.arange(400) < 40, np.arange(300) < 150
    trained = np.where(single, 0.95, 0.5) + draw.normal(0, 0.05, 400)
    twin = np.where(twin_single, 0.9, 0.3) + draw.normal(0, 0.05, 300)
    everything, one, other = trained_minus_twin(trained, twin, single, twin_single)
    assert [d.stratum for d in (everything, one, other)] == ["all", "single token", "other"]
    assert [(d.n_trained, d.n_twin) for d in (everything, one, other)] == [(400, 300), (40, 150), (360, 150)]
    assert everything.difference.hi < 0
    assert one.difference.lo > 0
    assert other.difference.lo > 0.18
    assert other.difference.hi < 0.22
    for d in (everything, one, other):
        assert d.difference.value == pytest.approx(d.trained - d.twin)
    half = trained_minus_twin(trained, twin, single, twin_single, seed=1)[2].difference
    assert half != other.difference
    assert trained_minus_twin(trained, twin, single, twin_single)[2] == other


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    draw = np.random.default_rng(7)
    none = np.zeros(60, bool), np.zeros(90, bool)
    held = 0
    for trial in range(400):
        trained, twin = draw.beta(2, 2, 60), draw.beta(2, 5, 90)
        got = trained_minus_twin(trained, twin, *none, replicates=300, seed=trial)[0].difference
        held += got.lo <= 2 / 4 - 2 / 7 <= got.hi
    assert 0.91 <= held / 400 <= 0.98


def test_units_without_a_score_are_left_out() -> None:
    trained, twin = np.array([0.5, np.nan, 0.7]), np.array([0.1, 0.3])
    all_, one, other = trained_minus_twin(trained, twin, np.zeros(3, bool), np.array([True, False]))
    assert (all_.n_trained, all_.trained, all_.twin) == (2, pytest.approx(0.6), pytest.approx(0.2))
    assert (one.n_trained, one.n_twin) == (0, 1)
    assert np.isnan([one.trained, one.difference.value, one.difference.lo]).all()
    assert other.n_twin == 1
    assert np.isnan(other.difference.lo)
    assert other.difference.value == pytest.approx(0.3)


def test_pairs_are_resampled_together() -> None:
    draw = np.random.default_rng(8)
    first = draw.random(200)
    second = first - 0.1 + draw.normal(0, 0.01, 200)
    paired = paired_difference(first, second)
    none = np.zeros(200, bool)
    apart = trained_minus_twin(first, second, none, none)[0].difference
    assert paired.value == pytest.approx(apart.value)
    assert (paired.hi - paired.lo) < 0.1 * (apart.hi - apart.lo)
    assert paired.hi - paired.lo == pytest.approx(2 * 1.96 * 0.01 / 200**0.5, rel=0.2)
    second[0] = np.nan
    assert paired_difference(first, second).value == pytest.approx(np.nanmean(first - second))


def test_bad_scores() -> None:
    ok, none = np.ones(3), np.zeros(3, bool)
    with pytest.raises(UsageError, match="each score needs its stratum: got 3 and 3 scores, 2 and 3 strata"):
        trained_minus_twin(ok, ok, none[:2], none)
    with pytest.raises(UsageError, match="a score is infinite"):
        trained_minus_twin(ok, ok * np.inf, none, none)
    with pytest.raises(UsageError, match="same units; got 3 and 2"):
        paired_difference(ok, ok[:2])


def test_the_threshold_is_half() -> None:
    assert SINGLE == 0.5
