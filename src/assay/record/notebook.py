"""A recording as HTML for notebooks: statistics of its units, and the text on which they are strongest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from markupsafe import Markup

from assay.core.ids import UnitId
from assay.draw.heat import Scale, ShadedToken
from assay.draw.notebook import fragment, heat, paragraph, scale_note, table
from assay.draw.words import counted, short

if TYPE_CHECKING:
    from assay.record.recording import Recording, SiteSketches

_UNITS, _EXEMPLARS = 12, 3
_BEFORE, _AFTER = 16, 6  # tokens around a peak
_TAIL = 0.3  # a lower tail counts when it reaches this share of the upper


class RecordingView(NamedTuple):
    """A recording with the texts of its tokens, which it does not hold itself: see :meth:`Recording.reading`."""

    recording: Recording
    texts: Mapping[int, str] | Sequence[str]
    units: Sequence[UnitId]
    exemplars: int

    def _repr_html_(self) -> str:
        """For notebooks."""
        return recording_html(self.recording, self.texts, self.units, self.exemplars)


def recording_html(
    recording: Recording,
    texts: Mapping[int, str] | Sequence[str] | None = None,
    units: Sequence[UnitId] = (),
    exemplars: int = _EXEMPLARS,
) -> str:
    """Statistics of up to 12 units, or of those named, and their exemplars, shaded; tokens as ids without ``texts``."""
    shown = list(units or recording.units[:_UNITS])
    stands = {
        UnitId(site, index): (sketches, i)
        for site, sketches in recording.sites.items()
        for i, index in enumerate(sketches.units)
    }
    columns = ["unit", "mean", "sd", "skewness", "least", "most", "above its threshold"]
    rows = [[str(unit), *_numbers(*stands[unit])] for unit in shown]
    caption = f"{counted(recording.n_tokens, 'token')}, {counted(len(recording.units), 'unit')}"
    parts = [table(caption, columns, rows, numeric=range(1, len(columns)))]
    more = len(recording.units) - len(shown)
    parts += [paragraph(f"and {counted(more, 'more unit')}", "q")] if more > 0 else []
    for unit in shown:
        parts += _exemplars(unit, *stands[unit], texts, exemplars)
    if texts is None and exemplars:
        parts.append(paragraph("Tokens are numbers here: recording.reading(texts) shows their text.", "q"))
    return fragment(*parts)


def _numbers(sketches: SiteSketches, i: int) -> list[str]:
    moments = sketches.moments
    stats = (moments.mean, moments.sd, moments.skew, moments.minimum, moments.maximum)
    return [*(short(float(column[i])) for column in stats), f"{short(100 * float(sketches.firing.rate[i]))} %"]


def _exemplars(
    unit: UnitId, sketches: SiteSketches, i: int, texts: Mapping[int, str] | Sequence[str] | None, count: int
) -> list[Markup]:
    """The highest excerpts, and the lowest where that tail counts; a free slot holds none."""
    exemplars = sketches.exemplars
    highest, lowest = float(exemplars.top.peaks[i, 0]), float(exemplars.bottom.peaks[i, 0])
    if not count or not np.isfinite(highest):
        return []
    scale = Scale.of(np.array([max(abs(highest), abs(lowest))], np.float32))
    sides = [("highest", exemplars.top)]
    sides += [("lowest", exemplars.bottom)] if lowest < 0 and -lowest > _TAIL * highest else []
    parts: list[Markup] = []
    for side, tail in sides:
        rows: list[tuple[str | Markup, ...]] = []
        for k in np.flatnonzero(np.isfinite(tail.peaks[i]))[:count]:
            at, ids, values = int(tail.positions[i, k]), tail.ids[i, k], tail.activations[i, k]
            span = range(max(0, at - _BEFORE), min(int((ids >= 0).sum()), at + _AFTER + 1))
            shaded = [_token(int(ids[j]), float(values[j]), j == at, texts, scale) for j in span]
            rows.append((scale.number(float(tail.peaks[i, k])), heat(shaded, span[0] > 0, True)))
        parts.append(table(f"Where {unit} is {side}", ["peak", "text"], rows))
    return [*parts, scale_note(scale.number(scale.full))]


def _token(
    token: int, value: float, peak: bool, texts: Mapping[int, str] | Sequence[str] | None, scale: Scale
) -> ShadedToken:
    text = f"[{token}]"
    if isinstance(texts, Mapping):
        text = texts.get(token, text)
    elif texts is not None and token < len(texts):
        text = texts[token]
    return ShadedToken(text, scale.shade("b", value), scale.number(value), "", peak)
