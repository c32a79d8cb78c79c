"""HTML for notebooks: fragments that bring their own style, run no script, and escape every text.

A fragment's style holds inside it only, in light and in dark. What a notebook's own theme says goes before what the
screen prefers, since a dark notebook on a light screen is common.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Literal

from markupsafe import Markup

from assay.draw.forest_rows import VERDICTS, ForestRow, has_interval
from assay.draw.heat import LEVELS, ShadedToken
from assay.draw.words import plain, score_text

CLASS = "assay-html"
LONGEST = 2000  # letters of one text
_SHORT = 32  # letters that a cell of a table has on one line
GLYPHS: dict[str, str] = dict(zip(VERDICTS, "●◐○✕⊘", strict=True))
# As in page.css: --up, --down, --soft, --line, --green, --rules, --lookup, --purple.
LIGHT = ("#f08a24", "#4b94e0", "#63636b", "#e4e3de", "#007a57", "#0072b2", "#d55e00", "#8d4a78")
DARK = ("#9f5008", "#2a66b0", "#a0a0a8", "#2c2d34", "#3fc79a", "#56aee8", "#f08a4a", "#d295bd")
_NAMES = ("up", "down", "soft", "line", "green", "rules", "lookup", "purple")
_RULES = """
.C{font:13px/1.5 system-ui,sans-serif;font-variant-numeric:tabular-nums;max-width:66rem;overflow:auto}
.C,.C .w{overflow-wrap:anywhere}
.C p{margin:.3em 0}.C .q{color:var(--soft)}.C .s{font:1.15em/1.4 Charter,Georgia,serif}
.C table{border-collapse:collapse;margin:.4em 0}
.C caption{text-align:left;font-weight:600;padding:.2em 0;color:inherit;white-space:nowrap}
.C th,.C td{text-align:left;vertical-align:baseline;padding:.15em 1em .15em 0}
.C th,.C td{border:0;white-space:nowrap}.C .w{white-space:normal;max-width:34rem}
.C thead th{color:var(--soft);font-weight:400}.C tbody th{font-weight:400}.C tbody tr{border-top:1px solid var(--line)}
.C .n{text-align:right}.C .v{font-weight:600;white-space:nowrap}
.C .v-supported{color:var(--green)}.C .v-predicts{color:var(--rules)}.C .v-undecided{color:var(--soft)}
.C .v-refuted{color:var(--lookup)}.C .v-void{color:var(--purple)}
.C .t{line-height:2;white-space:pre-wrap;unicode-bidi:isolate}
.C i{font-style:normal;padding:.3em 0 .32em;--real:transparent;--said:transparent}
.C i{background:linear-gradient(var(--real) 50%,var(--said) 50%)}
.C i.k{outline:1px solid var(--soft);outline-offset:-1px}
"""


def fragment(*parts: Markup) -> str:
    """The parts as one element with its style."""
    return str(Markup('<div class="{}"><style>{}</style>{}</div>').format(CLASS, _style(), Markup("").join(parts)))


@cache
def _style() -> Markup:
    """Colours for light and dark, the shades of tokens, and the rest; all under the fragment's class."""

    def palette(colours: tuple[str, ...]) -> str:
        return "{" + ";".join(f"--{name}:{colour}" for name, colour in zip(_NAMES, colours, strict=True)) + "}"

    shades: list[str] = []
    for level in range(1, LEVELS + 1):
        share = round(12 + 88 * level / LEVELS)
        for sign, colour in (("", "up"), ("n", "down")):
            mixed = f"color-mix(in srgb,var(--{colour}) {share}%,transparent)"
            shades.append(f".C .a{sign}{level}{{--real:{mixed}}}.C .p{sign}{level}{{--said:{mixed}}}")
            shades.append(f".C .b{sign}{level}{{--real:{mixed};--said:{mixed}}}")
    themes = (
        f".C{palette(LIGHT)}@media (prefers-color-scheme:dark){{.C{palette(DARK)}}}"
        f"[data-jp-theme-light=true] .C,.vscode-light .C{palette(LIGHT)}"
        f"[data-jp-theme-light=false] .C,.vscode-dark .C{palette(DARK)}"
    )
    return Markup((themes + _RULES + "".join(shades)).replace(".C", f".{CLASS}").replace("\n", ""))


def paragraph(text: str, kind: str = "") -> Markup:
    """A paragraph of plain text: ``q`` quiet, ``s`` a sentence that somebody claims."""
    return Markup('<p class="{}">{}</p>').format(kind, plain(text, LONGEST))


def verdict(name: str) -> Markup:
    """A verdict in its colour, with its sign and its name."""
    return Markup('<span class="v v-{0}"><span aria-hidden="true">{1}</span> {0}</span>').format(
        name, GLYPHS.get(name, "")
    )


def table(
    caption: str, columns: Sequence[str], rows: Sequence[Sequence[str | Markup]], numeric: Sequence[int] = ()
) -> Markup:
    """A table with headers; the first cell of a row is its header, ``numeric`` columns are aligned to the right."""
    heads = Markup("").join(_cell("th", name, i in numeric, "col") for i, name in enumerate(columns))
    body = Markup("").join(_row(row, numeric) for row in rows)
    return Markup("<table><caption>{}</caption><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(
        plain(caption), heads, body
    )


def _row(row: Sequence[str | Markup], numeric: Sequence[int]) -> Markup:
    cells = [_cell("td", cell, column in numeric) for column, cell in enumerate(row[1:], start=1)]
    return Markup("<tr>{}{}</tr>").format(_cell("th", row[0], 0 in numeric, "row"), Markup("").join(cells))


def _cell(tag: Literal["td", "th"], cell: str | Markup, number: bool, scope: Literal["", "col", "row"] = "") -> Markup:
    """A cell; a short one keeps its line, a long one breaks where it must."""
    text = cell if isinstance(cell, Markup) else plain(cell, LONGEST)
    long = len(text.striptags() if isinstance(text, Markup) else text) > _SHORT
    kind = "n" if number else "w" if long else ""
    attributes = Markup(' scope="{}"').format(scope) if scope else Markup("")
    attributes += Markup(' class="{}"').format(kind) if kind else Markup("")
    return Markup("<{0}{1}>{2}</{0}>").format(tag, attributes, text)


def evidence(caption: str, rows: Sequence[ForestRow]) -> Markup:
    """Scores as a table: value, interval, nulls, references and verdict; columns that nobody fills are left out."""
    columns = ["score", "value", "95 % interval", "nulls", "references", "verdict"]
    cells: list[list[str | Markup]] = []
    for row in rows:
        bounds = f"{score_text(row.lo)} to {score_text(row.hi)}" if has_interval(row) else ""
        value = "unscored" if row.value is None else score_text(row.value)
        sides = [
            ", ".join(f"{name.replace('_', ' ')} {score_text(score)}" for name, score in side.items())
            for side in (row.nulls, row.references)
        ]
        cells.append([row.label, value, bounds, *sides, verdict(row.verdict) if row.verdict else ""])
    kept = [0, 1, *(i for i in range(2, len(columns)) if any(line[i] for line in cells))]
    return table(caption, [columns[i] for i in kept], [[line[i] for i in kept] for line in cells], numeric=(1,))


def heat(tokens: Sequence[ShadedToken], cut_before: bool = False, cut_after: bool = False) -> Markup:
    """Tokens in their shades, each with its numbers on hover; the one looked at is outlined."""
    parts = [_token(token) for token in tokens]
    dots = Markup('<span class="q">…</span>')
    return Markup('<span class="t">{}{}{}</span>').format(
        dots if cut_before else "", Markup("").join(parts), dots if cut_after else ""
    )


def _token(token: ShadedToken) -> Markup:
    numbers = " · ".join(
        f"{name} {number}" for name, number in (("real", token.real), ("predicted", token.predicted)) if number
    )
    kinds = f"{token.shades}{' k' if token.looked_at else ''}".strip()
    return Markup("<i{}{}>{}</i>").format(
        Markup(' class="{}"').format(kinds) if kinds else "",
        Markup(' title="{}"').format(numbers) if numbers else "",
        plain(token.text, LONGEST),
    )


def scale_note(full: str) -> Markup:
    """What the shades mean."""
    return paragraph(f"from −{full} (blue) over 0 (blank) to {full} (orange) and beyond", "q")
