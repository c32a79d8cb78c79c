"""What every fitter ends in: an affine map of low rank that takes something out of activations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Shaped
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from assay.errors import UsageError
from assay.store.atomic import write_tensors

FORMAT = "assay eraser 1"
_PARTS = ("proj_left", "proj_right", "bias")

Rows = TypeVar("Rows", bound=Shaped[Any, "*lead d"])
"""A numpy array or a torch tensor of floating point; what comes back is of the same kind, dtype and device."""


@dataclass(frozen=True, eq=False)
class Eraser:
    """``eraser(x) = x - (x - bias) @ proj_right.T @ proj_left.T``, for x (..., d), numpy or torch.

    ``proj_left`` (d, k), ``proj_right`` (k, d) and ``bias`` (d,) are float64 and can't be written into. ``method`` is
    the name of what made it. Halves are computed in float32 and cast back, everything else in its own dtype.

    Raises:
        UsageError: shapes that don't fit together, or entries that aren't finite; and, when called, rows of another
            width, or integers.
    """

    proj_left: NDArray[np.float64]
    proj_right: NDArray[np.float64]
    bias: NDArray[np.float64]
    method: str

    def __post_init__(self) -> None:
        left, right, bias = (np.array(getattr(self, name), np.float64) for name in _PARTS)
        if bias.ndim != 1 or left.ndim != 2 or left.shape != right.T.shape or len(left) != len(bias):
            shapes = f"{left.shape}, {right.shape} and {bias.shape}"
            raise UsageError(f"proj_left, proj_right and bias must be (d, k), (k, d) and (d,). Got {shapes}.")
        for name, array in zip(_PARTS, (left, right, bias), strict=True):
            if not np.isfinite(array).all():
                raise UsageError(f"{name} of an eraser must be finite")
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @property
    def rank(self) -> int:
        """k: how many dimensions are taken out; 0 where there was nothing to take."""
        return self.proj_right.shape[0]

    def __call__(self, x: Rows) -> Rows:
        """x (..., d) without the concept."""
        wide, left, right, bias = self._beside(x)
        return _like(x, wide - (wide - bias) @ right.T @ left.T)

    def erased(self, x: Rows) -> Rows:
        """What is taken out of x (..., d): ``x - eraser(x)``."""
        wide, left, right, bias = self._beside(x)
        return _like(x, (wide - bias) @ right.T @ left.T)

    def swap(self, into: Rows, source: Rows) -> Rows:
        """``into`` with the concept of ``source``, both (..., d): ``eraser(into) + source - eraser(source)``."""
        wide, left, right, _ = self._beside(into)
        other, *_ = self._beside(source)
        return _like(into, wide + (other - wide) @ right.T @ left.T)

    def save(self, path: str | Path) -> None:
        """Write it as safetensors; a file appears only when it is whole.

        Raises:
            StorageError: the disk says no.
        """
        arrays = {name: getattr(self, name) for name in _PARTS}
        write_tensors(Path(path), arrays, {"format": FORMAT, "method": self.method})

    @classmethod
    def load(cls, path: str | Path) -> Eraser:
        """Read a file that :meth:`save` wrote.

        Raises:
            UsageError: no such file, or no eraser.
        """
        path = Path(path).expanduser()
        try:
            opened: Any = safe_open(path, framework="numpy")
            with opened as file:
                about: dict[str, str] = file.metadata() or {}
                if about.get("format") != FORMAT:
                    raise UsageError(f"{path} holds no eraser: it does not say {FORMAT!r}")
                return cls(*(file.get_tensor(name) for name in _PARTS), method=about["method"])
        except OSError as error:
            raise UsageError(f"can't read {path}: {error.strerror or error}") from error
        except (KeyError, SafetensorError) as error:
            raise UsageError(f"{path} holds no eraser: {type(error).__name__}: {error}") from error

    def _beside(self, x: Any) -> tuple[Any, Any, Any, Any]:
        """x as it is computed with, and the parts as arrays of its kind."""
        if not x.shape or x.shape[-1] != len(self.bias):
            raise UsageError(f"the eraser takes rows of {len(self.bias)} entries. Got shape {tuple(x.shape)}.")
        parts = (self.proj_left, self.proj_right, self.bias)
        if isinstance(x, np.ndarray):
            if not np.issubdtype(x.dtype, np.floating):
                raise UsageError(f"the eraser takes floating point, got {x.dtype}; convert it first")
            dtype = np.result_type(x.dtype, np.float32)
            left, right, bias = (part.astype(dtype) for part in parts)
            return x.astype(dtype, copy=False), left, right, bias
        if not x.is_floating_point():
            raise UsageError(f"the eraser takes floating point, got {x.dtype}; convert it first")
        wide = x.float() if x.element_size() < 4 else x
        left, right, bias = (wide.new_tensor(part) for part in parts)
        return wide, left, right, bias


def _like(given: Any, computed: Any) -> Any:
    return computed.astype(given.dtype, copy=False) if isinstance(given, np.ndarray) else computed.to(given.dtype)
