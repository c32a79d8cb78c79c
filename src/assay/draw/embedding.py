"""SVG that may stand in a page under a strict content policy, and SVG that stands alone.

A page's policy of ``default-src 'self'`` forbids scripts and ``style`` attributes, so :func:`inline` writes what styles
say as attributes, and then checks that nothing is left which could run, style or fetch.
"""

from __future__ import annotations

import re
import zlib
from xml.etree import ElementTree

BASE = "https://figure.invalid/"  # stands before every link while a figure is rendered
CLASS = "assay-figure"
# Every colour of the house's figures: on light paper, and what it turns into on dark paper. As in page.css.
DARK = {
    "#26262b": "#e7e6e2", "#e3e3e8": "#2c2d34", "#a2a2a9": "#6c6c75", "#5c5c64": "#a0a0a8", "#fdfdfb": "#15161a",
    "#0072b2": "#56aee8", "#56b4e9": "#a8dcf8", "#d55e00": "#f08a4a", "#009e73": "#3fc79a", "#a8638f": "#d295bd",
}  # fmt: skip

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_HREF = f"{{{_XLINK}}}href"
_ELEMENTS = frozenset("svg g a path line rect circle text tspan title defs clipPath".split())
_STYLED = frozenset("fill stroke opacity font-family font-size font-style font-weight pointer-events".split())
_SCHEME = re.compile(r"[\s\x00-\x20]*(?!https?:)[a-z][a-z0-9+.\s-]*:", re.IGNORECASE)
_ROLES = ("role", "aria-roledescription", "aria-label", "aria-hidden")


def inline(svg: str, alternative: str = "") -> str:
    """The SVG for inlining in a page: no style, script, handler or request, links with names, ids of its own.

    What the renderer calls a mark's description becomes its ``<title>``, shown on hover, and its link's name. With an
    ``alternative`` the whole is labelled with it: as an image, or as a group where there are links to follow.

    Raises:
        ValueError: the SVG holds an element, an attribute or an address that no figure needs.
    """
    root = ElementTree.fromstring(svg)
    prefix = f"f{zlib.crc32(svg.encode()):08x}-"
    for element in list(root.iter()):
        _unstyle(element)
        _own_ids(element, prefix)
        if element.tag == f"{{{_SVG}}}a":
            _name_link(element)
        _title(element)
    for group in root.iter(f"{{{_SVG}}}g"):
        _let_through(group)
    root.set("class", CLASS)
    if alternative:
        root.set("role", "img" if root.find(f".//{{{_SVG}}}a") is None else "group")
        root.set("aria-label", alternative)
    _check(root)
    return _written(root)


def standalone(svg: str) -> str:
    """The SVG with a style that turns the house's colours dark with the reader's screen: for ``<img>`` and files."""
    rules = "".join(
        f'.{CLASS} [fill="{light}"]{{fill:{dark}}}.{CLASS} [stroke="{light}"]{{stroke:{dark}}}'
        for light, dark in DARK.items()
    )
    head, end, rest = svg.partition(">")
    return f"{head}{end}<style>@media (prefers-color-scheme:dark){{{rules}}}</style>{rest}"


def _unstyle(element: ElementTree.Element) -> None:
    for part in element.attrib.pop("style", "").split(";"):
        name, colon, value = part.partition(":")
        if colon and name.strip() in _STYLED:
            element.set(name.strip(), value.strip())


def _own_ids(element: ElementTree.Element, prefix: str) -> None:
    """Two figures on one page must not share ids."""
    if "id" in element.attrib:
        element.set("id", prefix + element.attrib["id"])
    for name, value in element.attrib.items():
        if value.startswith("url(#"):
            element.set(name, value.replace("url(#", f"url(#{prefix}", 1))


def _name_link(link: ElementTree.Element) -> None:
    address = link.attrib.get(_HREF, "").removeprefix(BASE)
    link.set(_HREF, address)
    link.set("href", address)
    for mark in link:
        if name := mark.get("aria-label"):
            link.set("aria-label", name)


def _title(element: ElementTree.Element) -> None:
    """The description of a mark as a title; the renderer's other remarks on roles say nothing to a reader."""
    name = element.get("aria-label")
    if element.tag == f"{{{_SVG}}}a":
        return
    for remark in _ROLES:
        element.attrib.pop(remark, None)
    if name:
        title = ElementTree.Element(f"{{{_SVG}}}title")
        title.text = name
        element.insert(0, title)


def _let_through(group: ElementTree.Element) -> None:
    """Marks that lead nowhere and say nothing must not lie in the way of those that do."""
    told = any(group.find(f".//{{{_SVG}}}{tag}") is not None for tag in ("a", "title"))
    if "role-mark" in group.get("class", "").split() and not told:
        group.set("pointer-events", "none")


def _check(root: ElementTree.Element) -> None:
    for element in root.iter():
        space, _, tag = element.tag.removeprefix("{").partition("}")
        if space != _SVG or tag not in _ELEMENTS:
            raise ValueError(f"a figure must hold shapes and text only. Got <{tag or space}> instead.")
        for name, value in element.attrib.items():
            local = name.rpartition("}")[2].lower()
            bad = local == "style" or local.startswith("on")
            bad |= local == "href" and (tag != "a" or _SCHEME.match(value) is not None)
            bad |= "url(" in value.lower() and local not in ("href", "aria-label") and not value.startswith("url(#")
            if bad:
                raise ValueError(f"a figure must not style, run or fetch anything. Got {local}={value[:80]!r} instead.")


def _written(root: ElementTree.Element) -> str:
    """As text, with the plain names of elements that HTML needs."""
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        if _HREF in element.attrib:
            element.set("xlink:href", element.attrib.pop(_HREF))
    root.set("xmlns", _SVG)
    root.set("xmlns:xlink", _XLINK)
    return ElementTree.tostring(root, encoding="unicode")
