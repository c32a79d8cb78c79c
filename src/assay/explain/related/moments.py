"""Sums over tokens, batch by batch, and the moments that they give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Intake:
    """Moments of what the MLP of a layer reads, over the tokens that count.

    ``covariance`` is of the scaled residual, ``cross`` of each neuron's activation with it.
    """

    covariance: Float[Tensor, "d_model d_model"]
    cross: Float[Tensor, "neurons d_model"]


class Carried(NamedTuple):
    """How much of a unit's deviation arrives, with the factors f by which norms on the way multiply it at each token.

    ``spread``: (units,) the root mean square of deviation times f. ``slope``: the mean of its square times f, in
    standard deviations of the unit. Where f is 1 both are the standard deviation. Both are (units, ways) where there
    are several ways, each with its f.
    """

    spread: Float[Tensor, "units ..."]
    slope: Float[Tensor, "units ..."]


class Moments:
    """Sums of columns (tokens, columns), of their distance from the first batch's mean so that no digit is lost."""

    def __init__(self) -> None:
        self.count, self.sum, self.square = 0, torch.zeros(()), torch.zeros(())
        self.about = torch.zeros(())

    def add(self, values: Tensor) -> None:
        if not self.count:
            self.about = values.mean(0)
        away = values - self.about
        self.count += len(values)
        self.sum = self.sum + away.sum(0).double().cpu()
        self.square = self.square + away.square().sum(0).double().cpu()

    @property
    def mean(self) -> Tensor:
        return self.about.double().cpu() + self.sum / self.count

    @property
    def sd(self) -> Tensor:
        """0 for what is one number but for rounding."""
        variance = (self.square / self.count - (self.sum / self.count).square()).clamp(min=0)
        return torch.where(variance > 1e-12 * self.mean.square(), variance, 0).sqrt()


class Products:
    """Sums for the covariance of scaled residuals with themselves and with activations."""

    def __init__(self) -> None:
        self.residual, self.activations = Moments(), Moments()
        self.own, self.cross = torch.zeros(()), torch.zeros(())

    def add(self, scaled: Tensor, activations: Tensor) -> None:
        self.residual.add(scaled)
        self.activations.add(activations)
        self.own = self.own + (scaled.T @ scaled).double().cpu()
        self.cross = self.cross + (activations.T @ scaled).double().cpu()

    def intake(self) -> Intake:
        count, mean = self.residual.count, self.residual.mean
        return Intake(
            (self.own / count - torch.outer(mean, mean)).float(),
            (self.cross / count - torch.outer(self.activations.mean, mean)).float(),
        )


class Carry:
    """Sums for :class:`Carried`, taken about the first batch's mean."""

    def __init__(self) -> None:
        self.values = Moments()
        self.first, self.second, self.factors = torch.zeros(()), torch.zeros(()), torch.zeros(())
        self.ways: tuple[int, ...] = ()

    def add(self, values: Float[Tensor, "tokens units"], factors: Float[Tensor, "tokens ..."]) -> None:
        self.values.add(values)
        self.ways = tuple(factors.shape[1:])
        both = torch.stack([factors.square(), factors], 1).flatten(1).to(values)
        away = values - self.values.about
        self.first = self.first + (away.T @ both).double().cpu()
        self.second = self.second + (away.square().T @ both).double().cpu()
        self.factors = self.factors + both.sum(0).double().cpu()

    def carried(self) -> Carried:
        mean = (self.values.sum / self.values.count)[:, None]
        sums = (self.second - 2 * mean * self.first + mean.square() * self.factors).clamp(min=0) / self.values.count
        spread, slope = sums.unflatten(1, (2, *self.ways)).unbind(1)
        sd = self.values.sd.reshape(-1, *(1 for _ in self.ways))
        return Carried(spread.sqrt().float(), torch.where(sd > 0, slope / sd, 0).float())
