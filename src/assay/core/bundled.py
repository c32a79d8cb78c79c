"""Where the models lie that come with the package: what loads them needs that, and what lists them without torch."""

from __future__ import annotations

import re
from pathlib import Path

PLACE = Path(__file__).parents[1] / "ladder" / "models"
TOKENIZER = PLACE / "tokenizer"  # one for all

_NAME = re.compile(r"ladder-(?P<layers>\d+)-(?P<seed>\d+)")


def bundled_models() -> dict[str, Path]:
    """Name and directory of each, by depth and then by seed."""
    found = {path.name: match for path in PLACE.glob("ladder-*") if (match := _NAME.fullmatch(path.name))}
    ordered = sorted(found, key=lambda name: (int(found[name]["layers"]), int(found[name]["seed"])))
    return {name: PLACE / name for name in ordered}
