"""One execution of the lab: what is learnt on the fit and choose splits, then what the test split says of it."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assay.core.ids import UnitId
from assay.explain.claims import SIMULATED, Claim, Fitted, Fitter, make_claim
from assay.explain.contract import contract_entry
from assay.explain.detection import DRAWS, YesNo, ask, yes_no_rows
from assay.explain.elsewhere import Elsewhere, elsewhere_rows, measure_elsewhere, summarise
from assay.explain.evidence import claim_rows, evidence_rows
from assay.explain.figure import figure_json, figure_svg
from assay.explain.joint.of_claims import replace_claimed
from assay.explain.joint.scores import joint_entries
from assay.explain.joint.stored import Stored
from assay.explain.joint.write import write_joint
from assay.explain.lineup import assign_strangers, find_companions, rival_candidates, speakers
from assay.explain.material import FIRING_QUANTILE, Material, Progress, record_part
from assay.explain.measure import Tested, run_behaviour, run_test_pass, tested_arrays
from assay.explain.measured import Measured, measure_claim, number
from assay.explain.output_rows import OutputReport
from assay.explain.outputs import study_outputs
from assay.explain.page import RunContent, build_page
from assay.explain.prose import Prose
from assay.explain.recorded import exemplar_arrays, unit_rows
from assay.explain.request import ExplainRequest
from assay.explain.verdicts import ARMS, Judged, judge
from assay.explain.voice import Voice
from assay.judge import RemoteJudge
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
        voices: Mapping[str, Voice],
        progress: Progress,
    ) -> None:
        self.request, self.subject, self.material, self.progress = request, subject, material, progress
        self.voices = voices
        self.targets = list(targets)
        self.units = self.targets + find_companions(self.targets, subject, request.seed)
        self.seconds_forward = 0.0
        self.behaviour: dict[str, NDArray[Any]] | None = None
        self.joint: Stored | None = None
        self.outputs: OutputReport | None = None

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
        prose = self._let_them_speak(strangers)
        self.progress("reading the text as rules see it")
        fitter = Fitter(fit_part.view, self.subject.vocab_size, self.request.explainers, self.request.rules)
        self.fitted: list[Fitted] = []
        for i, unit in enumerate(self.units):
            self.progress(f"explaining {unit}", i / len(self.units))
            written = self.request.written.get(str(unit))
            self.fitted.append(fitter.fit(unit, self.fit[i], i < len(self.targets), written, prose.get(i)))
        self.claims = self._claims(strangers)

    def _let_them_speak(self, strangers: Sequence[int]) -> dict[int, dict[str, Prose]]:
        """By number of the unit, what each voice says of it."""
        said: dict[int, dict[str, Prose]] = {}
        for name, voice in self.voices.items():
            asserted = self.request.explainers[0] == name
            chosen = speakers(self.units, len(self.targets), strangers, asserted, voice.given)
            for done, i in enumerate(chosen):
                self.progress(f"{voice.judge.name} explains {self.units[i]}", done / len(chosen))
                said.setdefault(i, {})[name] = voice.explain(self.units[i], self.fit[i], self.chosen[i])
        return said

    def _claims(self, strangers: Sequence[int]) -> list[Claim]:
        """Every unit's explanations asserted of it, and a stranger's as its control."""
        view, how = self.material.choose.view, self.request.calibration
        made: dict[int, NDArray[np.float32]] = {}
        claims: list[Claim] = []
        for i, unit in enumerate(self.targets):
            sources = [(name, i) for name in self.fitted[i].explanations]
            sources.append((self.request.explainers[0], strangers[i]))
            for explainer, source in sources:
                others = rival_candidates(self.fitted, i, strangers[i], self.request.seed)
                level, given = float(self.fire_above[i]), self.fitted[source]
                if (voice := self.voices.get(explainer)) is not None:
                    claims.append(voice.claim(unit, given, others, self.chosen[i], level, how))
                else:
                    claims.append(make_claim(unit, given, explainer, others, view, self.chosen[i], level, made, how))
        return claims

    def _record(self, name: str, scratch: Path) -> Recording:
        part = getattr(self.material, name)
        made = record_part(self.subject, part, self.units, scratch / f"{name}.npy", self.progress)
        self.seconds_forward += made.seconds_forward
        return made

    def test(self) -> None:
        """Meet the test split: predictions, behaviour, scores and verdicts."""
        part = self.material.test
        self.tested: Tested = run_test_pass(self.subject, part, self.targets, self.claims, self.progress, self.voices)
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
        self.answers = self._ask() if self.request.detection else {}
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
            self.behaviour = run_behaviour(subject, part, self.targets, self.claims, *told, self.voices)
            self.outputs = self._study_outputs(subject)
        if self.request.joint:
            self.joint = replace_claimed(subject, part, self.targets, self.claims, *told)

    def _study_outputs(self, subject: Subject) -> OutputReport:
        """What the targets write, claimed and tested."""
        found = study_outputs(
            subject,
            self.material,
            self.units,
            self.fit,
            assign_strangers(self.units),
            len(self.targets),
            self.request.rules,
            self.request.seed,
            self.progress,
        )
        return OutputReport(found, len(self.claims), self.request.seed)

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

    def _ask(self) -> dict[int, dict[str, YesNo]]:
        """By claim, what its judge says yes and no to under its sentence: detection and fuzzing."""
        place = {unit: i for i, unit in enumerate(self.targets)}
        answers: dict[int, dict[str, YesNo]] = {}
        for i, claim in enumerate(self.claims):
            voice = self.voices.get(claim.explainer)
            if voice is None or claim.role != "claim" or claim.unscored is not None:
                continue
            self.progress(f"detection and fuzzing for {claim.unit}", i / len(self.claims))
            at, seed = place[claim.unit], self.request.seed
            for kind, draw in DRAWS.items():
                drawn = draw(self.material.test, self.tested.activations[at], float(self.fire_above[at]), seed)
                sentences = claim.explanation.sentence(), claim.rival.sentence()
                answers.setdefault(i, {})[kind] = ask(voice.judge, kind, *sentences, drawn, seed)
        return answers

    def test_arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays of ``tensors/test.safetensors``."""
        sampled = {} if self.tested.sampled is None else {"sampled": self.tested.sampled.astype(np.uint8)}
        return sampled | tested_arrays(self.material.test, self.tested)

    def result(self, run: str, seconds: float, peak_rss_mb: float) -> dict[str, Any]:
        """The JSON of the contract."""
        units = [self._entry(i, m) for i, m in self.measured.items()]
        first = [entry for entry in units if entry["explainer"] == self.request.explainers[0]]
        r = [entry["r"] for entry in first if entry["r"] is not None]
        refused = self.request.refused
        control = self.judged.prediction.summary
        by_behaviour = self.judged.behaviour.summary if self.judged.behaviour else None
        joint = {} if self.joint is None else {"joint": joint_entries(self.joint, self.request.seed)}
        return {
            "run": run,
            "subject": self.subject.name,
            "units": units,
            **({} if refused is None else {"refused": [claim._asdict() for claim in refused]}),
            "outputs": [] if self.outputs is None else self.outputs.entries(),
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
                **{name: self.voices[name].summary(self.claims) if name in self.voices else None for name in SIMULATED},
                "judge": None if (remote := self._remote()) is None else remote.account.to_json(),
                "outputs": None if self.outputs is None else self.outputs.summary(),
                "also": None if self.elsewhere is None else summarise(units, self.elsewhere),
                "tokens": sum(self.material.n_tokens.values()),
                "seconds": round(seconds, 1),
                "forward_seconds": round(self.seconds_forward, 1),
                "peak_rss_mb": round(peak_rss_mb, 1),
                "dtype": str(self.subject.dtype).removeprefix("torch."),
            },
            **joint,
        }

    def _entry(self, i: int, m: Measured) -> dict[str, Any]:
        return contract_entry(i, self.claims[i], m, self.judged, self.elsewhere, self.answers.get(i))

    def _remote(self) -> RemoteJudge | None:
        """The judge that is not here, if there is one."""
        judges = [voice.judge for voice in self.voices.values() if isinstance(voice.judge, RemoteJudge)]
        return judges[0] if judges else None

    def _evidence_rows(self) -> list[dict[str, Any]]:
        rows = evidence_rows(self.claims, self.measured, self.judged)
        for i, answers in self.answers.items():
            rows += [row for kind, found in answers.items() for row in yes_no_rows(i, kind, found)]
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
        if self.outputs is not None:
            arrays["outputs"] = dict(self.outputs.outputs.arrays)
        seen = np.unique(
            np.concatenate(
                [arrays["test"]["ids"], *(e.ravel() for n, e in arrays["exemplars"].items() if n.endswith("_ids"))]
            )
        )
        texts = self.subject.token_texts()
        tables = {
            "units": self.unit_rows,
            "claims": self.claim_rows + (self.outputs.claim_rows() if self.outputs else []),
            "evidence": self._evidence_rows() + (self.outputs.evidence_rows() if self.outputs else []),
            "tokens": [{"id": int(i), "text": texts[i]} for i in seen if i >= 0],
        }
        for name, rows in tables.items():
            writer.table(name, rows)
        for name, tensors in arrays.items():
            metadata = {"arms": ",".join(ARMS)} if name == "behaviour" else None
            writer.tensors(name, {key: np.ascontiguousarray(value) for key, value in tensors.items()}, metadata)
        writer.result(result)
        if (remote := self._remote()) is not None:
            writer.file("judge.jsonl", remote.recording())
        self.progress("drawing the figure and the page")
        writer.file("figure.json", figure_json(result))
        writer.file("figure.svg", figure_svg(result))
        svg = write_joint(writer, self.joint, result["joint"]) if self.joint else None
        writer.file("page.html", build_page(RunContent(writer.spec, tables, arrays, result), svg))
