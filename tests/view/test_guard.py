"""Who is answered, and with which headers."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers
from starlette.testclient import TestClient

from assay.view.app import make_app
from assay.view.guard import POLICY, WORD, Guard
from assay.view.pages import Site
from assay.view.shelf import Shelf

PORT = 8765


def refused(method: str = "GET", **headers: str) -> int:
    guard = Guard(lambda *_: None, PORT, "secret")
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return guard.refusal(method, Headers({"host": f"127.0.0.1:{PORT}", **given}))[0]


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "LOCALHOST:8765", "[::1]:8765"])
def test_this_machine_is_answered(host):
    assert refused(host=host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8765",
        "127.0.0.1",
        "127.0.0.1:80",
        "127.0.0.1.evil.example:8765",
        "127.0.0.1:8765@evil.example",
        "",
    ],
)
def test_a_foreign_host_is_not(host):
    assert refused(host=host) == 421


def test_two_hosts_are_none():
    guard = Guard(lambda *_: None, PORT)
    hosts = [(b"host", b"127.0.0.1:8765"), (b"host", b"127.0.0.1:8765")]
    assert guard.refusal("GET", Headers(raw=hosts))[0] == 421


def test_a_write_needs_the_word_and_this_origin():
    word = {WORD.replace("-", "_"): "secret"}
    assert refused("POST") == 403
    assert refused("POST", x_assay_word="wrong") == 403
    assert refused("POST", **word) == 200
    assert refused("POST", origin="http://127.0.0.1:8765", sec_fetch_site="same-origin", **word) == 200
    for origin in ("http://evil.example", "null", "http://127.0.0.1:9999", "https://127.0.0.1:8765"):
        assert refused("POST", origin=origin, **word) == 403
    for site in ("cross-site", "same-site", "none"):
        assert refused("POST", sec_fetch_site=site, **word) == 403
    assert refused("DELETE", **word) == 405


def test_words_are_new_with_every_server():
    words = {Guard(lambda *_: None, PORT).word for _ in range(3)}
    assert len(words) == 3
    assert min(map(len, words)) >= 32


@pytest.fixture
def client(tmp_path):
    return TestClient(make_app(Site(Shelf((), tmp_path)), PORT), base_url=f"http://127.0.0.1:{PORT}")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/index.json",
        "/static/style.css",
        "/nowhere",
        "/run/../../etc/passwd",
        "/run/%2e%2e%2f%2e%2e/units",
        "/static/../app.py",
    ],
)
def test_every_answer_has_the_headers(client, path):
    answer = client.get(path)
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.status_code == (200 if path in ("/", "/index.json", "/static/style.css") else 404)
    assert "root:" not in answer.text


def test_refusals_have_the_headers_too(client):
    answer = client.get("/", headers={"host": "evil.example"})
    assert answer.status_code == 421
    assert answer.headers["content-security-policy"] == POLICY
    assert "127.0.0.1:8765" in answer.text


def test_the_policy_names_no_other_host_and_allows_nothing_inline():
    assert "default-src 'self'" in POLICY
    assert "unsafe" not in POLICY
    assert "http" not in POLICY
