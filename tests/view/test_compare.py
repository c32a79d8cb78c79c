"""Two runs beside each other: by unit, by layer, and what makes them comparable."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from assay.store import RunWriter
from assay.view.app import make_app
from assay.view.comparing import FEWEST, Joined, changed, joined, mean_difference, resampled, scores_of
from assay.view.pages import Site
from assay.view.shelf import Shelf

PORT = 8765
BAD = "<script>alert(1)</script>"
LAYERS, WIDTH = 2, 30


def write(
    root: Path,
    r: list[float | None],
    *,
    name: str = "small",
    weights: str = "a" * 64,
    splits: str = "1" * 64,
    text: str = "0" * 64,
    seed: int = 0,
    units: list[str] | None = None,
    explainers: tuple[str, ...] = ("rules",),
    whole: bool = False,
) -> Path:
    """A run with a claim about each unit by each explainer, with these values of r; None is unscored."""
    units = units or [f"L{i // WIDTH}.mlp_act:{i % WIDTH}" for i in range(len(r))]
    subject = {"name": name, "architecture": "llama", "fingerprint": weights, "dtype": "float32", "device": "cpu"}
    corpus = {"name": "bundled", "sha256": text, "splits_sha256": splits, "tokens": {"fit": 6, "choose": 2, "test": 2}}
    resolved = {"seed": seed, "rules": 8, "calibration": "linear", "whole": whole}
    claims, evidence = list[dict[str, Any]](), list[dict[str, Any]]()
    for unit, value in zip(units, r, strict=True):
        for explainer in explainers:
            number = len(claims)
            claims.append(
                {"claim": number, "unit": unit, "explainer": explainer, "version": 1, "role": "claim"}
                | {"text": f"{unit} by {explainer} {seed}{BAD}", "rules": "{}", "lines": "[]", "bits": 1.0}
                | {"calibration": "{}", "rival": units[0], "threshold": None}
            )
            evidence += _evidence(number, value)
    with RunWriter(
        root,
        "explain",
        asked={},
        resolved=resolved,
        subject=subject | {"reason": "", "n_layers": LAYERS},
        corpus=corpus,
    ) as run:
        run.table("units", [_unit(unit) for unit in units])
        run.table("claims", claims)
        run.table("evidence", evidence)
        run.result({"run": "x", "summary": {}})
    return run.path


def _unit(unit: str) -> dict[str, Any]:
    numbers = dict.fromkeys(("skew", "kurtosis", "min", "max", "q01", "q50", "q99", "firing_rate", "mean", "sd"), 1.0)
    place = {"layer": int(unit[1]), "kind": "mlp_act", "index": int(unit.partition(":")[2])}
    return {"unit": unit, "count": 10, "role": "target", **place, **numbers}


def _evidence(claim: int, value: float | None) -> list[dict[str, Any]]:
    same = {"claim": claim, "n": 9, "nulls": "{}", "references": "{}", "reason": "", "version": 1, "unscored": None}
    same |= dict.fromkeys(("value", "lo", "hi", "d", "d_lo", "d_hi", "p_support", "p_refute", "verdict"))
    unscored = None if value is not None else "too few"
    verdict = "undecided" if value is None else "predicts" if value > 0.5 else "refuted"
    parts = {"r": value, "f1": None if value is None else value / 2, "token_single": 0.9, "token_alone": value}
    rows = [same | {"check": "prediction", "measure": name, "value": part} for name, part in parts.items()]
    rows = [row | {"unscored": unscored if row["value"] is None else None} for row in rows]
    return [*rows, same | {"check": "claim", "measure": "verdict", "verdict": verdict}]


def client_of(root: Path) -> TestClient:
    return TestClient(make_app(Site(Shelf((), root)), PORT), base_url=f"http://127.0.0.1:{PORT}")


def text_of(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def ask(root: Path, a: Path, b: Path, **query: str) -> dict[str, Any]:
    answer = client_of(root).get("/compare.json", params={"a": a.name, "b": b.name, **query})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def scores() -> tuple[list[float], list[float]]:
    draw = np.random.default_rng(7)
    first = draw.uniform(0.2, 0.9, LAYERS * WIDTH)
    return first.tolist(), (first + draw.normal(0.05, 0.1, first.size)).tolist()


@pytest.fixture
def pair(tmp_path, scores) -> tuple[Path, Path]:
    return write(tmp_path, scores[0]), write(tmp_path, scores[1], seed=1, splits="2" * 64)


def test_numbers_are_those_of_the_runs(tmp_path, pair, scores):
    found = ask(tmp_path, *pair)["found"]
    a, b = (np.array(one) for one in scores)
    assert found["units"] == a.size
    assert [row["a"] for row in found["every"]] == scores[0]
    assert [row["b"] for row in found["every"]] == scores[1]
    summary = found["summary"]
    assert summary["difference"] == pytest.approx((b - a).mean())
    assert (summary["mean_a"], summary["mean_b"]) == pytest.approx((a.mean(), b.mean()))
    assert (summary["higher"], summary["lower"]) == (int((b > a).sum()), int((b < a).sum()))
    # A bootstrap's interval of a mean is the normal one, give or take: 60 units, 2,000 resamples.
    error = (b - a).std() / np.sqrt(a.size)
    assert summary["lo"] == pytest.approx((b - a).mean() - 1.96 * error, abs=0.3 * error)
    assert summary["hi"] == pytest.approx((b - a).mean() + 1.96 * error, abs=0.3 * error)


def test_the_largest_differences_are_listed_both_ways_with_both_texts(tmp_path, pair, scores):
    found = ask(tmp_path, *pair)["found"]["largest"]
    gap = np.array(scores[1]) - np.array(scores[0])
    assert [row["difference"] for row in found["higher"]] == pytest.approx(sorted(gap, reverse=True)[:10])
    assert [row["difference"] for row in found["lower"]] == pytest.approx(sorted(gap)[:10])
    first = found["higher"][0]
    said = [f"{first['unit']} by rules {seed}{BAD}" for seed in (0, 1)]
    assert [first["text_a"], first["text_b"]] == said


def test_verdicts_that_changed_are_counted(tmp_path, pair, scores):
    found = ask(tmp_path, *pair)["found"]["verdicts"]
    a, b = (["predicts" if value > 0.5 else "refuted" for value in one] for one in scores)
    counts = {(row["verdict"], name): n for row in found["rows"] for name, n in row["counts"].items()}
    for one in ("predicts", "refuted"):
        for other in ("predicts", "refuted"):
            assert counts[one, other] == sum((x, y) == (one, other) for x, y in zip(a, b, strict=True))
    assert found["changed"] == sum(x != y for x, y in zip(a, b, strict=True))


def test_the_page_shows_the_same_with_links_and_without_scripts(tmp_path, pair):
    a, b = pair
    html = client_of(tmp_path).get("/compare", params={"a": a.name, "b": b.name}).text
    summary = ask(tmp_path, a, b)["found"]["summary"]
    assert f"+{summary['difference']:.3f} [{summary['lo']:.3f} {summary['hi']:.3f}]" in text_of(html)
    assert "<script>alert" not in html
    assert " style=" not in html
    assert f'href="/run/{a.name}/unit/L0.mlp_act%3A3"' in html
    assert "The same units on other documents (the same text split otherwise)" in text_of(html)
    assert "They differ in seed as well." in text_of(html)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "The same units on the same documents: a difference is one of the explanations."),
        ({"splits": "2" * 64}, "on other documents (the same text split otherwise)"),
        ({"splits": "2" * 64, "text": "5" * 64}, "on other documents (another text)"),
        ({"weights": "b" * 64}, "The two runs are of different weights: a unit of one has nothing to do"),
    ],
)
def test_what_makes_two_runs_comparable_is_said(tmp_path, scores, changes, said):
    data = ask(tmp_path, write(tmp_path, scores[0]), write(tmp_path, scores[1], **changes))
    assert said in data["conclusion"]
    by = {row["what"]: row["same"] for row in data["same"]}
    assert by["weights"] == ("weights" not in changes)
    assert by["documents to fit, choose and test"] == ("splits" not in changes)


def test_a_twin_is_put_first_and_compared_by_layer(tmp_path, scores):
    trained = write(tmp_path, scores[1], whole=True)
    twin = write(tmp_path, scores[0], name="small~shuffled", weights="b" * 64, whole=True)
    data = ask(tmp_path, trained, twin)
    assert (data["a"], data["b"], data["found"]["by"]) == (twin.name, trained.name, "layer")
    a, b = (np.array(one) for one in scores)
    for layer, row in enumerate(data["found"]["layers"]):
        own = slice(layer * WIDTH, (layer + 1) * WIDTH)
        assert (row["mean_a"], row["mean_b"]) == pytest.approx((a[own].mean(), b[own].mean()))
        assert row["difference"] == pytest.approx(b[own].mean() - a[own].mean())
        assert row["lo"] < row["difference"] < row["hi"]
    strata = {row["stratum"]: row for row in data["found"]["strata"]}
    assert strata["all"]["difference"] == pytest.approx(b.mean() - a.mean())
    assert strata["single token"]["units_b"] == b.size
    html = client_of(tmp_path).get("/compare", params={"a": trained.name, "b": twin.name}).text
    assert "B is the trained model and A its randomised twin" in text_of(html)
    assert client_of(tmp_path).get(f"/compare?a={trained.name}&b={twin.name}&by=unit").status_code == 200


def test_measures_that_are_no_column_of_the_index_are_read_from_the_table(tmp_path, pair, scores):
    found = ask(tmp_path, *pair, measure="f1")["found"]
    assert [row["a"] for row in found["every"]] == pytest.approx([value / 2 for value in scores[0]])


def test_a_unit_without_a_score_is_left_out_and_counted(tmp_path, scores):
    first: list[float | None] = [None, *scores[0][1:]]
    a, b = write(tmp_path, first), write(tmp_path, list(scores[1]))
    found = ask(tmp_path, a, b)["found"]
    assert (found["summary"]["units"], found["summary"]["left_out"]) == (len(first) - 1, 1)
    assert found["every"][0]["a"] is None
    assert "1 without a score in one of them are left out" in text_of(
        client_of(tmp_path).get(f"/compare?a={a.name}&b={b.name}").text
    )


def test_few_units_have_no_interval(tmp_path):
    a, b = write(tmp_path, [0.5, 0.6]), write(tmp_path, [0.4, 0.9])
    summary = ask(tmp_path, a, b)["found"]["summary"]
    assert (summary["difference"], summary["lo"], summary["hi"]) == (pytest.approx(0.1), None, None)
    text = text_of(client_of(tmp_path).get(f"/compare?a={a.name}&b={b.name}").text)
    assert "too few for an interval over units" in text


def test_runs_without_common_units_say_so(tmp_path):
    a, b = write(tmp_path, [0.5, 0.6]), write(tmp_path, [0.4], units=["L1.mlp_act:99"])
    answer = client_of(tmp_path).get(f"/compare?a={a.name}&b={b.name}")
    assert answer.status_code == 200
    assert "no unit in common: 2 units are in A alone, 1 in B alone" in text_of(answer.text)


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("a={a}&b={a}", 400, "compared with itself"),
        ("a={a}&b=nope", 404, "unknown run 'nope'"),
        ("a={a}&b={b}&measure=nope", 400, "no measure 'nope'; there are r, f1"),
        ("a={a}&b={b}&explainer=nope", 404, "unknown explainer 'nope'"),
        ("a={a}&b={b}&by=nope", 400, "no by 'nope'; there are unit, layer"),
        ("a={a}&b={c}", 400, "no explainer in common"),
        ("a={a}", 200, "Choose two runs"),
        ("", 200, "Choose two runs"),
    ],
)
def test_what_can_not_be_compared_is_one_clear_line(tmp_path, pair, scores, query, status, said):
    other = write(tmp_path, scores[0], explainers=("lookup",))
    answer = client_of(tmp_path).get("/compare?" + query.format(a=pair[0].name, b=pair[1].name, c=other.name))
    assert answer.status_code == status
    assert said in text_of(answer.text)


def test_the_list_of_runs_has_a_form_for_two(tmp_path, pair):
    html = client_of(tmp_path).get("/").text
    assert 'action="/compare"' in html
    for path in pair:
        assert html.count(f'<option value="{path.name}"') == 2
    assert html.count(" selected>") == 2


def test_units_are_joined_by_name_in_any_order():
    def side(units: list[str], values: list[float]) -> Any:
        from assay.store.claims import Scores

        return Scores(units, np.zeros(len(units), np.int64), np.array(values), ["predicts"] * len(units))

    found = joined(side(["x", "y", "z"], [1.0, 2.0, 3.0]), side(["z", "q", "x"], [30.0, 40.0, 10.0]))
    assert (found.units, found.a.tolist(), found.b.tolist()) == (["x", "z"], [1.0, 3.0], [10.0, 30.0])


def test_the_interval_of_a_mean_covers_it():
    """The coverage of 95 % intervals over 40 units, 200 times: within 3.5 standard errors of .95."""
    draw = np.random.default_rng(11)
    hits = 0
    for _ in range(200):
        found = resampled(draw.normal(0.3, 1.0, 40))
        hits += found.lo <= 0.3 <= found.hi
    assert abs(hits / 200 - 0.95) < 3.5 * np.sqrt(0.95 * 0.05 / 200)


def test_of_few_units_no_interval_is_made():
    assert np.isnan(resampled(np.ones(FEWEST - 1)).lo)
    assert not np.isnan(resampled(np.arange(FEWEST, dtype=float)).lo)
    nothing = Joined([], *(np.zeros(0),) * 3, [], [])  # type: ignore[arg-type]
    assert mean_difference(nothing)["difference"] is None
    assert changed(nothing) == {"names": [], "rows": [], "changed": 0}


def test_scores_are_kept_for_the_next_page(tmp_path, pair):
    site = Site(Shelf((), tmp_path))
    opened = site.shelf.open(pair[0].name)
    assert scores_of(opened, "rules", "r") is scores_of(opened, "rules", "r")
