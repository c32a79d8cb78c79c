"""A direction: a vector at a site, with a scale and a zero; it gives one number a token."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from assay.core.ids import SiteId, UnitId, direction_files
from assay.errors import StorageError, UsageError

FORMAT = "assay direction 1"
SUFFIXES = (".safetensors", ".json", ".gguf")

_KNOWN = ("site", "offset", "scale", "provenance")


@dataclass(frozen=True, eq=False)
class Direction:
    """What it says of a tensor h at its site is ``scale * (h @ vector - offset)``.

    ``vector`` is (width of the site,), float32, finite and not zero, and can't be written into. ``provenance`` says
    where it comes from, in words. Sums, differences and multiples have the value that this makes of the values:
    ``(2 * a - b).value(h) == 2 * a.value(h) - b.value(h)``; their scale is 1.

    Raises:
        UsageError: a vector, scale or offset that is not as said.
    """

    site: SiteId
    vector: NDArray[np.float32]
    offset: float = 0.0
    scale: float = 1.0
    provenance: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        vector = np.array(self.vector, dtype=np.float32)
        if vector.ndim != 1 or not np.isfinite(vector).all() or not vector.any():
            raise UsageError("the vector of a direction must have one axis, finite entries, and one that is not 0")
        if not (math.isfinite(self.offset) and math.isfinite(self.scale) and self.scale != 0):
            raise UsageError(f"offset and scale must be finite, scale not 0. Got {self.offset} and {self.scale}.")
        vector.setflags(write=False)
        object.__setattr__(self, "vector", vector)

    def value(self, h: Float[NDArray[Any], "*tokens width"]) -> Float[NDArray[Any], "*tokens"]:
        """What the direction says of each token of h, (..., width): its activation, (...)."""
        return np.asarray(self.scale * (np.asarray(h, np.float64) @ self._wide - self.offset))

    @property
    def sha256(self) -> str:
        """Hash of the site, the vector, the offset and the scale."""
        head = f"{self.site} {self.offset!r} {self.scale!r}\n"
        return hashlib.sha256(head.encode() + self.vector.astype("<f4").tobytes()).hexdigest()

    def describe(self) -> dict[str, object]:
        """What is worth storing of it beside its name: its hash, offset, scale and provenance."""
        return {
            "sha256": self.sha256,
            "offset": self.offset,
            "scale": self.scale,
            "provenance": dict(self.provenance),
        }

    def __add__(self, other: Direction) -> Direction:
        return self._combined(1.0, other, 1.0, "+")

    def __sub__(self, other: Direction) -> Direction:
        return self._combined(1.0, other, -1.0, "-")

    def __mul__(self, factor: int | float) -> Direction:
        times = float(factor) * self.scale
        made = {"made": f"{factor} * {self.sha256[:12]}"}
        return Direction(self.site, _float32(times * self._wide), times * self.offset, provenance=made)

    __rmul__ = __mul__

    def __neg__(self) -> Direction:
        return self * -1.0

    @property
    def _wide(self) -> NDArray[np.float64]:
        return self.vector.astype(np.float64)

    def _combined(self, mine: float, other: Direction, theirs: float, sign: str) -> Direction:
        if other.site != self.site:
            raise UsageError(f"directions at {self.site} and {other.site} can't be combined; they must be at one site")
        if other.vector.shape != self.vector.shape:
            sizes = f"{self.vector.size} and {other.vector.size}"
            raise UsageError(f"directions of {sizes} entries can't be combined")
        a, b = mine * self.scale, theirs * other.scale
        return Direction(
            self.site,
            _float32(a * self._wide + b * other._wide),
            a * self.offset + b * other.offset,
            provenance={"made": f"{self.sha256[:12]} {sign} {other.sha256[:12]}"},
        )

    def save(self, path: str | Path) -> None:
        """Write it as ``.safetensors``, ``.json`` or ``.gguf``; a file appears only when it is whole.

        ``.gguf`` is a control vector (:mod:`assay.core.control_vector`): it holds ``scale * vector``, so that it is
        read back with the scale 1, and only what is at ``resid_post`` of a layer from 1.

        Raises:
            UsageError: another suffix, or what a control vector can't hold.
            StorageError: the disk says no.
        """
        path = Path(path)
        _check_suffix(path)
        if path.suffix == ".gguf":
            from assay.core.control_vector import save_control_vector

            return save_control_vector(path, [self])
        about = {"format": FORMAT, "site": str(self.site), "offset": self.offset, "scale": self.scale}
        if path.suffix == ".json":
            about |= {"provenance": dict(self.provenance), "vector": [float(x) for x in self.vector]}
            content = json.dumps(about).encode()
        else:
            about["provenance"] = json.dumps(dict(self.provenance))
            content = save({"vector": self.vector}, {key: str(value) for key, value in about.items()})
        unfinished = path.with_name(f".{path.name}.tmp")
        try:
            unfinished.write_bytes(content)
            os.replace(unfinished, path)
        except OSError as error:
            raise StorageError(f"can't write {path}: {error.strerror or error}") from error

    @classmethod
    def load(cls, path: str | Path, site: SiteId | None = None) -> Direction:
        """Read a file that :meth:`save` wrote, or any safetensors file with one vector in it, whose site is given.

        Of a control vector, ``.gguf``, it is the direction at ``site``, or the only one that there is.

        Raises:
            UsageError: no such file, not a direction, or a direction at another site than ``site``.
        """
        try:
            path = Path(path).expanduser()
        except RuntimeError as error:  # ~ of nobody
            raise UsageError(f"can't read {path}: {error}") from error
        _check_suffix(path)
        if path.suffix == ".gguf":
            from assay.core.control_vector import pick_direction

            return pick_direction(path, site)
        try:
            about = _read_json(path) if path.suffix == ".json" else _read_safetensors(path)
            own = SiteId.parse(about["site"]) if "site" in about else site
            if own is None:
                raise UsageError(f"{path} does not say at which site its vector is; give the site")
            if site is not None and own != site:
                raise UsageError(f"the direction in {path} is at {own}, not at {site}")
            provenance = {str(key): str(value) for key, value in about.get("provenance", {}).items()}
            offset, scale = float(about.get("offset", 0.0)), float(about.get("scale", 1.0))
            return cls(own, _float32(about["vector"]), offset, scale, provenance)
        except OSError as error:
            raise UsageError(f"can't read {path}: {error.strerror or error}") from error
        except (ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
            raise UsageError(f"{path} holds no direction: {type(error).__name__}: {error}") from error


def read_directions(specs: str) -> dict[UnitId, Direction]:
    """The directions that a list of unit specifications names by file, such as ``L10.resid_post:@happy.safetensors``.

    Raises:
        UsageError: a file that can't be read, or two files of one name at one site that differ.
    """
    found: dict[UnitId, Direction] = {}
    for unit, path in direction_files(specs):
        direction = Direction.load(path, unit.site)
        if unit in found and found[unit].sha256 != direction.sha256:
            raise UsageError(f"two files give {unit}, and they differ; rename one")
        found[unit] = direction
    return found


def _check_suffix(path: Path) -> None:
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path} must end in {' or '.join(SUFFIXES)}")


def _float32(values: ArrayLike) -> NDArray[np.float32]:
    return np.asarray(values, dtype=np.float32)


def _read_json(path: Path) -> dict[str, Any]:
    value: Any = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise TypeError("its JSON is no object")
    return dict(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def _read_safetensors(path: Path) -> dict[str, Any]:
    opened: Any = safe_open(path, framework="numpy")
    with opened as file:
        names = list(file.keys())
        if len(names) != 1:
            raise ValueError(f"it has {len(names)} tensors, not one")
        metadata: dict[str, Any] = file.metadata() or {}
        about = {key: value for key, value in metadata.items() if key in _KNOWN}
        about["vector"] = file.get_tensor(names[0])
    if "provenance" in about:
        about["provenance"] = json.loads(about["provenance"])
    return about
