"""How much memory the process has held."""

from __future__ import annotations

import platform
import resource


def peak_rss_mb() -> float:
    """The most memory that the process has held, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 / (1024 if platform.system() == "Darwin" else 1)
