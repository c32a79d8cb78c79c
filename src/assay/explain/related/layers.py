"""One unedited pass: what the neurons of every layer take in, and how much of each one's deviation arrives where.

The moments are those of :mod:`assay.explain.related.survey`, for all neurons at once and without matrices of moments:
a pre-activation's variance is taken from the pre-activation itself, as the model computes it, and not from the
covariance of the residual. So what is kept grows with the neurons and the layers, not with the width of the residual.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from assay.core.ids import SiteId
from assay.errors import ActivationError
from assay.explain.material import Progress
from assay.explain.related.moments import Carried, Carry, Moments
from assay.explain.related.text import BATCH, Text
from assay.model.wiring import post_norm, reading

if TYPE_CHECKING:
    from assay.model import Subject

DRAWS = 64  # random vectors, the same for all neurons
AT_ONCE = 2**28  # bytes of captured tensors


@dataclass(frozen=True)
class Layer:
    """One layer's neurons, as they read and as they write. Standard deviations are over the tokens that count.

    ``scales``: (inputs, neurons) one over the standard deviation of each input; 0 where it or the neuron never varies.
    ``slopes``: (inputs, neurons) by how many of its standard deviations the activation rises for one of an input, by
    the regression on all of them. ``carried``: (neurons, later layers) the deviation carried to what each later MLP
    reads, the next layer's first. ``random``: (inputs, draws) one over the standard deviation of what random vectors
    read here.
    """

    scales: Float[Tensor, "inputs neurons"]
    slopes: Float[Tensor, "inputs neurons"]
    carried: Carried
    random: Float[Tensor, "inputs draws"]


@dataclass(frozen=True)
class Layers:
    """Every layer. ``draws``: (inputs, draws, d_model) unit vectors in random directions."""

    layers: tuple[Layer, ...]
    draws: Float[Tensor, "inputs draws d_model"]


@torch.inference_mode()
def survey_layers(subject: Subject, text: Text, seed: int, progress: Progress) -> Layers:
    """Run the text through the model once and gather the moments of all its neurons.

    Raises:
        ActivationError: a value is not finite.
    """
    sums = [_Sums(subject, layer) for layer in range(subject.n_layers)]
    shape = (max(len(own.lengths) for own in sums), DRAWS, subject.d_model)
    drawn = np.random.default_rng([seed, 18]).normal(size=shape)
    draws = torch.from_numpy(drawn / np.linalg.norm(drawn, axis=-1, keepdims=True)).float()
    wanted = {site for own in sums for site in own.wanted}
    window = sum(own.width for own in sums) * text.ids.shape[1] * subject.dtype.itemsize  # bytes
    for batch in text.batches(min(BATCH, max(1, AT_ONCE // window))):
        progress("surveying all neurons for neighbours", batch.start / len(text.ids))
        with subject.capture(wanted) as seen:
            subject.hidden(text.ids[batch], text.mask[batch])
        where = text.scored[batch].flatten().nonzero()[:, 0].to(subject.device)
        flat = {site: tensor.flatten(0, 1)[where].float() for site, tensor in seen.items()}
        into = torch.stack([own.into(flat) for own in sums], 1)
        for layer, own in enumerate(sums):
            own.add(flat, into[:, layer + 1 :], draws)
    return Layers(tuple(own.layer() for own in sums), draws)


class _Sums:
    """What is gathered of one layer's neurons. ``wanted``: the sites to capture, of ``width`` numbers a token."""

    def __init__(self, subject: Subject, layer: int) -> None:
        self.subject, self.site = subject, SiteId(layer, "mlp_act")
        how = reading(subject, layer)
        self.lengths = torch.stack([matrix.square().sum(1).cpu() for matrix in how.matrices.values()])
        self.how = replace(how, matrices={})  # made anew where they are needed: those of all layers may not fit
        self.norm = post_norm(subject, layer)
        self.read, self.random, self.carry = Moments(), Moments(), Carry()
        self.inputs = _Inputs()
        self.wanted = {self.site, how.site, *(share.site for share in how.shares.values())}
        self.width = subject.d_model + sum(map(len, self.lengths)) + self.lengths.shape[1]

    def into(self, flat: dict[SiteId, Tensor]) -> Tensor:
        """(tokens,) what the norm in front of the MLP multiplies by, gain left out."""
        return self.how.inverse_scale(flat[self.how.site])

    def add(self, flat: dict[SiteId, Tensor], onwards: Tensor, draws: Tensor) -> None:
        """One batch: by site, (tokens, width). ``onwards``: (tokens, later layers) what the norms there multiply by."""
        activations, scaled = flat[self.site], self.how.scaled(flat[self.how.site])
        self.read.add(scaled)
        self.random.add(scaled @ draws[: len(self.lengths)].flatten(0, 1).to(scaled).T)
        self.inputs.add([share.take(flat[share.site]) for share in self.how.shares.values()], activations)
        if self.norm is not None:
            written = activations @ self.subject.write_matrix(self.site).float().T
            onwards = onwards * self.norm.inverse_scale(written)[:, None]
        self.carry.add(activations, onwards)

    def layer(self) -> Layer:
        """The moments."""
        among, crossed = self.inputs.moments()
        sd = self.carry.values.sd
        if not math.isfinite(float(sd.sum() + among.sum())):
            raise ActivationError(f"{self.subject.name} gives NaN or infinite values at {self.site}; try --dtype fp32")
        slopes = torch.einsum("nij,nj->in", torch.linalg.pinv(among.float(), hermitian=True), crossed.float())
        variance = among.diagonal(dim1=1, dim2=2).T
        least = 1e-10 * self.lengths * self.read.sd.square().mean()  # as survey and weights say of one unit
        scales = torch.where((variance > least) & (sd > 0), variance.clamp(min=1e-30).rsqrt(), 0).float()
        slopes = torch.where(scales > 0, slopes / scales.clamp(min=1e-30) / sd.clamp(min=1e-30), 0).float()
        random = self.random.sd.reshape(len(self.lengths), -1)
        return Layer(
            scales, slopes, self.carry.carried(), torch.where(random > 0, 1 / random.clamp(min=1e-30), 0).float()
        )


class _Inputs:
    """Sums of products of each neuron's inputs and its activation, about the first batch's means."""

    def __init__(self) -> None:
        self.count = 0
        self.about: list[Tensor] = []
        self.sums: list[Tensor] = []
        self.products: dict[tuple[int, int], Tensor] = {}

    def add(self, inputs: list[Tensor], activations: Tensor) -> None:
        """(tokens, neurons) of each."""
        columns = [*inputs, activations]
        if not self.count:
            self.about = [column.mean(0) for column in columns]
        self.count += len(activations)
        away = [column - mean for column, mean in zip(columns, self.about, strict=True)]
        sums = [column.sum(0).double().cpu() for column in away]
        self.sums = [a + b for a, b in zip(self.sums, sums, strict=True)] if self.sums else sums
        for i, one in enumerate(away[:-1]):
            for j in range(i, len(away)):
                total = (one * away[j]).sum(0).double().cpu()
                self.products[i, j] = self.products.get((i, j), 0) + total

    def moments(self) -> tuple[Tensor, Tensor]:
        """Covariances of the inputs (neurons, inputs, inputs), and of each with the activation (neurons, inputs)."""
        mean = [total / self.count for total in self.sums]
        at = {(i, j): total / self.count - mean[i] * mean[j] for (i, j), total in self.products.items()}
        last = len(mean) - 1
        among = torch.stack([torch.stack([at[min(i, j), max(i, j)] for j in range(last)], -1) for i in range(last)], -2)
        return among, torch.stack([at[i, last] for i in range(last)], -1)
