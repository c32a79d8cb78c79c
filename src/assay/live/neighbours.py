"""The neurons that a unit reads from and writes to most strongly; the survey of all neurons is kept with the model."""

from __future__ import annotations

from typing import Any

from assay.explain.material import LENGTH, make_part
from assay.explain.related.neighbours import TOKENS, Wiring, make_wiring
from assay.explain.related.text import sample_text
from assay.live.params import Params
from assay.live.server import Progress
from assay.live.shelf import Held
from assay.model.fingerprint import describe
from assay.text import split, tokenise

SEED = 0
_POOL = 60_000  # tokens of the fit split that the survey's are drawn from


def neighbours(held: Held, params: Params, progress: Progress) -> dict[str, Any]:
    """See docs/live.md.

    Raises:
        UsageError: no such unit, or a model that is spread over devices.
    """
    unit = held.unit(params)
    wiring = held.once("wiring", lambda: _wiring(held, progress))
    rows = wiring.of(unit, progress)
    return {
        "unit": str(unit),
        "subject": describe(held.subject),
        "tokens": wiring.text.n_scored,
        "k": wiring.k,
        "rows": rows,
    }


def _wiring(held: Held, progress: Progress) -> Wiring:
    """From windows of the fit split of the bundled corpus, as a run with seed 0 has it."""
    corpus = held.corpus(progress)
    documents = split(corpus, SEED).fit
    table = tokenise(documents, held.subject.tokenizer, LENGTH, _POOL, SEED)
    text = sample_text(make_part("fit", documents, table, held.subject), TOKENS, SEED)
    return make_wiring(held.subject, text, seed=SEED, progress=progress)
