"""The pages of a run of the concept lab: its findings beside their nulls, and hostile names as text."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from assay.findings.found import Finding, Found, Panel, Table, scored, scored_below
from assay.findings.writing import write_run
from assay.stats.bootstrap import Estimate
from assay.store import RunWriter
from assay.view.app import make_app
from assay.view.export.write import export
from assay.view.pages import Site
from assay.view.shelf import Shelf

PORT = 8765
BAD = '<script>alert(1)</script>"onerror="x'
SUBJECT = {"name": BAD, "architecture": "llama", "fingerprint": "0" * 64, "dtype": "float32", "device": "cpu"}
SUBJECT |= {"reason": "no CUDA device", "n_layers": 4}
CORPUS = {"name": BAD, "sha256": "0" * 64, "splits_sha256": "1" * 64}
MANY = 70


def estimate(value: float) -> Estimate:
    return Estimate(value, value + 0.01 * np.random.default_rng(0).standard_normal(400))


def found(**changed: Any) -> Found:
    unit = "L1.resid_post:@facts.lat"
    findings = [
        scored(f"lat tells {BAD}", "AUROC", estimate(0.9), 0.5, unit=unit, n=40, references={"bag_of_words": 0.61}),
        scored_below(f"it turns over on {BAD}", "AUROC", estimate(0.8), 0.5, published=f".07 {BAD}"),
        Finding("so many match", "share", 0.25, n=20),
        scored("not measured", "recall", Estimate(float("nan"), np.full(400, np.nan)), 0.5),
    ]
    tables = [Table(f"Counts {BAD}", ("what", f"n {BAD}", "x"), [[f"row {BAD}", 1234, 0.128], ["none", None, None]])]
    rows = [{"x": 0, "y": 0.9, "lo": 0.8, "hi": 1.0, "series": BAD}]
    panels = [Panel("lines", BAD, "layer", "AUROC", rows)]
    told = {"findings": findings, "tables": tables, "panels": panels, "notes": [f"Note {BAD}"]}
    return Found(f"Title {BAD}", f"Question {BAD}", **{**told, **changed})


def write(root: Path, verb: str = "probe", **changed: Any) -> Path:
    writer = RunWriter(root, verb, asked={"data": BAD}, resolved={}, subject=SUBJECT, corpus=CORPUS)
    with writer:
        made = {"run": writer.id, "experiment": None, **found(**changed).as_json()}
        made["summary"] |= {"arithmetic": "read in float32", "seconds": 1.0, "items": {}, "passes": {}}
        write_run(writer, made)
    return writer.path


def client_of(root: Path) -> TestClient:
    return TestClient(
        make_app(Site(Shelf((), root)), PORT), base_url=f"http://127.0.0.1:{PORT}", follow_redirects=False
    )


@pytest.fixture
def path(tmp_path) -> Path:
    return write(tmp_path / "runs")


@pytest.fixture
def client(path) -> TestClient:
    return client_of(path.parent)


def text_of(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


class Elements(HTMLParser):
    """What a browser would make of a page: names of elements and of their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names |= {name for name, _ in attrs}


def no_script(html: str) -> None:
    elements = Elements()
    elements.feed(html)
    assert "<script>alert" not in html
    assert not {name for name in elements.names if name.startswith("on") or name == "style"}


@pytest.mark.parametrize("verb", ["probe", "erase", "steer"])
def test_a_run_is_shown_with_every_finding_beside_its_nulls(tmp_path, verb):
    path = write(tmp_path / "runs", verb)
    client = client_of(path.parent)
    data = client.get(f"/run/{path.name}.json").json()
    rows = data["sections"][0]["table"]["rows"]
    assert [(row["label"], row["value"], row["verdict"]) for row in rows] == [
        (f"lat tells {BAD}", 0.9, "supported"),
        (f"it turns over on {BAD}", 0.8, "refuted"),
        ("so many match", 0.25, ""),
        ("not measured", None, "undecided"),
    ]
    assert [row["link"] for row in rows] == [f"/run/{path.name}/claim/{at}" for at in range(4)]
    assert (rows[0]["nulls"], rows[0]["references"], rows[0]["n"]) == ({"null": 0.5}, {"bag_of_words": 0.61}, 40)
    assert rows[1]["published"] == f".07 {BAD}"
    counts = {one["word"]: one["count"] for one in data["counts"]}
    assert counts == {"supported": 1, "refuted": 1, "described": 1, "undecided": 1}
    assert data["verb"] == verb
    answer = client.get(f"/run/{path.name}")
    assert answer.status_code == 200
    no_script(answer.text)
    text = text_of(answer.text)
    for said in ("0.90 [0.88 0.92]", f"Title {BAD}", f"Question {BAD}", f"Note {BAD}", "margin 0.02", "✕ refuted"):
        assert said in text, said
    for at in range(4):
        assert f'href="/run/{path.name}/claim/{at}"' in answer.text
    for rest in ("page", "figure.svg"):
        assert f'href="/run/{path.name}/{rest}"' in answer.text


def test_the_forest_shows_one_measure_and_others_can_be_chosen(client, path):
    first = client.get(f"/run/{path.name}.json").json()
    section = first["sections"][0]
    assert section["figure"]["alternative"].startswith("Forest plot of 2 rows of AUROC")
    assert section["note"] == "The forest shows the first measure; choose another above."
    assert [one[0] for one in first["choices"][0]["options"]] == ["", "AUROC", "share", "recall"]
    chosen = client.get(f"/run/{path.name}.json?measure=share").json()["sections"][0]
    assert [row["label"] for row in chosen["table"]["rows"]] == ["so many match"]
    assert chosen["table"]["rows"][0]["link"] == f"/run/{path.name}/claim/2"
    assert chosen["note"] == ""
    unknown = client.get(f"/run/{path.name}", params={"measure": BAD})
    assert unknown.status_code == 404
    assert "known: AUROC, share, recall" in text_of(unknown.text)
    no_script(unknown.text)


def test_tables_are_shown_with_scores_and_counts(client, path):
    table = client.get(f"/run/{path.name}.json").json()["sections"][1]
    assert table["title"] == f"Counts {BAD}"
    assert [(one["name"], one["kind"]) for one in table["table"]["columns"]] == [
        ("what", "text"),
        (f"n {BAD}", "count"),
        ("x", "score"),
    ]
    text = text_of(client.get(f"/run/{path.name}").text)
    assert f"row {BAD} 1,234 0.13" in text
    assert "none – –" in text


def test_a_finding_has_a_page_of_its_own(client, path):
    stored = json.loads((path / "result.json").read_text(encoding="utf-8"))["findings"]
    for at, one in enumerate(stored):
        data = client.get(f"/run/{path.name}/claim/{at}.json").json()
        assert data["title"] == one["claim"]
        [row] = data["sections"][0]["table"]["rows"]
        assert (row["value"], row["lo"], row["hi"], row["n"]) == (one["value"], one["lo"], one["hi"], one["n"])
        assert (row["nulls"], row["label"]) == (one["nulls"], one["measure"])
        html = client.get(f"/run/{path.name}/claim/{at}")
        assert html.status_code == 200
        no_script(html.text)
        assert text_of(html.text).count(one["reason"][1:]) >= 1
    text = text_of(client.get(f"/run/{path.name}/claim/1").text)
    assert f"Published: .07 {BAD}." in text
    assert "Does not beat its best null (null) by 0.02." in text
    assert "Described, not judged." in text_of(client.get(f"/run/{path.name}/claim/2").text)


@pytest.mark.parametrize("number", ["4", "-1", "x", "1e3", "9" * 40, "²"])
def test_what_is_no_finding_is_one_clear_line(client, path, number):
    answer = client.get(f"/run/{path.name}/claim/{number}")
    assert answer.status_code == 404
    assert re.search(r"unknown claim .*known: 0 to 3", text_of(answer.text))


def test_no_page_of_such_a_run_breaks(client, path):
    for rest in ("", "/evidence", "/evidence?measure=AUROC", "/units", "/map", "/lucky", "/rate", "/agreement"):
        for twin in (False, True):
            address = re.sub(r"(\?|$)", r".json\1", rest, count=1) if twin else rest
            answer = client.get(f"/run/{path.name}{address}")
            assert answer.status_code in (200, 303, 404, 410), (address, answer.status_code)
            if rest.startswith("/evidence"):
                assert answer.status_code == 200
            no_script(answer.text if not twin else "")
    unit = client.get(f"/run/{path.name}/unit/L1.resid_post:@facts.lat")
    assert unit.status_code in (200, 404)
    no_script(unit.text)
    rows = {row["id"]: row["state"] for row in client.get("/index.json").json()["runs"]}
    assert rows == {path.name: "whole"}
    no_script(client.get("/").text)


def test_the_stored_page_and_figure_are_served_under_a_policy(client, path):
    page = client.get(f"/run/{path.name}/page")
    assert page.text == (path / "page.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    figure = client.get(f"/run/{path.name}/figure.svg")
    assert figure.headers["content-type"] == "image/svg+xml"
    assert "<script" not in figure.text


def test_a_run_without_findings_or_tables_stands(tmp_path):
    path = write(tmp_path / "runs", findings=[], tables=[], panels=[], notes=[])
    client = client_of(path.parent)
    data = client.get(f"/run/{path.name}.json").json()
    assert data["sections"][0]["table"]["rows"] == []
    assert client.get(f"/run/{path.name}").status_code == 200
    assert client.get("/").status_code == 200
    assert client.get(f"/run/{path.name}/evidence").status_code in (200, 404)
    assert client.get(f"/run/{path.name}/figure.svg").status_code in (404, 410)


def test_many_findings_are_paged_and_keep_their_numbers(tmp_path):
    findings = [scored(f"finding {at}", "AUROC", estimate(0.3 + at / 200), 0.5) for at in range(MANY)]
    path = write(tmp_path / "runs", findings=findings)
    client = client_of(path.parent)
    table = client.get(f"/run/{path.name}.json?page=2").json()["sections"][0]["table"]
    assert (table["total"], table["page"], table["pages"]) == (MANY, 2, 2)
    assert [row["label"] for row in table["rows"]] == [f"finding {at}" for at in range(60, MANY)]
    best = client.get(f"/run/{path.name}.json?sort=value&order=down").json()["sections"][0]["table"]["rows"][0]
    assert (best["label"], best["link"]) == (f"finding {MANY - 1}", f"/run/{path.name}/claim/{MANY - 1}")


def test_every_finding_is_exported_with_a_link_to_it(path, tmp_path):
    site = Site(Shelf((), path.parent), live=False)
    export(site, tmp_path / "site", None, lambda message, share: None)
    run = tmp_path / "site/run"
    html = (run / f"{path.name}.html").read_text(encoding="utf-8")
    for at in range(4):
        assert f'href="{path.name}/claim/{at}.html"' in html
        no_script((run / path.name / f"claim/{at}.html").read_text(encoding="utf-8"))
    assert not (run / path.name / "claim/4.html").exists()


def test_pages_of_the_lab_need_no_torch(path):
    code = (
        "import sys\nfrom assay.view.app import make_app\nfrom assay.view.pages import Site\n"
        "from assay.view.shelf import Shelf\nfrom starlette.testclient import TestClient\n"
        f"from pathlib import Path\napp = make_app(Site(Shelf((), Path({str(path.parent)!r}))), {PORT})\n"
        f"client = TestClient(app, base_url='http://127.0.0.1:{PORT}')\n"
        f"assert client.get('/run/{path.name}').status_code == 200\n"
        f"assert client.get('/run/{path.name}/claim/0').status_code == 200\n"
        "assert not {'torch', 'transformers', 'sklearn'} & set(sys.modules), 'torch'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=path.parent)
