"""The explainer "self": the subject is shown what its own unit does, says it in a sentence, and simulates it.

Evidence comes from the fit split. Of a few replies, one greedy and the others drawn, the one is taken whose
simulation does best on a sample of the choose split; a reply that can't be parsed or simulated is unscored, and so is
the claim when no reply is left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from assay.core.ids import UnitId
from assay.explain.claims import SELF, Claim, Explanation, Fitted, plain_r, settle, unscored_claim
from assay.explain.material import Material
from assay.explain.prompting import gather_evidence
from assay.explain.prose import Candidate, Prose
from assay.explain.simulated import Simulations
from assay.judge import EXPLAIN, SIMULATE, Judge, Sampling, Simulator, Unscored, load_prompt, parse_sentence

if TYPE_CHECKING:
    from assay.model import Subject

SAMPLES, TEMPERATURE, MAX_TOKENS = 2, 0.7, 48
STOP = ("\n",)
LEAST_RIVALS = 2  # other units' sentences that a claim's rival is taken from, at least

Floats = NDArray[np.float32]


class Oneself:
    """Explains units of one run with one judge, and predicts with its sentences.

    ``simulations``: everything that was simulated, with the samples of the splits.
    """

    def __init__(self, subject: Subject, judge: Judge, material: Material, seed: int) -> None:
        self.subject, self.judge, self.material, self.seed = subject, judge, material, seed
        self.prompt = load_prompt(*EXPLAIN)
        simulator = Simulator(judge, load_prompt(*SIMULATE))
        self.prompts = (str(self.prompt), str(simulator.prompt))
        self.simulations = Simulations.over(simulator, material.choose, material.test, seed)

    def explain(self, unit: UnitId, fit: Floats, chosen: Floats) -> Prose:
        """A sentence on a unit.

        Args:
            fit, chosen: (scored tokens,) its activations on the fit split and on the choose split.
        """
        evidence = gather_evidence(self.subject, unit, self.material.fit, fit)
        asked = [self.prompt.fill(**evidence.fields())]
        stops = {"max_tokens": MAX_TOKENS, "stop": STOP}
        drawn = Sampling(SAMPLES, TEMPERATURE, seed=self.seed, **stops)
        replies = [("greedy", reply) for reply in self.judge.write(asked, Sampling(**stops))[0]]
        replies += [(f"sample {i}", r) for i, r in enumerate(self.judge.write(asked, drawn)[0], start=1)]
        candidates = [self._tried(how, reply, chosen) for how, reply in replies]
        scored = [candidate for candidate in candidates if candidate.r is not None]
        text, unscored = "", None
        if scored:
            text = max(scored, key=lambda candidate: candidate.r or 0.0).text
        else:
            reasons = dict.fromkeys(candidate.unscored for candidate in candidates if candidate.unscored)
            unscored = f"none of {len(candidates)} replies could be used: {'; '.join(reasons)}"
        tokens = self.judge.count_tokens(text) if text else 0
        judge, size = self.judge.name, self.judge.vocabulary
        return Prose(text, tokens, size, judge, self.prompts, tuple(candidates), unscored)

    def _tried(self, how: str, reply: str, chosen: Floats) -> Candidate:
        text = parse_sentence(reply, self.prompt.turns)
        if isinstance(text, Unscored):
            return Candidate(how, "", None, text.reason)
        said = self._on_choose(text)
        answered = np.isfinite(said)
        if not answered.any():
            return Candidate(how, text, None, self._why("nothing of the choose split could be simulated"))
        return Candidate(how, text, plain_r(said[answered], self._counted(chosen)[answered]), None)

    def _why(self, otherwise: str) -> str:
        common = self.simulations.unscored.most_common(1)
        return common[0][0] if common else otherwise

    def _on_choose(self, text: str) -> Floats:
        """(tokens of the choose sample that count,) what a sentence says of them."""
        flat = self.simulations.simulate("choose", text, self.simulations.sampled["choose"])
        return flat[self.simulations.counted("choose")]

    def _counted(self, chosen: Floats) -> Floats:
        return chosen[self.simulations.counted("choose")[self.material.choose.scored]]

    def claim(
        self, target: UnitId, source: Fitted, others: Sequence[Fitted], chosen: Floats, fire_above: float
    ) -> Claim:
        """``source``'s sentence asserted of ``target``: as make_claim does it, on the sample.

        Args:
            others: candidates for the rival; those without a sentence are passed over.
            chosen: (scored tokens,) the target's activations on the choose split.
        """
        prose = source.explanations[SELF]
        if isinstance(prose, Prose) and prose.unscored is not None:
            return unscored_claim(target, source, SELF, prose.unscored)
        said = {id(prose): self._on_choose(prose.sentence())}
        answered = np.isfinite(said[id(prose)])
        rivals: list[Fitted] = []
        for other in others:
            rival = other.explanations.get(SELF)
            if not isinstance(rival, Prose) or rival.unscored is not None:
                continue
            said[id(rival)] = self._on_choose(rival.text)
            if np.isfinite(said[id(rival)][answered]).all():
                rivals.append(other)
        if not rivals:
            return unscored_claim(target, source, SELF, "no other unit's sentence was there to be compared with")

        def predict(explanation: Explanation) -> Floats:
            return said[id(explanation)][answered]

        return settle(target, source, SELF, rivals, predict, self._counted(chosen)[answered], fire_above)

    def predictions(self, claim: Claim, rows: Sequence[int] = (), length: int = 0) -> tuple[Floats, Floats]:
        """What a claim and its rival predict of the test split, flat, calibrated; NaN where nothing was simulated.

        Args:
            rows: windows that are to be simulated besides the sample, their first ``length`` tokens.
        """
        table = self.material.test.table
        wanted = self.simulations.sampled["test"] | (
            np.isin(table.flat_windows, rows) & (table.flat_positions < length)
        )
        own = self.simulations.simulate("test", claim.explanation.sentence(), wanted)
        rival = self.simulations.simulate("test", claim.rival.sentence(), wanted)
        return claim.calibration(own).astype(np.float32), claim.rival_calibration(rival).astype(np.float32)

    @property
    def sampled(self) -> NDArray[np.bool_]:
        """(tokens,) flat: the pieces of the test split that scores are made on."""
        return self.simulations.sampled["test"]

    def described(self) -> dict[str, object]:
        """What stands in the spec of a run."""
        return {
            "judge": self.judge.name,
            "prompts": list(self.prompts),
            "replies": 1 + SAMPLES,
            "temperature": TEMPERATURE,
            "max_tokens": MAX_TOKENS,
            "stretch": self.simulations.simulator.stretch,
            "tokens": {name: int(inside.sum()) for name, inside in self.simulations.sampled.items()},
        }

    def summary(self, claims: Sequence[Claim]) -> dict[str, object]:
        """What the result says of this explainer as a whole."""
        own = [claim for claim in claims if claim.explainer == SELF and claim.role == "claim"]
        replies = [candidate for claim in own for candidate in _candidates(claim)]
        return {
            "judge": self.judge.name,
            "prompts": list(self.prompts),
            "documents": {name: self._documents(name) for name in self.simulations.parts},
            "tokens": {name: int(self.simulations.counted(name).sum()) for name in self.simulations.parts},
            "unscored_claims": sum(claim.unscored is not None for claim in own),
            "replies": len(replies),
            "unscored_replies": dict(Counter(reply.unscored for reply in replies if reply.unscored)),
            "unscored_stretches": dict(self.simulations.unscored),
        }

    def _documents(self, name: str) -> int:
        part = self.simulations.parts[name]
        return len(np.unique(part.table.flat_documents[self.simulations.counted(name)]))


def _candidates(claim: Claim) -> tuple[Candidate, ...]:
    return claim.explanation.candidates if isinstance(claim.explanation, Prose) else ()


def voices(units: int, targets: int, strangers: Sequence[int], asserted: bool) -> list[int]:
    """Which units are given a sentence: the targets, and as few companions as the nulls need.

    Args:
        units, targets: how many there are; the targets come first.
        strangers: by unit, the one whose explanation is asserted of it as a control.
        asserted: whether it is this explainer's explanation that is so asserted.
    """
    chosen = set(range(targets)) | ({strangers[i] for i in range(targets)} if asserted else set())
    for extra in range(targets, units):
        if min(len(chosen - {i, strangers[i]}) for i in range(targets)) >= LEAST_RIVALS:
            break
        chosen.add(extra)
    return sorted(chosen)
