"""Rule lists that a person wrote, from a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from assay.core.ids import UnitId
from assay.errors import UsageError
from assay.rules.rule import RuleList


def read_written(path: str | Path) -> dict[str, RuleList]:
    """Rule lists by unit, from a JSON file ``{"L10.mlp_act:345": {"rules": [...]}, ...}``.

    Raises:
        UsageError: the file can't be read, is not such an object, or a name or a rule list in it is wrong; the
            message names the unit.
    """
    try:
        table = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"can't read {path}: {error.strerror or error}; give a JSON file of rule lists") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UsageError(f"{path} is not JSON: {error}; give an object from unit to rule list") from error
    if not isinstance(table, dict) or not table:
        raise UsageError(f'{path} must hold an object from unit to rule list, such as {{"L10.mlp_act:345": ...}}')
    found: dict[str, RuleList] = {}
    for name, rules in cast("dict[str, Any]", table).items():
        unit = str(UnitId.parse(name))
        try:
            found[unit] = RuleList.from_json(rules)
        except UsageError as error:
            raise UsageError(f"{path}, {unit}: {error}") from error
    return found
