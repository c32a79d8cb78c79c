"""Control vectors: directions in a GGUF file, as llama.cpp and repeng write and read them.

``direction.K``, float32 and one-dimensional, is added to the residual stream at the end of layer K, counted from 0, at
every position: in llama.cpp to ``l_out-K``, after the MLP's output has been added; in repeng to the output of layer K.
So it belongs to our ``LK.resid_post``. K is 1 or more: neither of them takes a direction for layer 0.

A tensor holds ``scale * vector``: what one unit of dose adds, and the gradient of the direction's value. The file of
``2 * a`` is then twice that of ``a``, and the files of ``a`` and ``b`` add up to that of ``a + b``, as they do in
llama.cpp. What the format has no place for, offset and provenance, stands beside it under a key of our own, which
other programs pass over.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assay.core.direction import Direction
from assay.core.ids import SiteId
from assay.errors import StorageError, UsageError

if TYPE_CHECKING:
    from gguf import GGUFReader, ReaderTensor

SUFFIX = ".gguf"
ARCHITECTURE = "controlvector"
KIND = "resid_post"

_HINT = "model_hint"
_OWN = "assay.directions"
_LAYER = re.compile(r"direction\.([0-9]{1,9})")  # what follows the digits is passed over, as in llama.cpp
_MALFORMED = (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError)


def save_control_vector(path: str | Path, directions: Sequence[Direction], model_hint: str = "") -> None:
    """Write directions at ``resid_post`` of different layers, from 1, into one file; it appears only when it is whole.

    Read back, each has the value that it had: scale 1, vector ``scale * vector`` in float32, offset ``scale * offset``.

    Args:
        path: must end in ``.gguf``.
        directions: at least one, all of one width.
        model_hint: the kind of model, such as "llama"; if empty, the one in the directions' provenance, if it is one.

    Raises:
        UsageError: a direction that the format can't hold, two of one layer, widths that differ, another suffix.
        StorageError: the disk says no.
    """
    from gguf import GGUFValueType, GGUFWriter

    path = Path(path)
    if path.suffix != SUFFIX:
        raise UsageError(f"{path} must end in {SUFFIX}")
    tensors = _tensors(directions)
    about = {
        str(one.site.layer): {"offset": one.scale * one.offset, "provenance": dict(one.provenance)}
        for one in directions
    }
    hints = {one.provenance.get(_HINT, "") for one in directions}
    hint = model_hint or (hints.pop() if len(hints) == 1 else "")
    unfinished = path.with_name(f".{path.name}.tmp")
    try:
        writer = GGUFWriter(unfinished, ARCHITECTURE)
        try:
            # add_string leaves out what is empty, and repeng reads no file without the key
            writer.add_key_value(f"{ARCHITECTURE}.{_HINT}", hint, GGUFValueType.STRING)
            writer.add_uint32(f"{ARCHITECTURE}.layer_count", len(tensors))
            writer.add_string(_OWN, json.dumps(about))
            for layer in sorted(tensors):
                writer.add_tensor(f"direction.{layer}", tensors[layer])
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()
        os.replace(unfinished, path)
    except OSError as error:
        raise StorageError(f"can't write {path}: {error.strerror or error}") from error


def load_control_vector(path: str | Path) -> dict[SiteId, Direction]:
    """The directions of a file, by site, lowest layer first; their scale is 1.

    Tensors of one layer (``direction.5`` and ``direction.05``) are summed, as in llama.cpp; one name twice is refused,
    there and here. A layer whose vector is 0 adds nothing and is left out. ``provenance["model_hint"]`` is the file's
    hint, if it has one.

    Raises:
        UsageError: no such file, not a control vector, or one that llama.cpp would not take.
    """
    from gguf import GGUFReader

    path = Path(path).expanduser()
    try:
        with np.errstate(over="ignore"):  # of offsets in a damaged file
            return _directions(path, GGUFReader(path))
    except OSError as error:
        raise UsageError(f"can't read {path}: {error.strerror or error}") from error
    except _MALFORMED as error:
        raise UsageError(f"{path} holds no control vector: {type(error).__name__}: {error}") from error


def pick_direction(path: str | Path, site: SiteId | None) -> Direction:
    """The one direction of a file that is at ``site``, or the only one there is.

    Raises:
        UsageError: as of :func:`load_control_vector`; none at that site, or several and no site is given.
    """
    found = load_control_vector(path)
    sites = ", ".join(map(str, found))
    if site is None:
        if len(found) > 1:
            raise UsageError(f"{path} holds directions at {sites}; give the site of one")
        return next(iter(found.values()))
    if site not in found:
        raise UsageError(f"the directions in {path} are at {sites}, not at {site}")
    return found[site]


def _tensors(directions: Sequence[Direction]) -> dict[int, NDArray[np.float32]]:
    """What is added after each layer, one unit of dose."""
    if not directions:
        raise UsageError("a control vector needs at least one direction. Got none.")
    widths = {one.vector.size for one in directions}
    if len(widths) > 1:
        raise UsageError(f"the directions of a control vector must have one width. Got {sorted(widths)}.")
    added: dict[int, NDArray[np.float32]] = {}
    for one in directions:
        layer, kind = one.site
        if kind != KIND or layer < 1:
            raise UsageError(f"a control vector holds directions at L1.{KIND} and above. Got one at {one.site}.")
        if layer in added:
            raise UsageError(f"a control vector holds one direction a layer; add up those at {one.site} first")
        with np.errstate(over="ignore", under="ignore"):
            added[layer] = (one.scale * one.vector.astype(np.float64)).astype(np.float32)
        if not np.isfinite(added[layer]).all() or not added[layer].any():
            raise UsageError(f"scale * vector of the direction at {one.site} must be finite in float32, and not 0")
    return added


def _directions(path: Path, reader: GGUFReader) -> dict[SiteId, Direction]:
    architecture = _field(reader, "general.architecture")
    if architecture != ARCHITECTURE:
        raise UsageError(f"{path} must have the architecture {ARCHITECTURE!r}. Got {architecture!r} instead.")
    sums: dict[int, NDArray[np.float32]] = {}
    for tensor in reader.tensors:
        layer, vector = _layer(path, tensor.name), _vector(path, tensor)
        if sums and vector.size != next(iter(sums.values())).size:
            widths = sorted({vector.size, *(other.size for other in sums.values())})
            raise UsageError(f"the tensors in {path} must have one width. Got {widths}.")
        sums[layer] = sums[layer] + vector if layer in sums else vector
    layers = sorted(layer for layer in sums if sums[layer].any())
    if not layers:
        raise UsageError(f"{path} holds no direction: it has {len(sums)} tensors, none that is not 0 throughout")
    hint, own = _field(reader, f"{ARCHITECTURE}.{_HINT}"), _own(reader)
    named = {_HINT: str(hint)} if hint else {}
    return {site: _direction(path, site, sums[site.layer], own, named) for site in (SiteId(k, KIND) for k in layers)}


def _direction(
    path: Path, site: SiteId, vector: NDArray[np.float32], own: Mapping[str, Any], named: Mapping[str, str]
) -> Direction:
    about = own.get(str(site.layer), {})
    provenance = {str(key): str(value) for key, value in about.get("provenance", {}).items()}
    try:
        return Direction(site, vector, float(about.get("offset", 0.0)), provenance={**named, **provenance})
    except UsageError as error:
        raise UsageError(f"direction.{site.layer} in {path}: {error}") from error


def _own(reader: GGUFReader) -> Mapping[str, Any]:
    value: Any = json.loads(_field(reader, _OWN) or "{}")
    if not isinstance(value, dict):
        raise TypeError(f"its {_OWN} is no JSON object")
    return dict(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def _layer(path: Path, name: str) -> int:
    match = _LAYER.match(name)
    if not match:
        raise UsageError(f"the tensors in {path} must be named direction.K, K from 1. Got {name!r} instead.")
    if int(match[1]) == 0:
        raise UsageError(
            f"{path} has {name}: direction.K is at LK.{KIND}, K from 1, and llama.cpp takes none at L0.{KIND}; "
            "leave it out, or number the layers anew"
        )
    return int(match[1])


def _vector(path: Path, tensor: ReaderTensor) -> NDArray[np.float32]:
    kind, shape = tensor.tensor_type.name, [int(size) for size in tensor.shape]
    if kind != "F32":
        raise UsageError(f"{tensor.name} in {path} must be F32. Got {kind} instead; convert it.")
    if any(size != 1 for size in shape[1:]):
        raise UsageError(f"{tensor.name} in {path} must have one axis. Got {len(shape)}, of {shape}.")
    return np.array(tensor.data, dtype=np.float32).reshape(-1)


def _field(reader: GGUFReader, key: str) -> Any:
    field = reader.get_field(key)
    return field.contents() if field is not None else None
