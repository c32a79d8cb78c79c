"""Hashes that decide which tokens are sampled: they depend on the token's place and on nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64, UInt64
from numpy.typing import NDArray

_STEP = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio
_MASK = 2**64 - 1


def document_key(document_id: str) -> int:
    """64 bits of the SHA-256 of a document's name."""
    return int.from_bytes(hashlib.sha256(document_id.encode()).digest()[:8], "little")


def document_keys(document_ids: Sequence[str]) -> UInt64[NDArray[np.uint64], " d"]:
    """The keys of several documents."""
    return np.array([document_key(name) for name in document_ids], np.uint64)


def token_hashes(
    keys: UInt64[NDArray[np.uint64], " n"], places: Int64[NDArray[np.int64], " n"], seed: int
) -> UInt64[NDArray[np.uint64], " n"]:
    """A uniform 64-bit number for each token, from its document's key, its place there and the seed."""
    start = _mix(np.array([seed & _MASK], np.uint64))
    return _mix(_mix(keys ^ start) + places.astype(np.uint64) * _STEP)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64 (Steele, Lea and Flood, OOPSLA 2014), after one step of its sequence."""
    x = x + _STEP
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
