"""The same reporters on other text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assay.cli.app import run as run_cli
from assay.errors import CorpusError, UsageError
from assay.introspect.experiment import ReportRequest, report
from assay.introspect.ground import Ground, on_other_text
from assay.introspect.group import Course, Learnt
from assay.introspect.layer import Asked, Others, study_layer
from assay.introspect.neurons import Neuron, measured
from assay.introspect.request import EFFORTS
from assay.introspect.sentences import Sentences, elsewhere
from assay.introspect.stored import cells_from, recompute
from assay.introspect.training import Plan
from assay.introspect.verdicts import Thresholds
from assay.store import open_run
from assay.testing.planted_reports import UNIT, PlantedReports, planted_reports, planted_teacher
from assay.text import Corpus, Document

ASKED = Asked("Q", "rows", ("nat", "int"), (400, 800), 2, 0, Plan(), Thresholds())


def quiet(message: str, share: float | None = None) -> None:
    pass


def neuron_of(ground: Ground) -> Neuron:
    return measured(UNIT, "planted", ground.fit.values[1][:, 0], 1.0)


def test_on_the_very_same_sentences_the_scores_are_the_same_and_nothing_is_taught_twice(
    grounds: dict[str, Ground],
) -> None:
    ground, taught = grounds["Q"], list[tuple[Any, int]]()
    honest = planted_teacher("reader")

    def teacher(lessons: Course, progress: Any) -> Learnt:
        taught.append((lessons.trial, id(lessons.ground)))
        return honest(lessons, progress)

    also = on_other_text(ground, ground.sentences.test, [UNIT.site.layer], False, quiet)
    others = Others(None, replace(ground), True)
    cells, packed = study_layer(ground, others, [neuron_of(ground)], ASKED, quiet, teacher, also)
    assert len(taught) == len(set(taught)) == 6  # two regimes at two sizes, shuffled numbers, the other model
    for cell in cells:
        for name in ("bits", "bits_lo", "bits_hi", "spearman", "relative_slope", "optimal_r2", "n"):
            assert cell["also"][name] == cell[name]
        for name in ("text", "probe_after", "shuffled"):
            assert cell["also"][name] == cell["baselines"][name]
    again = cells_from(packed, ASKED.regimes, 800, ASKED.limits)
    assert [cell | now for cell, now in zip(cells, again, strict=True)] == cells


def test_who_reads_does_so_on_sentences_of_another_kind(grounds: dict[str, Ground]) -> None:
    ground = grounds["Q"]
    given = ground.sentences.test
    turned = Sentences(tuple((*row[-2::-1], row[-1]) for row in given.ids), given.texts, given.documents)
    also = on_other_text(ground, turned, [UNIT.site.layer], False, quiet)
    nobody = Others(None, None, False)
    for kind, least, most in (("reader", 0.9, 1.3), ("guesser", -0.05, 0.05)):
        cells, _ = study_layer(ground, nobody, [neuron_of(ground)], ASKED, quiet, planted_teacher(kind), also)
        for cell in cells:
            assert cell["also"]["bits"] != cell["bits"]
            assert least <= cell["also"]["relative_slope"] <= most


def test_a_run_tells_what_other_text_makes_of_its_scores(
    planted_text: tuple[PlantedReports, Corpus],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    small = EFFORTS["smoke"]._replace(wide=400, choose=120, test=120, epochs=1, patched_epochs=1)
    monkeypatch.setitem(EFFORTS, "smoke", small)
    planted, corpus = planted_text
    name = planted.subject.name
    asked = ReportRequest((name,), (1,), 1, ("int",), train_examples=200, effort="smoke", out=str(tmp_path))
    other = planted_reports(0, documents=60).corpus
    fresh = Corpus("elsewhere", tuple(one._replace(text=_turned(one.text)) for one in other), "1" * 64)
    outcome = report(asked, quiet, subject=planted.subject, corpus=corpus, also=fresh)
    [cell], [told] = outcome.result["cells"], outcome.result["summary"]["also"].values()
    run = open_run(outcome.run_path)
    assert run.spec["corpus"]["also"]["name"] == "elsewhere"
    assert told["bits"] == cell["bits"]
    assert told["bits_there"] == cell["also"]["bits"]
    assert told["bits_drop"] == pytest.approx(cell["bits"] - cell["also"]["bits"], abs=1e-4)
    assert cell["also"]["n"] == cell["n"] == 120 * 2
    assert all(one.now == one.stored for one in recompute(run))
    assert "The same reporters on elsewhere" in run.file("page.html").read_text(encoding="utf-8")
    assert run_cli(["show", run.id, "--out", str(tmp_path)]) == 0
    assert f"on elsewhere: bits {told['bits_there']:.2f}".replace("0.", ".") in capsys.readouterr().out


def _turned(text: str) -> str:
    return " ".join(" ".join(reversed(sentence.split())) + "." for sentence in text.split(".") if sentence.strip())


def test_sentences_like_those_that_were_taught_are_left_out(grounds: dict[str, Ground]) -> None:
    ground = grounds["Q"]
    subject, stop = ground.meter, ground.wording.stop
    known = ground.sentences.fit.texts[:40]
    fresh = [" ".join(reversed(text[:-1].split())) + "." for text in ground.sentences.fit.texts[40:60]]
    mixed = Corpus("mixed", tuple(Document(str(i), text, str(i)) for i, text in enumerate([*known, *fresh])), "2" * 64)
    found = elsewhere(subject, mixed, stop, 20, 0, ground.sentences)
    assert sorted(found.texts) == sorted(fresh)
    with pytest.raises(CorpusError, match=r"mixed has 20 distinct sentences .* and 21 are needed"):
        elsewhere(subject, mixed, stop, 21, 0, ground.sentences)


def test_two_corpora_can_not_both_be_standard_input() -> None:
    with pytest.raises(UsageError, match="give one of them as a file"):
        ReportRequest(corpus="-", also="-").check()
