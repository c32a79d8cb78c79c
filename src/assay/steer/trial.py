"""The trial of a treatment: layer and dose are chosen on one half of the prompts, and it is measured on the other.

Of the doses whose divergence on neutral text keeps the cap, at all layers, the one is chosen at which the log odds rise
the most. What is reported was never looked at before: other prompts, other neutral text.
What is measured is plain numbers, from which every score and verdict can be made again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from assay.steer.continuing import Borders, Writer, Written
from assay.steer.half import Half
from assay.steer.placebos import Arms, Placebos, allowed
from assay.steer.treatment import Treatment, Tuned

WHOLE = 1.0  # the dose of what has none
_AT_ONCE = 20  # placebos that write side by side


class Tried(NamedTuple):
    """One dose at one layer, on the half that is chosen on; nats. What was not needed to choose is None."""

    layer: int | None
    dose: float
    effect: float | None
    kl: float | None


@dataclass(frozen=True, eq=False)
class Chosen:
    """What was chosen, and all that was tried for it.

    ``dose`` is None where no dose keeps the cap; what is measured then is the lowest at the first layer.
    """

    treatment: Treatment
    layer: int | None
    dose: float | None
    tried: tuple[Tried, ...]

    @property
    def measured_dose(self) -> float:
        """The dose that is measured."""
        return (self.treatment.doses or (WHOLE,))[0] if self.dose is None else self.dose


def choose(arms: Arms, half: Half, cap: float) -> Chosen:
    """The layer and dose that raise the log odds the most with a mean KL of at most ``cap``."""
    tried: list[Tried] = []
    best: tuple[float, int | None, float, Treatment] | None = None
    count: int | None = None
    for layer, treatment in arms:
        kl: dict[float, float] = {}
        doses = treatment.doses or (WHOLE,)
        count = allowed(doses, partial(_keeps, half, treatment, cap, kl), count) if treatment.doses else 1
        for dose in doses[:count]:
            effect = float(half.scored.rise(treatment, dose).mean())
            tried.append(Tried(layer, dose, effect, kl.get(dose)))
            if math.isfinite(effect) and (best is None or effect > best[0]):
                best = effect, layer, dose, treatment
        tried += [Tried(layer, dose, None, kl[dose]) for dose in doses[count:] if dose in kl]
    if best is None:
        layer, treatment = arms[0]
        return Chosen(treatment, layer, None, tuple(tried))
    _, layer, dose, treatment = best
    return Chosen(treatment, layer, dose, tuple(tried))


def _keeps(half: Half, treatment: Treatment, cap: float, kl: dict[float, float], dose: float) -> bool:
    kl[dose] = float(half.neutral.harm(treatment, dose).kl.mean())
    return kl[dose] <= cap


def measure(chosen: Chosen, half: Half, placebos: Placebos) -> dict[str, Any]:
    """What the chosen treatment and its placebos do on the other half, as plain numbers.

    ``rises``: (k, n) of the behaviour's log odds and of those of the others scored beside it, nats; ``placebos`` (p, k,
    n) the same; ``posing``: (c, n) of further placebos; ``rival``: (k, n) of that of a finetune; ``kl``, ``loss`` by
    token of neutral text; ``placebo_kl`` and ``placebo_loss``: means of some; ``curve``: (n,) by dose.
    """
    treatment, dose, scored = chosen.treatment, chosen.measured_dose, half.scored
    harm = half.neutral.harm(treatment, dose)
    rival = treatment.rival if isinstance(treatment, Tuned) else None
    doses = [*(-one for one in reversed(treatment.doses) if treatment.signed), *treatment.doses]
    return {
        "layer": chosen.layer,
        "dose": chosen.dose,
        "tried": [list(one) for one in chosen.tried],
        "rises": scored.rises(treatment, dose).tolist(),
        "placebos": placebos.rises(treatment, dose),
        "posing": placebos.pose(treatment, dose),
        "kl": harm.kl.tolist(),
        "loss": harm.loss.tolist(),
        "placebo_kl": placebos.kl(treatment, dose),
        "placebo_loss": placebos.loss(treatment, dose),
        "curve": [[one, scored.rise(treatment, one).tolist()] for one in doses],
        "rival": None if rival is None else scored.rises(rival, dose).tolist(),
    }


def write(chosen: Chosen, writer: Writer, rows: Sequence[int], borders: Borders, placebos: Placebos) -> dict[str, Any]:
    """What it writes at prompts, and what placebos do: hits, and whether it is coherent and shows the behaviour.

    ``placebo_hits`` (p, n) and ``rival_hits`` (n,) are shares of a prompt's continuations; ``placebo_texts`` and
    ``rival_texts`` are these.
    """
    treatment, dose = chosen.treatment, chosen.measured_dose
    own = writer.write(rows, treatment, dose)
    found = told(own, borders) | placebos.once(
        "hits", treatment, dose, lambda: _of_placebos(placebos.of(treatment), dose, writer, rows, borders)
    )
    rival = treatment.rival if isinstance(treatment, Tuned) else None
    if rival is None:
        return found | {"rival_hits": None, "rival_texts": None}
    hits, texts = writer.hits(rows, [rival], dose, borders)
    return found | {"rival_hits": _by_prompt(hits[0], rows).tolist(), "rival_texts": texts[0]}


def _of_placebos(
    fakes: Sequence[Treatment], dose: float, writer: Writer, rows: Sequence[int], borders: Borders
) -> dict[str, Any]:
    """By placebo; those that can write side by side."""
    count = 1 if any(isinstance(fake, Tuned) for fake in fakes) else _AT_ONCE
    hits: list[list[float]] = []
    texts: list[list[str]] = []
    for first in range(0, len(fakes), count):
        found = writer.hits(rows, fakes[first : first + count], dose, borders)
        hits += [_by_prompt(one, rows).tolist() for one in found.hits]
        texts += found.texts
    return {"placebo_hits": hits, "placebo_texts": texts}


def _by_prompt(hits: Bool[NDArray[np.bool_], " m"], rows: Sequence[int]) -> Float[NDArray[np.float64], " n"]:
    """(n,) share of each prompt's continuations."""
    return hits.reshape(-1, len(rows)).mean(0)


def told(written: Written, borders: Borders) -> dict[str, Any]:
    """Continuations as plain numbers."""
    return {
        "texts": written.texts,
        "hits": _hits(written, borders).tolist(),
        "shows": borders.shows(written).tolist(),
        "coherent": borders.coherent(written).tolist(),
        "words": written.words.tolist(),
    }


def _hits(written: Written, borders: Borders) -> Bool[NDArray[np.bool_], " n"]:
    return borders.shows(written) & borders.coherent(written)


def array(measured: Mapping[str, Any], name: str) -> Float[NDArray[np.float64], ...]:
    """Numbers that were measured."""
    return np.array(measured[name], np.float64)
