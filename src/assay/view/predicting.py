"""What an explanation predicts of a few windows of tokens, executed here: no model and no compiler are needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.rules.lookup import Lookup
from assay.rules.rule import RuleList
from assay.rules.view import View
from assay.stats.calibrate import Calibration, Steps


def predict(detail: Mapping[str, Any], ids: NDArray[np.int32], texts: Mapping[int, str]) -> NDArray[np.float32] | None:
    """A claim's prediction on windows, in the unit's scale: (windows, length), NaN on padding.

    Args:
        detail: of the claim, as the index has it: its rules and its calibration.
        ids: (windows, length) token ids, padded with -1 on the right.
        texts: by id, of these tokens at least.

    Returns:
        None for a sentence, which only a judge can execute.
    """
    rules = detail["rules"]
    kind = rules.get("kind") if isinstance(rules, Mapping) else None
    if kind not in ("rules", "lookup"):
        return None
    explanation = Lookup.from_json(rules) if kind == "lookup" else RuleList.from_json(rules)
    present, places = np.unique(ids, return_inverse=True)
    padded = int(present.size > 0 and present[0] < 0)
    known = [texts.get(int(token), "") for token in present[padded:]]
    view = View(places.reshape(ids.shape) - padded, known)
    out = np.full(ids.shape, np.nan, np.float32)
    out[ids >= 0] = _line(detail["calibration"])(explanation.predict(view))
    return out


def _line(given: Mapping[str, Any]) -> Calibration | Steps:
    if "knots" in given:
        return Steps(tuple(given["knots"]), tuple(given["values"]))
    return Calibration(given["slope"], given["intercept"])
