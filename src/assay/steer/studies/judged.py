"""What a judge says of a trial: how good it is, what it gives each method, and what of it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from assay.findings.found import Finding, Found, Table, number
from assay.judge import RemoteJudge
from assay.judge.prompts import load_prompt
from assay.judge.steered import STEERED
from assay.steer.bench import Bench
from assay.steer.rater import Rated, Rater, Text
from assay.steer.rates import Rates, ratings
from assay.steer.studies.telling import Trialled, bounded, common, placed
from assay.steer.trial import Chosen

MEASURE = "rating, 0 to 2"


class Judged:
    """A judge who was tried before it is asked about anything; see :mod:`assay.steer.rater`."""

    def __init__(self, bench: Bench, rater: Rater) -> None:
        self.bench, self.rater = bench, rater
        bench.progress(f"trying the judge {rater.judge.name}")
        self.watched: dict[str, Any] = rater.part("judge-watched", self._watch)
        self.listens = not self.watched["reason"]
        self.untreated: Rated = []
        if self.listens:
            self.untreated = rater.part("judge-untreated", lambda: self._rate(bench.untreated["texts"]))

    def _watch(self) -> dict[str, Any]:
        rows = self.bench.rows[0]
        return self.rater.watched(self._behind(rows, self.bench.usual.texts), rows, self.bench.seed)

    def tell(self, found: Found, one: Trialled) -> None:
        """What it gives a method: a finding, and figures of its row of the results, which is the last."""
        heard = self.rater.part(f"{one.name}-judged", lambda: self._hear(one.chosen, one.wrote))
        self._placebos(one.chosen, lambda: heard["placebos"])  # so that a run that goes on does not ask again
        got = ratings(heard, self.untreated, len(self.bench.rows[1]), self.bench.setting, one.outcome.check.reasons)
        claim = f"{placed(one)}: a judge finds {self.bench.behaviour.name} in what it writes, and sense"
        about = common(self.bench, one)
        if isinstance(got, str):
            found.findings.append(Finding(claim, MEASURE, None, unscored=got, **about))
            found.results[-1] |= _row(None, heard["own"])
            return
        nulls = {name: null.value for name, null in got.nulls.items()}
        found.findings.append(Finding(claim, MEASURE, *got.score.interval(), nulls=nulls, check=got.check, **about))
        found.results[-1] |= _row(got, heard["own"])

    def finish(self, found: Found) -> None:
        """What it comes to, in the note, the table and the summary; and every reply of an endpoint."""
        judge, writer = self.rater.judge, self.bench.writer
        found.notes.append(self._note())
        account = judge.account.to_json() if isinstance(judge, RemoteJudge) else None
        found.summary["judge"] = {
            "name": judge.name,
            "prompt": str(load_prompt(*STEERED)),
            "watched": self.watched,
            "unscored": dict(self.rater.unscored),
            "account": account,
        }
        if self.listens:
            found.tables.append(_table(found.results, _row(None, self.untreated)))
        else:
            claim = f"a judge finds {self.bench.behaviour.name} in what is written, and sense"
            found.findings.append(Finding(claim, MEASURE, None, unscored=f"the judge: {self.watched['reason']}"))
        if isinstance(judge, RemoteJudge) and writer is not None:
            writer.file("judge.jsonl", judge.recording())

    def _hear(self, chosen: Chosen, wrote: Mapping[str, Any]) -> dict[str, Any]:
        rival = wrote["rival_texts"]
        return {
            "own": self._rate(wrote["texts"]),
            "placebos": self._placebos(chosen, lambda: self._of_placebos(wrote["placebo_texts"])),
            "rival": None if rival is None else self._rate(rival),
        }

    def _placebos(self, chosen: Chosen, make: Callable[[], list[Rated]]) -> list[Rated]:
        return self.bench.placebos.once("judged", chosen.treatment, chosen.measured_dose, make)

    def _of_placebos(self, texts: Sequence[Sequence[str]]) -> list[Rated]:
        flat = iter(self._rate([text for one in texts for text in one]))
        return [[next(flat) for _ in one] for one in texts]

    def _rate(self, texts: Sequence[str]) -> Rated:
        return self.rater.rate(self._behind(self.bench.rows[1], texts))

    def _behind(self, rows: Sequence[int], texts: Sequence[str]) -> list[Text]:
        """Continuations behind their prompts, over which they go round; what a treatment puts before is not shown."""
        prompts = [self.bench.behaviour.prompts[row] for row in rows]
        return [(prompts[i % len(prompts)], text) for i, text in enumerate(texts)]

    def _note(self) -> str:
        said = [
            f"more {name} in the right one of {one['pairs']} known pairs in {bounded(one, 'value', 'lo', 'hi')}"
            for name in ("behaviour", "sense")
            if (one := self.watched.get(name)) is not None and one["value"] is not None
        ]
        found = f" It finds {' and '.join(said)} of them." if said else ""
        why = "" if self.listens else f" It is not listened to: {self.watched['reason']}."
        return f"The judge {self.rater.judge.name} rates what is written, blind to what was done.{found}{why}"


def _row(got: Rates | None, own: Rated) -> dict[str, Any]:
    """A mean rating with its interval and null; and the means of its two parts over what is rated."""
    score = (None, None, None) if got is None else map(number, got.score.interval())
    nulls = [] if got is None else [null.value for name, null in got.nulls.items() if name != "untreated"]
    known = [one for one in own if one is not None]
    parts = np.mean(known, axis=0).tolist() if known else (None, None)
    return {
        **dict(zip(("rating", "rating_lo", "rating_hi"), score, strict=True)),
        "rating_null": number(max(nulls)) if nulls else None,
        **dict(zip(("rated_behaviour", "rated_sense"), parts, strict=True)),
        "unrated": len(own) - len(known),
    }


def _table(results: Sequence[Mapping[str, Any]], untreated: Mapping[str, Any]) -> Table:
    rows = [row for row in results if "rating" in row]
    cells = [
        [row["method"], bounded(row, "rating"), row["rating_null"], row["rated_behaviour"], row["rated_sense"]]
        for row in (*rows, {"method": "untreated", **untreated})
    ]
    return Table("What a judge gives, 0 to 2", ("method", "rating", "null", "behaviour", "sense"), cells)
