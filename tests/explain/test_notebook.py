"""Results as a notebook shows them: scores, verdicts, runs, outcomes, sentences and recordings, in a browser."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import synthetic
from assay.core.ids import SiteId, UnitId
from assay.explain.prose import Candidate, Prose
from assay.explain.request import ExplainOutcome
from assay.record import SketchSizes, record
from assay.referee import combine, judge_check, prediction_check
from assay.stats import score
from assay.store import open_run
from record.test_recorder import NAMES, UNITS, Fake, table_of

HOSTILE = "<script>window.bad=1</script>"


def text_of(html: str) -> str:
    """What a reader reads."""
    body = re.sub("<style>.*?</style>", "", html)
    return " ".join(re.sub("<[^>]+>", " ", body).split())


@pytest.fixture(scope="module")
def run_path(tmp_path_factory) -> Path:
    return synthetic.write_run(tmp_path_factory.mktemp("runs"), hostile=HOSTILE)


@pytest.fixture(scope="module")
def arrays() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictions, activations and documents of 2,000 tokens."""
    rng = np.random.default_rng(5)
    activations = rng.normal(0, 1, 2000)
    return activations + rng.normal(0, 0.5, 2000), activations, np.arange(2000) // 40


@pytest.fixture(scope="module")
def recording():
    sizes = SketchSizes(exemplars=2, sample=100)
    return record(Fake(), table_of(60), UNITS, document_ids=NAMES, sizes=sizes)


def test_scores_are_a_table_with_their_intervals(arrays):
    found = score(*arrays, replicates=200)
    text = text_of(found._repr_html_())
    assert f"r {found.r.value:.2f} {found.r.lo:.2f} to {found.r.hi:.2f}" in text
    assert "2,000 tokens in 50 documents" in text
    assert "not defined: r, context, F1" in text
    assert "carry no verdict" not in text
    assert "carry no verdict: " in text_of(score(*(side[:200] for side in arrays), replicates=20)._repr_html_())


def test_checks_and_verdicts_are_tables(arrays):
    check = prediction_check(*arrays, fire_above=1.0, replicates=200)
    text = text_of(check._repr_html_())
    assert f"the check’s score {check.score:.2f}" in text
    assert "constant 0.00" in text
    judged = judge_check({"mine": check}, {"wrong": check})
    verdict = judged.claims["mine"]
    assert f"mine ● supported {verdict.d:.2f} {verdict.d_lo:.2f} to {verdict.d_hi:.2f}" in text_of(judged._repr_html_())
    assert "1 of 1 negative controls passed" in text_of(judged._repr_html_())
    assert f"● supported {verdict.d:.2f}" in text_of(verdict._repr_html_())
    claim = combine("explanation", {"prediction": verdict})
    assert text_of(claim._repr_html_()) == (
        "Verdict of a claim verdict reason ◐ predicts prediction is supported; behaviour was not run"
    )


def test_an_outcome_lists_every_claim(run_path):
    result = open_run(run_path).result()
    html = ExplainOutcome(run_path, result)._repr_html_()
    text = text_of(html)
    assert html.count('scope="row"') == len(result["units"])
    for claim in result["units"]:
        assert f"{claim['r']:.2f} {claim['r_lo']:.2f} to {claim['r_hi']:.2f}".replace("-", "−") in text
        assert claim["reason"] in text
    assert "<script" not in html
    assert str(run_path) in text


def test_an_outcome_of_a_whole_model_counts_verdicts(tmp_path):
    verdicts = {"rules": {"predicts": 12, "void": 0}, "lookup": {"refuted": 3}}
    result = {"units": None, "subject": "a", "summary": {"units": 1000, "verdicts": verdicts}}
    text = text_of(ExplainOutcome(tmp_path, result)._repr_html_())
    assert text.startswith(
        "1,000 units of a verdict explainer claims ◐ predicts rules 12 ⊘ void rules 0 ✕ refuted lookup 3"
    )


def test_a_run_says_what_it_is(run_path):
    run = open_run(run_path)
    text = text_of(run._repr_html_())
    assert text.startswith(f"Run {run.id} what is made by assay explain finished {run.finished}")
    verdicts = [row["verdict"] for row in run.rows("evidence") if row["check"] == "claim" and row["verdict"]]
    for name in set(verdicts):
        assert f"{name} {verdicts.count(name)}" in text


def test_prose_shows_its_sentence_and_what_it_was_chosen_from():
    said = Prose(
        HOSTILE,
        9,
        1024,
        "mock",
        ("explain@1",),
        (Candidate("greedy", HOSTILE, 0.25, None), Candidate("sample 1", "", None, "no reply")),
    )
    html = said._repr_html_()
    assert "<script" not in html
    assert "written by mock with explain@1, 90 bits" in html
    assert text_of(html).endswith("greedy 0.250 &lt;script&gt;window.bad=1&lt;/script&gt; sample 1 unscored no reply")


def test_a_recording_shows_statistics_and_shaded_exemplars(recording):
    texts = {i: f"<w{i}>" for i in range(100)}
    html = recording.reading(texts, exemplars=1)._repr_html_()
    text = text_of(html)
    outlined = re.findall(r'<i class="b\w+ k" title="real ([^"]+)">&lt;w(\d+)&gt;</i>', html)
    assert len(outlined) == html.count("<caption>Where")
    means = recording.gather(lambda site: site.moments.mean)
    for unit, mean in zip(UNITS, means, strict=True):
        assert f"{unit} {mean:.3g}".replace("-", "−") in text
        top, slot = recording.sites[unit.site].exemplars.top, recording.sites[unit.site].units.index(unit.index)
        peak = f"{top.peaks[slot, 0]:.0f}", str(top.ids[slot, 0, top.positions[slot, 0]])
        assert peak in outlined


def test_a_recording_without_texts_shows_numbers_and_says_how_to_read_it(recording):
    html = recording._repr_html_()
    assert re.search(r">\[\d+\]</i>", html)
    assert "recording.reading(texts)" in html
    only = recording.reading(
        [f"t{i}" for i in range(100)], [UnitId(SiteId.parse("L0.mlp_act"), 4)] if False else UNITS[:1]
    )
    assert only._repr_html_().count("Where ") in (1, 2)


def test_all_of_them_render_in_a_browser_without_a_word(chromium, run_path, arrays, recording):
    shown = [open_run(run_path), ExplainOutcome(run_path, open_run(run_path).result()), recording.reading({5: HOSTILE})]
    shown.append(score(*arrays, replicates=20))
    page = chromium.new_page(viewport={"width": 900, "height": 700})
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.set_content("".join(one._repr_html_() for one in shown))
    assert heard == []
    assert page.evaluate("window.bad") is None
    assert page.locator(".assay-html script").count() == 0
    assert page.locator(".assay-html table").count() == page.locator(".assay-html caption").count() > 5
    assert page.locator("th:not([scope])").count() == 0
    page.close()
