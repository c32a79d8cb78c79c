"""Half of the prompts of a behaviour, with neutral text of their own."""

from __future__ import annotations

from typing import NamedTuple

from assay.steer.harm import Neutral
from assay.steer.scoring import Scored


class Half(NamedTuple):
    """Prompts and neutral text that nothing of the other half is in."""

    scored: Scored
    neutral: Neutral
