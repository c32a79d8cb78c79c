"""Asking the model from the pages: in a real browser, of a real small model that the viewer starts."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from assay.errors import AssayError
from assay.explain.experiment import ExplainRequest, explain
from assay.view.app import make_app
from assay.view.guard import WORD
from assay.view.pages import Site
from assay.view.shelf import Shelf
from view.browsing import browsing, violations

MODEL, UNIT, OTHER = "ladder-2-0", "L1.mlp_act:5", "L0.mlp_act:9"
TEXT = "The river was cold. In the morning the children went to the old bridge and looked at the water below them."
PATIENCE = 180_000  # ms
PORT = 8765


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    asked = ExplainRequest(
        model=MODEL, units=UNIT, explainers=("rules", "lookup"), tokens=12_000, behaviour=False, out=str(out)
    )
    return explain(asked).run_path


@pytest.fixture(scope="module")
def site(path):
    """One for all tests: its worker takes ten seconds to start."""
    site = Site(Shelf((), path.parent))
    yield site
    site.close()


@pytest.fixture
def client(site) -> TestClient:
    return client_of(site)


def client_of(site: Site) -> TestClient:
    app = make_app(site, PORT, "word")
    return TestClient(app, base_url=f"http://127.0.0.1:{PORT}", headers={WORD: "word"})


def asked(client: TestClient, path: Path, unit: str, **body: object) -> dict:
    """Send a question and wait for what came of it."""
    started = client.post(f"/run/{path.name}/unit/{unit}/live", json=body)
    assert started.status_code == 200, started.text
    until = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < until:
        said = client.get(f"/live/{started.json()['job']}.json").json()
        if said["state"] in ("done", "failed", "cancelled"):
            return said
        time.sleep(0.05)
    raise AssertionError(said)


def test_own_text_is_shaded_by_activation_and_prediction(client, path):
    said = asked(client, path, UNIT, method="activations", text=TEXT, full=1.0)
    assert said["state"] == "done", said
    rows = said["result"]["rows"]
    assert [row["explainer"] for row in rows] == ["rules", "lookup"]
    tokens = said["result"]["tokens"]
    assert "".join(token["text"] for token in tokens) == TEXT
    for row in rows:
        assert [token["real"].replace("−", "-") for token in row["tokens"]] == [
            f"{token['value']:.2f}".replace("-0.00", "0.00") for token in tokens
        ]
        assert row["r_null"]["low"] < row["r_null"]["high"]


def test_the_weights_must_be_those_of_the_run(client, path, tmp_path):
    other = shutil.copytree(path, tmp_path / path.name)
    spec = json.loads((other / "spec.json").read_text())
    spec["subject"]["fingerprint"] = "f" * 64
    (other / "spec.json").write_text(json.dumps(spec))
    site = Site(Shelf((), tmp_path))
    said = asked(client_of(site), other, UNIT, method="activations", text=TEXT)
    site.close()
    assert said["state"] == "failed"
    assert "weights" in said["error"]["message"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"method": "load"}, "unknown method"),
        ({"method": "activations"}, "text must be text"),
        ({"method": "activations", "text": "x" * 9000}, "8,000 characters"),
        ({"method": "steer", "text": "a", "kind": "exec", "amount": 1}, "unknown change"),
        ({"method": "steer", "text": "a", "kind": "factor", "amount": "1"}, "amount must be a number"),
        ({"method": "score", "kind": "rules", "text": " "}, "text must be text"),
        ({}, "method must be text"),
    ],
)
def test_bad_questions_are_refused_before_the_model_is_asked(path, body, message):
    site = Site(Shelf((), path.parent))
    answer = client_of(site).post(f"/run/{path.name}/unit/{UNIT}/live", json=body)
    assert answer.status_code in (400, 404)
    assert message in answer.json()["error"]
    assert not site.worker.running


def test_writes_from_elsewhere_are_refused(client, path):
    body = {"method": "activations", "text": "a"}
    address = f"/run/{path.name}/unit/{UNIT}/live"
    assert client.post(address, json=body, headers={WORD: "other"}).status_code == 403
    assert client.post(address, json=body, headers={"origin": "http://evil.example"}).status_code == 403
    assert client.post(address, content=b"not json").status_code == 400
    assert client.post(address, content=b"[1]").status_code == 400
    assert client.post(address, content=b" " * 300_000).status_code == 400
    assert client.get("/live/nothing.json").status_code == 404


def test_rules_that_are_no_rules_are_explained(client, path):
    said = asked(client, path, UNIT, method="score", kind="rules", text='{"rules": "many"}')
    assert said["state"] == "failed"
    assert "rules" in said["error"]["message"]
    assert "\n" not in said["error"]["message"]


def test_everything_in_a_browser(chromium, served, path, site):
    with browsing(chromium) as page:
        page.set_default_timeout(PATIENCE)
        page.goto(f"{served(path.parent, site)}/run/{path.name}/unit/{UNIT}")
        text, steer, score = (page.locator(f"form[data-method={name}]") for name in ("activations", "steer", "score"))
        first, second = page.locator("#try .answer").all()
        text.locator("textarea").fill(TEXT)
        text.get_by_role("button", name="See what it does").click()
        page.wait_for_selector("#try .answer .excerpts")
        assert first.locator(".t").first.inner_text() == TEXT
        assert "shuffled" in first.inner_text()
        steer.locator("textarea").fill("The river was")
        steer.locator("input[name=amount]").fill("-20")
        steer.get_by_role("button", name="See what it writes").click()
        page.wait_for_selector("#try .answer .goes")
        assert "random directions of the same norm" in first.inner_text()
        assert first.locator("dt").all_inner_texts() == ["unedited", "edited", "a random direction"]
        score.get_by_role("button", name="start from rules").click()
        assert json.loads(score.locator("textarea").input_value())["kind"] == "rules"
        score.get_by_role("button", name="Test it").click()
        second.get_by_role("link", name="Look at it in its run").click()
        page.wait_for_url("**/unit/L1.mlp_act:5")
        assert path.name not in page.url
        assert "written" in page.locator("main").inner_text()
        assert violations(page) == []


def test_a_unit_that_nobody_explained_is_explained_from_its_page(chromium, served, path, site):
    with browsing(chromium) as page:
        page.set_default_timeout(PATIENCE)
        page.goto(f"{served(path.parent, site)}/run/{path.name}/unit/{OTHER}")
        page.get_by_role("button", name="Find its neighbours").click()
        page.wait_for_selector("a.unit-link")
        assert violations(page) == []
        page.get_by_role("button", name="Explain it now").click()
        page.get_by_role("link", name="Look at it in its run").click()
        page.wait_for_url(f"**/unit/{OTHER}")
        assert page.locator("#claims").count() == 1


def test_a_question_can_be_stopped(client, path, site):
    started = client.post(f"/run/{path.name}/unit/{UNIT}/live", json={"method": "explain"})
    number = started.json()["job"]
    client.post(f"/live/{number}/cancel", json={})
    site.worker.job(number).wait(PATIENCE / 1000)
    assert client.get(f"/live/{number}.json").json()["state"] == "cancelled"
    with pytest.raises(AssayError):
        site.worker.job(number).value(1)
