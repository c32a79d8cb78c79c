"""A cache of a test's own."""

from __future__ import annotations

from pathlib import Path

from assay.core.cache import cache_dir


def own_cache(place: Path) -> str:
    """An empty directory for ``ASSAY_CACHE``, but that machine code, which takes a minute or two to make, is shared."""
    kept = cache_dir() / "numba"
    kept.mkdir(parents=True, exist_ok=True)
    place.mkdir(exist_ok=True)
    (place / "numba").symlink_to(kept.absolute())
    return str(place)
