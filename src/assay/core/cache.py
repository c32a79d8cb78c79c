"""Where assay keeps what it can make again."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_dir() -> Path:
    """The cache directory: ``$ASSAY_CACHE`` if set, else the platform's own place. Not created here."""
    override = os.environ.get("ASSAY_CACHE")
    return Path(override).expanduser() if override else Path(platformdirs.user_cache_dir("assay"))
