"""One layer: every unit explained on the fit documents, settled on the choose documents, scored on the test documents.

The methods are those of the main job, unit by unit; only the loops are others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from assay.core.ids import SiteId
from assay.core.jit import spread
from assay.explain.claims import LEAST_SLOPE, RIVALS
from assay.explain.material import FIRING_QUANTILE
from assay.explain.whole.bench import Bench, ContextMaker, to_scale
from assay.explain.whole.elsewhere import Away, OtherText, score_away
from assay.explain.whole.joined import taken
from assay.referee.many import ManyChecks, many_prediction_checks
from assay.rules import Lookup, RuleList
from assay.rules.apply import Applier
from assay.stats.many import Context, Many, ManyScores, many_r, many_scores
from assay.stats.many_choose import Lines, many_best_threshold, many_calibrate, many_calibrated
from assay.stats.many_means import kept_tokens, many_token_means
from assay.stats.many_quantiles import many_quantiles
from assay.stats.many_ranks import many_ranks
from assay.stats.many_undecided import Grounds, many_grounds
from assay.stats.strata import TokenShares, TokenSums, token_shares

Floats = NDArray[np.float32]
EXPLAINERS = ("rules", "lookup")


class Asserted(NamedTuple):
    """What one explainer says of every unit, and what the test documents answer.

    ``lines``, ``thresholds``: settled on the choose documents. ``rivals``: (u,) the unit whose explanation is the
    null, ``rival_lines`` what brings it to scale. ``predicted``: (u, n) on all tokens of the test split, calibrated;
    ``rival_predicted`` before calibration is row ``rivals`` of the same explanations. ``checks`` on the tokens that
    count; ``nulls``: by null and measure, (u,). ``references``: by name, (u,) their r. ``ranks``: 0 where undefined.
    ``away``: the same claims on other text.
    """

    explanations: Sequence[RuleList] | Sequence[Lookup]
    lines: Lines
    thresholds: NDArray[np.float64]
    rivals: NDArray[np.int64]
    rival_lines: Lines
    raw: Floats
    scores: ManyScores
    checks: ManyChecks
    nulls: Mapping[str, Mapping[str, NDArray[np.float64]]]
    references: Mapping[str, NDArray[np.float64]]
    ranks: NDArray[np.int64]
    with_first: NDArray[np.float64]
    away: Away | None = None


class LayerFound(NamedTuple):
    """Everything that is known of the units of a site.

    ``activations``: (u, n) on all tokens of the test split. ``strangers``: (u,) the unit whose explanation by the first
    explainer is asserted as a negative control, ``controls`` how that went. ``shares``: what the token alone says.
    """

    site: SiteId
    fit: Floats
    activations: Floats
    fire_above: NDArray[np.float64]
    grounds: Grounds
    asserted: Mapping[str, Asserted]
    strangers: NDArray[np.int64]
    control_lines: Lines
    controls: ManyChecks
    shares: TokenShares


def study_layer(
    bench: Bench, site: SiteId, values: Float32[np.ndarray, "u n"], told: Callable[[str], None]
) -> LayerFound:
    """Explain and test every unit of a site.

    Args:
        values: (u, n) activations on the joined table.
        told: is told what is going on.
    """
    fit, choose = taken(values, bench.joined.fit), taken(values, bench.joined.choose)
    test = taken(values, bench.joined.test)
    scored = taken(test, np.flatnonzero(bench.material.test.scored))
    fire_above = many_quantiles(fit, FIRING_QUANTILE)  # what counts as firing
    units = len(fit)
    told("learning rules")
    rules = bench.learner.fit_many(fit, bench.rules)
    bits = np.array([found.bits for found in rules])
    told("fitting lookups")
    made: dict[str, Sequence[RuleList] | Sequence[Lookup]] = {"rules": rules}
    made["lookup"] = bench.lookup.fit_many(fit, bits)
    told("testing on unseen documents")
    elsewhere = taken(values, bench.joined.other)
    references = _references(bench, fit, bits, scored, elsewhere)
    rng = np.random.default_rng([bench.seed, 6, *str(site).encode()])
    strangers = (np.arange(units) + rng.integers(1, units)) % units
    context = ContextMaker(bench, fit)
    at_test = {"rules": bench.at_test.predict_rules(rules), "lookup": bench.at_test.predict_lookups(made["lookup"])}
    at_choose = {
        "rules": bench.at_choose.predict_rules(rules),
        "lookup": bench.at_choose.predict_lookups(made["lookup"]),
    }
    predict_fit = {"rules": bench.at_fit.predict_rules, "lookup": bench.at_fit.predict_lookups}
    means = {name: context.of(predict_fit[name], made[name]) for name in EXPLAINERS}
    asserted = {
        name: _assert(
            bench, made[name], at_choose[name], choose, at_test[name], test, scored, fire_above,
            means[name], references[0], _draw_rivals(rng, units, strangers),
            context.columns if name == "lookup" else None,
        )
        for name in EXPLAINERS
    }  # fmt: skip
    if bench.other is not None:
        told("testing on other text")
        for name, own in asserted.items():
            away = _away(bench, bench.other, own, made[name], elsewhere, fire_above, means[name], references[1])
            asserted[name] = own._replace(away=away)
    first = asserted[EXPLAINERS[0]]
    predicted = taken(first.raw, np.flatnonzero(bench.material.test.scored))
    controls = many_prediction_checks(
        predicted, scored, bench.of_token, bench.weights, predicted,
        rows=strangers, other_rows=first.rivals, seed=bench.seed,
    )  # fmt: skip
    control_lines = many_calibrate(at_choose[EXPLAINERS[0]], choose, least_slope=LEAST_SLOPE, rows=strangers)
    grounds = many_grounds(scored, bench.of_token, bench.weights.shape[1], fire_above)
    return LayerFound(
        site, fit, test, fire_above, grounds, asserted, strangers, control_lines, controls, _shares(bench, fit)
    )


def _shares(bench: Bench, fit: Floats) -> TokenShares:
    """How much of each unit the identity of the token says on the fit documents, and one string alone."""
    strings = bench.material.fit.view.keys("token").ids
    counts = np.bincount(strings)
    kept = np.flatnonzero(counts)
    at = kept_tokens(strings, kept)
    explained, single, alone = np.empty((3, len(fit)))
    found = TokenShares(explained, single, alone, np.empty(len(fit), np.int64))

    def look(first: int, last: int) -> None:
        rows = fit[first:last]
        sums = np.zeros((len(rows), len(counts)))
        sums[:, kept] = many_token_means(rows, at, 0.0, threads=1) * counts[kept]
        table = TokenSums(counts, sums, np.square(rows, dtype=np.float64).sum(axis=1))
        for own, part in zip(found, token_shares(table), strict=True):
            own[first:last] = part

    spread(look, len(fit))
    return found


def _draw_rivals(rng: np.random.Generator, units: int, strangers: NDArray[np.int64]) -> NDArray[np.int64]:
    """(u, candidates) for each unit others of its site, neither itself nor its stranger."""
    found = np.empty((units, min(RIVALS, units - 2)), np.int64)
    for unit in range(units):
        drawn = (unit + 1 + rng.choice(units - 1, found.shape[1] + 1, replace=False)) % units
        found[unit] = drawn[drawn != strangers[unit]][: found.shape[1]]
    return found


def _references(
    bench: Bench, fit: Floats, bits: NDArray[np.float64], scored: Floats, elsewhere: Floats
) -> list[dict[str, NDArray[np.float64]]]:
    """r of each reference on the test split and on other text."""
    return [
        {name: many_r(predicted, activations) for name, predicted in own.items()}
        for own, activations in zip(bench.references.predict(fit, bits), (scored, elsewhere), strict=False)
    ]


def _away(
    bench: Bench,
    other: OtherText,
    own: Asserted,
    explanations: Sequence[RuleList] | Sequence[Lookup],
    activations: Floats,
    fire_above: NDArray[np.float64],
    means: Context,
    references: Mapping[str, NDArray[np.float64]],
) -> Away:
    raw = _predict(other.at, explanations)
    context = to_scale(means, own.lines)._replace(columns=np.searchsorted(bench.kept_ids, other.part.ids))
    return score_away(
        other,
        many_calibrated(raw, own.lines),
        many_calibrated(raw, own.rival_lines, rows=own.rivals),
        activations,
        own.checks.r,
        fire_above,
        own.thresholds,
        context,
        references,
        bench.seed,
    )


def _predict(at: Applier, explanations: Sequence[RuleList] | Sequence[Lookup]) -> Floats:
    rules = [found for found in explanations if isinstance(found, RuleList)]
    lookups = [found for found in explanations if isinstance(found, Lookup)]
    return at.predict_rules(rules) if rules else at.predict_lookups(lookups)


def _assert(
    bench: Bench,
    explanations: Sequence[RuleList] | Sequence[Lookup],
    at_choose: Floats,
    choose: Floats,
    at_test: Floats,
    test: Floats,
    scored: Floats,
    fire_above: NDArray[np.float64],
    context: Context,
    references: Mapping[str, NDArray[np.float64]],
    candidates: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
) -> Asserted:
    lines = many_calibrate(at_choose, choose, least_slope=LEAST_SLOPE)
    context = to_scale(context, lines)
    thresholds = many_best_threshold(at_choose, choose, fire_above, lines=lines)
    by_rival = np.stack([many_r(at_choose, choose, rows=column) for column in candidates.T], axis=1)
    best = np.nan_to_num(by_rival, nan=-2.0).argmax(axis=1)
    rivals = np.take_along_axis(candidates, best[:, None], axis=1)[:, 0]
    rival_lines = many_calibrate(at_choose, choose, least_slope=LEAST_SLOPE, rows=rivals)
    raw = taken(at_test, np.flatnonzero(bench.material.test.scored))
    predicted, other = many_calibrated(raw, lines), many_calibrated(raw, rival_lines, rows=rivals)
    checks = many_prediction_checks(predicted, scored, bench.of_token, bench.weights, other, seed=bench.seed)
    none = bench.weights[:0]
    alone = Context(context.columns, context.means)
    by_null = {
        "shuffled": many_scores(
            predicted, scored, bench.of_token, none, fire_above, thresholds=thresholds, context=alone,
            order=bench.order, r=no_interval(checks.shuffled),
        ),
        "other_unit": many_scores(
            other, scored, bench.of_token, none, fire_above, thresholds=thresholds, context=alone,
            r=no_interval(checks.other_unit),
        ),
    }  # fmt: skip
    return Asserted(
        explanations=explanations,
        lines=lines,
        thresholds=thresholds,
        rivals=rivals,
        rival_lines=rival_lines,
        raw=at_test,
        scores=many_scores(
            predicted, scored, bench.of_token, bench.weights, fire_above,
            thresholds=thresholds, context=context, r=checks.r,
        ),
        checks=checks,
        nulls={name: {m: getattr(found, m).value for m in ManyScores._fields} for name, found in by_null.items()},
        references=references,
        ranks=many_ranks(predicted, scored, groups=groups),
        with_first=many_r(at_test, test),
    )  # fmt: skip


def no_interval(value: NDArray[np.float64]) -> Many:
    """A score without an interval."""
    nothing = np.full(len(value), np.nan)
    return Many(value, nothing, nothing)
