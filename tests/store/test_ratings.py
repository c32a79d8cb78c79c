from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.errors import RunError, StorageError, UsageError
from assay.store.ratings import Drawn, Pair, Ratings

NOBODY = 65534
PAIRS = [
    Pair(f"L1.mlp_act:{unit}", 10 * unit + a, 10 * unit + b, "rules", other, "0" * 16, "1" * 16)
    for unit in range(6)
    for a, b, other in ((0, 1, "self"), (0, 2, "lookup"))
]


def draw(ratings: Ratings, rater: str = "", run: str = "run", seed: int = 0):
    return ratings.draw(run, rater, PAIRS, random.Random(seed))


def test_nothing_is_made_by_reading(tmp_path: Path) -> None:
    ratings = Ratings(tmp_path / "runs")
    assert ratings.standing("run") == ratings.all() == []
    assert not (tmp_path / "runs").exists()


def test_an_answer_is_stored_with_what_was_shown(tmp_path: Path) -> None:
    ratings = Ratings(tmp_path)
    drawn = draw(ratings, "ann")
    ratings.answer(drawn, "b", 3.25)
    (row,) = ratings.all()
    assert [row[name] for name in Pair._fields] == list(drawn.pair)
    assert (row["run"], row["rater"], row["answer"], row["seconds"]) == ("run", "ann", "b", 3.25)
    assert (row["shown_left"], row["seed"]) == (drawn.shown_left, drawn.seed)
    assert row["rated_at"].endswith("+00:00")
    assert ratings.drawn(drawn.draw) == drawn


@pytest.mark.parametrize(("shown_left", "claims"), [("a", ["a", "b"]), ("b", ["b", "a"])])
def test_sides_are_turned_into_claims(shown_left: str, claims: list[str]) -> None:
    drawn = Drawn("", "run", PAIRS[0], shown_left, 0, "")
    assert [drawn.answer(side) for side in ("left", "right")] == claims
    assert drawn.answer("neither") == "neither"


def test_what_is_taken_back_stays_in_the_file_and_stands_no_more(tmp_path: Path) -> None:
    ratings = Ratings(tmp_path)
    first, second = draw(ratings), draw(ratings, seed=1)
    ratings.answer(first, "a", 1.0)
    ratings.answer(second, "neither", 1.0)
    assert ratings.undo("run", "") == second
    assert ratings.waits(second)
    assert [row["draw"] for row in ratings.standing("run")] == [first.draw]
    ratings.answer(second, "b", 2.0)
    assert [row["answer"] for row in ratings.standing("run")] == ["a", "b"]
    assert [(row["answer"], row["stands"]) for row in ratings.all()] == [
        ("a", 1),
        ("neither", 0),
        ("undone", 0),
        ("b", 1),
    ]
    assert ratings.undo("run", "somebody else") is None
    assert ratings.undo("another run", "") is None


def test_rows_can_be_neither_changed_nor_removed(tmp_path: Path) -> None:
    ratings = Ratings(tmp_path)
    ratings.answer(draw(ratings), "a", 1.0)
    db = sqlite3.connect(tmp_path / "ratings.sqlite")
    for statement in ("UPDATE ratings SET answer = 'b'", "DELETE FROM ratings", "DELETE FROM draws"):
        with pytest.raises(sqlite3.IntegrityError, match="only added to"):
            db.execute(statement)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert db.execute("PRAGMA user_version").fetchone() == (1,)
    db.close()


def test_every_unit_comes_once_before_any_comes_again(tmp_path: Path) -> None:
    ratings, seen = Ratings(tmp_path), []
    for i in range(24):
        drawn = draw(ratings, seed=i)
        seen.append(drawn.pair)
        ratings.answer(drawn, "skip" if i % 5 == 0 else "a", 1.0)
    for start in range(0, 24, 6):
        assert len({pair.unit for pair in seen[start : start + 6]}) == 6
    assert set(Counter(seen).values()) == {2}  # and every pair before any pair
    other = draw(ratings, "somebody else", seed=1)
    assert other.rater == "somebody else"


def test_two_tabs_get_two_units(tmp_path: Path) -> None:
    ratings = Ratings(tmp_path)
    assert len({draw(ratings, seed=1).pair.unit for _ in range(6)}) == 6


def test_sides_and_units_are_drawn_evenly(tmp_path: Path) -> None:
    ratings, rng = Ratings(tmp_path), random.Random(5)
    drawn = [ratings.draw(f"run {i}", "", PAIRS, rng) for i in range(400)]
    # Binomial: 5 standard deviations of 400 at a half are 50, at a sixth 37.
    assert abs(sum(one.shown_left == "a" for one in drawn) - 200) < 50
    assert all(abs(n - 400 / 6) < 37 for n in Counter(one.pair.unit for one in drawn).values())
    assert len({one.draw for one in drawn}) == 400


def test_answers_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    ratings = Ratings(tmp_path)
    drawn = draw(ratings)
    with pytest.raises(UsageError, match="must be one of a, b, neither, skip, got 'undone'"):
        ratings.answer(drawn, "undone", None)
    with pytest.raises(UsageError, match="no pair was drawn under the name 'x'"):
        ratings.drawn("x")


def test_many_processes_lose_nothing(tmp_path: Path) -> None:
    code = (
        "import random, sys; from pathlib import Path; from assay.store.ratings import Pair, Ratings\n"
        "r = Ratings(Path(sys.argv[1])); p = [Pair('u', 0, 1, 'x', 'y', '', '')]\n"
        "for i in range(25): r.answer(r.draw('run', sys.argv[2], p, random.Random()), 'a', i)"
    )
    started = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(i)]) for i in range(4)]
    assert [process.wait(timeout=120) for process in started] == [0] * 4
    rows = Ratings(tmp_path).standing("run")
    assert Counter(row["rater"] for row in rows) == {str(i): 25 for i in range(4)}


@pytest.fixture
def locked() -> Iterator[Path]:
    """A place that anybody can look into, and is to be written to by nobody."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)
        Path(name).chmod(0o755)


def test_a_place_that_cannot_be_written_to_is_one_line_and_can_be_read(locked: Path) -> None:
    ratings = Ratings(locked)
    drawn = draw(ratings)
    ratings.answer(drawn, "a", 1.0)
    locked.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        with pytest.raises(StorageError, match=r"can't write .*ratings\.sqlite: .*; ratings are kept beside the runs"):
            ratings.answer(drawn, "b", 1.0)
        assert [row["answer"] for row in ratings.standing("run")] == ["a"]
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda db: db.execute("PRAGMA user_version=9"), "has schema 9 and this assay reads up to 1"),
        (lambda db: db.execute("CREATE TABLE mine (x)"), "holds something else than ratings"),
    ],
)
def test_other_files_are_left_alone(tmp_path: Path, content, message: str) -> None:
    db = sqlite3.connect(tmp_path / "ratings.sqlite")
    content(db)
    db.commit()
    db.close()
    before = (tmp_path / "ratings.sqlite").read_bytes()
    for use in (draw, Ratings.all):
        with pytest.raises(RunError, match=message):
            use(Ratings(tmp_path))
    assert (tmp_path / "ratings.sqlite").read_bytes() == before


def test_a_file_that_is_no_database_is_called_damaged(tmp_path: Path) -> None:
    (tmp_path / "ratings.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(RunError, match="is damaged"):
        draw(Ratings(tmp_path))
