"""What comes of edited passes: units replaced by predictions, each alone and many at once, and units turned up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jaxtyping import Float
from numpy.typing import NDArray

from assay.core.ids import UnitId
from assay.explain.claims import Claim
from assay.explain.joint.of_claims import replace_claimed
from assay.explain.joint.scores import joint_entries
from assay.explain.joint.stored import Stored
from assay.explain.lineup import assign_strangers
from assay.explain.material import Material, Progress
from assay.explain.measure import Tested, run_behaviour
from assay.explain.output_rows import OutputReport
from assay.explain.outputs import study_outputs
from assay.explain.request import ExplainRequest
from assay.explain.voice import Voice

if TYPE_CHECKING:
    import numpy as np

    from assay.model import Subject


@dataclass(frozen=True)
class Edited:
    """Arrays of the behaviour runs, what joint replacement stored, and what units write; None where not asked for."""

    behaviour: dict[str, NDArray[Any]] | None = None
    joint: Stored | None = None
    outputs: OutputReport | None = None

    def arrays(self) -> dict[str, dict[str, NDArray[Any]]]:
        """By name, the tensors of the run that are written here; joint replacement writes its own."""
        found = {} if self.behaviour is None else {"behaviour": self.behaviour}
        return found if self.outputs is None else found | {"outputs": dict(self.outputs.outputs.arrays)}

    def joint_part(self, seed: int) -> dict[str, Any]:
        """The part ``joint`` of the result, if there is one."""
        return {} if self.joint is None else {"joint": joint_entries(self.joint, seed)}


def run_edited(
    request: ExplainRequest,
    subject: Subject,
    material: Material,
    units: Sequence[UnitId],
    n_targets: int,
    fit: Float[np.ndarray, "units tokens"],
    means: Mapping[UnitId, float],
    claims: Sequence[Claim],
    tested: Tested,
    voices: Mapping[str, Voice],
    progress: Progress,
) -> Edited:
    """Run what the request asks for, in fp32.

    Args:
        units: the targets, then their companions; ``fit``: what they did on the scored tokens of the fit split.
        means: of each unit, on the fit split.
        tested: what the claims predict of the test split.
    """
    import torch

    precise, targets = subject.with_dtype(torch.float32), list(units[:n_targets])
    told = (tested, dict(means), request.seed, progress)
    behaviour = joint = outputs = None
    if request.behaviour:
        behaviour = run_behaviour(precise, material.test, targets, claims, *told, voices)
        how = (assign_strangers(units), n_targets, request.rules, request.seed, progress)
        outputs = OutputReport(study_outputs(precise, material, units, fit, *how), len(claims), request.seed)
    if request.joint:
        joint = replace_claimed(precise, material.test, targets, claims, *told)
    return Edited(behaviour, joint, outputs)
