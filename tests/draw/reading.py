"""Reading figures as a test does: the rows of the specification, and the elements of the SVG."""

from __future__ import annotations

import json
from xml.etree import ElementTree

from assay.draw import Figure

SVG = "{http://www.w3.org/2000/svg}"


def rows(figure: Figure, name: str) -> list[dict]:
    """A data set of the specification."""
    return json.loads(figure.json)["datasets"].get(name, [])


def layer(figure: Figure, name: str, mark: str) -> dict:
    """The first layer that draws a data set with a kind of mark."""
    layers = json.loads(figure.json)["layer"]
    return next(one for one in layers if one["data"]["name"] == name and one["mark"]["type"] == mark)


def elements(figure: Figure, tag: str) -> list[ElementTree.Element]:
    """All elements of the SVG with that tag."""
    return list(ElementTree.fromstring(figure.svg).iter(f"{SVG}{tag}"))


def links(figure: Figure) -> dict[str, str]:
    """The name of each link by where it leads to."""
    return {link.attrib["href"]: link.attrib.get("aria-label", "") for link in elements(figure, "a")}


def titles(figure: Figure) -> list[str]:
    """What is said on hover."""
    return [title.text or "" for title in elements(figure, "title")]
