"""One execution of the lab: what is learnt on the fit and choose splits, then what the test split says of it."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assay.core.ids import UnitId
from assay.explain.claims import SELF, Claim, Fitted, Fitter, make_claim
from assay.explain.contract import contract_entry
from assay.explain.elsewhere import Elsewhere, elsewhere_rows, measure_elsewhere, summarise
from assay.explain.evidence import claim_rows, evidence_rows
from assay.explain.figure import figure_json, figure_svg
from assay.explain.joint.of_claims import replace_claimed
from assay.explain.joint.scores import joint_entries
from assay.explain.joint.stored import Stored
from assay.explain.joint.write import write_joint
from assay.explain.lineup import assign_strangers, find_companions, rival_candidates
from assay.explain.material import FIRING_QUANTILE, Material, Progress, record_part
from assay.explain.measure import Tested, run_behaviour, run_test_pass, tested_arrays
from assay.explain.measured import Measured, measure_claim, number
from assay.explain.oneself import Oneself, voices
from assay.explain.page import RunContent, build_page
from assay.explain.prose import Prose
from assay.explain.recorded import exemplar_arrays, unit_rows
from assay.explain.request import ExplainRequest
from assay.explain.verdicts import ARMS, Judged, judge
from assay.record import Recording
from assay.store import RunWriter

if TYPE_CHECKING:
    from assay.model import Subject


class Study:
    """One execution: what is learnt, then what the test split says of it."""

    def __init__(
        self,
        request: ExplainRequest,
        subject: Subject,
        material: Material,
        targets: Sequence[UnitId],
        oneself: Oneself | None,
        progress: Progress,
    ) -> None:
        self.request, self.subject, self.material, self.progress = request, subject, material, progress
        self.oneself = oneself
        self.targets = list(targets)
        self.units = self.targets + find_companions(self.targets, subject, request.seed)
        self.seconds_forward = 0.0
        self.behaviour: dict[str, NDArray[Any]] | None = None
        self.joint: Stored | None = None

    def learn(self) -> None:
        """Record the fit and choose splits, learn the explanations, and settle each claim."""
        with tempfile.TemporaryDirectory(prefix="assay-") as scratch:
            self.recording = self._record("fit", Path(scratch))
            choose = self._record("choose", Path(scratch))
            fit_part, choose_part = self.material.fit, self.material.choose
            assert self.recording.columns is not None
            assert choose.columns is not None
            self.fit = np.ascontiguousarray(self.recording.columns[fit_part.scored].T)
            self.chosen = np.ascontiguousarray(choose.columns[choose_part.scored].T)
        self.fire_above = np.quantile(self.fit, FIRING_QUANTILE, axis=1).astype(np.float64)
        strangers = assign_strangers(self.units)
        prose = self._let_it_speak(strangers)
        self.progress("reading the text as rules see it")
        fitter = Fitter(fit_part.view, self.subject.vocab_size, self.request.explainers, self.request.rules)
        self.fitted: list[Fitted] = []
        for i, unit in enumerate(self.units):
            self.progress(f"explaining {unit}", i / len(self.units))
            written = self.request.written.get(str(unit))
            self.fitted.append(fitter.fit(unit, self.fit[i], i < len(self.targets), written, prose.get(i)))
        self.claims = self._claims(strangers)

    def _let_it_speak(self, strangers: Sequence[int]) -> dict[int, Prose]:
        """By number of the unit, what the subject says of it."""
        if self.oneself is None:
            return {}
        asserted = self.request.explainers[0] == SELF
        chosen = voices(len(self.units), len(self.targets), strangers, asserted)
        said: dict[int, Prose] = {}
        for done, i in enumerate(chosen):
            self.progress(f"{self.subject.name} explains its {self.units[i]}", done / len(chosen))
            said[i] = self.oneself.explain(self.units[i], self.fit[i], self.chosen[i])
        return said

    def _claims(self, strangers: Sequence[int]) -> list[Claim]:
        """Every unit's explanations asserted of it, and a stranger's as its control."""
        view = self.material.choose.view
        made: dict[int, NDArray[np.float32]] = {}
        claims: list[Claim] = []
        for i, unit in enumerate(self.targets):
            sources = [(name, i) for name in self.fitted[i].explanations]
            sources.append((self.request.explainers[0], strangers[i]))
            for explainer, source in sources:
                others = rival_candidates(self.fitted, i, strangers[i], self.request.seed)
                level, given = float(self.fire_above[i]), self.fitted[source]
                if explainer == SELF and self.oneself is not None:
                    claims.append(self.oneself.claim(unit, given, others, self.chosen[i], level))
                else:
                    claims.append(make_claim(unit, given, explainer, others, view, self.chosen[i], level, made))
        return claims

    def _record(self, name: str, scratch: Path) -> Recording:
        part = getattr(self.material, name)
        made = record_part(self.subject, part, self.units, scratch / f"{name}.npy", self.progress)
        self.seconds_forward += made.seconds_forward
        return made

    def test(self) -> None:
        """Meet the test split: predictions, behaviour, scores and verdicts."""
        part = self.material.test
        self.tested: Tested = run_test_pass(self.subject, part, self.targets, self.claims, self.progress, self.oneself)
        self.seconds_forward += self.tested.seconds_forward
        if self.request.edits:
            self._run_edited()
        self.progress("scoring")
        self.measured: dict[int, Measured] = {}
        place = {unit: i for i, unit in enumerate(self.targets)}
        rows = {(claim.unit, claim.explainer): i for i, claim in enumerate(self.claims) if claim.role == "claim"}
        for i, claim in enumerate(self.claims):
            if claim.role == "claim":
                at = place[claim.unit]
                self.measured[i] = measure_claim(
                    i,
                    claim,
                    self.fitted[at],
                    self.material,
                    self.tested,
                    at,
                    self.fit[at],
                    float(self.fire_above[at]),
                    len(self.subject.units.at(claim.unit.site)),
                    self.request.seed,
                    {name: row for (unit, name), row in rows.items() if unit == claim.unit and row != i},
                )
        self.elsewhere = self._elsewhere()
        self.unit_rows = unit_rows(self.recording, self.units, len(self.targets), self.fire_above)
        self.claim_rows = claim_rows(self.claims)
        self.judged: Judged = judge(
            self.claim_rows, self.unit_rows, self.test_arrays(), self.behaviour, self.request.seed
        )

    def _run_edited(self) -> None:
        """Put predictions into the running model: of each unit alone, and of many at once."""
        import torch

        subject, part = self.subject.with_dtype(torch.float32), self.material.test
        means = dict(zip(self.units, self.recording.gather(lambda s: s.moments.mean).tolist(), strict=True))
        told = (self.tested, means, self.request.seed, self.progress)
        if self.request.behaviour:
            self.behaviour = run_behaviour(subject, part, self.targets, self.claims, *told, self.oneself)
        if self.request.joint:
            self.joint = replace_claimed(subject, part, self.targets, self.claims, *told)

    def _elsewhere(self) -> Elsewhere | None:
        """The same claims on other text, if there is any."""
        if self.material.other is None:
            return None
        self.progress("testing on other text")
        found = measure_elsewhere(
            self.subject,
            self.material,
            self.material.other,
            self.targets,
            self.claims,
            self.fitted,
            self.fit,
            self.fire_above,
            self.measured,
            self.request.seed,
            self.progress,
        )
        self.seconds_forward += found.tested.seconds_forward
        return found

    def test_arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays of ``tensors/test.safetensors``."""
        sampled = {} if self.tested.sampled is None else {"sampled": self.tested.sampled.astype(np.uint8)}
        return sampled | tested_arrays(self.material.test, self.tested)

    def result(self, run: str, seconds: float, peak_rss_mb: float) -> dict[str, Any]:
        """The JSON of the contract."""
        units = [contract_entry(i, self.claims[i], m, self.judged, self.elsewhere) for i, m in self.measured.items()]
        first = [entry for entry in units if entry["explainer"] == self.request.explainers[0]]
        r = [entry["r"] for entry in first if entry["r"] is not None]
        control = self.judged.prediction.summary
        by_behaviour = self.judged.behaviour.summary if self.judged.behaviour else None
        joint = {} if self.joint is None else {"joint": joint_entries(self.joint, self.request.seed)}
        return {
            "run": run,
            "subject": self.subject.name,
            "units": units,
            "summary": {
                "units": len(self.targets),
                "mean_r": number(float(np.mean(r))) if r else None,
                "median_r": number(float(np.median(r))) if r else None,
                "verdicts": {
                    name: dict(Counter(e["verdict"] for e in units if e["explainer"] == name))
                    for name in dict.fromkeys(entry["explainer"] for entry in units)
                },
                "controls": {
                    "prediction": control._asdict(),
                    "behaviour": by_behaviour._asdict() if by_behaviour else None,
                },
                "self": None if self.oneself is None else self.oneself.summary(self.claims),
                "also": None if self.elsewhere is None else summarise(units, self.elsewhere),
                "tokens": sum(self.material.n_tokens.values()),
                "seconds": round(seconds, 1),
                "forward_seconds": round(self.seconds_forward, 1),
                "peak_rss_mb": round(peak_rss_mb, 1),
                "dtype": str(self.subject.dtype).removeprefix("torch."),
            },
            **joint,
        }

    def _evidence_rows(self) -> list[dict[str, Any]]:
        rows = evidence_rows(self.claims, self.measured, self.judged)
        if self.elsewhere is not None:
            rows += [row for i in self.measured for row in elsewhere_rows(self.elsewhere, i)]
        return rows

    def write(self, writer: RunWriter, result: dict[str, Any]) -> None:
        """Everything into the run directory."""
        arrays = {"test": self.test_arrays(), "exemplars": exemplar_arrays(self.recording, self.targets)}
        if self.elsewhere is not None:
            arrays["also"] = tested_arrays(self.elsewhere.part, self.elsewhere.tested)
        known = self.subject.directions
        if vectors := {str(unit): known[unit].vector for unit in self.targets if unit in known}:
            arrays["directions"] = vectors
        if self.behaviour is not None:
            arrays["behaviour"] = self.behaviour
        seen = np.unique(
            np.concatenate(
                [arrays["test"]["ids"], *(e.ravel() for n, e in arrays["exemplars"].items() if n.endswith("_ids"))]
            )
        )
        texts = self.subject.token_texts()
        tables = {
            "units": self.unit_rows,
            "claims": self.claim_rows,
            "evidence": self._evidence_rows(),
            "tokens": [{"id": int(i), "text": texts[i]} for i in seen if i >= 0],
        }
        for name, rows in tables.items():
            writer.table(name, rows)
        for name, tensors in arrays.items():
            metadata = {"arms": ",".join(ARMS)} if name == "behaviour" else None
            writer.tensors(name, {key: np.ascontiguousarray(value) for key, value in tensors.items()}, metadata)
        writer.result(result)
        self.progress("drawing the figure and the page")
        writer.file("figure.json", figure_json(result))
        writer.file("figure.svg", figure_svg(result))
        svg = write_joint(writer, self.joint, result["joint"]) if self.joint else None
        writer.file("page.html", build_page(RunContent(writer.spec, tables, arrays, result), svg))
