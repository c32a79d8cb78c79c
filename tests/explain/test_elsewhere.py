"""``--also``: the same claims on other text, by the main job and by whole layers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.core.ids import SiteId, UnitId
from assay.errors import CorpusError, UsageError
from assay.explain.experiment import ExplainOutcome, ExplainRequest, explain
from assay.explain.material import WHOLE_SHARES, Part, gather_material
from assay.record import stream
from assay.rules import Lookup, RuleList
from assay.stats import Calibration, Interval, independent_difference, score, token_means
from assay.store import open_run
from assay.store.entries import entries
from assay.testing import Planted
from assay.text import Corpus
from explain.bench import planted_text

REQUEST = ExplainRequest(
    units="L1.mlp_act:0-3", explainers=("rules", "lookup"), tokens=24_000, rules=3, behaviour=False
)
SITE = SiteId(1, "mlp_act")


def other_text(documents: int = 300) -> Corpus:
    """Other documents in the planted language, with a rare word, at which some units do something, for each " the"."""
    text = planted_text(documents, seed=5)
    changed = tuple(d._replace(id=f"other-{d.id}", text=d.text.replace(" the", " quartz")) for d in text.documents)
    return Corpus("changed", changed, "1" * 64)


def run(model: Planted, out: Path, also: Corpus, **changes: Any) -> ExplainOutcome:
    request = ExplainRequest(**{**REQUEST.__dict__, "also": also.name, "out": str(out), **changes})
    return explain(request, subject=model.subject, corpus=planted_text(), also=also)


@pytest.fixture(scope="module")
def outcome(model: Planted, tmp_path_factory: pytest.TempPathFactory) -> ExplainOutcome:
    return run(model, tmp_path_factory.mktemp("also"), other_text())


@pytest.fixture(scope="module")
def whole(model: Planted, tmp_path_factory: pytest.TempPathFactory) -> ExplainOutcome:
    return run(model, tmp_path_factory.mktemp("whole"), other_text(), units=f"{SITE}:all")


def test_scores_are_those_of_the_stored_predictions(outcome: ExplainOutcome) -> None:
    stored = open_run(str(outcome.run_path))
    claims = [row for row in stored.rows("claims") if row["role"] == "claim"]
    kept = stored.tensor("also", "scored") > 0
    real, predicted = stored.tensor("also", "activations")[:, kept], stored.tensor("also", "predictions")[:, kept]
    place = {f"{SITE}:{i}": i for i in range(4)}
    assert len(outcome.result["units"]) == len(claims) == len(predicted) == 8
    for row, entry in enumerate(outcome.result["units"]):
        also = entry["also"]
        assert also["r"] == pytest.approx(np.corrcoef(predicted[row], real[place[entry["unit"]]])[0, 1], abs=1e-5)
        assert also["r_lo"] < also["r"] < also["r_hi"]
        assert also["drop"] == pytest.approx(entry["r"] - also["r"])
        assert also["drop_lo"] < also["drop"] < also["drop_hi"]
        assert set(also["nulls"]) == {"constant", "shuffled", "other_unit"}
        assert set(also["references"]) == {"lookup", "bigram", "lookup_full", "bigram_full"}


def test_the_summary_is_the_mean_over_units(outcome: ExplainOutcome) -> None:
    summary = outcome.result["summary"]["also"]
    own = [entry for entry in outcome.result["units"] if entry["explainer"] == "rules"]
    assert summary["explainers"]["rules"]["units"] == 4
    assert summary["explainers"]["rules"]["mean_r"] == pytest.approx(np.mean([e["also"]["r"] for e in own]))
    assert summary["explainers"]["rules"]["drop"] == pytest.approx(np.mean([e["also"]["drop"] for e in own]))
    assert summary["explainers"]["rules"]["drop_lo"] is None  # four units say nothing about others
    spec = json.loads((outcome.run_path / "spec.json").read_text())
    assert spec["corpus"]["also"]["name"] == "changed"
    assert spec["corpus"]["also"]["tokens"] == summary["tokens"] == pytest.approx(4_800, abs=64)


def test_the_tables_give_the_same_entries(outcome: ExplainOutcome) -> None:
    told = {(entry["unit"], entry["explainer"]): entry["also"] for entry in outcome.result["units"]}
    read = {(entry["unit"], entry["explainer"]): entry["also"] for entry in entries(open_run(str(outcome.run_path)))}
    assert read.keys() == told.keys()
    for key, also in told.items():
        assert read[key] == also


def test_verdicts_do_not_look_at_other_text(model: Planted, outcome: ExplainOutcome, tmp_path: Path) -> None:
    alone = explain(
        ExplainRequest(**{**REQUEST.__dict__, "out": str(tmp_path)}), subject=model.subject, corpus=planted_text()
    )
    assert [e["also"] for e in alone.result["units"]] == [None] * 8
    assert alone.result["summary"]["also"] is None
    without = [{k: v for k, v in e.items() if k != "also"} for e in outcome.result["units"]]
    assert [{k: v for k, v in e.items() if k != "also"} for e in alone.result["units"]] == without


def values_of(model: Planted, part: Part) -> np.ndarray:
    """(tokens, units) what the site did."""
    found = np.zeros((part.table.n_tokens, model.subject.width(SITE)), np.float32)
    for block in stream(model.subject, part.table, [SITE]):
        found[block.flat] = block.activations[SITE]
    return found[part.scored]


def test_a_whole_layer_has_the_main_jobs_scores(model: Planted, whole: ExplainOutcome) -> None:
    """Oracle: explanations read back, predicted, and scored one by one by the main job's own functions."""
    material = gather_material(model.subject, planted_text(), 24_000, 0, WHOLE_SHARES, other_text())
    fit, learnt = material.fit, values_of(model, material.fit).astype(np.float64)
    parts = [(part, values_of(model, part)) for part in (material.test, material.other) if part is not None]
    stored = open_run(str(whole.run_path))
    claims = {(r["unit"], r["explainer"]): r for r in stored.rows("claims") if r["role"] == "claim"}
    levels = {row["unit"]: row["q99"] for row in stored.rows("units")}
    checked = 0
    for entry in entries(stored, [f"{SITE}:{i}" for i in range(12)]):
        own, index = claims[entry["unit"], entry["explainer"]], UnitId.parse(entry["unit"]).index
        assert isinstance(index, int)
        kind = RuleList if entry["explainer"] == "rules" else Lookup
        said, line = kind.from_json(json.loads(own["rules"])), Calibration(**json.loads(own["calibration"]))
        home, away = (
            score(
                line(said.predict(part.view)),
                real[:, index],
                part.table.flat_documents[part.scored],
                tokens=part.ids,
                token_means=token_means(learnt[:, index], fit.ids, len(fit.texts)),
                predicted_token_means=token_means(
                    line(said.predict(fit.view)), fit.ids, len(fit.texts), pseudo_count=0.0
                ),
                fire_above=levels[entry["unit"]],
                threshold=own["threshold"],
                replicates=1000,
            )
            for part, real in parts
        )
        if home.r is None or away.r is None:
            continue
        assert (entry["r"], entry["r_lo"], entry["r_hi"]) == pytest.approx(tuple(home.r), abs=1e-4)
        also = entry["also"]
        assert (also["r"], also["r_lo"], also["r_hi"]) == pytest.approx(tuple(away.r), abs=1e-4)
        for name in ("r_pos", "r_neg", "r_context", "f1"):
            for there, expected in ((entry, home), (also, away)):
                found = getattr(expected, name)
                assert there[name] == (None if found is None else pytest.approx(found.value, abs=1e-4)), name
        gap = independent_difference(home.r, away.r)
        assert (also["drop"], also["drop_lo"], also["drop_hi"]) == pytest.approx(tuple(gap), abs=1e-3)
        checked += 1
    assert checked > 12
    means = whole.result["summary"]["also"]["explainers"]
    every = [e["also"]["r"] for e in entries(stored) if e["explainer"] == "rules" and e["also"]["drop"] is not None]
    assert means["rules"]["mean_r"] == pytest.approx(np.mean(every), abs=1e-6)
    assert means["rules"]["units"] == len(every) > 20
    assert means["rules"]["drop_lo"] < means["rules"]["drop"] < means["rules"]["drop_hi"]


def test_other_text_must_be_other_and_long_enough(model: Planted, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--also planted has no document that planted has not; name another corpus"):
        run(model, tmp_path, planted_text())
    with pytest.raises(CorpusError, match=r"the corpus of --also, changed"):
        run(model, tmp_path, other_text(3))
    with pytest.raises(UsageError, match=r"can't both be read from standard input"):
        ExplainRequest(corpus="-", also="-").check()


def test_the_difference_of_two_independent_scores() -> None:
    """By hand: 3-4-5 triangles."""
    assert independent_difference(Interval(0.9, 0.6, 0.92), Interval(0.5, 0.48, 0.9)) == pytest.approx(
        (0.4, 0.4 - 0.5, 0.4 + np.hypot(0.02, 0.02))
    )


def test_the_page_of_whole_layers_says_the_drop(whole: ExplainOutcome) -> None:
    page = (whole.run_path / "page.html").read_text(encoding="utf-8")
    own = whole.result["summary"]["also"]["explainers"]["rules"]
    drop = f"{own['drop']:.2f}".replace("-", "−")
    assert f"On changed, {whole.result['summary']['also']['tokens']:,} tokens of which nothing was learnt:" in page
    assert f"rules {own['mean_r']:.2f}, {drop} lower, lookup " in page
