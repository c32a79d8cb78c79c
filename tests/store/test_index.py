"""The index of a run: what it holds, what it finds, and that nobody's words are its language."""

from __future__ import annotations

import json

import pytest

import synthetic
from assay.errors import UsageError
from assay.store import open_run
from assay.store.index import Index, index_path
from assay.store.indexing import build_index
from assay.store.listing import Asked, matching, one_form


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("indexed")


@pytest.fixture(scope="module")
def run(root):
    return open_run(synthetic.write_run(root / "runs"))


@pytest.fixture(scope="module")
def index(run, root):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_CACHE", str(root / "cache"))
        shares: list[float] = []
        path = build_index(run, shares.append)
        assert path == index_path(run)
        assert path.parent.parent == root / "cache"
        assert shares == sorted(shares)
        assert shares[-1] == 1
    return Index(path)


def test_units_are_the_targets_with_their_rows(run, index):
    assert index.unit(synthetic.COMPANION) is None
    for n, name in enumerate(synthetic.TARGETS):
        row = index.unit(name)
        stored = run.rows("units")[n]
        assert (row["n"], row["row"], row["test"]) == (n, n, n)
        assert {key: row[key] for key in ("mean", "sd", "q99", "layer")} == {
            key: stored[key] for key in ("mean", "sd", "q99", "layer")
        }
    assert index.beside(0) == (None, synthetic.TARGETS[1])
    assert index.beside(1) == (synthetic.TARGETS[0], None)


def test_claims_have_their_scores_and_all_evidence(run, index):
    first = index.claims(0)[0]
    r = synthetic.r_of(run.tensors("test"), 0)
    assert (first["claim"], first["explainer"], first["test"]) == (0, "rules", 0)
    assert (first["r"], first["r_lo"], first["best_null"], first["lookup"]) == (r, r - 0.05, 0.034, 0.5)
    assert (first["verdict"], first["behaviour"]) == ("supported", None)
    tests = first["detail"]["evidence"]
    assert [test["measure"] for test in tests] == ["r", "behaviour", "verdict"]
    assert tests[0]["nulls"] == json.loads(run.rows("evidence")[0]["nulls"])
    assert tests[1]["unscored"] == "not run"
    assert [claim["claim"] for claim in index.claims(1)] == [2, 3]  # the control is no claim


def test_lists_are_sorted_filtered_and_cut(index):
    both = index.units(Asked("rules"))
    assert ([row["unit"] for row in both.rows], both.total) == (list(synthetic.TARGETS), 2)
    down = index.units(Asked("rules", sort="r", descending=True, most=1))
    assert (down.total, len(down.rows)) == (2, 1)
    assert down.rows[0]["r"] == max(row["r"] for row in both.rows)
    assert index.units(Asked("rules", sort="r", descending=True, start=1)).rows[0]["unit"] != down.rows[0]["unit"]
    assert [row["unit"] for row in index.units(Asked("rules", kind="undecided")).rows] == [synthetic.TARGETS[1]]
    assert [row["unit"] for row in index.units(Asked("rules", layer=3)).rows] == [synthetic.TARGETS[1]]
    high = down.rows[0]["r"]
    assert [row["r"] for row in index.units(Asked("rules", low=high)).rows] == [high]
    assert high not in [row["r"] for row in index.units(Asked("rules", high=high)).rows]


@pytest.mark.parametrize(
    ("what", "asked"), [("sort", Asked("rules", sort="1; DROP TABLE units")), ("kind", Asked("rules", kind="good"))]
)
def test_what_is_not_known_is_refused(index, what, asked):
    with pytest.raises(UsageError, match=f"no {what}"):
        index.units(asked)


def test_words_are_found_in_sentences_and_rules(index):
    assert index.units(Asked("rules", words="years stands")).total == 2
    assert index.units(Asked("rules", words="yea")).total == 2  # the last word may go on
    assert index.units(Asked("rules", words="otherwise")).total == 2  # in the lines alone
    assert index.units(Asked("lookup", words="years")).total == 0
    assert index.units(Asked("rules", words="years nowhere")).total == 0


@pytest.mark.parametrize(
    "words", ['"', "years OR nothing", "text:years", "NEAR(a b)", "'; --", "\0", "-", "year)s", "(" * 50]
)
def test_a_search_is_never_read_as_a_language(index, words):
    assert index.units(Asked("rules", words=words)).total == 0


def test_matching_quotes_every_word():
    assert matching('say "it"') == '"say" """it"""*'
    assert matching("  ") == '""'


def test_tokens_are_found_without_space_and_case(run, index):
    for token in (" 1984", "1984"):
        found = index.units(Asked("rules", token=token))
        assert {row["unit"] for row in found.rows} == set(synthetic.TARGETS)
        first = next(row for row in found.rows if row["unit"] == synthetic.TARGETS[0] and row["side"] == 1)
        exemplars = run.tensors("exemplars")
        ids, values = exemplars["top_ids"][0], exemplars["top_activations"][0]
        fired = (values >= values.max() / 2) & (ids == synthetic.YEAR)
        assert (first["peaks"], first["exemplars"]) == (int(fired.any(1).sum()), int((ids >= 0).any(1).sum()))
        assert first["peak"] == pytest.approx(values[fired].max())
    assert one_form("\n") == "\n"
    assert index.units(Asked("rules", token="nowhere")).total == 0


def test_draws_cover_a_kind_and_nothing_else(index):
    drawn = {index.draw("any", None, share) for share in (0.0, 0.49, 0.5, 0.999, 1.0)}
    assert drawn == set(synthetic.TARGETS)
    assert index.draw("supported", "rules", 0.7) == synthetic.TARGETS[0]
    assert index.draw("surprising", None, 0.5) is None


def test_counts_are_those_of_the_table(index):
    rules = index.counts()[0]
    assert (rules["explainer"], rules["claims"], rules["supported"], rules["undecided"]) == ("rules", 2, 1, 1)
    assert rules["mean_r"] == pytest.approx(sum(row["r"] for row in index.units(Asked("rules")).rows) / 2)


def test_another_content_has_another_index(run, root, monkeypatch):
    monkeypatch.setenv("ASSAY_CACHE", str(root / "cache"))
    before = index_path(run)
    other = open_run(synthetic.write_run(root / "others", hostile="!"))
    assert index_path(other) != before


def test_the_index_can_be_read_from_many_threads(index):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: index.units(Asked("rules")).total, range(64)))
    assert found == [2] * 64


def test_a_name_in_the_spec_leads_nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    path = synthetic.write_run(tmp_path / "runs")
    spec = json.loads((path / "spec.json").read_text())
    (path / "spec.json").write_text(json.dumps(spec | {"id": "../../../evil"}))
    run = open_run(path)
    assert run.id == path.name
    assert build_index(run).parent == tmp_path / "cache" / "index"
