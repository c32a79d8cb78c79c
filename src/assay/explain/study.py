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
from assay.explain.claims import Claim, Fitted, Fitter, make_claim
from assay.explain.contract import contract_entry
from assay.explain.detection import DRAWS, YesNo, ask, yes_no_rows
from assay.explain.edited import Edited, run_edited
from assay.explain.elsewhere import Elsewhere, elsewhere_rows, measure_elsewhere, summarise
from assay.explain.evidence import claim_rows, evidence_rows
from assay.explain.lineup import assign_strangers, find_companions, rival_candidates, speakers
from assay.explain.material import FIRING_QUANTILE, Material, Progress, record_part
from assay.explain.measure import Tested, run_test_pass, tested_arrays
from assay.explain.measured import Measured, measure_claim, number
from assay.explain.names import SIMULATED
from assay.explain.prose import Prose
from assay.explain.recorded import unit_rows
from assay.explain.request import ExplainRequest
from assay.explain.verdicts import Judged, judge
from assay.explain.voice import Voice
from assay.judge import RemoteJudge
from assay.record import Recording

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
        self.edited = Edited()

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
            self.edited = self._run_edited()
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
            self.claim_rows, self.unit_rows, self.test_arrays(), self.edited.behaviour, self.request.seed
        )

    def _run_edited(self) -> Edited:
        """Units set to predictions, alone and together, and turned up."""
        means = dict(zip(self.units, self.recording.gather(lambda s: s.moments.mean).tolist(), strict=True))
        return run_edited(
            self.request,
            self.subject,
            self.material,
            self.units,
            len(self.targets),
            self.fit,
            means,
            self.claims,
            self.tested,
            self.voices,
            self.progress,
        )

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
        outputs = self.edited.outputs
        return {
            "run": run,
            "subject": self.subject.name,
            "units": units,
            **({} if refused is None else {"refused": [claim._asdict() for claim in refused]}),
            "outputs": [] if outputs is None else outputs.entries(),
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
                "judge": None if (remote := self.remote()) is None else remote.account.to_json(),
                "outputs": None if outputs is None else outputs.summary(),
                "also": None if self.elsewhere is None else summarise(units, self.elsewhere),
                "tokens": sum(self.material.n_tokens.values()),
                "seconds": round(seconds, 1),
                "forward_seconds": round(self.seconds_forward, 1),
                "peak_rss_mb": round(peak_rss_mb, 1),
                "dtype": str(self.subject.dtype).removeprefix("torch."),
            },
            **self.edited.joint_part(self.request.seed),
        }

    def _entry(self, i: int, m: Measured) -> dict[str, Any]:
        return contract_entry(i, self.claims[i], m, self.judged, self.elsewhere, self.answers.get(i))

    def remote(self) -> RemoteJudge | None:
        """The judge that is not here, if there is one."""
        judges = [voice.judge for voice in self.voices.values() if isinstance(voice.judge, RemoteJudge)]
        return judges[0] if judges else None

    def evidence_rows(self) -> list[dict[str, Any]]:
        """Rows of the evidence table, but for those of what units write."""
        rows = evidence_rows(self.claims, self.measured, self.judged)
        for i, answers in self.answers.items():
            rows += [row for kind, found in answers.items() for row in yes_no_rows(i, kind, found)]
        if self.elsewhere is not None:
            rows += [row for i in self.measured for row in elsewhere_rows(self.elsewhere, i)]
        return rows
