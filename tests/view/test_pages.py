"""The pages of a run: that they say what is stored, as HTML and as JSON, and what happens when they can't."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import synthetic
from assay.store import open_run
from assay.view.app import make_app
from assay.view.pages import Site
from assay.view.shelf import Shelf

PORT = 8765
UNIT = synthetic.TARGETS[0]
HOSTILE = ('<script>document.title="owned"</script>', '"onerror="alert(1)', "\u202egnihton", "../../etc/passwd")


@pytest.fixture
def path(tmp_path) -> Path:
    return synthetic.write_run(tmp_path / "runs", hostile=" ".join(HOSTILE))


@pytest.fixture
def client(path) -> TestClient:
    return client_of(Shelf((), path.parent))


def client_of(shelf: Shelf) -> TestClient:
    return TestClient(make_app(Site(shelf), PORT), base_url=f"http://127.0.0.1:{PORT}", follow_redirects=False)


def of(path: Path, rest: str = "") -> str:
    return f"/run/{path.name}{rest}"


def text_of(html: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "", html))


def test_the_list_of_runs_names_whole_and_broken_ones(client, path):
    shutil.copytree(path, path.with_name(path.name + "-broken"))
    (path.with_name(path.name + "-broken") / "done.json").unlink()
    rows = {row["id"]: row["state"] for row in client.get("/index.json").json()["runs"]}
    assert rows == {path.name: "whole", path.name + "-broken": "incomplete"}
    row = next(row for row in client.get("/index.json").json()["runs"] if row["state"] == "whole")
    assert row["mean_null"] == pytest.approx(0.034)  # of each claim, the other unit's
    html = client.get("/").text
    assert f'href="/run/{path.name}"' in html
    assert f'href="/run/{path.name}-broken"' not in html


def test_without_runs_it_says_how_to_make_one(tmp_path):
    assert "assay explain" in client_of(Shelf((), tmp_path)).get("/").text


def test_every_page_has_a_twin_and_names_it(client, path):
    for page in (of(path), of(path, "/units"), of(path, "/map"), of(path, f"/unit/{UNIT}")):
        html = client.get(page)
        twin = re.search(r'rel="alternate" type="application/json" href="([^"]+)"', html.text)
        assert html.status_code == 200
        assert twin is not None
        assert client.get(unescape(twin[1])).json()["run"] == path.name


def test_a_unit_page_says_what_is_stored(client, path):
    run = open_run(path)
    data = client.get(of(path, f"/unit/{UNIT}.json")).json()
    rules, lookup = data["claims"]
    assert (rules["explainer"], rules["verdict"], lookup["explainer"]) == ("rules", "supported", "lookup")
    assert rules["text"].startswith(synthetic.SENTENCE)
    score = rules["scores"][0]
    assert (score["name"], score["value"]) == ("r", f"{synthetic.r_of(run.tensors('test'), 0):.2f}")
    assert score["nulls"] == "constant 0.00, shuffled 0.01, other unit 0.03"
    strongest = data["test"][0]["excerpts"][0]
    test = run.tensors("test")
    assert strongest["real"] == f"{test['activations'][0][test['scored'].astype(bool)].max():.2f}"
    exemplar = data["fit"][0]["excerpts"][0]
    assert exemplar["real"] == f"{run.tensors('exemplars')['top_activations'][0].max():.2f}"
    html = text_of(client.get(of(path, f"/unit/{UNIT}")).text)
    for said in (rules["text"], score["interval"], "nulls constant 0.00", "supported"):
        assert said in html


def test_by_says_whose_prediction_is_laid_over(client, path):
    test = open_run(path).tensors("test")
    for claim, explainer in enumerate(("rules", "lookup")):
        data = client.get(of(path, f"/unit/{UNIT}.json?by={explainer}")).json()
        assert data["by"] == explainer
        shown = {token["predicted"] for group in data["test"] for x in group["excerpts"] for token in x["tokens"]}
        stored = {f"{value:.2f}" for value in test["predictions"][claim]}
        assert shown <= stored | {"−0.00", ""}
        assert len(shown) > 1


def test_a_unit_that_is_not_in_the_run_leads_on(client, path):
    page = client.get(of(path, f"/unit/{synthetic.COMPANION}"))
    assert page.status_code == 200
    assert "did not explain" in page.text
    assert client.get(of(path, "/unit/L9.mlp_act:1")).status_code == 404  # no such layer


@pytest.mark.parametrize(
    "rest",
    [
        "/unit/nonsense",
        "/unit/L1.mlp_act:x",
        "/units?sort=r;drop",
        "/units?kind=good",
        "/units?layer=x",
        "/units?from=2",
        "/units?page=0",
        "/units?explainer=nobody",
        "/units?q=" + "w" * 401,
        "/map?explainer=nobody",
        "/lucky?kind=good",
    ],
)
def test_bad_requests_are_explained_in_one_line(client, path, rest):
    for twin in (False, True):
        address = of(path, re.sub(r"(\?|$)", r".json\1", rest, count=1) if twin else rest)
        answer = client.get(address)
        assert answer.status_code in (400, 404)
        message = answer.json()["message"] if twin else text_of(answer.text)
        assert "Traceback" not in message
        assert "\n" not in (message if twin else "")


def test_an_unknown_run_is_said_to_be_unknown(client):
    answer = client.get("/run/nothing/units")
    assert answer.status_code == 404
    assert "unknown run" in answer.text


def test_a_run_that_was_removed_while_it_was_served_is_explained(client, path):
    assert client.get(of(path, f"/unit/{UNIT}")).status_code == 200
    shutil.rmtree(path)
    answer = client.get(of(path, f"/unit/{UNIT}"))
    assert answer.status_code == 410
    assert "was removed" in answer.text
    assert client.get("/").status_code == 200


def test_a_damaged_file_is_explained(client, path):
    assert client.get(of(path, "/units")).status_code == 200
    (path / "tensors/test.safetensors").write_bytes(b"nonsense")
    answer = client.get(of(path, f"/unit/{UNIT}"))
    assert answer.status_code == 410
    assert "is damaged" in answer.text


def test_hostile_text_stays_text(client, path):
    for rest in ("/units", f"/unit/{UNIT}", "/units?q=%3Cscript%3E&token=%22onerror%3D", "/unit/%3Cscript%3E"):
        html = client.get(of(path, rest)).text
        assert "<script>document" not in html
        assert "<script>alert" not in html
        assert not re.search(r"<[^>]*\sonerror", html)
        assert "\u202e" not in re.sub(r'value="[^"]*"', "", html)
        assert "\x1b" not in html


def test_lucky_goes_to_a_unit_of_the_kind(client, path):
    answer = client.get(of(path, "/lucky?kind=supported&at=0.5"))
    assert (answer.status_code, answer.headers["location"]) == (303, f"/run/{path.name}/unit/L1.mlp_act%3A7")
    assert answer.headers["cache-control"] == "no-store"
    both = {client.get(of(path, f"/lucky?at={at}")).headers["location"] for at in (0, 0.9)}
    assert len(both) == 2
    nothing = client.get(of(path, "/lucky?kind=surprising"))
    assert nothing.status_code == 404
    assert "noise" in nothing.text


def test_search_finds_words_and_tokens(client, path):
    assert client.get(of(path, "/units.json?q=years")).json()["total"] == 2
    found = client.get(of(path, "/units.json?token=%201984")).json()
    assert {row["unit"] for row in found["rows"]} == set(synthetic.TARGETS)
    assert "of 5" in client.get(of(path, "/units?token=1984")).text


def test_the_map_links_every_unit_of_a_small_run(client, path):
    html = client.get(of(path, "/map")).text
    for name in synthetic.TARGETS:
        assert re.search(rf'<a [^>]*href="/run/{path.name}/unit/{re.escape(name).replace(":", "(:|%3A)")}"', html), name
    assert "style=" not in html


def test_the_histogram_is_a_picture_of_its_own(client, path):
    answer = client.get(of(path, f"/unit/{UNIT}/histogram.svg"))
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.text.startswith("<svg")
    assert "prefers-color-scheme" in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_named_runs_alone_are_shown(path):
    other = synthetic.write_run(path.parent)
    client = client_of(Shelf((other.name,), path.parent))
    assert [row["id"] for row in client.get("/index.json").json()["runs"]] == [other.name]
    assert client.get(of(path)).status_code == 404
    assert client.get(of(other)).status_code == 200


def test_a_large_run_is_indexed_by_another_process(path, monkeypatch):
    monkeypatch.setattr("assay.view.shelf._AT_ONCE", 1)
    client = client_of(Shelf((), path.parent))
    seen = [client.get(of(path, "/units.json"))]
    while seen[-1].status_code == 202 and len(seen) < 3000:
        seen.append(client.get(of(path, "/units.json")))
    assert seen[0].status_code == 202
    assert seen[0].json()["share"] == 0
    assert (seen[-1].status_code, seen[-1].json()["total"]) == (200, 2)


def test_json_is_json(client, path):
    for rest in (".json", "/units.json", "/map.json", f"/unit/{UNIT}.json"):
        answer = client.get(of(path, rest))
        assert answer.headers["content-type"] == "application/json"
        json.loads(answer.text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def test_the_viewer_imports_no_torch():
    imported = "import sys, assay.view.app, assay.view.serve, assay.draw.layers"
    code = f"{imported}; print([m for m in ('torch', 'transformers', 'numba') if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
