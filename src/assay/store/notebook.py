"""A run as HTML for notebooks."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, cast

from assay.draw.notebook import fragment, table, verdict

if TYPE_CHECKING:
    from assay.store.run import Run


def run_html(run: Run) -> str:
    """What a run was made of, how its claims fared, and which tables it has. Reads one table at most."""
    spec = run.spec
    facts = [("made by", f"assay {spec['verb']}"), ("finished", run.finished), ("at", str(run.path))]
    facts += [(name, _name(spec.get(name))) for name in ("subject", "corpus") if _name(spec.get(name))]
    tables = [name.removesuffix(".parquet") for name in run.files if name.endswith(".parquet")]
    facts.append(("tables", ", ".join(sorted(tables))))
    parts = [table(f"Run {run.id}", ["what", "is"], facts)]
    if "evidence" in tables:
        found: Counter[str] = Counter()
        evidence = run.table("evidence").select(["check", "verdict"]).to_pylist()
        found.update(row["verdict"] for row in evidence if row["check"] == "claim" and row["verdict"])
        counts = [(verdict(name), f"{count:,}") for name, count in found.most_common()]
        parts += [table("Claims", ["verdict", "claims"], counts, numeric=(1,))] if counts else []
    return fragment(*parts)


def _name(described: Any) -> str:
    """What a subject or a corpus is called in a spec."""
    return str(cast("dict[str, Any]", described).get("name", "")) if isinstance(described, dict) else ""
