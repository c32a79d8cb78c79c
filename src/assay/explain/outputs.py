"""What units write: claimed on the fit and choose splits, and tested on the test split by turning the units up.

Fit: each unit, targets and companions, is turned up by its dose; the mean change of every token's logit is its table,
from which its claims are made. Choose: of the rules those are kept that set the claim further apart from random
directions, and the rivals are found. Test: the target is turned up and down, and random directions are written in its
stead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assay.core.ids import UnitId
from assay.explain.lineup import rival_places, units_by_site
from assay.explain.material import Material, Progress
from assay.explain.names import OUTPUT_RULES, OUTPUT_TOKENS, OUTPUTS
from assay.explain.output_rules import OutputLearner, Vocabulary, spoken
from assay.explain.steering import Arm, Steering
from assay.explain.writes import Table, Writes, claim_rules, claim_tokens, dose_of, seen_through_lens
from assay.referee import exceeded_by_few
from assay.rules import Rule

if TYPE_CHECKING:
    from assay.model import Subject

ARMS = {"up": 1.0, "down": -1.0, "half": 0.5}  # in doses
TOGETHER = 12  # units of a site that are turned up in one pass
STEP = 0.01  # of the ceiling, by which a rule must set a claim further apart from random directions

Floats = NDArray[np.float32]


class Size(NamedTuple):
    """Places in each split, and random directions on the choose split and on the test split."""

    fit: int = 64
    choose: int = 24
    test: int = 32
    chosen_directions: int = 10
    directions: int = 20


SIZE = Size()


@dataclass(frozen=True)
class OutputClaim:
    """What a unit writes, asserted of ``unit``; ``role`` is "control" where it is what a stranger writes.

    ``rival_unit``: the unit whose claim of this form, of up to eight others of the run, does best here on the choose
    split.
    """

    unit: UnitId
    role: Literal["claim", "control"]
    writes: Writes
    rival_unit: UnitId
    dose: float


@dataclass(frozen=True)
class Outputs:
    """The output claims of a run, and what the test split said of them.

    For every target and form there is a claim and a control, in this order. ``tokens``: how many tokens they are about.
    ``arrays``: those of ``tensors/outputs.safetensors``. By claim: ``r`` (claims, arms, places) in the order of
    ``ARMS``, ``rise`` the same in nats, promoted less suppressed; ``random_r``, ``random_rise`` (claims, directions,
    places); ``rival_r`` (claims, places). By target: ``table_r``, ``lens_r`` (targets, places) of the whole table of
    the fit split and of the logit lens; ``direct_r`` of the direct path at the same place; ``likeness`` (targets,
    places, places); ``effect`` and ``noise`` in nats. ``documents``, ``windows``, ``positions`` (places,).
    """

    claims: tuple[OutputClaim, ...]
    tokens: int
    arrays: Mapping[str, NDArray[Any]]


class _Learnt(NamedTuple):
    """What the fit split says of one unit: its table, what the lens makes of what it writes, and its claims by form."""

    unit: UnitId
    dose: float
    table: Table
    lens: NDArray[np.float64]
    claims: dict[str, Writes]


def study_outputs(
    subject: Subject,
    material: Material,
    units: Sequence[UnitId],
    fit: Floats,
    strangers: Sequence[int],
    n_targets: int,
    rules: int,
    seed: int,
    progress: Progress,
    size: Size = SIZE,
) -> Outputs:
    """Claim what the targets write, and test it.

    Args:
        subject: in fp32.
        units: the targets, then their companions; ``fit``: (units, scored tokens of the fit split), what they did.
        strangers: by unit, the one whose claims are asserted of it as controls.
        rules: most rules of a claim by rules.
    """
    return _Study(subject, material, rules, seed, progress, size).run(units, fit, strangers, n_targets)


class _Study:
    def __init__(
        self, subject: Subject, material: Material, rules: int, seed: int, progress: Progress, size: Size
    ) -> None:
        self.subject, self.material, self.rules = subject, material, rules
        self.seed, self.progress, self.size = seed, progress, size
        self.tokens = spoken(material.fit, subject.special_ids)
        self.learner = OutputLearner(Vocabulary(self.tokens, subject.token_texts()), subject.vocab_size)

    def run(self, units: Sequence[UnitId], fit: Floats, strangers: Sequence[int], n_targets: int) -> Outputs:
        self.progress("turning units up on the fit split")
        learnt = self._learn(units, [dose_of(row) for row in fit])
        choose, rivals = self._steering("choose", units[:n_targets]), list[dict[str, UnitId]]()
        settled: list[Writes] = []
        for i in range(n_targets):
            self.progress(f"choosing what to say of the output of {units[i]}", i / n_targets)
            rules, found = self._choose(choose, learnt, i, rival_places(units, i, strangers[i], self.seed))
            settled.append(rules)
            rivals.append({form: units[k] for form, k in found.items()})
        for one, rules in zip(learnt, settled, strict=False):
            one.claims[OUTPUT_RULES] = rules
        by_unit = {one.unit: one.claims for one in learnt}
        test, claims, rows = self._steering("test", units[:n_targets]), list[OutputClaim](), list[dict[str, Any]]()
        for i, one in enumerate(learnt[:n_targets]):
            self.progress(f"turning {one.unit} up and down", i / n_targets)
            stranger = learnt[strangers[i]]
            own = [claim for form in OUTPUTS for claim in _asserted(one, stranger, form, rivals[i][form])]
            claims += own
            rows.append(self._test(test, one, own, [by_unit[c.rival_unit][c.writes.form] for c in own]))
        windows, positions, documents = test.places
        places = {"windows": windows, "positions": positions, "documents": documents}
        return Outputs(tuple(claims), len(self.tokens), _packed(rows) | places)

    def _steering(self, split: str, units: Sequence[UnitId]) -> Steering:
        part, count = getattr(self.material, split), getattr(self.size, split)
        return Steering(self.subject, part, {unit.site.layer for unit in units}, self.tokens, count, self.seed)

    def _learn(self, units: Sequence[UnitId], doses: Sequence[float]) -> list[_Learnt]:
        steering = self._steering("fit", units)
        number = {unit: i for i, unit in enumerate(units)}
        total, squares = np.zeros((2, len(units), len(self.tokens)))
        written = np.zeros((len(units), self.subject.d_model))
        for own in units_by_site(units).values():
            for first in range(0, len(own), TOGETHER):
                group = [number[unit] for unit in own[first : first + TOGETHER]]
                for moved in steering.run([Arm(units[i], doses[i]) for i in group]):
                    total[group] += moved.change.sum(0, dtype=np.float64)
                    squares[group] += np.square(moved.change, dtype=np.float64).sum(0)
                    written[group] += moved.written.sum(0, dtype=np.float64)
        places = max(len(steering.places.documents), 1)
        mean = total / places
        error = np.sqrt(np.maximum(squares / places - mean**2, 0) / max(places - 1, 1))
        found: list[_Learnt] = []
        for i, unit in enumerate(units):
            self.progress(f"learning what {unit} writes", i / len(units))
            table = Table(mean[i], error[i])
            rules = claim_rules(self.learner, table, self.learner.learn(table.beside, self.rules))
            claims = {OUTPUT_TOKENS: claim_tokens(self.learner, table), OUTPUT_RULES: rules}
            lens = seen_through_lens(self.subject, written[i], self.tokens)
            found.append(_Learnt(unit, doses[i], table, lens, claims))
        return found

    def _choose(
        self, steering: Steering, learnt: Sequence[_Learnt], i: int, others: Sequence[int]
    ) -> tuple[Writes, dict[str, int]]:
        """A target's rules without those that don't set it apart from random directions, and its rivals by form."""
        one = learnt[i]
        directions = self._directions(one.unit, "choose", self.size.chosen_directions)
        found = list(steering.run([Arm(one.unit, one.dose)], directions))
        up = _standard(np.concatenate([moved.change[:, 0] for moved in found])).mean(0)
        random = _standard(np.concatenate([moved.random for moved in found])).mean(0)
        rivals = {
            form: max(others, key=lambda k, form=form: up @ self._claimed(learnt[k].claims[form])) for form in OUTPUTS
        }

        def apart(writes: Writes) -> float:
            claimed = self._claimed(writes)
            return float(up @ claimed - exceeded_by_few((random @ claimed)[None])[0])

        left, kept = list(one.claims[OUTPUT_RULES].rules.rules), list[Rule]()
        best, reached, step = one.claims[OUTPUT_RULES], -np.inf, STEP * float(np.linalg.norm(up))
        while left:
            tried = [claim_rules(self.learner, one.table, [*kept, rule]) for rule in left]
            gains = [apart(writes) for writes in tried]
            at = int(np.argmax(gains))
            if gains[at] < reached + step:
                break
            best, reached = tried[at], gains[at]
            kept.append(left.pop(at))
        return best, rivals

    def _test(
        self, steering: Steering, one: _Learnt, own: Sequence[OutputClaim], rivals: Sequence[Writes]
    ) -> dict[str, NDArray[Any]]:
        """The arrays of one target and of its claims and controls."""
        claimed, against = (np.stack([self._claimed(w) for w in some]) for some in ([c.writes for c in own], rivals))
        contrast = np.stack([self._contrast(claim.writes) for claim in own])
        beside = np.stack([_standard(one.table.mean), _standard(one.lens)])
        arms = [Arm(one.unit, share * one.dose) for share in ARMS.values()]
        directions = self._directions(one.unit, "test", self.size.directions)
        blocks: list[dict[str, NDArray[Any]]] = []
        for moved in steering.run(arms, directions, direct=True):
            change, n = np.concatenate([moved.change, moved.random], axis=1), len(arms)
            z = _standard(change)
            r, rise = z @ claimed.T, change @ contrast.T
            blocks.append(
                {
                    **{"r": r[:, :n], "random_r": r[:, n:], "rise": rise[:, :n], "random_rise": rise[:, n:]},
                    "rival_r": z[:, 0] @ against.T,
                    **dict(zip(("table_r", "lens_r"), (z[:, 0] @ beside.T).T, strict=True)),
                    "direct_r": (z[:, 0] * _standard(moved.direct)).sum(-1),
                    "effect": np.sqrt(np.square(moved.change[:, 0], dtype=np.float64).mean(-1)),
                    "noise": moved.noise,
                    "likeness": z[:, 0],
                }
            )
        rows = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
        return rows | {"likeness": rows["likeness"] @ rows["likeness"].T}

    def _claimed(self, writes: Writes) -> NDArray[np.float64]:
        return _standard(self.learner.predict(writes.rules))

    def _contrast(self, writes: Writes) -> NDArray[np.float64]:
        """Weights whose product with a change is the rise of the promoted tokens less that of the suppressed.

        Of a claim by rules these are the tokens of which it says a rise, and those of which it says a fall.
        """
        claimed = self.learner.predict(writes.rules) - writes.rules.base
        up, down = claimed > 0, claimed < 0
        return up / max(up.sum(), 1) - down / max(down.sum(), 1)

    def _directions(self, unit: UnitId, split: str, count: int) -> NDArray[np.float64]:
        """Isotropic random directions, others for each unit and split."""
        rng = np.random.default_rng([self.seed, 32, *f"{split} {unit}".encode()])
        return rng.standard_normal((count, self.subject.d_model))


def _asserted(one: _Learnt, stranger: _Learnt, form: str, rival: UnitId) -> tuple[OutputClaim, OutputClaim]:
    """A unit's own claim of a form, and the stranger's as its control."""
    claim = OutputClaim(one.unit, "claim", one.claims[form], rival, one.dose)
    return claim, replace(claim, role="control", writes=stranger.claims[form])


def _standard(change: Float[np.ndarray, "*rows tokens"]) -> Float[np.ndarray, "*rows tokens"]:
    """Centred over the tokens and of norm 1, so that the product of two is Pearson's r; 0 where nothing changes."""
    centred = change.astype(np.float64)
    centred -= centred.mean(-1, keepdims=True)
    norm = np.linalg.norm(centred, axis=-1, keepdims=True)
    return np.divide(centred, norm, out=centred, where=norm > 0)


def _packed(rows: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """The targets' arrays as those of the run: (places, ..., claims) become (claims, ..., places)."""
    by_claim = ("r", "random_r", "rise", "random_rise", "rival_r")
    table = {name: [row[name] for row in rows] for name in rows[0]}
    return {
        name: np.concatenate([one.transpose() for one in own]) if name in by_claim else np.stack(own)
        for name, own in table.items()
    }
