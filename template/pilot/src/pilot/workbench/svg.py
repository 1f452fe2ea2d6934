"""A sheet to draw a picture on, and its SVG: for inside of a page, and the same bytes for the same picture."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib import ticker
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

# A picture is 320 units wide and a unit is a pixel on the narrowest screen, so that letters of 11 units can be read
# there. On a wide screen and on paper it grows to 30rem, half as large again.
WIDTH = 320
LETTERS = 11

INK = "#1b2430"
SOFT = "#53606f"
LINE = "#d5dce4"
# Two that differ for colour-blind readers and, one dark and one light, in black and white.
DARK = "#1d4f91"
LIGHT = "#c46a00"
PALE = "#bcd2f0"
DASHES = (0, (5, 3))

_RC: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "pilot",
    # A label with two dollar signs is not a formula.
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": LETTERS,
    "axes.titlesize": LETTERS,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "hatch.linewidth": 0.8,
}
_NAME = re.compile(r"[a-z][a-z0-9-]*")
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPACE = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_LEFT_OUT = (f"{_SPACE}style", f"{_SPACE}metadata")
_REFERENCE = re.compile(r"""(?:url\(|xlink:href=")#([\w.-]+)""")


def draw(paint: Callable[[Any], None], *, height: int, name: str, title: str, description: str) -> str:
    """The `<svg>` of what `paint` draws on a matplotlib Figure of WIDTH by `height` units.

    `name` (lower-case letters, digits and dashes) starts every id, so it must differ within a page. `title` and
    `description` are the text alternative: what the picture is of, and what it shows. Raises ValueError without them.
    Whatever a matplotlibrc file says, the picture is the same; nothing global stays changed.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"the name of a picture has lower-case letters, digits and dashes, not {name!r}")
    if not title.strip() or not description.strip():
        raise ValueError(f"the picture {name} needs a title and a description for those who do not see it")
    buffer = io.StringIO()
    with matplotlib.rc_context(), warnings.catch_warnings():
        # Letters that matplotlib's font lacks are drawn by the reader's own.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)  # type: ignore[arg-type]
        figure = Figure(figsize=(WIDTH / 72, height / 72))
        paint(figure)
        FigureCanvasSVG(figure).print_svg(  # type: ignore[no-untyped-call]
            buffer, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    return _inline(buffer.getvalue(), name, plain(title), plain(description))


def axes(figure: Any, *, left: float, bottom: float, top: float, right: float) -> Any:
    """Axes with margins in units, so that no place depends on how wide letters were measured."""
    height = _height(figure)
    return figure.add_axes(
        (left / WIDTH, bottom / height, (WIDTH - left - right) / WIDTH, (height - bottom - top) / height)
    )


def head(figure: Any, text: str, left: float = 4) -> None:
    """A line above the axes: what the vertical one shows, read without turning the head, and without taking width."""
    figure.text(left / WIDTH, 1 - 12 / _height(figure), text)


def dashed(figure: Any, text: str, left: float, top: float) -> None:
    """Says what a dashed line is: a piece of it and the text, at a place in units from the upper left."""
    height = _height(figure)
    across, down = [left / WIDTH, (left + 22) / WIDTH], [1 - top / height] * 2
    figure.add_artist(Line2D(across, down, color=INK, linewidth=1.4, linestyle=DASHES))
    figure.text((left + 26) / WIDTH, down[0], text, va="center")


def nothing(figure: Any) -> None:
    """What stands in a picture without rows."""
    figure.text(0.5, 0.5, "nothing to show yet", ha="center", va="center")


def percent(axis: Any) -> None:
    """Writes the shares at an axis as percent."""
    axis.set_major_locator(ticker.MaxNLocator(5, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(ticker.FuncFormatter(lambda share, _: f"{round(100 * share, 6):g}%"))


def _height(figure: Any) -> float:
    return float(figure.get_figheight() * 72)


def plain(text: str) -> str:
    """The text in one line, and without the characters that XML does not know."""
    return " ".join(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text).split())


def shortened(text: str, letters: int) -> str:
    """The text in one line of at most so many letters."""
    line = plain(text)
    return line if len(line) <= letters else line[: letters - 1].rstrip() + "…"


def _inline(drawn: str, name: str, title: str, description: str) -> str:
    """matplotlib's file as an element of a page: no style sheet, which would rule the whole page, no id that is not
    used, and the others named after the picture."""
    root = ElementTree.fromstring(drawn)  # noqa: S314 - matplotlib wrote it, just above
    used = set(_REFERENCE.findall(drawn))
    for element in root.iter():
        for child in [child for child in element if child.tag in _LEFT_OUT]:
            element.remove(child)
        element.tag = element.tag.removeprefix(_SPACE)
        # A page may forbid styles, but not attributes.
        for part in element.attrib.pop("style", "").split(";"):
            key, _, value = part.partition(":")
            if value and key.strip() != "font-family":
                element.set(key.strip(), value.strip())
        if (identity := element.attrib.pop("id", None)) in used:
            element.set("id", f"{name}-{identity}")
        if link := element.attrib.pop(_LINK, None):
            element.set("href", f"#{name}-{link.removeprefix('#')}")
        for key, value in element.attrib.items():
            element.set(key, value.replace("url(#", f"url(#{name}-"))
        element.text, element.tail = _tight(element.text), _tight(element.tail)
    view = root.attrib["viewBox"]
    root.attrib.clear()
    root.attrib.update(
        {
            "xmlns": _SPACE[1:-1],
            "viewBox": view,
            "width": "100%",
            "style": "max-width:30rem",
            "class": "picture",
            "role": "img",
            "aria-labelledby": f"{name}-title {name}-description",
            "font-family": "system-ui, sans-serif",
            "stroke-linejoin": "round",
        }
    )
    for place, (tag, words) in enumerate((("title", title), ("desc", description))):
        element = ElementTree.Element(tag, {"id": f"{name}-{'title' if tag == 'title' else 'description'}"})
        element.text = words
        root.insert(place, element)
    return ElementTree.tostring(root, encoding="unicode")


def _tight(text: str | None) -> str | None:
    return text if text is None or text.strip() else None
