"""Charts as SVG that stands inside a page: drawn by matplotlib, coloured by the page's style sheet, equal bytes for equal data.

Each function takes plain numbers and gives one `<svg>` element. Colours are names of the style sheet (`--ink`, `--c0` to
`--c7`), so that dark mode and print need no second picture; series differ by marker or dashes too, never by colour alone.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from tracker.canonical import digest_bytes
from tracker.shown import agree, by_number, counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT = "#00000a", "#00000b"  # stand for colours of the style sheet until the SVG is written
SERIES = tuple(f"#0000{number:02x}" for number in range(0x10, 0x18))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", ":", "-.")
MOST_LINES = len(SERIES)  # that can be told apart
WIDE, NARROW = (7.2, 3.0), (3.5, 2.4)  # inches
GAP = -0.16  # where a line passes an axis of which its trial has no value
FEW = 6  # values of a hyperparameter that stand side by side like names


@dataclass(frozen=True, slots=True)
class Line:
    """A series of a chart: its name, and its points."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


def optimisation_history(studies: Sequence[Line], metric: str, direction: str) -> str:
    """The value of each trial by its number, and the best so far as a step line; one series per study.

    Studies beyond the first `MOST_LINES` are faint points.
    """
    shown, others = studies[:MOST_LINES], studies[MOST_LINES:]
    rest = f"{len(others)} other {agree(len(others), 'study', 'studies')}"
    about = (
        f"{metric} of each trial by its number, and the best so far, of {_names(shown)}{f'; {rest}' if others else ''}"
    )
    everything = [value for study in studies for value in study.y]
    with open_figure(WIDE) as (figure, axes):
        if others:
            low, high = most_of(everything)
            x, y = ([number for study in others for number in getattr(study, axis)] for axis in ("x", "y"))
            axes.scatter(x, [min(max(value, low), high) for value in y], s=6, color=FAINT, linewidths=0, label=rest)
        for place, study in enumerate(shown):
            colour, marker = SERIES[place % 8], MARKERS[place % 8]
            _scatter(axes, study.x, study.y, place, everything)
            axes.step(study.x, _best_so_far(study.y, direction), where="post", color=colour, linewidth=1.2,
                      linestyle=DASHES[place % 4], marker=marker, markevery=0.25, markersize=4, label=study.name)  # fmt: skip
        label_axes(axes, "trial", metric, whole=True)
        _legend(axes, len(studies))
        return svg_of(figure, about)


def learning_curves(curves: Sequence[Line], metric: str) -> str:
    """A metric epoch by epoch, one series per trial."""
    with open_figure(WIDE) as (figure, axes):
        for place, curve in enumerate(curves):
            axes.plot(curve.x, curve.y, color=SERIES[place % 8], linestyle=DASHES[place % 4], linewidth=1.3,
                      marker=MARKERS[place % 8], markevery=0.2, markersize=4, label=curve.name)  # fmt: skip
        label_axes(axes, "epoch", metric, whole=True)
        _legend(axes, len(curves))
        return svg_of(figure, f"{metric} by epoch of {_names(curves)}")


def factor(
    name: str, values: Sequence[Any], scores: Sequence[float], metric: str, best: int | None, *, log: bool = False
) -> str:
    """The score by one hyperparameter, a point per trial; the trial at place `best` is ringed, where it has the name.

    The axis is a `log` one where the hyperparameter was searched so.
    """
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    with open_figure(NARROW) as (figure, axes):
        if numbers and len(set(values)) > FEW:
            places: Sequence[float] = [float(value) for value in values]
            if log and max(places) > 0:
                places = _log_axis(axes, places)
        else:
            told = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in values]
            kinds = sorted(set(told), key=by_number)
            places = [kinds.index(one) + _spread(number) for number, one in enumerate(told)]
            axes.set_xticks(range(len(kinds)), kinds, rotation=30 if max(map(len, kinds)) > 8 else 0)
            axes.set_xlim(-0.6, len(kinds) - 0.4)
        _scatter(axes, places, scores, 0, scores)
        if best is not None:
            axes.scatter([places[best]], [scores[best]], s=70, facecolors="none", edgecolors=INK, linewidths=1.2)
        label_axes(axes, name, metric)
        ringed = "" if best is None else "; the chosen trial is ringed"
        return svg_of(figure, f"{metric} by {name}, {counted(len(scores), 'trial')}{ringed}")


def importance(shares: Mapping[str, float]) -> str:
    """How much of the variance of the score each hyperparameter explains, as bars."""
    names = sorted(shares, key=lambda name: shares[name])
    with open_figure((7.2, 0.6 + 0.26 * len(names))) as (figure, axes):
        axes.barh(names, [shares[name] for name in names], color=SERIES[0], height=0.62)
        for place, name in enumerate(names):
            axes.annotate(f"{shares[name]:.2f}", (shares[name], place), (4, 0), textcoords="offset points", va="center",
                          fontsize=8, color=INK)  # fmt: skip
        axes.set_xlim(0, 1.15 * max([*shares.values(), 0.01]))
        label_axes(axes, "share of the explained variance", "")
        told = ", ".join(f"{name} {shares[name]:.2f}" for name in reversed(names))
        return svg_of(figure, f"importance of hyperparameters: {told}")


def parallel_coordinates(
    names: Sequence[str],
    rows: Sequence[Sequence[Any]],
    good: Sequence[bool],
    metric: str,
    logged: Collection[str] = (),
) -> str:
    """A line per trial through its hyperparameters and its score; `good` trials stand out. `rows` have the score last.

    Names that are `logged` stand on a log axis.
    """
    from matplotlib.collections import LineCollection

    columns = [_scaled([row[place] for row in rows], name in logged) for place, name in enumerate([*names, metric])]
    with open_figure((7.2, 3.4)) as (figure, axes):
        for wanted, colour, width, alpha in ((False, FAINT, 0.6, 0.45), (True, SERIES[0], 1.2, 0.9)):
            trials = [row for row, is_good in enumerate(good) if is_good == wanted]
            lines = [[(x, column[0][row]) for x, column in enumerate(columns)] for row in trials]
            axes.add_collection(LineCollection(lines, colors=colour, linewidths=width, alpha=alpha))
        for x, (_, low, high) in enumerate(columns):
            axes.vlines(x, 0, 1, color=INK, linewidth=0.6)
            axes.text(x, -0.03, low, ha="center", va="top", fontsize=7, color=INK)
            axes.text(x, 1.03, high, ha="center", va="bottom", fontsize=7, color=INK)
        gaps = [x for x, (places, _, _) in enumerate(columns) if GAP in places]
        for x in gaps:
            axes.text(x, GAP - 0.01, "none", ha="center", va="top", fontsize=7, color=INK)
        axes.set_xlim(-0.2, len(columns) - 0.8)
        axes.set_ylim(GAP - 0.02 if gaps else -0.02, 1.02)
        axes.set_yticks([])
        axes.set_xticks(range(len(columns)), [*names, metric], rotation=25, ha="right")
        axes.tick_params(axis="x", pad=12, length=0)
        for side in axes.spines.values():
            side.set_visible(False)
        axes.grid(visible=False)
        return svg_of(figure, f"parallel coordinates of {', '.join(names)} and {metric}; the best stand out")


@contextmanager
def open_figure(size: tuple[float, float]) -> Iterator[tuple[Figure, Axes]]:
    """An empty figure of a size in inches, in the house's style."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style: Any = {
        "svg.fonttype": "none", "svg.hashsalt": "tracker", "font.size": 9, "font.family": "sans-serif",
        "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK,
        "axes.grid": True, "grid.color": FAINT, "grid.linewidth": 0.4, "axes.spines.top": False,
        "axes.spines.right": False, "axes.linewidth": 0.7, "text.parse_math": False, "path.simplify": True,
    }  # fmt: skip
    with mpl.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        axes.set_axisbelow(True)
        yield figure, axes


def svg_of(figure: Figure, about: str) -> str:
    """The SVG element with a text for those who do not see it, in the colours of the style sheet."""
    written = io.BytesIO()
    nothing: Any = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(written, format="svg", metadata=nothing)
    text = written.getvalue().decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\n?", "", text, flags=re.DOTALL)
    text = _with_own_names(text)
    text = re.sub(r' (?:d|x|y|transform)="[^"]*"', lambda m: re.sub(r"(\.\d\d)\d+", r"\1", m[0]), text)  # 0.01 pt
    for token, name in ((INK, "ink"), (FAINT, "faint"), *((colour, f"c{n}") for n, colour in enumerate(SERIES))):
        text = text.replace(token, f"var(--{name})")
    text = re.sub(
        r'<svg ([^>]*?)width="[\d.]+pt" height="[\d.]+pt"|<svg ', lambda m: f"<svg {m[1] or ''}", text, count=1
    )
    head, _, rest = text.partition(">")
    label = escape(about, quote=True)
    return f'{head} role="img" aria-label="{label}">\n<title>{escape(about)}</title>{rest}'.strip()


def _with_own_names(text: str) -> str:
    """The chart with short names for what it refers to, which no other chart has, and without all other names."""
    named = digest_bytes(text.encode())[:6]
    used = dict.fromkeys(re.findall(r'(?:url\(|href=")#([^")]+)', text))
    short = {name: f"i{named}-{number}" for number, name in enumerate(used)}
    text = re.sub(r' id="([^"]*)"', lambda m: f' id="{short[m[1]]}"' if m[1] in short else "", text)
    return re.sub(r'((?:url\(|href=")#)([^")]+)', lambda m: m[1] + short[m[2]], text)


def _scatter(axes: Axes, x: Sequence[float], y: Sequence[float], series: int, everything: Sequence[float]) -> None:
    """Points of a series; what lies far from most of `everything` is an open triangle at the edge, and flattens nothing."""
    low, high = most_of(everything)
    colour, marker = SERIES[series % 8], MARKERS[series % 8]
    inside = [(a, b) for a, b in zip(x, y, strict=True) if low <= b <= high]
    axes.scatter(*_columns(inside), s=12, color=colour, marker=marker, alpha=0.55, linewidths=0)
    for edge, mark, beyond in (
        (low, "v", [a for a, b in zip(x, y, strict=True) if b < low]),
        (high, "^", [a for a, b in zip(x, y, strict=True) if b > high]),
    ):
        axes.scatter(
            beyond,
            [edge] * len(beyond),
            s=22,
            facecolors="none",
            edgecolors=colour,
            marker=mark,
            linewidths=0.8,
            clip_on=False,
        )
    margin = 0.05 * ((high - low) or 1.0)
    axes.set_ylim(low - margin, high + margin)


def _log_axis(axes: Axes, values: Sequence[float]) -> list[float]:
    """Where values stand on a log axis: a 0, such as the defaults have, at its left end, which says so.

    Powers of ten are plain numbers: formulas are not read, so that a dollar in somebody's label is one.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    least = min(value for value in values if value > 0)
    edge = least / 3
    axes.set_xscale("log")
    if min(values) <= 0:
        tens = range(math.ceil(math.log10(least)), math.floor(math.log10(max(values))) + 1)
        axes.xaxis.set_major_locator(FixedLocator([edge, *(10.0**ten for ten in tens)]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: "0" if value == edge else f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    return [value if value > 0 else edge for value in values]


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [a for a, _ in points], [b for _, b in points]


def most_of(values: Sequence[float]) -> tuple[float, float]:
    """The ends of an axis: of the values within three times the middle half of them (Tukey 1977, outer fences)."""
    ordered = sorted(values)
    lower, upper = ordered[len(ordered) // 4], ordered[(3 * len(ordered) - 1) // 4]
    reach = 3 * (upper - lower)
    kept = [value for value in ordered if lower - reach <= value <= upper + reach]
    return kept[0], kept[-1]


def label_axes(axes: Axes, x: str, y: str, *, whole: bool = False) -> None:
    """What the axes are; with `whole` the first has whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    if whole:  # no trial has number 1.5
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def _legend(axes: Axes, count: int) -> None:
    if count > 1:
        axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.02))


def _names(lines: Sequence[Line]) -> str:
    return ", ".join(line.name for line in lines)


def _best_so_far(values: Sequence[float], direction: str) -> list[float]:
    better = max if direction == "maximize" else min
    best: list[float] = []
    for value in values:
        best.append(
            value if not best or math.isnan(best[-1]) else best[-1] if math.isnan(value) else better(best[-1], value)
        )
    return best


def _scaled(values: Sequence[Any], log: bool) -> tuple[list[float], str, str]:
    """Values of one axis on [0, 1], and what stands at its ends; texts are spread in order, gaps lie below at GAP."""
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        low, high = min(known), max(known)
        if log and high > 0:
            known, values = _logarithms(known), _logarithms(values)
        least, span = min(known), (max(known) - min(known)) or 1.0
        places = [GAP if value is None else (value - least) / span for value in values]
        return places, f"{low:.3g}", f"{high:.3g}"
    kinds = sorted({str(value) for value in known}, key=by_number)
    last = max(len(kinds) - 1, 1)
    places = [GAP if value is None else kinds.index(str(value)) / last for value in values]
    return places, kinds[0] if kinds else "", kinds[-1] if kinds else ""


def _logarithms(values: Sequence[Any]) -> list[Any]:
    """Logarithms of numbers; gaps stay, and 0 stands a step below the least that has one."""
    least = min(math.log(value) for value in values if value is not None and value > 0)
    return [None if value is None else math.log(value) if value > 0 else least - 1 for value in values]


def _spread(number: int) -> float:
    """Where a point of a category stands beside its place, between -0.25 and 0.25: always the same for one trial."""
    return ((number * 0.618034) % 1.0 - 0.5) / 2
