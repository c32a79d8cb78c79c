"""Asking a trained reporter about the test split, with its neurons as they are and patched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from assay.core.ids import UnitId
from assay.introspect.kept import Batch
from assay.introspect.patches import patches
from assay.introspect.regimes import INT, Doses
from assay.introspect.reporter import Reporter
from assay.introspect.scores import expected_digit

if TYPE_CHECKING:
    from assay.fit.ridge import Ridge
    from assay.introspect.neurons import Neuron
    from assay.model import Subject

CONTROLS = 10  # other neurons, and as many random directions
_FAR = 1.2816  # standard deviations: the middle of the first and of the last fifth
_DIGITS = (1.0, 8.0)  # what a patch that far down or up would be told as


@torch.no_grad()
def ask(reporter: Reporter, batches: Sequence[Batch], given: Doses) -> Float[NDArray[np.float64], "n units 10"]:
    """Log-probabilities of the ten digits for each sentence and neuron, in the order of ``given``."""
    found = np.full((*given.digits.shape, 10), np.nan)
    for batch in batches:
        found[batch.rows.numpy()] = reporter.room.work(batch, lambda parts: _answers(reporter, parts, given))
    return found


def _answers(reporter: Reporter, parts: Sequence[Batch], given: Doses) -> Float[NDArray[np.float64], "b units 10"]:
    changes = [torch.from_numpy(given.change[part.rows.numpy()]) for part in parts]
    logs = [reporter.answers(part, change) for part, change in zip(parts, changes, strict=True)]
    return torch.cat(logs).double().cpu().numpy()


@torch.no_grad()
def control_slopes(
    reporter: Reporter, neurons: Sequence[Neuron], batches: Sequence[Batch], regime: str, seed: int
) -> Float[NDArray[np.float64], "units controls"]:
    """The slope of each answer on patches that are not of the neuron asked about, but as long in the residual.

    First those along what other neurons of the layer write, drawn at random, then random directions. Each goes as far
    up and down as the neuron's patches do, at every sentence of ``batches``.
    """
    given = controls(reporter.subject, neurons, batches, regime, seed)
    said = np.zeros((2, sum(map(len, batches)), *given.shape[:2]))
    for number in range(given.shape[1]):
        for side, sign in enumerate((-1.0, 1.0)):
            at = 0
            for batch in batches:
                hidden = reporter.hidden_at(batch, (sign * given[:, number]).expand(len(batch), -1, -1))
                logs = reporter.answers_of(hidden).double().cpu().numpy()
                said[side, at : at + len(batch), :, number] = expected_digit(logs)
                at += len(batch)
    return (said[1] - said[0]).mean(0) / (_DIGITS[1] - _DIGITS[0])


def linear_control_slopes(
    subject: Subject,
    neurons: Sequence[Neuron],
    readers: Sequence[Ridge],
    batches: Sequence[Batch],
    regime: str,
    seed: int,
) -> Float[NDArray[np.float64], "units controls"]:
    """What :func:`control_slopes` gives for the best linear reader of each neuron: the same patches move its number."""
    given = controls(subject, neurons, batches, regime, seed).double().cpu().numpy()
    moved = [2 * own @ reader.weights[:, 0] for own, reader in zip(given, readers, strict=True)]
    return np.stack(moved) / (_DIGITS[1] - _DIGITS[0])


@torch.no_grad()
def controls(
    subject: Subject, neurons: Sequence[Neuron], batches: Sequence[Batch], regime: str, seed: int
) -> Float[torch.Tensor, "units controls d_model"]:
    """Patches that are not of the neurons, as long as theirs: along writes of other neurons, then random directions."""
    vectors = _directions(subject, neurons, seed)
    return _lengths(subject, neurons, batches, regime).to(vectors)[:, None, None] * vectors


def _lengths(
    subject: Subject, neurons: Sequence[Neuron], batches: Sequence[Batch], regime: str
) -> Float[torch.Tensor, " units"]:
    """How long the neurons' own patches are in the residual, up and down, mean over sentences."""
    units = [neuron.unit for neuron in neurons]
    reach = torch.tensor([INT[regime] * neuron.sd * _FAR for neuron in neurons])
    found = [
        patches(subject, units, batch, sign * reach.expand(len(batch), -1)).float().norm(dim=-1)
        for batch in batches
        for sign in (-1.0, 1.0)
    ]
    return torch.cat(found).mean(0)


def _directions(subject: Subject, neurons: Sequence[Neuron], seed: int) -> Float[torch.Tensor, "controls d_model"]:
    """Unit vectors: writes of other neurons of the layer, then random ones."""
    site = neurons[0].unit.site
    rng = np.random.default_rng([seed, site.layer, 3])
    asked = {neuron.unit.number for neuron in neurons}
    others = [int(i) for i in rng.permutation(subject.width(site)) if int(i) not in asked][:CONTROLS]
    writes = torch.stack([subject.write_vector(UnitId(site, i)) for i in others]).float()
    drawn = torch.from_numpy(rng.standard_normal((CONTROLS, subject.d_model))).to(writes)
    vectors = torch.cat([writes, drawn])
    return (vectors / vectors.norm(dim=1, keepdim=True)).to(subject.dtype)
