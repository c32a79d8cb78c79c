"""Everything that a study found, into the directory of its run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from assay.explain.figure import figure_json, figure_svg
from assay.explain.joint.write import write_joint
from assay.explain.measure import tested_arrays
from assay.explain.page import RunContent, build_page
from assay.explain.recorded import exemplar_arrays
from assay.explain.verdicts import ARMS
from assay.store import RunWriter

if TYPE_CHECKING:
    from assay.explain.study import Study


def write_study(study: Study, writer: RunWriter, result: dict[str, Any], neighbours: pa.Table) -> None:
    """Tables, tensors, the result, what was asked of a judge, the figure and the page."""
    arrays = {"test": study.test_arrays(), "exemplars": exemplar_arrays(study.recording, study.targets)}
    if study.elsewhere is not None:
        arrays["also"] = tested_arrays(study.elsewhere.part, study.elsewhere.tested)
    known = study.subject.directions
    if vectors := {str(unit): known[unit].vector for unit in study.targets if unit in known}:
        arrays["directions"] = vectors
    arrays |= study.edited.arrays()
    outputs, texts = study.edited.outputs, study.subject.token_texts()
    exemplars = [ids.ravel() for name, ids in arrays["exemplars"].items() if name.endswith("_ids")]
    seen = np.unique(np.concatenate([arrays["test"]["ids"], *exemplars]))
    tables = {
        "units": study.unit_rows,
        "claims": study.claim_rows + (outputs.claim_rows() if outputs else []),
        "evidence": study.evidence_rows() + (outputs.evidence_rows() if outputs else []),
        "tokens": [{"id": int(i), "text": texts[i]} for i in seen if i >= 0],
    }
    for name, rows in tables.items():
        writer.table(name, rows)
    writer.arrow("neighbours", neighbours)
    for name, tensors in arrays.items():
        metadata = {"arms": ",".join(ARMS)} if name == "behaviour" else None
        writer.tensors(name, {key: np.ascontiguousarray(value) for key, value in tensors.items()}, metadata)
    writer.result(result)
    if (remote := study.remote()) is not None:
        writer.file("judge.jsonl", remote.recording())
    study.progress("drawing the figure and the page")
    writer.file("figure.json", figure_json(result))
    writer.file("figure.svg", figure_svg(result))
    joint = study.edited.joint
    svg = write_joint(writer, joint, result["joint"]) if joint else None
    writer.file("page.html", build_page(RunContent(writer.spec, tables, arrays, result), svg))
