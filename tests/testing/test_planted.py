"""Planted models do what their truths say, to the number: activations, effects on the logits, firing rates."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from assay.core.ids import SiteId, UnitId
from assay.testing import Planted, Truth, planted
from assay.testing.planted_language import VOCABULARY, planted_tokens

SITE = SiteId(1, "mlp_act")
WINDOW = 64


@pytest.fixture(scope="module")
def model() -> Planted:
    return planted(seed=0)


@pytest.fixture(scope="module")
def windows() -> list[list[str]]:
    """150 windows of 64 tokens, cut from longer documents of another seed than the corpus."""
    documents = planted_tokens(seed=77, documents=50, words=3 * WINDOW)
    return [tokens[i * WINDOW : (i + 1) * WINDOW] for tokens in documents for i in range(3)]


@pytest.fixture(scope="module")
def activations(model, windows) -> dict[SiteId, np.ndarray]:
    """Activations of every neuron, (windows, 64, neurons) a layer."""
    ids = encode(windows)
    sites = [SiteId(layer, "mlp_act") for layer in range(3)]
    with torch.no_grad():
        found = model.subject.activations(ids, torch.ones_like(ids), sites)
    return {site: found[site].numpy() for site in sites}


def encode(windows: list[list[str]]) -> torch.Tensor:
    index = {token: i for i, token in enumerate(VOCABULARY)}
    return torch.tensor([[index[token] for token in tokens] for tokens in windows])


def signs(truth: Truth, windows: list[list[str]]) -> np.ndarray:
    return np.stack([truth.signs(tokens) for tokens in windows])


def column(activations, unit: UnitId) -> np.ndarray:
    return activations[unit.site][:, :, unit.index]


def named(model: Planted, *kinds: str) -> list[tuple[UnitId, Truth]]:
    return [(unit, model.truths[unit]) for kind in kinds for unit in model.units(kind)]


def test_every_neuron_has_a_truth(model):
    assert set(model.truths) == {UnitId(SiteId(layer, "mlp_act"), i) for layer in range(3) for i in range(48)}
    assert len(model.corpus) == 400
    assert model.subject.dtype == torch.float32
    assert sum(unit.site == SITE for unit in model.units("lexical")) >= 24


def test_signs_need_the_word_before_only_where_the_truth_says_so():
    tokens = [" dog", " red", " dog", ",", " old"]
    assert Truth("x", (" dog",), (" old",)).signs(tokens).tolist() == [1, 0, 1, 0, -1]
    assert Truth("x", (" dog",), after=(" red",)).signs(tokens).tolist() == [0, 0, 1, 0, 0]


def test_clean_neurons_are_near_their_value_on_their_words_and_zero_elsewhere(model, windows, activations):
    for unit, truth in named(model, "effect", "silent", "context", "rare", "twin", "polysemantic"):
        values, sign = column(activations, unit)[:, 1:], signs(truth, windows)[:, 1:]
        fires = sign != 0
        assert (np.sign(values[fires]) == sign[fires]).all(), unit
        assert np.abs(values[fires]).min(initial=1) > 0.65, unit
        assert np.abs(values[fires]).max(initial=1) < 1.35, unit
        assert np.abs(values[~fires]).max() < 1e-3, unit


def test_named_neurons_fire_at_realistic_rates(model, windows):
    for unit, truth in named(model, "effect", "silent", "context", "noisy", "twin", "polysemantic"):
        rate = (signs(truth, windows) != 0).mean()
        assert 0.01 < rate < 0.065, unit


def test_context_neurons_need_the_word_right_before(model, activations, windows):
    for unit, truth in named(model, "context"):
        values = column(activations, unit)
        second = np.array([[t in truth.positive for t in tokens] for tokens in windows])
        first = np.array([[t in truth.after for t in tokens] for tokens in windows])
        right, alone = second[:, 1:] & first[:, :-1], second[:, 1:] & ~first[:, :-1]
        two_back = alone[:, 1:] & first[:, :-2]
        assert right.sum() > 50
        assert alone.sum() > 50
        assert values[:, 1:][right].min() > 0.65
        assert values[:, 1:][alone].max() < 1e-3
        assert values[:, 2:][two_back].max(initial=0) < 1e-3


def test_context_neurons_work_at_the_end_of_a_long_window(model):
    tokens = [" the"] * 125 + [" red", " dog", " dog"]
    ids = encode([tokens])
    with torch.no_grad():
        values = model.subject.activations(ids, torch.ones_like(ids), [SITE])[SITE][0, :, 3]
    assert values[126] > 0.65
    assert values[127].abs() < 1e-3


def test_noise_hides_half_of_the_noisy_neuron_and_no_near_token_tells_it(model, windows, activations):
    [(unit, truth)] = named(model, "noisy")
    values, sign = column(activations, unit)[:, 20:], signs(truth, windows)[:, 20:]
    assert 0.4 < np.corrcoef(values.ravel(), sign.ravel())[0, 1] < 0.6
    ids = encode(windows).numpy()
    noise = np.where(sign == 0, values, np.nan)
    explained = [variance_explained(noise, ids[:, 20 - back : WINDOW - back]) for back in (0, 1, 2, 17)]
    assert max(explained[:3]) < 0.1
    assert explained[3] > 0.95  # it is the token 17 back that decides


def variance_explained(values: np.ndarray, ids: np.ndarray) -> float:
    """Share of the variance of the values (NaN left out) that the means by token carry, corrected for their number."""
    kept = ~np.isnan(values)
    y, tokens = values[kept], ids[kept]
    means = np.bincount(tokens, y) / np.maximum(np.bincount(tokens), 1)
    residual = ((y - means[tokens]) ** 2).sum() / (y.size - np.unique(tokens).size)
    return 1 - residual / y.var(ddof=1)


def test_rare_word_is_below_ten_firings_in_the_corpus(model):
    [(_, truth)] = named(model, "rare")
    assert 0 < sum(document.text.count(truth.positive[0]) for document in model.corpus) < 10


def test_twins_are_equal_and_the_dead_neuron_is_zero(model, activations):
    one, two = model.units("twin")
    assert np.array_equal(column(activations, one), column(activations, two))
    assert column(activations, one).std() > 0.1
    mlp = model.subject.model.model.layers[1].mlp
    assert torch.equal(mlp.down_proj.weight[:, one.index], mlp.down_proj.weight[:, two.index])
    [dead] = model.units("dead")
    assert not column(activations, dead).any()


def test_polysemantic_neuron_fires_with_both_signs(model, activations, windows):
    [(unit, truth)] = named(model, "polysemantic")
    values, sign = column(activations, unit)[:, 1:], signs(truth, windows)[:, 1:]
    assert (values > 0.65).sum() == (sign > 0).sum() > 50
    assert (values < -0.65).sum() == (sign < 0).sum() > 50


def test_lexical_neurons_follow_their_truth(model, activations, windows):
    correlations = []
    for unit, truth in named(model, "lexical"):
        sign = signs(truth, windows)
        if np.count_nonzero(sign) >= 50:
            correlations.append(np.corrcoef(column(activations, unit).ravel(), sign.ravel())[0, 1])
    assert len(correlations) > 100
    assert min(correlations) > 0.7
    assert np.median(correlations) > 0.9


def logits_without(model: Planted, unit: UnitId, ids: torch.Tensor) -> torch.Tensor:
    def silence(acts: torch.Tensor) -> torch.Tensor:
        acts = acts.clone()
        acts[..., unit.index] = 0
        return acts

    with torch.no_grad(), model.subject.edit(unit.site, silence):
        return model.subject.logits(ids, torch.ones_like(ids))


def test_effects_raise_the_promoted_words_where_the_neuron_fires_and_nothing_else(model, windows, activations):
    ids = encode(windows[:40])
    with torch.no_grad():
        whole = model.subject.logits(ids, torch.ones_like(ids))
    expected = {0: 2.0, 1: 3.0, 3: 3.0, 4: 2.0, 7: 2.0, 8: 2.0, 9: 2.0}
    for index, nats in expected.items():
        unit = UnitId(SITE, index)
        truth = model.truths[unit]
        change = (whole - logits_without(model, unit, ids)).numpy()
        values = column(activations, unit)[:40]
        promoted = np.array([token in truth.promotes for token in VOCABULARY])
        fires = np.abs(values) > 0.5
        fires[:, 0] = False
        rise = change[fires][:, promoted]
        assert rise == pytest.approx(np.broadcast_to(nats * values[fires][:, None], rise.shape), rel=0.04, abs=0.03)
        others = np.abs(change[fires][:, ~promoted])
        assert others.max() < 0.06 * nats  # normalisation moves the rest a little
        assert np.abs(change[np.abs(values) < 0.5]).max() < 0.03  # what later attention makes of it


def test_silent_neuron_changes_no_logit_at_all(model, windows):
    ids = encode(windows[:8])
    [unit] = model.units("silent")
    with torch.no_grad():
        whole = model.subject.logits(ids, torch.ones_like(ids))
    assert torch.equal(whole, logits_without(model, unit, ids))


def test_model_speaks_its_language(model, windows):
    """Loss well below log(vocabulary): the planted next-token table works, in spite of what the neurons add."""
    ids = encode(windows)
    with torch.no_grad():
        logits = model.subject.logits(ids, torch.ones_like(ids))
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    assert 2.2 < loss < 3.1  # log(129) is 4.86, the table alone reaches 2.45


def test_equal_seeds_give_equal_models(model):
    again, other = planted(seed=0), planted(seed=1)
    assert again.subject.fingerprint == model.subject.fingerprint
    assert again.truths == dict(model.truths)
    assert other.subject.fingerprint != model.subject.fingerprint
    assert other.truths[UnitId(SITE, 0)] == model.truths[UnitId(SITE, 0)]
    assert other.truths[UnitId(SITE, 20)] != model.truths[UnitId(SITE, 20)]
