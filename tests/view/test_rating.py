"""Blind rating, seen from outside: by HTTP, and in a browser."""

from __future__ import annotations

import csv
import io
import json
import re
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import synthetic
from assay.stats import concordance as statistic
from assay.store.ratings import Ratings
from assay.view.rating import rate
from assay.view.rating.agreement import SCORES
from assay.view.rating.pairs import sentence

HOSTILE = "<img src=x onerror=\"document.title='gone'\">"
SHOWN = ["pair", "left", "right", "full", "excerpts", "progress"]


class Client:
    """A rater without a browser."""

    def __init__(self, base: str, root: Path) -> None:
        self.base, self.root = base, root
        self.run = next(root.glob("*-explain-*")).name
        self.word = re.search(r'name="assay-word" content="([^"]+)"', self.get(f"/run/{self.run}/rate"))[1]

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.base + path, timeout=30) as answer:
            return answer.read().decode()

    def json(self, path: str) -> Any:
        return json.loads(self.get(path))

    def post(self, what: str, word: str | None = None, **body: Any) -> tuple[int, str]:
        headers = {"x-assay-word": self.word if word is None else word}
        request = urllib.request.Request(f"{self.base}/run/{self.run}/rate/{what}", json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def ask(self, what: str, **body: Any) -> dict[str, Any]:
        status, text = self.post(what, **body)
        assert status == 200, text
        return json.loads(text)

    @property
    def ratings(self) -> list[dict[str, Any]]:
        return Ratings(self.root).standing(self.run)


@pytest.fixture
def client(tmp_path: Path, served) -> Client:
    synthetic.write_run(tmp_path)
    return Client(served(tmp_path), tmp_path)


def test_nothing_is_stored_until_a_pair_is_asked_for(client: Client):
    for path in ("rate", "rate.json", "agreement", "agreement.json"):
        client.get(f"/run/{client.run}/{path}")
    client.get("/rate/ratings")
    assert client.json("/rate/ratings.json")["ratings"] == []
    assert not (client.root / "ratings.sqlite").exists()


def test_neither_the_page_nor_its_twin_nor_a_pair_says_whose_it_is(client: Client):
    page, twin = client.get(f"/run/{client.run}/rate"), client.json(f"/run/{client.run}/rate.json")
    names = re.compile(r"\b(rules|lookup|explainer|claim)\b")
    assert not names.search(page)
    assert set(twin) == {"run", "units", "progress", "least"}
    said = client.ask("next")
    for _ in range(12):
        assert list(said) == SHOWN
        texts = {said["left"], said["right"]}
        assert texts == {f"{synthetic.SENTENCE}.", "the mean of each of 4 tokens."}
        rest = json.dumps({name: said[name] for name in SHOWN if name not in ("left", "right")})
        assert not names.search(rest)
        assert re.fullmatch("[0-9a-f]{24}", said["pair"])
        assert all(unit not in rest for unit in synthetic.TARGETS)
        assert {frozenset(token) for one in said["excerpts"] for token in one["tokens"]} == {
            frozenset(("text", "shade", "real", "looked_at"))
        }
        said = client.ask("answer", pair=said["pair"], answer="left", seconds=1.0)
    assert json.dumps(client.json(f"/run/{client.run}/rate.json")) == json.dumps(twin | {
        "progress": rate.progress(client.ratings)
    })  # fmt: skip


def test_which_comes_first_is_random_and_logged(client: Client):
    first = Counter()
    for _ in range(60):
        said = client.ask("next")
        first[said["left"] == f"{synthetic.SENTENCE}."] += 1
        drawn = Ratings(client.root).drawn(said["pair"])
        assert (said["left"] == f"{synthetic.SENTENCE}.") == (drawn.shown_left == "a")
    assert 10 < first[True] < 50  # five standard deviations of a coin thrown 60 times are 19


def test_excerpts_are_of_the_seed_and_shaded_by_what_is_real(client: Client):
    said = client.ask("next")
    again = client.ask("next", pair=said["pair"])
    assert again == said
    other = client.ask("next")
    assert other["pair"] != said["pair"]
    values = [float(one["real"].replace("−", "-")) for one in said["excerpts"]]
    assert values == sorted(values, reverse=True)
    assert 8 <= len(values) <= 15
    shades = {token["shade"] for one in said["excerpts"] for token in one["tokens"]}
    assert all(re.fullmatch(r"(an?\d)?", shade) for shade in shades)


def test_an_answer_is_stored_as_the_claim_that_was_shown_there(client: Client):
    for answer in ("left", "right", "neither", "skip"):
        said = client.ask("next", rater="ann")
        drawn = Ratings(client.root).drawn(said["pair"])
        client.ask("answer", pair=said["pair"], answer=answer, seconds=2.5, rater="ann")
        assert client.ratings[-1]["answer"] == drawn.answer(answer)
        assert client.ratings[-1]["rater"] == "ann"
        assert client.ratings[-1]["seconds"] == 2.5


def test_undo_asks_the_same_again(client: Client):
    said = client.ask("next")
    client.ask("answer", pair=said["pair"], answer="left", seconds=1.0)
    back = client.ask("undo")
    assert [back[name] for name in SHOWN[:-1]] == [said[name] for name in SHOWN[:-1]]
    assert client.ratings == []
    status, text = client.post("undo")
    assert (status, json.loads(text)["error"]) == (400, "there is no answer to take back")


def test_a_write_without_the_word_is_refused(client: Client):
    said = client.ask("next")
    for what in ("next", "answer", "undo"):
        assert client.post(what, word="", pair=said["pair"], answer="left")[0] == 403
    assert client.ratings == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"answer": "a"}, "must be one of left, right, neither, skip, got 'a'"),
        ({"answer": ["left"]}, "must be one of left"),
        ({"answer": "left", "pair": "x"}, "no pair was drawn under the name 'x'"),
        ({"answer": "left", "rater": "=1+1"}, "a nickname may have"),
        ({"answer": "left", "rater": 5}, "a nickname may have"),
    ],
)
def test_what_is_no_answer_is_refused(client: Client, body, message):
    said = client.ask("next")
    status, text = client.post("answer", **({"pair": said["pair"]} | body))
    assert status == 400
    assert message in json.loads(text)["error"]
    assert client.ratings == []


@pytest.mark.parametrize("seconds", [None, -1, 1e9, "3", True])
def test_times_that_are_none_are_left_out(client: Client, seconds):
    client.ask("answer", pair=client.ask("next")["pair"], answer="left", seconds=seconds)
    assert client.ratings[0]["seconds"] is None


def test_ratings_are_exported_as_csv_and_json(client: Client):
    for answer in ("left", "skip"):
        client.ask("answer", pair=client.ask("next", rater="ann")["pair"], answer=answer, seconds=1.5, rater="ann")
    client.ask("undo", rater="ann")
    rows = list(csv.DictReader(io.StringIO(client.get("/rate/ratings.csv"))))
    twin = client.json("/rate/ratings.json")["ratings"]
    assert [{name: str(value) if value is not None else "" for name, value in row.items()} for row in twin] == rows
    assert [(row["answer"] in "ab", row["stands"]) for row in twin] == [(True, 1), (False, 0), (False, 0)]
    wanted = {"id", "rated_at", "run", "unit", "text_a", "text_b", "shown_left", "answer", "seconds", "rater", "seed"}
    assert wanted | {"claim_a", "claim_b", "explainer_a", "explainer_b"} <= set(twin[0])
    assert "ann" in client.get("/rate/ratings")


def prefer(client: Client, explainer: str, count: int) -> None:
    """A rater who knows, and always prefers one."""
    said = client.ask("next")
    for _ in range(count):
        drawn = Ratings(client.root).drawn(said["pair"])
        best = "a" if drawn.pair.explainer_a == explainer else "b"
        answer = "left" if drawn.shown_left == best else "right"
        said = client.ask("answer", pair=said["pair"], answer=answer, seconds=1.0)


def test_there_is_no_share_before_there_are_enough(client: Client):
    prefer(client, "rules", 5)
    twin = client.json(f"/run/{client.run}/agreement.json")
    assert (twin["preferred"], twin["preferred_units"], twin["figure"], twin["rows"]) == (5, 2, None, [])
    assert twin["missing"] == "25 more preferences and 8 more units"
    assert all(row["share"] is None for row in twin["again"])
    page = client.get(f"/run/{client.run}/agreement")
    assert "Too few people have rated" in page
    assert "25 more preferences and 8 more units are missing" in page
    assert "only 2 units to rate" in page
    assert "<figure" not in page


def test_agreement_is_told_with_an_interval_and_a_figure(client: Client, monkeypatch: pytest.MonkeyPatch):
    for module in (statistic, rate):
        monkeypatch.setattr(module, "LEAST_UNITS", 2)
    prefer(client, "rules", 30)
    said = client.ask("next")
    client.ask("answer", pair=said["pair"], answer="neither", seconds=1.0)
    twin = client.json(f"/run/{client.run}/agreement.json")
    r = next(row for row in twin["rows"] if row["score"] == "r")
    arrays = {name: synthetic.r_of(synthetic._arrays(), name) for name in range(4)}
    better = [arrays[0] > arrays[1], arrays[2] > arrays[3]]
    assert r["share"] == pytest.approx(np.mean(better))
    assert (r["choices"], r["units"]) == (30, 2)
    assert 0 <= r["lo"] <= r["share"] <= r["hi"] <= 1
    assert twin["neither"] == 1
    longer = next(row for row in twin["rows"] if row["score"] == "longer sentence")
    assert longer["share"] == 1.0
    page = client.get(f"/run/{client.run}/agreement")
    assert "<figure" in page
    assert "“neither” 1 time," in page
    assert twin["again"][0]["choices"] == 2 * 15 * 14 // 2


def test_rank_is_better_when_it_is_lower():
    assert [score for score, lower in SCORES.items() if lower] == ["rank"]


def test_every_score_key_and_column_is_documented(client: Client):
    text = (Path(__file__).parents[2] / "docs/rating.md").read_text(encoding="utf-8")
    client.ask("answer", pair=client.ask("next")["pair"], answer="left", seconds=1.0)
    columns = client.json("/rate/ratings.json")["ratings"][0]
    assert [name for name in (*SCORES, *columns, "1", "0", "s", "u", "←", "→", "↓") if f"`{name}`" not in text] == []


LOOKUP = {
    "kind": "lookup",
    "base": 0.5,
    "vocabulary": 100,
    "entries": [[" a", 3.0], ["b", -2.0], [["c", "d"], 0.1], ["e", 0.6], ["f", 0.61], ["g", 0.62], ["h", 0.51]],
}


@pytest.mark.parametrize(
    ("text", "rules", "expected"),
    [
        ("It fires on dates", {}, "It fires on dates."),
        ("It rises on x; 2 more rules refine this.", {"kind": "rules"}, "It rises on x; and so on for 2 more."),
        (
            "It is +3 on “ a”.",
            LOOKUP,
            "It rises when the token is “a”, “g”, “f” or “e”; it falls when the token is “b” or “d” after “c”; "
            "and so on for 1 more.",
        ),
        ("It is always 0.5.", {**LOOKUP, "entries": []}, "It is always 0.5."),
    ],
)
def test_sentences_have_one_form(text, rules, expected):
    assert sentence({"text": text, "detail": {"rules": rules}}) == expected


@pytest.fixture
def tab(client: Client, chromium):
    """A browser on the page, with what it complained of."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{client.base}/run/{client.run}/rate")
    page.locator("#excerpts li").first.wait_for()
    yield page
    context.close()


def pressed(page, key: str, client: Client, count: int) -> None:
    before = page.locator("#said").text_content()
    page.keyboard.press(key)
    page.locator("#rate:not([aria-busy])").wait_for()
    until = 200
    while len(Ratings(client.root).all()) < count or page.locator("#said").text_content() == before:
        until -= 1
        assert until, "nothing was stored"
        page.wait_for_timeout(20)


def test_ten_pairs_by_keyboard(client: Client, tab):
    keys = ["1", "ArrowLeft", "2", "ArrowRight", "0", "ArrowDown", "s", "1", "2", "0"]
    sides = ["left", "left", "right", "right", "neither", "neither", "skip", "left", "right", "neither"]
    tab.locator("[data-answer=skip]").focus()
    for i, key in enumerate(keys):
        pressed(tab, key, client, i + 1)
        assert tab.locator("#said").text_content().startswith("Stored: ")
        assert tab.evaluate("document.activeElement.dataset.answer") == "skip"
    rows = client.ratings
    said = [Ratings(client.root).drawn(row["draw"]).answer(side) for row, side in zip(rows, sides, strict=True)]
    assert [row["answer"] for row in rows] == said
    assert all(0 < row["seconds"] < 60 for row in rows)
    assert (
        "You have given 10 answers, to 2 of 2 units. 6 preferences over 2 units"
        in tab.locator("#progress").text_content()
    )
    pressed(tab, "u", client, 11)
    assert tab.locator("#said").text_content().startswith("taken back")
    assert len(client.ratings) == 9


def test_keys_in_a_field_are_text_and_a_reload_keeps_the_pair(client: Client, tab):
    tab.locator("#rater").fill("")
    tab.locator("#rater").press("1")
    assert tab.locator("#rater").input_value() == "1"
    assert client.ratings == []
    tab.locator("#rater").fill("")
    shown = tab.locator("#excerpts").text_content()
    tab.reload()
    tab.locator("#excerpts li").first.wait_for()
    assert tab.locator("#excerpts").text_content() == shown


def test_buttons_do_what_keys_do(client: Client, tab):
    tab.get_by_role("button", name="2 fits better").click()
    tab.locator("#said", has_text="Stored: 2 fits better").wait_for(state="attached")
    drawn = Ratings(client.root).drawn(client.ratings[0]["draw"])
    assert client.ratings[0]["answer"] == drawn.answer("right")


def test_two_tabs_at_once_lose_nothing(client: Client, tab):
    other = tab.context.new_page()
    other.goto(f"{client.base}/run/{client.run}/rate")
    other.locator("#excerpts li").first.wait_for()
    for i in range(6):
        (tab, other)[i % 2].keyboard.press("1")
        if i % 2:
            for page in (tab, other):
                page.locator("#rate:not([aria-busy])").wait_for()
                page.locator("#said", has_text="Stored").wait_for(state="attached")
            page.wait_for_timeout(100)
    assert len(client.ratings) == 6
    assert len({row["draw"] for row in client.ratings}) == 6


def test_hostile_text_stays_text(tmp_path: Path, served, chromium):
    synthetic.write_run(tmp_path, hostile=HOSTILE)
    client = Client(served(tmp_path), tmp_path)
    page = chromium.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    page.goto(f"{client.base}/run/{client.run}/rate")
    page.locator("#excerpts li").first.wait_for()
    assert HOSTILE in page.locator("#left").text_content()
    assert page.evaluate("document.querySelectorAll('#rate img, #rate script').length") == 0
    assert "<script>alert(1)</script>" in page.locator("#excerpts").text_content()
    assert "\x1b" not in page.content()
    assert page.title() != "gone"
    assert wrong == []
    page.close()


def test_a_root_that_cannot_be_written_to_is_explained(tmp_path: Path, served, chromium):
    synthetic.write_run(tmp_path)
    (tmp_path / "ratings.sqlite").mkdir()
    client = Client(served(tmp_path), tmp_path)
    page = chromium.new_page()
    page.goto(f"{client.base}/run/{client.run}/rate")
    page.get_by_role("alert").filter(has_text="ratings are kept beside the runs").wait_for()
    page.close()


def test_without_scripts_the_keys_are_explained(client: Client, chromium):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{client.base}/run/{client.run}/rate")
    assert "1 or ← (the first fits better)" in page.locator("noscript p").inner_text()
    context.close()
