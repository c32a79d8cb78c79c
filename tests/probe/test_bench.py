"""What a bench reads, how often, and what it keeps of a run that was broken off."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.core.direction import Direction
from assay.core.ids import SiteId
from assay.errors import UnknownName, UsageError
from assay.fit.probes import make_probe
from assay.probe import bench as module
from assay.probe.bench import Bench, some
from assay.store import RunWriter, open_run
from assay.text.concepts import ConceptData, Item, load_concept
from probe.planted_bench import SMALL, facts, planted, planted_bench, quiet

DESCRIBED: dict[str, Any] = {"asked": {}, "resolved": {}, "subject": {"name": "none"}, "corpus": {"name": "none"}}


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """First text, number of texts and number of sites of every reading."""
    seen: list[tuple[str, int, int]] = []
    own = module.read

    def read(subject, texts, sites, *more):
        seen.append((texts[0], len(texts), len(sites)))
        return own(subject, texts, sites, *more)

    monkeypatch.setattr(module, "read", read)
    return seen


def on_ladder(ladder: Any, *sets: ConceptData) -> Bench:
    return Bench(lambda: ladder, SMALL, 0, "last", quiet, sets)


def test_a_set_is_read_once_for_all_layers(ladder: Any, reads: list[tuple[str, int, int]]) -> None:
    bench = on_ladder(ladder, facts("a", 4), facts("b", 3))
    bench.read(["a", "b", "a"], [0, 1, 0])
    for layer in (0, 1, 0):
        assert bench.acts("a", layer).shape == (8, 96)
    bench.read(["b"], [1])
    assert [(count, sites) for _, count, sites in reads] == [(8, 2), (6, 2)]
    assert bench.passes == {"a": 1, "b": 1}
    assert not np.array_equal(bench.acts("a", 0), bench.acts("a", 1))


def test_a_layer_that_comes_later_costs_a_pass_of_its_own(ladder: Any, reads: list[tuple[str, int, int]]) -> None:
    bench = on_ladder(ladder, facts("a", 4))
    bench.read(["a"], [0])
    first = bench.acts("a", 0)
    bench.read(["a"], [0, 1])
    assert [sites for *_, sites in reads] == [1, 1]
    assert bench.passes == {"a": 2}
    assert bench.acts("a", 0) is first


def test_the_model_is_loaded_when_it_is_needed_and_once(ladder: Any) -> None:
    loads: list[int] = []

    def load() -> Any:
        loads.append(1)
        return ladder

    bench = Bench(load, SMALL, 0, "last", quiet, [facts("a", 4)])
    assert len(bench.data("a")) == 8
    assert (bench.arithmetic(), loads) == ("", [])
    bench.acts("a", 0)
    assert (bench.subject, loads) == (ladder, [1])
    assert bench.exact is ladder  # it is in fp32 already
    assert bench.arithmetic().startswith("read in float32 (fp32: asked for")


def test_answers_are_the_models_own_to_what_the_set_asks(ladder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    own = module.log_odds

    def log_odds(subject, texts, words, told):
        asked.append(texts)
        assert words == (" no", " yes")
        return own(subject, texts, words, told)

    monkeypatch.setattr(module, "log_odds", log_odds)
    bench = on_ladder(ladder, facts("a", 2, ask="Is it so? {text} Say"), facts("b", 2))
    answers = bench.answers("a")
    assert answers is not None
    assert answers is bench.answers("a")
    assert asked == [[f"Is it so? {text} Say" for text in bench.data("a").texts]]
    assert bench.answers("b") is None


def test_layers_are_those_asked_for_or_the_usual_ones_if_there_are_so_many() -> None:
    bench = planted_bench([facts()], {("facts", 0): planted(facts(), 1.0)})  # of four layers
    assert bench.layers((3, 1, 3)) == (3, 1)
    assert bench.layers(None, (1, 3)) == (1, 3)
    assert bench.layers(None, (4, 12, 20)) == (0, 2, 3)
    assert bench.layers(None) == (1, 3)  # by effort: two
    with pytest.raises(UsageError, match=r"^planted has layers 0 to 3, and --layers names 4$"):
        bench.layers((0, 4))


@pytest.mark.parametrize("most", [20, 33, 120, 200])
def test_some_items_are_whole_pairs_of_as_many_groups_as_can_be(most: int) -> None:
    data = load_concept("sentiment")  # 54 groups of up to 20 pairs
    for seed in (0, 1):
        chosen = some(data, most, seed)
        assert most - 1 <= len(chosen) <= most
        assert [sum(pair == one for pair in chosen.pairs) for one in set(chosen.pairs)] == [2] * (len(chosen) // 2)
        assert len(set(chosen.groups)) == min(54, most // 2)
        places = [data.texts.index(text) for text in chosen.texts]
        assert places == sorted(places)
        assert chosen.items == some(data, most, seed).items
    assert some(data, most, 0).items != some(data, most, 1).items


def test_some_of_a_small_set_is_the_set() -> None:
    data = facts(groups=10)
    assert some(data, 20, 0) is data


def test_a_pair_that_is_named_by_a_number_is_no_item_of_that_number() -> None:
    paired = [Item(f"a {i} {label}", label, f"a{i}", pair=str(i)) for i in range(10) for label in (0, 1)]
    lonely = [Item(f"b {i}", i % 2, f"b{i}") for i in range(20)]
    data = ConceptData("both", (*lonely, *paired), "", "")
    for seed in range(5):
        chosen = some(data, 21, seed)
        assert len(chosen) in (20, 21)
        pairs = [pair for pair in chosen.pairs if pair]
        assert all(pairs.count(pair) == 2 for pair in pairs)


def test_a_file_goes_by_a_name_that_no_other_set_has(tmp_path: Path) -> None:
    rows = [f"{item.text},{item.label},{item.group}" for item in facts(groups=3).items]
    for name in ("mine.csv", "<b> & c.csv", "cities.csv", "same/mine.csv", "other/mine.csv"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        held = rows[2:] if name.startswith("other") else rows
        path.write_text("\n".join(["text,label,group", *held]), encoding="utf-8")
    bench = Bench(None, SMALL, 0, "last", quiet)
    assert bench.take(str(tmp_path / "mine.csv")) == "mine"
    assert bench.data("mine").name == "mine"
    assert len(bench.data("mine")) == 6
    assert bench.take(str(tmp_path / "same/mine.csv")) == "mine"
    assert bench.take(str(tmp_path / "<b> & c.csv")) == "_b_c"
    assert bench.take("cities") == "cities"
    for name in ("cities.csv", "other/mine.csv"):
        with pytest.raises(UsageError, match="as another data set does; rename the file"):
            bench.take(str(tmp_path / name))
    with pytest.raises(UnknownName, match="unknown concept data 'citties'; did you mean 'cities'"):
        bench.take("citties")


def make(calls: list[str], name: str, value: Any) -> Any:
    calls.append(name)
    return value


def test_parts_of_a_run_that_was_broken_off_are_taken_up(tmp_path: Path) -> None:
    calls: list[str] = []
    bench = planted_bench([facts()], {("facts", 0): planted(facts(), 1.0)})
    bench.writer = RunWriter.take_up(tmp_path, "probe", **DESCRIBED)
    with suppress(KeyboardInterrupt), bench.writer:
        first = bench.part("one", lambda: make(calls, "one", {"a": [1, 0.1]}))
        raise KeyboardInterrupt
    bench.writer = RunWriter.take_up(tmp_path, "probe", **DESCRIBED)
    assert bench.writer.taken_up
    with bench.writer:
        again = bench.part("one", lambda: make(calls, "never", {}))
        other = bench.part("two", lambda: make(calls, "two", [None]))
    assert (first, again, other) == ({"a": [1, 0.1]}, {"a": [1, 0.1]}, [None])
    assert calls == ["one", "two"]
    assert set(open_run(bench.writer.path).files) == {"spec.json", "parts/one.json", "parts/two.json"}


def test_parts_without_a_run_are_just_made() -> None:
    bench = planted_bench([facts()], {("facts", 0): planted(facts(), 1.0)})
    assert bench.part("one", lambda: [1]) == [1]
    bench.keep_directions({})


def test_a_part_that_is_no_json_is_not_stored(tmp_path: Path) -> None:
    bench = planted_bench([facts()], {("facts", 0): planted(facts(), 1.0)})
    bench.writer = RunWriter.take_up(tmp_path, "probe", **DESCRIBED)
    with pytest.raises(ValueError, match="JSON"), bench.writer:
        bench.part("one", lambda: float("nan"))
    assert not list(tmp_path.glob("*/parts/*"))


def test_directions_are_files_of_the_run(tmp_path: Path) -> None:
    rows = planted(facts(), 1.0)
    bench = planted_bench([facts()], {("facts", 2): rows})
    bench.writer = RunWriter.take_up(tmp_path, "probe", **DESCRIBED)
    probe = make_probe("mean_diff").fit(rows, facts().labels)
    with bench.writer:
        bench.keep_directions({"L2.facts.mean_diff": probe.direction(SiteId(2, "resid_post"), {"data": "facts"})})
    run = open_run(bench.writer.path)
    read = Direction.load(run.file("directions/L2.facts.mean_diff.safetensors"))
    assert read.site == SiteId(2, "resid_post")
    assert read.value(rows) == pytest.approx(probe.decision_function(rows))
    assert read.provenance == {"method": "mean_diff", "data": "facts"}
