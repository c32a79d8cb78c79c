"""Choosing, scores and verdicts of a trial, on made-up numbers; and halves that share nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from assay.core.ids import SiteId
from assay.errors import UsageError
from assay.referee import exceeded_by_few, judge_check
from assay.stats.bootstrap import document_weights
from assay.stats.proportion import wilson
from assay.steer.bench import Bench
from assay.steer.half import Half
from assay.steer.harm import Harm
from assay.steer.outcome import SCALE, Outcome, Setting, outcome
from assay.steer.placebos import Placebos, allowed
from assay.steer.rates import rates
from assay.steer.request import SteerRequest
from assay.steer.studies.telling import written_shares
from assay.steer.treatment import Before, Push, Pushes, Told, Treatment
from assay.steer.trial import Chosen, choose, measure, told
from assay.text.manual import python_manual
from steer.warm import push, vector, warm

Numbers = Mapping[tuple[int, float], tuple[float, float]]  # by layer and dose: effect and KL
CAP = 0.5


class FakeScored:
    """Effects by layer and dose: those of a table for the claim, those of ``fake`` for placebos."""

    def __init__(self, effect: Callable[[Treatment, float], np.ndarray]) -> None:
        self._effect = effect

    def rise(self, treatment: Treatment, dose: float) -> np.ndarray:
        return self.rises(treatment, dose)[0]

    def rises(self, treatment: Treatment, dose: float) -> np.ndarray:
        return np.atleast_2d(self._effect(treatment, dose))

    def rises_each(self, treatments: Sequence[Treatment], dose: float) -> np.ndarray:
        return np.stack([self.rises(one, dose) for one in treatments])


class FakeNeutral:
    def __init__(self, kl: Callable[[Treatment, float], float]) -> None:
        self._kl = kl

    def harm(self, treatment: Treatment, dose: float) -> Harm:
        kl = self._kl(treatment, dose)
        return Harm(np.array([0.5 * kl, 1.5 * kl]), np.array([0.1, 0.3]))


def half(effect: Callable[[Treatment, float], Any], kl: Callable[[Treatment, float], float]) -> Half:
    scored: Any = FakeScored(lambda treatment, dose: np.asarray(effect(treatment, dose), float))
    neutral: Any = FakeNeutral(kl)
    return Half(scored, neutral)


def from_table(numbers: Numbers) -> Half:
    def at(treatment: Treatment, dose: float) -> tuple[float, float]:
        return numbers[treatment.start, dose]

    return half(lambda t, d: [at(t, d)[0] - 0.5, at(t, d)[0] + 0.5], lambda t, d: at(t, d)[1])


def arms(*layers: int, doses: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0)) -> list[tuple[int | None, Treatment]]:
    return [(layer, push(layer, 4, layer, doses=doses)) for layer in layers]


def test_the_best_is_chosen_of_what_keeps_the_cap() -> None:
    numbers = {
        (0, 1.0): (0.5, 0.1), (0, 2.0): (0.9, 0.3), (0, 3.0): (5.0, 0.6), (0, 4.0): (9.0, 0.9),
        (1, 1.0): (1.4, 0.2), (1, 2.0): (1.2, 0.4), (1, 3.0): (0.7, 0.5), (1, 4.0): (7.0, 0.85),
        (2, 1.0): (8.0, 0.7), (2, 2.0): (8.0, 0.8), (2, 3.0): (8.0, 0.9), (2, 4.0): (8.0, 1.0),
    }  # fmt: skip
    some = arms(2, 0, 1)
    chosen = choose(some, from_table(numbers), CAP)
    assert (chosen.layer, chosen.dose, chosen.measured_dose) == (1, 1.0, 1.0)
    assert chosen.treatment is some[2][1]
    for cap, expected in ((0.55, (1, 1.0)), (0.65, (0, 3.0)), (0.75, (2, 1.0)), (5.0, (0, 4.0)), (0.15, (0, 1.0))):
        found = choose(some, from_table(numbers), cap)
        assert (found.layer, found.dose) == expected, cap
    for one in chosen.tried:
        effect, kl = numbers[one.layer or 0, one.dose]
        assert one.effect in (None, pytest.approx(effect))
        assert one.kl in (None, pytest.approx(kl))
        assert one.effect is None or kl <= CAP
    assert {(one.layer, one.dose) for one in chosen.tried if one.effect is not None} == {
        at for at, (_, kl) in numbers.items() if kl <= CAP
    }


@pytest.mark.parametrize("kept", range(5))
def test_every_number_of_doses_may_keep_the_cap(kept: int) -> None:
    """Divergence grows with the dose; the effect does too, or is the same, so that the lowest is taken."""
    numbers = {(0, d): (d, 0.4 if d <= kept else 0.6) for d in (1.0, 2.0, 3.0, 4.0)}
    chosen = choose(arms(0), from_table(numbers), CAP)
    assert chosen.dose == (float(kept) if kept else None)
    flat = choose(arms(0), from_table({at: (0.0, kl) for at, (_, kl) in numbers.items()}), CAP)
    assert flat.dose == (1.0 if kept else None)


def test_where_no_dose_keeps_the_cap_none_is_chosen_and_the_lowest_is_measured() -> None:
    numbers = {(layer, d): (d, d + layer) for layer in (0, 1) for d in (1.0, 2.0, 3.0, 4.0)}
    for kl in (1.0, math.inf, math.nan):
        table = {at: (effect, found * kl) for at, (effect, found) in numbers.items()}
        some = arms(1, 0)
        chosen = choose(some, from_table(table), CAP)
        assert (chosen.treatment, chosen.layer, chosen.dose, chosen.measured_dose) == (some[0][1], 1, None, 1.0)
        assert len(chosen.tried) >= 2


def test_what_has_no_dose_is_taken_as_it_is() -> None:
    treatment = Told(Before("Be warm."), (Before("x"),))
    for kl in (0.1, 9.0):
        chosen = choose([(None, treatment)], half(lambda t, d: [0.3, 0.5], lambda t, d: kl), CAP)  # noqa: B023
        assert (chosen.layer, chosen.dose, chosen.measured_dose) == (None, 1.0, 1.0)
        [one] = chosen.tried
        assert one.effect == pytest.approx(0.4)


@pytest.mark.parametrize("near", [None, *range(5)])
@pytest.mark.parametrize("kept", range(5))
def test_a_guess_saves_tries_and_changes_nothing(kept: int, near: int | None) -> None:
    tried: list[float] = []

    def keeps(dose: float) -> bool:
        tried.append(dose)
        return dose <= kept

    assert allowed((1.0, 2.0, 3.0, 4.0), keeps, near) == kept
    assert len(tried) == len(set(tried)) <= 4
    if near == kept:
        assert len(tried) == (1 if kept in (0, 4) else 2)


# Placebos


def seeds_of(treatment: Pushes, count: int) -> dict[bytes, int]:
    return {treatment.placebo(seed).pushes[0].vector.tobytes(): seed for seed in range(count)}


def test_placebos_of_one_size_are_run_once() -> None:
    calls: list[float] = []

    def effect(treatment: Treatment, dose: float) -> list[float]:
        calls.append(dose)
        return [dose, 2 * dose]

    placebos = Placebos(20, lambda: from_table({}), lambda: half(effect, lambda t, d: d), CAP)
    one, other = push(1, 6, 1, 2.0), push(1, 6, 2, 2.0)
    first = placebos.rises(one, 3.0)
    assert np.shape(first) == (20, 1, 2)
    assert placebos.rises(other, 3.0) is first
    assert len(calls) == 20
    placebos.rises(push(1, 6, 1, 2.5), 3.0)
    placebos.rises(one, 2.0)
    placebos.rises(push(0, 6, 1, 2.0), 3.0)
    placebos.rises(push(1, 6, 1, 2.0, where="prompt"), 3.0)
    assert len(calls) == 100
    assert placebos.kl(one, 3.0) is placebos.kl(other, 3.0)
    assert placebos.kl(one, 3.0) == [pytest.approx(3.0)] * len(placebos.kl(one, 3.0))
    json.dumps([first, placebos.kl(one, 3.0)], allow_nan=False)


def test_placebos_that_had_the_choice_take_their_best_layer_and_dose_of_those_allowed() -> None:
    """Layer 0 allows two doses, layer 1 three, layer 2 none but the lowest."""
    some = [(layer, push(layer, 6, layer, 2.0 + layer, doses=(1.0, 2.0, 3.0, 4.0))) for layer in (0, 1, 2)]
    most = {0: 2.0, 1: 3.0, 2: 0.0}
    rng = np.random.default_rng(3)
    drawn = {(layer, dose): rng.standard_normal((20, 2)) for layer in (0, 1, 2) for dose in (1.0, 2.0, 3.0, 4.0)}
    seeds = {layer: seeds_of(arm, 20) for layer, arm in some}

    def effect(which: int) -> Callable[[Treatment, float], list[float]]:
        def rise(treatment: Treatment, dose: float) -> list[float]:
            assert isinstance(treatment, Pushes)
            layer = treatment.start
            seed = seeds[layer][treatment.pushes[0].vector.tobytes()]
            return [drawn[layer, dose][seed, which], 100.0 * which + seed]

        return rise

    def kl(treatment: Treatment, dose: float) -> float:
        return 0.4 if dose <= most[treatment.start] else 0.6

    placebos = Placebos(20, lambda: half(effect(0), kl), lambda: half(effect(1), kl), CAP)
    found = placebos.likewise(some)
    expected: list[list[float]] = []
    for seed in range(20):
        layer, highest = max([(0, 2.0), (1, 3.0), (2, 1.0)], key=lambda at: drawn[at][seed, 0])
        doses = [dose for dose in (1.0, 2.0, 3.0) if dose <= highest]
        best = max([(layer, dose) for dose in doses], key=lambda at: drawn[at][seed, 0])
        expected.append([drawn[best][seed, 1], 100.0 + seed])
    assert found == [pytest.approx(row) for row in expected]
    assert placebos.likewise(some) is found
    assert placebos.likewise(some[:1]) is None


def test_a_placebo_has_another_direction_at_each_layer() -> None:
    one, other = (push(layer, 64, layer).placebo(3).pushes[0].vector for layer in (0, 1))
    assert abs(one @ other) < 0.5


# Scores


def setting(tokens: int = 60, documents: int = 30, **more: Any) -> Setting:
    names = np.array([f"d{i * documents // tokens:02}" for i in range(tokens)])
    corpora = np.array(["a" if i < tokens // 2 else "b" for i in range(tokens)])
    return Setting(
        **{"cap": CAP, "replicates": 400, "seed": 0, "documents": names, "corpora": corpora, "others": ()} | more
    )


def measured(
    rise: Sequence[float] | np.ndarray,
    placebos: np.ndarray,
    kl: float | np.ndarray = 0.1,
    **more: Any,
) -> dict[str, Any]:
    """What :func:`measure` gives; (p, n) placebos."""
    tokens = np.full(60, kl) if isinstance(kl, float) else kl
    found = {
        "layer": 3,
        "dose": 2.0,
        "tried": [[3, 2.0, 1.0, 0.1]],
        "rises": [list(rise)],
        "placebos": np.asarray(placebos)[:, None].tolist(),
        "likewise": None,
        "posing": np.asarray(placebos)[:2].tolist(),
        "rival": None,
        "kl": tokens.tolist(),
        "loss": np.linspace(-0.1, 0.3, len(tokens)).tolist(),
        "placebo_kl": [0.1, 0.3],
        "placebo_loss": [0.0, 0.2],
        "curve": [],
    }
    return json.loads(json.dumps(found | more, allow_nan=False))


def drawn_placebos(count: int = 20, prompts: int = 24, spread: float = 0.3, seed: int = 1) -> np.ndarray:
    """Each has a mean of its own, and noise by prompt."""
    rng = np.random.default_rng(seed)
    return spread * rng.standard_normal((count, 1)) + 0.1 * rng.standard_normal((count, prompts))


def noise(prompts: int = 24, seed: int = 7) -> np.ndarray:
    return 0.2 * np.random.default_rng(seed).standard_normal(prompts)


def verdict(one: Outcome) -> tuple[str, str]:
    judged = judge_check({0: one.check}, dict(enumerate(one.controls))).claims[0]
    return judged.verdict.value, judged.reason


def test_an_effect_far_above_its_placebos_is_supported() -> None:
    rise, null = 2 + noise(), drawn_placebos()
    found = outcome(measured(rise, null), 2.0, setting())
    assert verdict(found) == ("supported", "beats its best null (random) by more than 0.2")
    assert found.effect.value == pytest.approx(rise.mean())
    assert found.nulls["random"].value == pytest.approx(null.mean(1).max())
    weights = document_weights(24, 400, 0)
    assert found.effect.replicates == pytest.approx(weights @ rise / 24)
    again = [max((row @ one / 24) for one in null) for row in weights]
    assert found.nulls["random"].replicates == pytest.approx(again)
    assert found.check.score == pytest.approx(found.effect.value / SCALE)
    assert set(found.check.nulls) == {"random", "untreated"}
    assert found.check.nulls["untreated"] == 0


def test_the_null_is_what_one_in_twenty_placebos_exceeds() -> None:
    for count in (20, 40, 100):
        null = drawn_placebos(count)
        found = outcome(measured(noise(), null), 2.0, setting())
        means = np.sort(null.mean(1))
        assert found.nulls["random"].value == pytest.approx(exceeded_by_few(null.mean(1)[None])[0])
        assert found.nulls["random"].value == pytest.approx(means[math.ceil(0.95 * (count + 1)) - 1])
        assert (means > found.nulls["random"].value + 1e-9).sum() == {20: 0, 40: 1, 100: 4}[count]
        again = np.sort(document_weights(24, 400, 0) @ null.T / 24, axis=1)[:, math.ceil(0.95 * (count + 1)) - 1]
        assert found.nulls["random"].replicates == pytest.approx(again)


def test_one_of_the_placebos_is_refuted_and_what_is_below_nothing_too() -> None:
    null = drawn_placebos()
    middle = null[np.argsort(null.mean(1))[10]]
    assert verdict(outcome(measured(middle, null), 2.0, setting()))[0] == "refuted"
    assert verdict(outcome(measured(noise(), null - 3), 2.0, setting())) == (
        "refuted",
        "does not beat its best null (untreated) by 0.2",
    )
    close = null.mean(1).max() + 0.2 + 3 * (noise() - noise().mean())
    assert verdict(outcome(measured(close, null), 2.0, setting())) == ("undecided", "interval spans the margin")


def test_what_is_too_harmful_or_too_little_is_undecided_and_says_why() -> None:
    rise, null = 2 + noise(), drawn_placebos()
    over = outcome(measured(rise, null, kl=0.8), 2.0, setting())
    assert verdict(over) == ("undecided", "the KL on other neutral text is 0.80, above the cap of 0.5")
    spread = np.repeat(np.linspace(0, 1.1, 30), 2)  # mean .55, and its interval goes below the cap
    assert verdict(outcome(measured(rise, null, kl=spread), 2.0, setting()))[0] == "supported"
    few = outcome(measured(rise[:19], null[:, :19]), 2.0, setting())
    assert verdict(few) == ("undecided", "19 prompts; 20 are needed")
    assert verdict(outcome(measured(rise[:20], null[:, :20]), 2.0, setting()))[0] == "supported"
    tried = [[3, 1.0, None, 0.9], [4, 1.0, None, 0.75], [4, 2.0, None, 3.0], [5, 1.0, None, None]]
    none = outcome(measured(rise[:5], null[:, :5], dose=None, tried=tried), None, setting())
    reason = "5 prompts; 20 are needed; no dose keeps the KL on neutral text under 0.5; the least is 0.75"
    assert verdict(none) == ("undecided", reason)
    assert none.effect.value == pytest.approx(rise[:5].mean())


def test_placebos_that_had_the_choice_decide_where_they_are_the_highest() -> None:
    rise, null = 1.5 + noise(), drawn_placebos()
    low = outcome(measured(rise, null, likewise=(null - 1).tolist()), 2.0, setting())
    assert verdict(low) == ("supported", "beats its best null (random) by more than 0.2")
    likewise = drawn_placebos(seed=5) + 2
    high = outcome(measured(rise, null, likewise=likewise.tolist()), 2.0, setting())
    assert set(high.nulls) == {"random", "random, chosen"}
    assert high.nulls["random, chosen"].value == pytest.approx(likewise.mean(1).max())
    assert verdict(high) == ("refuted", "does not beat its best null (random, chosen) by 0.2")


def test_what_a_finetune_and_its_rival_do_on_average_is_a_null() -> None:
    rise, null = 1.5 + noise(), drawn_placebos()
    low = outcome(measured(rise, null, rival=[(noise(seed=3) - 1.5).tolist()]), 2.0, setting())
    assert verdict(low) == ("supported", "beats its best null (random) by more than 0.2")
    rival = 1.3 + noise(seed=3)
    high = outcome(measured(rise, null, rival=[rival.tolist()]), 2.0, setting())
    assert high.nulls["trained on either side"].value == pytest.approx((rise.mean() + rival.mean()) / 2)
    assert verdict(high) == ("refuted", "does not beat its best null (trained on either side) by 0.2")
    aside = np.stack([rise, np.full(24, 5.0)])
    numbers = measured(rise, null, rival=[rival.tolist(), [9.0] * 24])
    numbers |= {"rises": aside.tolist(), "placebos": np.stack([null, null], 1).tolist()}
    found = outcome(numbers, 2.0, setting(others=("space",))).off_target["space"]
    assert found == pytest.approx({"rise": 5.0, "lo": null.mean(1).min(), "hi": 7.0})


def test_further_placebos_pose_as_claims() -> None:
    null, posing = drawn_placebos(), drawn_placebos(10, seed=8)
    posing[4] += 5
    found = outcome(measured(2 + noise(), null, posing=posing.tolist()), 2.0, setting())
    assert len(found.controls) == 10
    for one, control in zip(posing, found.controls, strict=True):
        assert control.score == pytest.approx(one.mean() / SCALE)
        assert control.nulls["random"] == pytest.approx(null.mean(1).max() / SCALE)
        assert control.nulls["untreated"] == 0
    assert judge_check({0: found.check}, dict(enumerate(found.controls))).summary.passed == 1
    every = outcome(measured(2 + noise(), null, posing=(posing + 5).tolist()), 2.0, setting())
    judged = judge_check({0: every.check}, dict(enumerate(every.controls)))
    assert judged.summary.passed == 10
    assert judged.summary.void


def test_the_share_that_goes_the_wrong_way() -> None:
    rise = np.array([-1.0] * 6 + [0.0] * 3 + [2.0] * 15)
    fakes = drawn_placebos()
    found = outcome(measured(rise, fakes), 2.0, setting())
    assert found.wrong_way == wilson(6, 24)
    assert found.placebo_wrong_way == pytest.approx((fakes < 0).mean())


def test_harm_by_documents_and_by_corpora() -> None:
    kl = np.random.default_rng(2).uniform(0, 0.5, 60)
    found = outcome(measured(noise(), drawn_placebos(), kl=kl), 2.0, setting())
    loss = np.linspace(-0.1, 0.3, 60)
    assert found.kl.value == pytest.approx(kl.mean())
    assert found.ratio.value == pytest.approx(np.exp(loss.mean()))
    for name, own in (("a", slice(0, 30)), ("b", slice(30, 60))):
        assert found.by_corpus[name]["kl"] == pytest.approx(kl[own].mean())
        assert found.by_corpus[name]["perplexity_ratio"] == pytest.approx(np.exp(loss[own].mean()))
    weights = document_weights(30, 400, 0)
    sums = kl.reshape(30, 2).sum(1)
    assert found.kl.replicates == pytest.approx(weights @ sums / (2 * weights.sum(1)))
    assert found.ratio.replicates == pytest.approx(np.exp(weights @ loss.reshape(30, 2).sum(1) / 60))
    assert found.placebo_kl == pytest.approx(0.2)
    assert found.placebo_ratio == pytest.approx(np.exp(0.1))
    huge = measured(noise(), drawn_placebos()) | {"loss": [400.0] * 60}
    assert math.isfinite(outcome(huge, 2.0, setting()).ratio.value)


def curve(rises: Mapping[float, np.ndarray]) -> dict[str, Any]:
    doses = sorted(rises)
    return {
        "curve": [[dose, rises[dose].tolist()] for dose in doses],
        "tried": [[3, dose, 1.0, dose / 10] for dose in doses if dose > 0] + [[2, 1.0, 1.0, 7.0]],
    }


def test_the_slope_is_that_of_the_line_up_to_the_chosen_dose_and_its_opposite() -> None:
    each = 3 + noise()
    rises = {dose: dose * each for dose in (-2.0, -1.0, 1.0, 2.0)} | {4.0: -5 * each, -4.0: 9 * each}
    numbers = measured(rises[2.0], drawn_placebos(), **curve(rises))
    found = outcome(numbers, 2.0, setting())
    assert found.slope is not None
    assert found.slope.value == pytest.approx(each.mean())
    assert found.slope.replicates == pytest.approx(document_weights(24, 400, 0) @ each / 24)
    bent = outcome(numbers, 4.0, setting())
    doses = np.array([-4, -2, -1, 0, 1, 2, 4.0])
    means = [rises[dose].mean() if dose else 0.0 for dose in doses]
    assert bent.slope is not None
    assert bent.slope.value == pytest.approx(np.polyfit(doses, means, 1)[0])
    lowest = outcome(numbers | {"dose": None}, None, setting())
    assert lowest.slope is not None
    assert lowest.slope.value == pytest.approx(each.mean())
    assert outcome(measured(each, drawn_placebos()), 1.0, setting()).slope is None


def test_the_curve_has_nothing_at_zero_and_says_where_it_turns() -> None:
    each = 1 + noise() / 4
    rises = {-1.0: -each, 1.0: each, 2.0: 3 * each, 3.0: 2 * each, 4.0: 9 * each}
    found = outcome(measured(each, drawn_placebos(), **curve(rises)), 1.0, setting())
    assert [point.dose for point in found.curve] == [-1, 0, 1, 2, 3, 4]
    assert [point.effect.value for point in found.curve] == pytest.approx(
        [0 if d == 0 else rises[d].mean() for d in (-1, 0, 1, 2, 3, 4)]
    )
    assert [point.kl for point in found.curve] == [None, None, 0.1, 0.2, 0.3, 0.4]  # of its own layer
    assert found.reversal == 2.0
    up = {dose: dose * each for dose in (-1.0, 1.0, 2.0)}
    assert outcome(measured(each, drawn_placebos(), **curve(up)), 1.0, setting()).reversal is None
    down = {dose: -dose * each for dose in (1.0, 2.0)}
    assert outcome(measured(each, drawn_placebos(), **curve(down)), 1.0, setting()).reversal == 0.0
    plain = outcome(measured(each, drawn_placebos()), 1.0, setting())
    assert (plain.curve, plain.reversal) == ((), None)


def test_other_words_are_set_beside_nine_in_ten_placebos() -> None:
    rng = np.random.default_rng(4)
    own, drawn = rng.standard_normal((3, 24)), rng.standard_normal((20, 3, 24))
    numbers = measured(own[0], drawn[:, 0]) | {"rises": own.tolist(), "placebos": drawn.tolist()}
    found = outcome(numbers, 2.0, setting(others=("space", "french")))
    assert list(found.off_target) == ["space", "french"]
    for place, name in enumerate(("space", "french"), start=1):
        means = drawn[:, place].mean(1)
        expected = {"rise": own[place].mean(), "lo": means.min(), "hi": means.max()}
        assert found.off_target[name] == pytest.approx(expected)
    assert outcome(measured(own[0], drawn[:, 0]), 2.0, setting()).off_target == {}


def test_all_continuations_of_a_prompt_count_as_one_case() -> None:
    once = {name: [True] * 6 + [False] * 18 for name in ("hits", "coherent", "shows", "words")}
    thrice = {name: some * 3 for name, some in once.items()}
    assert written_shares(thrice, 24) == pytest.approx(written_shares(once, 24))
    assert written_shares(once, 24)["hits_lo"] == pytest.approx(0.1200, abs=1e-3)
    third = {name: [True] + [False] * 71 for name in once}
    assert written_shares(third, 24)["shows"] == pytest.approx(1 / 72)


def test_rates_are_shares_of_hits_with_what_few_placebos_exceed() -> None:
    rng = np.random.default_rng(6)
    hits, plain, drawn = rng.random(24) < 0.8, rng.random(24) < 0.1, rng.random((20, 24)) < 0.15
    wrote = {"hits": hits.tolist(), "placebo_hits": drawn.tolist(), "rival_hits": None}
    found = rates(wrote, {"hits": plain.tolist()}, setting())
    assert (found.score.value, found.nulls["untreated"].value) == (hits.mean(), plain.mean())
    assert found.nulls["random"].value == drawn.mean(1).max()
    weights = document_weights(24, 400, 0)
    assert found.score.replicates == pytest.approx(weights @ hits / 24)
    assert found.nulls["random"].replicates == pytest.approx((weights @ drawn.T / 24).max(1))
    assert judge_check({0: found.check}, {}).claims[0].verdict == "supported"
    below = rates({**wrote, "hits": drawn[3].tolist()}, {"hits": plain.tolist()}, setting())
    assert judge_check({0: below.check}, {}).claims[0].verdict == "refuted"
    less = {"hits": [True] * 19, "placebo_hits": [[False] * 19] * 20, "rival_hits": None}
    few = rates(less, {"hits": [False] * 19}, setting())
    twice = wrote | {"hits": [*hits.tolist(), *plain.tolist()]}  # one continuation of each prompt, then another
    several = rates(twice, {"hits": [False] * 48}, setting())
    assert several.score.value == pytest.approx((hits.mean() + plain.mean()) / 2)
    assert several.score.replicates == pytest.approx(weights @ (hits.astype(float) + plain) / 48)
    assert judge_check({0: few.check}, {}).claims[0].reason == "19 prompts; 20 are needed"
    plainly = rates({**wrote, "hits": hits.tolist()}, {"hits": hits.tolist()}, setting())
    assert judge_check({0: plainly.check}, {}).claims[0].verdict == "refuted"  # no more than untreated
    over = rates(wrote, {"hits": plain.tolist()}, setting(), ("the KL is above the cap",))
    assert judge_check({0: over.check}, {}).claims[0].reason == "the KL is above the cap"
    rival = rates({**wrote, "rival_hits": hits.tolist()}, {"hits": plain.tolist()}, setting())
    assert rival.nulls["trained on either side"].value == hits.mean()
    assert judge_check({0: rival.check}, {}).claims[0].verdict == "refuted"


def test_what_is_measured_is_both_signs_and_every_dose() -> None:
    treatment = push(2, 4, doses=(1.0, 2.0))

    def effect(one: Treatment, dose: float) -> list[list[float]]:
        return [[dose, 2 * dose], [5.0, 6.0]]

    reporting = half(effect, lambda t, d: 0.2 * abs(d))
    placebos = Placebos(20, lambda: reporting, lambda: reporting, CAP)
    chosen = Chosen(treatment, 2, 2.0, choose([(2, treatment)], reporting, CAP).tried)
    found = measure(chosen, reporting, placebos)
    assert (found["layer"], found["dose"]) == (2, 2.0)
    assert found["rises"] == [[2, 4], [5, 6]]
    assert found["curve"] == [[dose, [dose, 2 * dose]] for dose in (-2, -1, 1, 2)]
    assert found["kl"] == pytest.approx([0.2, 0.6])
    assert found["loss"] == pytest.approx([0.1, 0.3])
    assert np.shape(found["placebos"]) == (20, 2, 2)
    assert np.shape(found["posing"]) == (10, 2)
    told_of = Told(Before("x"), (Before("y"),))
    [chosen_told] = [choose([(None, told_of)], reporting, CAP)]
    assert measure(chosen_told, reporting, placebos)["curve"] == []
    json.dumps(found, allow_nan=False)


# Halves


def test_halves_share_no_prompt_and_no_document(bench: Bench) -> None:
    one, other = bench.to_choose, bench.to_report
    assert len(bench.rows[0]) == len(bench.rows[1]) == 20
    assert not set(bench.rows[0]) & set(bench.rows[1])
    assert not set(one.scored.texts) & set(other.scored.texts)
    assert len({*one.scored.texts, *other.scored.texts}) == 40
    assert not set(one.neutral.documents) & set(other.neutral.documents)
    assert set(one.neutral.corpora) == set(other.neutral.corpora) == {"bundled", "python-manual"}
    windows = [window for part in (one, other) for window in part.neutral.windows]
    assert len({(window.corpus, window.document) for window in windows}) == len(windows) == 16
    measured_on = {ids for ids in bench.neutral.measure}
    assert not measured_on & {window.ids for window in windows}
    assert len(set(bench.neutral.others)) == 30  # in the place of an instruction, and to pose as claims
    assert list(bench.off_target) == sorted(bench.off_target)
    assert len(other.scored.words) == 1 + len(bench.off_target)
    assert len(one.scored.words) == 1


def test_words_that_are_scored_for_the_behaviour_are_no_words_of_others(ladder: Any, bench: Bench) -> None:
    own = warm(more=("his", "her", "people"), less=("river", "house", "street"))
    less = Bench(ladder, own, SteerRequest(effort="smoke"), lambda m, share=None: None).off_target
    [every, left] = [set(words["second_person"][1].tolist()) for words in (bench.off_target, less)]
    gone = {ladder.tokenizer.decode([token]).strip() for token in every - left}
    assert {"his", "her", "people"} <= gone <= {"his", "her", "hers", "people"}
    assert left < every
    assert less["past_tense"][1].tolist() == bench.off_target["past_tense"][1].tolist()


def test_the_seed_draws_the_halves(ladder: Any) -> None:
    def rows(seed: int, effort: str = "smoke") -> tuple[list[int], list[int]]:
        return Bench(ladder, warm(), SteerRequest(seed=seed, effort=effort), lambda m, share=None: None).rows

    assert rows(1) == rows(1)
    assert rows(1) != rows(2)
    for seed in range(4):
        one, other = rows(seed)
        assert (one, other) == (sorted(one), sorted(other))
        assert sorted([*one, *other]) == list(range(40))
    few = Bench(ladder, warm(prompts=("The house",)), SteerRequest(effort="smoke"), lambda m, share=None: None)
    with pytest.raises(UsageError, match="the concept warm has 1 prompts; give at least two, better forty"):
        _ = few.rows


def test_layers_are_spread_evenly_or_those_asked_for(ladder: Any) -> None:
    def layers(asked: tuple[int, ...] | None) -> tuple[int, ...]:
        request = SteerRequest(effort="smoke", layers=asked)
        return Bench(ladder, warm(), request, lambda m, share=None: None).layers

    assert layers(None) == (0, 1)
    assert layers((1, 0, 1)) == (1, 0)
    for wrong in (2, -1):
        with pytest.raises(UsageError) as error:
            layers((0, wrong))
        assert str(error.value) == f"ladder-2-0 has layers 0 to 1, and --layers names {wrong}"


def test_untreated_hits_are_plain_numbers(bench: Bench) -> None:
    wrote = told(bench.written.write(bench.rows[1][:5]), bench.borders)
    assert set(wrote) == {"texts", "hits", "shows", "coherent", "words"}
    assert all(len(part) == 5 for part in wrote.values())
    assert wrote["hits"] == [a and b for a, b in zip(wrote["shows"], wrote["coherent"], strict=True)]
    json.dumps(wrote, allow_nan=False)


def test_prose_of_the_manual_is_prose() -> None:
    corpus = python_manual()
    assert len(corpus.documents) > 20
    assert len({document.id for document in corpus.documents}) == len(corpus.documents)
    for document in corpus.documents:
        for paragraph in document.text.split("\n\n"):
            assert len(paragraph) > 60
            assert paragraph.endswith((".", ":"))
            assert ">>>" not in paragraph[:4]
            assert "\n" not in paragraph
    assert corpus.sha256 == python_manual().sha256


def test_another_seed_draws_other_placebos(ladder: Any) -> None:
    treatment = Pushes((Push(SiteId(0, "resid_post"), vector(ladder.d_model)),))
    drawn: list[np.ndarray] = []
    for seed in (0, 1):
        bench = Bench(ladder, warm(), SteerRequest(effort="smoke", seed=seed), lambda m, share=None: None)
        one = bench.placebos.of(treatment)[0]
        assert isinstance(one, Pushes)
        drawn.append(one.pushes[0].vector)
    assert not np.array_equal(*drawn)
