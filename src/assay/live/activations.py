"""What a unit does on a text, token by token, beside what claims predict of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from assay.core.ids import UnitId
from assay.errors import ActivationError, UsageError
from assay.explain.measured import number
from assay.live.params import Params
from assay.live.predicted import Predicted, predict
from assay.live.reading import WINDOW, read_text
from assay.live.server import Progress
from assay.live.shelf import Held
from assay.model.fingerprint import describe
from assay.text import TokenTable

if TYPE_CHECKING:
    from assay.model import Subject

FEWEST = 20  # tokens that count, for an r
SHUFFLES = 200

Mask = NDArray[np.bool_]


def activations(held: Held, params: Params, progress: Progress) -> dict[str, Any]:
    """See docs/live.md.

    Raises:
        UsageError: no such unit, no text or too much of it, or a claim that can't be read.
        ActivationError: a value is not finite.
    """
    unit, table = held.unit(params), read_text(held.subject, params)
    context, simulate = params.word("context", ("text", "window")), params.yes("simulate")
    claims: list[Predicted] = []
    for i, claim in enumerate(params.objects("claims"), start=1):
        progress(f"predicting by claim {i}")
        try:
            claims.append(predict(held, table, claim, simulate, progress))
        except UsageError as error:
            raise UsageError(f"claim {i}: {error}") from error
    progress(f"running the text through {held.subject.name} in fp32")
    subject = held.precise
    values = real_values(subject, unit, table, windows=context == "window")
    counts = (table.flat_positions > 0) & ~np.isin(table.flat_ids, sorted(subject.special_ids))
    texts = subject.token_texts()
    places = zip(table.flat_ids, values, table.flat_windows, table.flat_positions, counts, strict=True)
    return {
        "unit": str(unit),
        "subject": describe(held.subject),
        "context": context,
        "window": WINDOW,
        "dtype": str(subject.dtype).removeprefix("torch."),
        "why": subject.reason,
        "tokens": [
            {
                "id": int(token),
                "text": texts[int(token)],
                "value": float(value),
                "window": int(window),
                "position": int(position),
                "counts": bool(counted),
            }
            for token, value, window, position, counted in places
        ],
        "claims": [_entry(claim, values, counts) for claim in claims],
        "r_tokens": int(counts.sum()),
        "r_of": f"one text, {int(counts.sum())} tokens that count; no interval, since it is one document",
    }


@torch.inference_mode()
def real_values(subject: Subject, unit: UnitId, table: TokenTable, windows: bool = False) -> NDArray[np.float64]:
    """(tokens,) the unit's values in one pass over all of the text, or over its windows as if each were one.

    Raises:
        ActivationError: one is not finite.
    """
    rows = table.ids if windows else table.flat_ids[None]
    ids, real = torch.as_tensor(rows.astype(np.int64)), torch.as_tensor(rows >= 0)
    tensor = subject.activations(ids.clamp(min=0), real.long(), [unit.site])[unit.site]
    values = subject.units.values(unit.site, tensor, [unit.index])[..., 0].cpu()[real].double().numpy()
    if not np.isfinite(values).all():
        raise ActivationError(f"{subject.name} gives NaN or infinite values at {unit.site} on this text")
    return values


def _entry(claim: Predicted, values: NDArray[np.float64], counts: Mask) -> dict[str, Any]:
    r, null, why = _r(claim, values, counts)
    return {
        "explainer": claim.explainer,
        "kind": claim.kind,
        "sentence": claim.sentence,
        "predictions": [number(float(value)) for value in claim.values],
        "unscored": claim.unscored,
        "simulated_by": claim.simulated_by,
        "note": claim.note,
        "r": r,
        "r_null": null,
        "r_unscored": why,
    }


def _r(
    claim: Predicted, values: NDArray[np.float64], counts: Mask
) -> tuple[float | None, dict[str, float] | None, str | None]:
    """r over the tokens that count, and what the prediction shuffled over them gets; or why there is none."""
    where = counts & np.isfinite(claim.values)
    if claim.unscored is not None:
        return None, None, claim.unscored
    if where.sum() < FEWEST:
        return None, None, f"only {int(where.sum())} tokens count; an r takes {FEWEST}"
    said, real = claim.values[where], values[where]
    if np.ptp(said) == 0 or np.ptp(real) == 0:
        which = "the prediction" if np.ptp(said) == 0 else "the unit"
        return None, None, f"{which} is the same at every token that counts"
    said, real = ((side - side.mean()) / np.linalg.norm(side - side.mean()) for side in (said, real))
    rng = np.random.default_rng([0, 51])
    by_chance = np.array([rng.permutation(said) @ real for _ in range(SHUFFLES)])
    low, high = np.quantile(by_chance, (0.025, 0.975))
    return float(said @ real), {"mean": float(by_chance.mean()), "low": float(low), "high": float(high)}, None
