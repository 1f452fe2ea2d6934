"""The charts of the report, each as the text of one `<svg>` element that is the same bytes for the same values."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from datetime import date
from itertools import pairwise
from typing import Any, TypedDict, Unpack
from xml.etree import ElementTree

import matplotlib
import numpy as np
from matplotlib import ticker
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from pilot.workbench.stats.agreement import most_confused
from pilot.workbench.stats.data import Column, Floats, floats

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


class Words(TypedDict):
    """`name` (lower-case letters, digits and dashes) starts every id, so it must differ within a page. `title` and
    `description` are the text alternative: what the picture is of, and what it shows."""

    name: str
    title: str
    description: str


def draw(paint: Callable[[Any], None], *, height: int, name: str, title: str, description: str) -> str:
    """The `<svg>` of what `paint` draws on a matplotlib Figure of WIDTH by `height` units.

    Raises ValueError where one of the words is missing. Whatever a matplotlibrc file says, the picture is the same;
    nothing global stays changed.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"the name of a picture has lower-case letters, digits and dashes, not {name!r}")
    if not title.strip() or not description.strip():
        raise ValueError(f"the picture {name} needs a title and a description for those who do not see it")
    buffer = io.StringIO()
    with matplotlib.rc_context(), warnings.catch_warnings():
        # Letters that are missing in matplotlib's font are drawn by the reader's own.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)  # type: ignore[arg-type]
        figure = Figure(figsize=(WIDTH / 72, height / 72))
        paint(figure)
        FigureCanvasSVG(figure).print_svg(  # type: ignore[no-untyped-call]
            buffer, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    return _inline(buffer.getvalue(), name, plain(title), plain(description))


def placed(figure: Any, *, left: float, bottom: float, top: float, right: float) -> Any:
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
    """The content of a picture without rows."""
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


Ends = Sequence[float | None]
Curve = tuple[Column, Column]

TOP_LABELS = 6
_POINTS = 200
_STEPS = {"linewidth": 2, "markersize": 7, "markeredgecolor": INK}
_BARS = 24
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def verdict(
    rows: Sequence[tuple[str, float, float | None, float | None]],
    target: float,
    *,
    unit: str,
    up: bool,
    **words: Unpack[Words],
) -> str:
    """Figures on one axis with the target: each row has a label, a value and the ends of its interval, in `unit`. `up`
    is whether more is better. An open end runs to the edge."""
    known = [value for _, *row in rows for value in row if value is not None]

    def paint(figure: Any) -> None:
        axes = placed(figure, left=88, bottom=38, top=26, right=16)
        room = (max([*known, target]) - min([*known, target])) or abs(target) or 1.0
        low, high = min([*known, target]) - 0.12 * room, max([*known, target]) + 0.12 * room
        axes.set(xlim=(low, high), ylim=(len(rows) - 0.5, -0.5))
        good = (target, high) if up else (low, target)
        axes.axvspan(*good, color=PALE, alpha=0.45, linewidth=0)
        axes.axvline(target, color=INK, linewidth=1.6, linestyle=DASHES)
        for place, (_, value, begin, end) in enumerate(rows):
            colour = DARK if place == 0 else LIGHT
            ends = (low if begin is None else begin, high if end is None else end)
            axes.hlines(place, *ends, color=colour, linewidth=2)
            for one, is_end in zip(ends, (begin, end), strict=True):
                if is_end is not None:
                    axes.plot(one, place, color=colour, marker="|", markersize=10, markeredgewidth=2)
            shape = {"marker": "o" if place == 0 else "s", "markersize": 8, "markeredgecolor": INK}
            axes.plot(value, place, color=colour, **shape)
        axes.set_yticks(range(len(rows)), [shortened(label, 13) for label, *_ in rows])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(5))
        axes.set_xlabel(unit)
        dashed(figure, f"target {_amount(target)}, shaded where it is met", 4, 10)

    height = 68 + 34 * max(len(rows), 1)
    return draw(paint if rows else nothing, height=height, **words)


def target_over_time(
    days: Sequence[date],
    values: Column,
    lows: Ends,
    highs: Ends,
    target: float,
    *,
    unit: str = "%",
    **words: Unpack[Words],
) -> str:
    """A metric as it was known after each day, with its interval, against the target. An end that is None is left out.
    The unit "%" is for shares in [0, 1]; any other is written as it is. The days ascend."""
    y, low, high, goal = floats(values), list(lows), list(highs), target
    x = [day.toordinal() for day in days]

    def paint(figure: Any) -> None:
        axes = placed(figure, left=44, bottom=24, top=26, right=20)
        known = [float(value) for value in (*y, *low, *high, goal) if value is not None]
        room = (max(known) - min(known)) or abs(goal) or 1.0
        spread = max(x[-1] - x[0], 1)
        axes.set(
            xlim=(x[0] - 0.04 * spread - 0.5, x[-1] + 0.04 * spread + 0.5),
            ylim=(min(known) - 0.08 * room, max(known) + 0.08 * room),
        )
        if unit == "%":
            axes.set_ylim(max(axes.get_ylim()[0], -0.02), min(axes.get_ylim()[1], 1.02))
        _intervals_over_time(axes, x, y, low, high)
        axes.axhline(goal, color=INK, linewidth=1.4, linestyle=DASHES)
        ticks = _spaced(x, 0.2 * spread)
        axes.set_xticks(ticks, [_day(date.fromordinal(tick)) for tick in ticks])
        head(figure, f"{'share' if unit == '%' else unit}, with 95% interval")
        # Beside the line it would stand in the way of what the picture is for.
        dashed(figure, f"target {_amount(goal * 100)}%" if unit == "%" else f"target {_amount(goal)}", 216, 8)
        if unit == "%":
            percent(axes.yaxis)

    return draw(paint if x else nothing, height=200, **words)


def reliability(confidences: Column, shares: Column, lows: Column, highs: Column, **words: Unpack[Words]) -> str:
    """For each bin of answers the share that was right, with its interval, over the mean confidence; all in [0, 1].
    A calibrated model is on the diagonal."""
    x, y, low, high = floats(confidences), floats(shares), floats(lows), floats(highs)

    def paint(figure: Any) -> None:
        axes = placed(figure, left=44, bottom=38, top=24, right=16)
        least = max(0, int(min(*x, *low) * 10 - 0.2) / 10)
        axes.set(xlim=(least, 1.02), ylim=(least, 1.02))
        axes.plot([least, 1], [least, 1], color=INK, linewidth=1.2, linestyle=DASHES)
        axes.vlines(x, low, high, color=DARK, linewidth=1.4)
        for ends in (low, high):
            axes.plot(x, ends, color=DARK, linestyle="none", marker="_", markersize=7, clip_on=False)
        axes.plot(
            x, y, color=DARK, linestyle="none", marker="o", markersize=6, markerfacecolor="white", markeredgewidth=1.6
        )
        dashed(figure, "as sure as right", 52, 30)
        axes.set_xlabel("confidence")
        head(figure, "share that was right, with 95% interval")
        percent(axes.xaxis)
        percent(axes.yaxis)

    return draw(paint if len(x) else nothing, height=260, **words)


def latency(due: Sequence[float], took: Sequence[float], objective: float, **words: Unpack[Words]) -> str:
    """The milliseconds that requests took by the seconds at which they were due: the median and the 95th percentile of
    each of sixty parts of the time, or fewer where a part has no request, and the objective."""
    times, values = np.asarray(due, dtype=float), np.asarray(took, dtype=float)
    edges = np.linspace(0, max(times.max(initial=0.0), 1.0), 61)
    parts = [(times >= low) & (times < high) for low, high in pairwise(edges)]
    middles = [(low + high) / 2 for (low, high), part in zip(pairwise(edges), parts, strict=True) if part.any()]
    half, most = (
        [float(np.quantile(values[part], share, method="inverted_cdf")) for part in parts if part.any()]
        for share in (0.5, 0.95)
    )

    def paint(figure: Any) -> None:
        axes = placed(figure, left=48, bottom=36, top=44, right=8)
        axes.plot(middles, most, color=LIGHT, linewidth=1.4, marker=".", markersize=3, label="95 of 100 within")
        axes.plot(middles, half, color=DARK, linewidth=1.4, marker=".", markersize=3, label="half within")
        axes.axhline(objective, color=INK, linewidth=1.4, linestyle=DASHES)
        axes.set_ylim(0, 1.1 * max([objective, *most]))
        axes.set_xlabel("seconds since the begin")
        axes.legend(loc="center right", frameon=False, handlelength=1.4)
        head(figure, "milliseconds")
        dashed(figure, "objective", 4, 30)

    return draw(paint, height=230, **words)


def cumulative(hours: Column) -> Curve:
    """The curve of items that are all finished: their hours in ascending order, and the share finished by then."""
    ordered = np.sort(floats(hours))
    return ordered, np.arange(1, len(ordered) + 1) / max(len(ordered), 1)


def cycle_time(before: Curve, after: Curve, **words: Unpack[Words]) -> str:
    """The share of items that is finished within a time, before the pilot and in it, as two curves of steps. A curve is
    ascending hours and the shares finished by then, from `cumulative`, or one less Kaplan and Meier's survival where
    items are open. It is drawn up to the time within which 95 % are finished in both."""
    curves = [
        ("before", *_curve(before), {"color": LIGHT, "linestyle": (0, (4, 2)), "marker": "s", **_STEPS}),
        ("pilot", *_curve(after), {"color": DARK, "linestyle": "-", "marker": "o", **_STEPS}),
    ]

    def paint(figure: Any) -> None:
        axes = placed(figure, left=44, bottom=38, top=22, right=12)
        end = max(float(x[min(int((y < 0.95).sum()), len(x) - 1)]) for _, x, y, *_ in curves if len(x)) or 1.0
        axes.set(xlim=(0, end), ylim=(0, 1.02))
        axes.axhline(0.5, color=LINE, linewidth=1)
        for label, x, y, look in curves:
            if not len(x):
                continue
            axes.step([0, *x, max(end, x[-1])], [0, *y, y[-1]], where="post", **look | {"marker": ""})
            half = int((y < 0.5).sum())
            if half < len(x):
                axes.plot(x[half], 0.5, clip_on=False, zorder=3, **look)
            median = _amount(x[half]) if half < len(x) else "not reached"
            axes.plot([], [], label=f"{label}, median {median}", **look)  # the legend shows line and marker as one
        axes.legend(loc="lower right", framealpha=0.9, edgecolor="white", handlelength=2.8, borderpad=0.2)
        axes.set_xlabel("hours")
        head(figure, "share of the items finished")
        percent(axes.yaxis)

    return draw(
        paint if any(len(x) for _, x, *_ in curves) else nothing,
        height=220,
        **words,
    )


def confusion(labels: Sequence[str], table: Sequence[Column], *, top: int = TOP_LABELS, **words: Unpack[Words]) -> str:
    """Counts of items by the AI's label (rows) and the person's (columns), for the `top` labels that are confused most;
    the others are added up in one row and column, so that the sum is that of the table."""
    names, table = most_confused(labels, table, top)
    counts = np.array(table).reshape(len(names), -1) if names else np.zeros((0, 0))
    height = 50 + 34 * max(len(names), 2)

    def paint(figure: Any) -> None:
        axes = placed(figure, left=116, bottom=8, top=42, right=6)
        totals = counts.sum(axis=1, keepdims=True)
        shades = counts / np.where(totals == 0, 1, totals)
        for row, line in enumerate(counts):
            for column, count in enumerate(line):
                shade = 1 - 0.5 * float(shades[row, column])
                axes.add_patch(
                    Rectangle(
                        (column - 0.5, row - 0.5),
                        1,
                        1,
                        facecolor=(shade, shade + 0.25 * (1 - shade), 1),
                        edgecolor=INK if row == column else LINE,
                        linewidth=1.8 if row == column else 0.8,
                        zorder=2 if row == column else 1,
                    )
                )
                if count:
                    axes.text(column, row, f"{count:.0f}", ha="center", va="center", zorder=3)
        axes.set(xlim=(-0.55, len(names) - 0.45), ylim=(len(names) - 0.45, -0.55))
        axes.xaxis.tick_top()
        axes.set_xticks(range(len(names)), [str(place + 1) for place in range(len(names))])
        axes.set_yticks(range(len(names)), [f"{shortened(label, 14)} {place}" for place, label in enumerate(names, 1)])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        head(figure, "AI said")
        head(figure, "a person said, by number", left=116)

    return draw(paint if names else nothing, height=height, **words)


def coverage(
    bands: Sequence[str],
    judged: Column,
    items: Column,
    *,
    floor: float | None = None,
    **words: Unpack[Words],
) -> str:
    """For each band of confidence the items that were judged, of all its items; `floor` is the share that the charter
    asks for. The bands come in the order of the sequence, the first on top."""
    names, part, whole = list(bands), floats(judged), floats(items)
    height = 64 + 34 * max(len(names), 1)

    def paint(figure: Any) -> None:
        axes = placed(figure, left=88, bottom=24, top=26, right=22)
        shares = [one / all_ if all_ else 0 for one, all_ in zip(part, whole, strict=True)]
        axes.barh(range(len(names)), [1] * len(names), height=0.36, color="white", edgecolor=SOFT, linewidth=0.8)
        axes.barh(range(len(names)), shares, height=0.36, color=PALE, edgecolor=DARK, linewidth=0.8, hatch="////")
        for place, (one, all_) in enumerate(zip(part, whole, strict=True)):
            axes.annotate(
                f"{one:.0f} of {all_:.0f}", (0, place - 0.22), xytext=(0, 2), textcoords="offset points", va="bottom"
            )
        axes.set(xlim=(0, 1.0), ylim=(len(names) - 0.6, -0.75))
        axes.set_yticks(range(len(names)), [shortened(band, 13) for band in names])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        if floor is not None:
            axes.axvline(floor, color=INK, linewidth=1.6, linestyle=DASHES)
            axes.annotate(
                f"floor {floor:.0%}",
                (floor, 1),
                xycoords=("data", "axes fraction"),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center" if 0.2 < floor < 0.8 else "right" if floor >= 0.8 else "left",
                va="bottom",
            )
        percent(axes.xaxis)

    return draw(paint if names else nothing, height=height, **words)


def _intervals_over_time(axes: Any, x: list[int], y: Any, low: list[float | None], high: list[float | None]) -> None:
    """Bars with caps for a few days, and a band with edges for many."""
    rows = [row for row in zip(x, low, high, strict=True) if row[1] is not None and row[2] is not None]
    days, bottoms, tops = ([row[part] for row in rows] for part in range(3))
    if len(x) <= _BARS:
        axes.vlines(days, bottoms, tops, color=DARK, linewidth=1.4)
        for ends in (bottoms, tops):
            axes.plot(days, ends, color=DARK, linestyle="none", marker="_", markersize=7)
    else:
        axes.fill_between(days, bottoms, tops, color=PALE, linewidth=0)
        for ends in (bottoms, tops):
            axes.plot(days, ends, color=DARK, linewidth=0.8)
    axes.plot(x, y, color=DARK, linewidth=1.8, marker="o" if len(x) <= _BARS else "", markersize=4.5)


def _spaced(days: list[int], least: float) -> list[int]:
    """The first day, the last, and two between them, as far as their names do not touch."""
    found = [days[0]]
    for part in (1, 2):
        day = days[round(part * (len(days) - 1) / 3)]
        if day - found[-1] >= least and days[-1] - day >= least:
            found.append(day)
    return found if days[-1] - found[-1] < least else [*found, days[-1]]


def _curve(curve: Curve) -> tuple[Floats, Floats]:
    """The curve, thinned to what can be seen; its first, its median and its last step stay."""
    x, y = floats(curve[0]), floats(curve[1])
    if len(x) <= _POINTS:
        return x, y
    wanted = np.linspace(y[0], y[-1], _POINTS)
    kept = np.unique([*np.searchsorted(y, wanted), min(np.searchsorted(y, 0.5), len(y) - 1), len(y) - 1])
    return x[kept], y[kept]


def _amount(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _day(day: date) -> str:
    return f"{day.day} {_MONTHS[day.month - 1]}"
