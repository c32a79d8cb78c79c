"""Claims and the runs of every lab, as evidence beside its nulls."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

import synthetic
from assay.record.moments import Moments
from assay.store import RunWriter, claims, open_run
from assay.view.app import make_app
from assay.view.evidence import Column, EvidenceRow, as_row, forest, paged
from assay.view.pages import Site
from assay.view.shelf import Shelf

PORT = 8765
BAD = '<script>alert(1)</script>"onerror="x'
SUBJECT = {"name": BAD, "architecture": "llama", "fingerprint": "0" * 64, "dtype": "float32", "device": "cpu"}
SUBJECT |= {"reason": "no CUDA device", "n_layers": 4}
CORPUS = {"name": "synthetic", "sha256": "0" * 64, "splits_sha256": "1" * 64}
SELFTEST = Path(__file__).parents[2] / "docs/findings/selftest.json"


def client_of(root: Path) -> TestClient:
    app = make_app(Site(Shelf((), root)), PORT)
    return TestClient(app, base_url=f"http://127.0.0.1:{PORT}", follow_redirects=False)


@pytest.fixture
def path(tmp_path) -> Path:
    return synthetic.write_run(tmp_path / "runs", hostile=BAD)


@pytest.fixture
def client(path) -> TestClient:
    return client_of(path.parent)


def text_of(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def shown(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def no_script(html: str) -> None:
    assert "<script>alert" not in html
    assert '"onerror="x' not in html
    assert " style=" not in html


def writer(root: Path, verb: str, **resolved: Any) -> RunWriter:
    return RunWriter(root, verb, asked={"models": [BAD]}, resolved=resolved, subject=SUBJECT, corpus=CORPUS)


# One claim


def test_a_claim_is_shown_with_its_numbers_as_they_are_stored(client, path):
    stored = {(row["claim"], row["measure"]): row for row in open_run(path).rows("evidence")}
    for number in range(4):
        data = client.get(f"/run/{path.name}/claim/{number}.json").json()
        row = data["sections"][0]["table"]["rows"][0]
        own = stored[number, "r"]
        assert (row["value"], row["lo"], row["hi"], row["n"]) == (own["value"], own["lo"], own["hi"], own["n"])
        assert row["nulls"] == json.loads(own["nulls"])
        assert row["references"] == json.loads(own["references"])
        html = client.get(f"/run/{path.name}/claim/{number}").text
        assert f"{shown(own['value'])} [{shown(own['lo'])} {shown(own['hi'])}]" in text_of(html)
        assert "constant 0.00 , shuffled 0.01 , other unit 0.03" in text_of(html)
        assert f'href="/run/{path.name}/unit/{synthetic.TARGETS[number // 2].replace(":", "%3A")}"' in html


def test_a_claim_says_its_verdict_with_a_sign_and_what_was_not_scored(client, path):
    text = text_of(client.get(f"/run/{path.name}/claim/2").text)
    assert "○ undecided" in text
    assert "Ten documents hold half the variance." in text
    rows = client.get(f"/run/{path.name}/claim/2.json").json()["sections"][0]["table"]["rows"]
    behaviour = next(row for row in rows if row["measure"] == "behaviour")
    assert (behaviour["value"], behaviour["unscored"], behaviour["reason"]) == (None, "not run", "not run")


def test_a_claims_forest_is_drawn_in_the_page_and_said_in_words(client, path):
    html = client.get(f"/run/{path.name}/claim/0").text
    assert html.count('<svg class="assay-figure"') == 1 or 'class="assay-figure"' in html
    assert "Forest plot of 2 rows of score" in text_of(html)
    no_script(html)


def test_hostile_sentences_stay_text(client, path):
    for rest in ("/claim/0", "/evidence", ""):
        answer = client.get(f"/run/{path.name}{rest}")
        assert answer.status_code == 200
        no_script(answer.text)
    assert BAD in text_of(client.get(f"/run/{path.name}/claim/0").text.replace("\n", " "))


@pytest.mark.parametrize("number", ["4", "5", "-1", "x", "1e3", "9" * 40, "²"])
def test_what_is_no_claim_is_one_clear_line(client, path, number):
    answer = client.get(f"/run/{path.name}/claim/{number}")
    assert answer.status_code == 404
    assert re.search(r"unknown claim .*known: 0 to 4", text_of(answer.text))
    assert client.get(f"/run/{path.name}/claim/{number}.json").json()["message"]


# One measure of many


def test_a_measure_of_an_explainer_is_listed(client, path):
    data = client.get(f"/run/{path.name}/evidence.json?measure=r&explainer=lookup").json()
    table = data["sections"][0]["table"]
    assert [row["label"] for row in table["rows"]] == list(synthetic.TARGETS)
    stored = {row["claim"]: row for row in open_run(path).rows("evidence") if row["measure"] == "r"}
    assert [row["value"] for row in table["rows"]] == [stored[1]["value"], stored[3]["value"]]
    assert [row["link"] for row in table["rows"]] == [f"/run/{path.name}/claim/{n}" for n in (1, 3)]
    assert {one["word"]: one["count"] for one in data["counts"]} == {"supported": 1, "undecided": 1}


def test_the_list_is_sorted_by_links(client, path):
    for order in ("up", "down"):
        at = f"/run/{path.name}/evidence.json?sort=value&order={order}"
        values = [row["value"] for row in client.get(at).json()["sections"][0]["table"]["rows"]]
        assert values == sorted(values, reverse=order == "down")
    html = client.get(f"/run/{path.name}/evidence?sort=value").text
    assert 'aria-sort="descending"' in html
    assert "?sort=value&order=up" in unescape(html)


def test_the_correlation_that_decides_is_shown_first(tmp_path):
    """Whatever the order in which a run stores its scores: whole runs store others first."""
    path = synthetic.write_run(tmp_path)
    found = client_of(tmp_path).get(f"/run/{path.name}/evidence.json").json()
    assert found["choices"][1]["chosen"] == "r"
    assert measures_of(["f1", "r_pos", "r"]) == ["r", "f1", "r_pos"]


def measures_of(names: list[str]) -> list[str]:
    """What the index gives for claims whose evidence stands in this order."""
    evidence = [{"check": "prediction", "measure": name} for name in names]
    rows = [{"detail": {"evidence": evidence}}], 1
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(claims, "claim_rows", lambda *_: rows)
        return claims.measures(Path("index.sqlite"), "rules")


def test_an_unscored_measure_is_a_dash_with_its_reason(client, path):
    text = text_of(client.get(f"/run/{path.name}/evidence?measure=behaviour&sort=value").text)
    assert "–" in text
    assert client.get(f"/run/{path.name}/evidence.json?measure=behaviour").json()["sections"][0]["figure"] is None


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("measure=nope", "no measure 'nope'; there are r, behaviour"),
        ("explainer=nope", "no explainer 'nope'; there are rules, lookup"),
        ("sort=bits", "can be sorted by label, verdict, value"),
        ("page=0", "page must be a number from 1"),
        ("measure=" + "x" * 999, "no measure"),
    ],
)
def test_what_can_not_be_listed_is_one_clear_line(client, path, query, said):
    answer = client.get(f"/run/{path.name}/evidence?{query}")
    assert answer.status_code == 400
    assert said in text_of(answer.text)
    assert len(text_of(answer.text)) < 700


def test_sixty_rows_are_a_page_and_groups_stay_together():
    rows = [as_row(EvidenceRow(f"u{i}", "c", "m", (i * 37 % 150) / 150, group=f"g{i % 2}")) for i in range(150)]
    columns = (Column("label", "unit"), Column("value", "value", "score"))
    first, last = (paged(columns, rows, {"sort": "value", "order": "down"}, page) for page in (1, 3))
    assert (len(first.rows), len(last.rows), first.pages, first.total) == (60, 30, 3, 150)
    values = [row["value"] for row in first.rows]
    assert [row["group"] for row in first.rows] == ["g0"] * 60
    assert values == sorted(values, reverse=True)


def test_a_forest_of_nothing_scored_is_left_out():
    assert forest([as_row(EvidenceRow("a", "c", "m", None))], "score") is None


# The page of a run


def test_a_runs_page_shows_its_evidence_and_ways_to_it(client, path):
    html = client.get(f"/run/{path.name}").text
    for link in (f"/run/{path.name}/evidence?explainer=rules", f"/compare?a={path.name}", f"/run/{path.name}/page"):
        assert f'href="{link}"' in html
    assert "margin 0.02" in text_of(html)
    assert client.get(f"/run/{path.name}.json").json()["evidence"]["total"] == 4


def test_the_stored_page_has_a_policy_of_its_own(client, path):
    answer = client.get(f"/run/{path.name}/page")
    assert answer.text == (path / "page.html").read_text()
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert "script" not in answer.headers["content-security-policy"]
    figure = client.get(f"/run/{path.name}/figure.svg")
    assert figure.headers["content-type"] == "image/svg+xml"
    assert figure.headers["content-security-policy"].startswith("default-src 'none'")
    assert client.get(f"/run/{path.name}/page.json").json() == {"html": answer.text}


def test_a_stored_page_that_was_changed_is_not_shown(client, path):
    (path / "page.html").write_text("<p>other")
    answer = client.get(f"/run/{path.name}/page")
    assert answer.status_code == 410
    assert "damaged" in text_of(answer.text)


# Reports


def cell(unit: str, regime: str, verdict: str, bits: float) -> dict[str, Any]:
    names = ("bits", "over_text", "causal_slope", "optimal_slope", "relative_slope", "gap_closed", "spearman", "r2")
    scores = {f"{name}{end}": bits + shift for name in names for end, shift in (("", 0), ("_lo", -0.1), ("_hi", 0.1))}
    told = {"text": 0.05, "other_model": -0.11, "blind": 0.42, "shuffled": None}
    told |= {"probe_before": 1.5, "probe_after": 1.85}
    tests = {name: {"bits": bits, "bits_lo": bits - 0.1, "bits_hi": bits + 0.1} for name in ("nat", "int")}
    return {
        **scores,
        **{"model": BAD, "layer": 2, "layers_left": 1, "topology": "Q", "trainable": "above", "sentences": 400},
        **{"unit": unit, "stratum": "random", "regime": regime, "n": 300, "digit_mass": 0.9, "baselines": told},
        **{"specificity": 0.06, "optimal_specificity": None, "gain": 0.1, "drift": 0.0, "tests": tests},
        **{"verdict": verdict, "reason": f"because {BAD}"},
    }


@pytest.fixture
def report(tmp_path) -> Path:
    cells = [cell("L1.mlp_act:7", "nat", "reads", 2.0), cell("L2.mlp_act:3", "nat", "unreadable", 0.5)]
    cells.append(cell("L1.mlp_act:7", "int", "fails", -0.25))
    ways = [f"{BAD} Q nat above", f"{BAD} Q int above"]
    told = {"readable": 1, "after_plateau": 1, "not_read": 0}
    summary = {"cells": 3, "verdicts": {}, "decoded_not_said": dict.fromkeys(ways, told), "arithmetic": "in fp32"}
    resolved = {"size": {"sentences": 400, "test": 300}, "layers": {BAD: [1, 2]}, "thresholds": {"reads": 0.5}}
    claimed = {"nulls": "{}", "references": "{}", "unscored": None, "version": 1, "n": 300, "value": None}
    claimed |= dict.fromkeys(("lo", "hi", "d", "d_lo", "d_hi", "p_support", "p_refute"))
    with RunWriter(
        tmp_path / "reports",
        "report",
        asked={"models": [BAD], "regimes": ["nat", "int"], "topologies": ["Q"], "trainable": ["above"]},
        resolved=resolved,
        subject=SUBJECT,
        corpus=CORPUS,
    ) as run:
        words = ("supported", "undecided", "refuted")
        rows = [
            claimed | {"claim": i, "check": "claim", "measure": "report", "verdict": words[i], "reason": ""}
            for i in range(3)
        ]
        run.table("evidence", rows)
        run.result({"run": "x", "cells": cells, "k_star": {ways[0]: 1, ways[1]: None}, "summary": summary})
    return run.path


def test_a_report_is_shown_with_baselines_as_nulls_and_probes_as_references(report):
    client = client_of(report.parent)
    data = client.get(f"/run/{report.name}.json").json()
    rows = data["sections"][0]["table"]["rows"]
    assert [(row["label"], row["value"]) for row in rows[:2]] == [("L1.mlp_act:7", 2.0), ("L2.mlp_act:3", 0.5)]
    assert rows[0]["nulls"] == {"text": 0.05, "other_model": -0.11, "blind": 0.42, "shuffled": None}
    assert rows[0]["references"] == {"probe_before": 1.5, "probe_after": 1.85}
    assert [(one["verdict"], one["word"]) for one in data["counts"]] == [
        ("supported", "reads"),
        ("undecided", "unreadable"),
        ("refuted", "fails"),
    ]
    html = client.get(f"/run/{report.name}").text
    no_script(html)
    assert "2.00 [1.90 2.10]" in text_of(html)
    assert "✕ fails" in text_of(html)
    assert "reads 0.5" in text_of(html)


def test_a_reports_slopes_stand_beside_their_control_patches(report):
    client = client_of(report.parent)
    rows = client.get(f"/run/{report.name}.json?measure=causal_slope").json()["sections"][0]["table"]["rows"]
    assert rows[0]["nulls"] == {"control patches": 0.06}
    rows = client.get(f"/run/{report.name}.json?measure=relative_slope").json()["sections"][0]["table"]["rows"]
    assert rows[0]["nulls"]["control patches, as a share"] == pytest.approx(0.06 / 2.0)
    assert rows[1]["value"] is None
    assert "share of nothing" in rows[1]["unscored"]


def test_a_cell_of_a_report_has_a_page_and_an_unknown_one_a_line(report):
    client = client_of(report.parent)
    data = client.get(f"/run/{report.name}/claim/0.json").json()
    assert data["sections"][0]["table"]["rows"][0]["value"] == 2.0
    no_script(client.get(f"/run/{report.name}/claim/0").text)
    answer = client.get(f"/run/{report.name}/claim/3")
    assert answer.status_code == 404
    assert "known: 0 to 2" in text_of(answer.text)


def test_one_way_of_a_report_can_be_chosen(report):
    client = client_of(report.parent)
    rows = client.get(f"/run/{report.name}.json", params={"way": f"{BAD} Q int above"}).json()["sections"][0]["table"]
    assert [row["value"] for row in rows["rows"]] == [-0.25]
    assert client.get(f"/run/{report.name}", params={"way": "none"}).status_code == 404
    assert client.get(f"/run/{report.name}/evidence").status_code == 200


# Relations, tests of tests, recordings, and what is none of these


def relation(unit: str, effect: float, above: bool | None) -> dict[str, Any]:
    return {
        **{"unit": unit, "effect": effect, "effect_lo": effect - 0.01, "effect_hi": effect + 0.01, "beyond": above},
        **{"nulls": {"random": 0.02}, "signed": -0.5, "strength": None, "net": 0.125, "chosen_by": ["effect"]},
        **{"explanation": {"explanation": f"fires on {BAD}"}, "reason": "" if above is not None else "few documents"},
        **{"first_order": 0.5},
    }


def test_relations_are_shown_with_their_nulls_and_lead_to_units(tmp_path):
    side = {"candidates": {"neurons": 10, "heads": 2}, "note": "", "effects": {"median": 0.01, "q99": 0.1, "q999": 0.2}}
    side |= {"agreement": []}
    up = {**side, "relations": [relation("L0.mlp_act:1", 0.314, True), relation("L0.head:2", 0.015, None)]}
    down = {**side, "relations": [relation("L3.mlp_act:4", 0.011, False)]}
    with writer(tmp_path, "related", unit="L2.mlp_act:1") as run:
        documents = {"fit": 10, "choose": 11}
        run.result({"unit": "L2.mlp_act:1", "explanation": None, "upstream": up, "downstream": down,
                    "summary": {"tokens": 8000, "documents": documents}})  # fmt: skip
    client = client_of(tmp_path)
    data = client.get(f"/run/{run.path.name}.json").json()
    rows = data["sections"][0]["table"]["rows"]
    row = rows[0]
    assert (row["value"], row["lo"], row["nulls"], row["signed"]) == (0.314, 0.304, {"random": 0.02}, -0.5)
    assert {one["word"]: one["count"] for one in data["counts"]} == {
        "above its nulls": 1,
        "nothing decided": 1,
        "not above its nulls": 1,
    }
    html = client.get(f"/run/{run.path.name}?sort=value&order=up").text
    no_script(html)
    assert f'href="/run/{run.path.name}/unit/L0.mlp_act%3A1"' in html
    assert "0.314" in text_of(html)


def test_a_selftest_is_shown_as_it_is_stored(tmp_path):
    found = json.loads(SELFTEST.read_text(encoding="utf-8"))
    with writer(tmp_path, "selftest") as run:
        run.result(found)
    client = client_of(tmp_path)
    data = client.get(f"/run/{run.path.name}.json").json()
    rows = {row["measure"]: row for row in data["sections"][0]["table"]["rows"]}
    assert set(rows) == set(found["scores"])
    for name, row in rows.items():
        own = found["scores"][name]
        assert (row["value"], row["beaten"], row["pairs"]) == (own["truth"], own["beaten"], own["pairs"])
        assert row["word"] == ("passes" if own["passes"] else "fails")
    text = text_of(client.get(f"/run/{run.path.name}").text)
    assert "Explainers that hide a meaning" in text
    assert "false support" in text.lower()


def test_a_recording_lists_its_sites_and_their_units(tmp_path):
    draw = np.random.default_rng(0).normal(size=(200, 5))
    moments = Moments(5)
    moments.absorb(200, np.stack([draw.mean(0), *(((draw - draw.mean(0)) ** p).sum(0) for p in (2, 3, 4)),
                                  draw.min(0), draw.max(0)]))  # fmt: skip
    with writer(tmp_path, "record", sites=["L0.mlp_act", "L1.mlp_act"]) as run:
        for site in ("L0.mlp_act", "L1.mlp_act"):
            state = {f"moments.{name}": array for name, array in moments.state().items()}
            state |= {"units": np.arange(5), "firing.count": np.array([200]), "firing.fired": (draw > 0).sum(0)}
            run.tensors(site, state)
        run.result({"tokens": 200, "seconds": 1.0, "forward_seconds": 0.5})
    client = client_of(tmp_path)
    sections = client.get(f"/run/{run.path.name}.json?site=L1.mlp_act&sort=sd").json()["sections"]
    assert [row["units"] for row in sections[0]["table"]["rows"]] == [5, 5]
    rows = sections[1]["table"]["rows"]
    assert [row["sd"] for row in rows] == pytest.approx(sorted(draw.std(0), reverse=True))
    assert client.get(f"/run/{run.path.name}").status_code == 200
    assert client.get(f"/run/{run.path.name}?site=L9.mlp_act").status_code == 400


def test_a_run_of_an_unknown_verb_shows_what_it_has(tmp_path):
    tokens = [{"id": i, "text": f"{BAD}{i}"} for i in range(250)]
    with RunWriter(tmp_path, "dream", asked={BAD: BAD}, resolved={}, subject=SUBJECT, corpus=CORPUS) as run:
        run.table("tokens", tokens)
        run.result({"run": "x", "summary": {"strength": 2.5, BAD: [BAD]}})
    client = client_of(tmp_path)
    answer = client.get(f"/run/{run.path.name}")
    assert answer.status_code == 200
    no_script(answer.text)
    table = client.get(f"/run/{run.path.name}.json").json()["sections"][-1]["table"]
    assert (len(table["rows"]), table["total"]) == (200, 250)
    assert table["rows"][7]["text"] == f"{BAD}7"
    assert "first 200 of 250 rows" in text_of(answer.text)


def test_no_page_of_evidence_needs_torch(path, tmp_path):
    code = f"""
import os, sys
os.environ["ASSAY_CACHE"] = {str(tmp_path / "other-cache")!r}
sys.modules["torch"] = sys.modules["transformers"] = None
from assay.view.pages import Ask, Site
from assay.view.shelf import Shelf
from assay.view.routes import PAGES
from assay.view.claim import claim_page, evidence_page
from assay.view.home import run_page
site = Site(Shelf((), {str(path.parent)!r}))
run = {{"run": {path.name!r}}}
claim_page(site, Ask(run | {{"number": "0"}}, {{}}))
evidence_page(site, Ask(run, {{}}))
run_page(site, Ask(run, {{}}))
import assay.view.labs, assay.view.comparing, assay.explain.whole.compare
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
