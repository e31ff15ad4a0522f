"""Plots of what a report shows, drawn into axes of matplotlib that the caller made."""
from dataclasses import dataclass
from typing import Optional

from accnn.core.text import count, milliseconds, percent, sizes, times
from accnn.report import style

MOST_BARS = 40
MOST_CURVES = 24
APART = 0.15  # of the theoretical ratio: by so much the clock and theory have parted
_LEAST = 1e-7  # of a loss, below which it is rounding: where a logarithmic axis ends


@dataclass(frozen=True)
class LayerBar:
    """A layer before and after, in multiply-adds and in milliseconds; None where that is not known."""

    layer: str
    macs_before: Optional[float] = None
    macs_after: Optional[float] = None
    ms_before: Optional[float] = None
    ms_after: Optional[float] = None

    @property
    def theoretical(self):
        """float or None: the ratio of multiply-adds."""
        return self.macs_before / self.macs_after if self.macs_before and self.macs_after else None

    @property
    def measured(self):
        """float or None: the ratio of milliseconds."""
        return self.ms_before / self.ms_after if self.ms_before and self.ms_after else None

    @property
    def verdict(self):
        """str: what the clock says of what theory promised: 'slower', 'faster', 'as theory', or '' where unknown."""
        if self.theoretical is None or self.measured is None:
            return ""
        if self.theoretical == 1:  # the same operator: what differs is the clock's noise
            return "as theory"
        share = self.measured / self.theoretical
        return "slower" if share < 1 - APART else "faster" if share > 1 + APART else "as theory"


_COLOURS = {"": style.AFTER, "as theory": style.AFTER, "slower": style.SLOWER, "faster": style.FASTER}
_LABELS = {"as theory": "after, as theory says (within 15%)", "slower": "after, slower than theory says",
           "faster": "after, faster than theory says", "": "after"}


def shown_bars(bars, most=MOST_BARS):
    """list of LayerBar: the bars that are drawn: the dearest, in their order, and the sum of the others.

    Parameters
    ----------
    bars : list of LayerBar
    most : int
    """
    if len(bars) <= most:
        return list(bars)
    dearest = sorted(range(len(bars)), key=lambda place: -_weight(bars[place]))[:most - 1]
    kept, others = sorted(dearest), set(range(len(bars))) - set(dearest)
    return [bars[place] for place in kept] + [_sum([bars[place] for place in sorted(others)])]


def _weight(bar):
    return (bar.ms_before or 0, bar.macs_before or 0)[bar.ms_before is None]


def _sum(bars):
    totals = {}
    for name in ("macs_before", "macs_after", "ms_before", "ms_after"):
        known = [getattr(bar, name) for bar in bars if getattr(bar, name) is not None]
        totals[name] = sum(known) if known else None
    return LayerBar("%d other layers" % len(bars), **totals)


def layer_panels(bars):
    """list of str: 'macs' and 'ms', as far as they are known of any layer."""
    return [kind for kind in ("macs", "ms") if any(getattr(bar, kind + "_before") is not None for bar in bars)]


def draw_layers(axes, bars):
    """Draw a pair of bars for every layer into an axes for multiply-adds and one for milliseconds.

    Parameters
    ----------
    axes : list of Axes
        As many as :func:`layer_panels` names.
    bars : list of LayerBar
        All that are drawn, see :func:`shown_bars`.
    """
    places = range(len(bars))
    for ax, kind in zip(axes, layer_panels(bars)):
        before = [getattr(bar, kind + "_before") or 0 for bar in bars]
        after = [getattr(bar, kind + "_after") or 0 for bar in bars]
        colours = [_COLOURS[bar.verdict] if kind == "ms" else style.AFTER for bar in bars]
        ax.barh([place - 0.2 for place in places], before, 0.36, color=style.BEFORE)
        ax.barh([place + 0.2 for place in places], after, 0.36, color=colours)
        ax.set_title("multiply-adds" if kind == "macs" else "milliseconds, each layer alone")
        ax.xaxis.set_major_formatter(lambda value, _, kind=kind: _short(value, kind))
        ax.xaxis.set_major_locator(_few_ticks())
        ax.grid(axis="x")
        ax.set_xlim(left=0)
        ax.set_ylim(len(bars) - 0.4, -0.6)
        ax.tick_params(axis="y", length=0)
        ax.set_yticks(list(places), [_cut(bar.layer) for bar in bars])


def _short(value, kind):
    number, _, unit = (count(value) if kind == "macs" and value else "%g" % value).partition(" ")
    return ("%g %s" % (float(number), unit)).rstrip()


def _few_ticks(most=4):
    return style.loaded("matplotlib.ticker").MaxNLocator(most)


def _cut(name, most=22):
    return name if len(name) <= most else name[:most // 2 - 1] + "\u2026" + name[-(most // 2):]


def layer_legend(figure, bars):
    """Say above the plots of a figure what the colours of :func:`draw_layers` mean."""
    patch = style.loaded("matplotlib.patches").Patch
    verdicts = [name for name in _LABELS if any(bar.verdict == name for bar in bars)]
    if "ms" not in layer_panels(bars):
        verdicts = [""]
    handles = [patch(color=style.BEFORE, label="before")] + [patch(color=_COLOURS[name], label=_LABELS[name])
                                                             for name in verdicts]
    figure.legend(handles=handles, loc="outside upper left", ncols=2, handlelength=1.2, columnspacing=1.4)


def draw_curve(ax, curve, is_loss, compact=True):
    """Draw a quantity of one layer by rank, and mark the rank that was chosen.

    Parameters
    ----------
    ax : Axes
    curve : RankCurve
    is_loss : bool
        On a logarithmic axis; else it is a share from 0 to 1.
    compact : bool
        One of many small plots.
    """
    values = [max(value, _LEAST) if is_loss else value for _, value in curve.points]
    places = _places(curve)
    ax.plot(places, values, color=style.AFTER, marker="." if len(places) < 25 else None, markersize=4)
    if is_loss:
        log_axis(ax, ax.yaxis, 4)
    else:
        ax.set_ylim(0, 1.05)
        ax.yaxis.set_major_formatter(lambda value, _: "%d%%" % round(100 * value))
    if curve.chosen is not None and curve.at_chosen is not None:
        _mark_chosen(ax, curve, is_loss)
    ax.set_title(_cut(curve.layer, 20), fontsize=9)
    ax.grid()
    ax.margins(x=0.06, y=0.15 if is_loss else 0)
    _rank_axis(ax, curve, compact)


def log_axis(ax, axis, most):
    """Make an axis logarithmic, with a few labels that are plain numbers."""
    ticker = style.loaded("matplotlib.ticker")
    (ax.set_yscale if axis is ax.yaxis else ax.set_xscale)("log")
    low, high = axis.get_view_interval()
    axis.set_major_locator(ticker.LogLocator(numticks=most) if high / low > 20 else
                           ticker.LogLocator(subs=(1, 2, 5), numticks=most + 2))
    axis.set_minor_locator(ticker.NullLocator())
    axis.set_major_formatter(lambda value, _: _plain(value))


def _plain(value):
    return "%g" % value if value >= 1e-3 else ("%.0e" % value).replace("e-0", "e-")


def _places(curve):
    """list of float: where ranks stand on the axis; ranks of several numbers stand in their order."""
    plain = all(not isinstance(rank, (tuple, list)) for rank, _ in curve.points)
    return [rank if plain else place for place, (rank, _) in enumerate(curve.points)]


def _place_of_chosen(curve):
    if not isinstance(curve.chosen, (tuple, list)):
        return curve.chosen
    ranks = [tuple(rank) for rank, _ in curve.points]
    if tuple(curve.chosen) in ranks:
        return ranks.index(tuple(curve.chosen))
    values = [value for _, value in curve.points]
    return min(range(len(values)), key=lambda place: abs(values[place] - curve.at_chosen))


def _mark_chosen(ax, curve, is_loss):
    place, value = _place_of_chosen(curve), max(curve.at_chosen, _LEAST) if is_loss else curve.at_chosen
    ax.plot([place], [value], marker="o", markersize=8, markerfacecolor="none", markeredgecolor=style.SLOWER,
            markeredgewidth=2, linestyle="none")
    told = "%.2g" % value if is_loss else percent(value, 1)
    ax.annotate("K=%s\n%s" % (sizes(curve.chosen), told), (place, value), (0.97, 0.95 if is_loss else 0.06),
                textcoords="axes fraction", ha="right", va="top" if is_loss else "bottom", fontsize=8,
                color=style.INK)


def _rank_axis(ax, curve, compact):
    if all(not isinstance(rank, (tuple, list)) for rank, _ in curve.points):
        ax.xaxis.set_major_locator(style.loaded("matplotlib.ticker").MaxNLocator(3, integer=True))
    else:
        ends = [0, len(curve.points) - 1]
        ax.set_xticks(ends, [sizes(curve.points[end][0]) for end in ends], ha="center")
    if not compact:
        ax.set_xlabel("rank")
    ax.tick_params(labelsize=8)


def draw_pareto(ax, points):
    """Draw networks by speed and loss, the ones that no other beats joined by a line, the chosen one ringed.

    Parameters
    ----------
    ax : Axes
    points : list of PlanPoint
        All with `lost`, all with `divergence`, or all with `energy`.
    """
    by_points = loss_is_points(points)
    value, title = _loss(points)
    known = [point for point in points if value(point) is not None]
    best = front(known, value)
    ax.step([point.speed_up for point in best], [value(point) for point in best], where="post", color=style.GRID,
            linewidth=2, zorder=1)
    kinds = list(dict.fromkeys((point.engine, point.precision) for point in known))
    for number, kind in enumerate(kinds):
        same = [point for point in known if (point.engine, point.precision) == kind]
        colour, marker = style.SERIES[number % len(style.SERIES)], style.MARKERS[number % len(style.MARKERS)]
        if by_points:
            _intervals(ax, same, colour)
        ax.plot([point.speed_up for point in same], [value(point) for point in same], linestyle="none", marker=marker,
                color=colour, markersize=7, label="%s, %s" % kind, zorder=3)
    if not by_points and known and all(value(point) > 0 for point in known):
        log_axis(ax, ax.yaxis, 5)
    ax.set_xlabel("speed-up, %s" % _of_what(known))
    ax.set_ylabel(title)
    ax.xaxis.set_major_formatter(lambda place, _: "%gx" % round(place, 3))
    ax.margins(0.14, 0.18)
    ax.grid()
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2, handletextpad=0.3)
    _label_points(ax, known, value)


def _of_what(points):
    told = {"measured" if point.is_measured else "theoretical" for point in points}
    return " or ".join(sorted(told))


def _loss(points):
    """(callable, str): a number that tells what a network loses, None where it is not known, and what that is."""
    if loss_is_points(points):
        return lambda point: None if point.lost is None else 100 * point.lost, "points of top-1 lost"
    if any(point.divergence is not None for point in points):
        return lambda point: point.divergence, "divergence of the outputs, nats"
    return lambda point: None if point.energy is None else 1 - point.energy, "energy lost, a share"


def loss_is_points(points):
    """bool: whether the loss of most networks is known as points of accuracy."""
    known = sum(point.lost is not None for point in points)
    return known > 0 and known >= sum(point.divergence is not None for point in points)


def front(points, value):
    """list of PlanPoint: those that no other beats in both speed and loss, fastest last."""
    best = []
    for point in sorted(points, key=lambda one: (-one.speed_up, value(one))):
        if not best or value(point) < value(best[-1]):
            best.append(point)
    return best[::-1]


def _intervals(ax, points, colour):
    known = [point for point in points if point.interval]
    if known:
        ends = [[100 * (point.lost - point.interval[0]) for point in known],
                [100 * (point.interval[1] - point.lost) for point in known]]
        ax.errorbar([point.speed_up for point in known], [100 * point.lost for point in known], ends, fmt="none",
                    color=colour, ecolor=colour, elinewidth=1.2, capsize=3, alpha=0.6, zorder=2)


_SIDES = ((9, 6, "left"), (9, -13, "left"), (-9, 6, "right"), (-9, -13, "right"), (0, 16, "center"),
          (0, -24, "center"), (14, 18, "left"), (14, -25, "left"))


def _label_points(ax, points, value):
    """Write the names of marks where they cover neither a mark nor another name, as far as there is such a place."""
    ax.figure.draw_without_rendering()  # sets the limits, and where the axes are
    ends = ax.transData.transform([(point.speed_up, value(point)) for point in points])
    scale = 72 / ax.figure.dpi
    marks = [_Box(x * scale - 5, y * scale - 5, x * scale + 5, y * scale + 5) for x, y in ends]
    inside = _Box(*(edge * scale for edge in ax.get_window_extent().extents))
    taken = []
    for point, (x, y) in zip(points, ends):
        name = _cut(point.name.rpartition("/")[2], 26) + (" (chosen)" if point.is_chosen else "")
        boxes = [(side, _text_box(name, x * scale, y * scale, side)) for side in _SIDES]
        side, box = min(boxes, key=lambda one: one[1].cost(marks + taken, inside))
        taken.append(box)
        ax.annotate(name, (point.speed_up, value(point)), side[:2], textcoords="offset points", fontsize=8.5,
                    color=style.INK, ha=side[2])
        if point.is_chosen:
            ax.plot([point.speed_up], [value(point)], marker="o", markersize=15, markerfacecolor="none",
                    markeredgecolor=style.INK, markeredgewidth=1.4, linestyle="none", zorder=4)


@dataclass(frozen=True)
class _Box:
    """A rectangle, in points."""

    left: float
    bottom: float
    right: float
    top: float

    def cost(self, others, inside):
        """float: how many others it covers, and how far it is out of a frame."""
        covered = sum(self.left < one.right and one.left < self.right and self.bottom < one.top
                      and one.bottom < self.top for one in others)
        return covered + max(0, self.right - inside.right, inside.left - self.left) + max(
            0, self.top - inside.top, inside.bottom - self.bottom)


def _text_box(text, x, y, side):
    width = 5.2 * len(text)  # of letters of this size
    left = x + side[0] - {"left": 0, "right": width, "center": width / 2}[side[2]]
    return _Box(left, y + side[1] - 2, left + width, y + side[1] + 9)


def draw_errors(ax, rows):
    """Draw the error of every layer's responses without and with reconstruction, as a line between two marks.

    Parameters
    ----------
    ax : Axes
    rows : list of (str, float, float)
        Layer, error before and after, as shares of the responses' variance.
    """
    for place, (_, before, after) in enumerate(rows):
        ax.plot([before, after], [place, place], color=style.GRID, linewidth=3, solid_capstyle="round", zorder=1)
    ax.plot([before for _, before, _ in rows], range(len(rows)), "o", color=style.BEFORE, label="before")
    ax.plot([after for _, _, after in rows], range(len(rows)), "o", color=style.AFTER, label="after")
    ax.set_yticks(range(len(rows)), [_cut(name) for name, _, _ in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    log_axis(ax, ax.xaxis, 5)
    ax.set_xlabel("share of the variance of the responses")
    ax.xaxis.set_major_formatter(lambda value, _: "%g%%" % float("%.2g" % (100 * value)))
    ax.grid(axis="x")
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.2, handletextpad=0.2)


def draw_history(axes, epochs):
    """Draw loss and top-1 by epoch into two axes; the second is left out where nothing was validated.

    Parameters
    ----------
    axes : list of Axes
    epochs : list of dict
        Of :class:`accnn.training.history.EpochRecord`, with ``val_top1``.
    """
    for ax, names, title in zip(axes, (("train_loss", "val_loss"), ("train_top1", "val_top1")),
                                ("cross-entropy, nats", "top-1")):
        for name, colour, marker in zip(names, (style.BEFORE, style.AFTER), "so"):
            known = [(row["epoch"], row[name]) for row in epochs if row.get(name) is not None]
            if known:
                ax.plot(*zip(*known), color=colour, marker=marker if len(known) < 40 else None,
                        label="training images" if name.startswith("train") else "validation images")
        ax.set_title(title)
        ax.set_xlabel("epoch")
        ax.xaxis.set_major_locator(style.loaded("matplotlib.ticker").MaxNLocator(6, integer=True))
        ax.grid()
        ax.legend()
    axes[-1].yaxis.set_major_formatter(lambda value, _: "%g%%" % round(100 * value, 2))


def draw_confusion(ax, classes, counts):
    """Draw how many images got which answers of two networks; the ones with the same answer are left blank.

    Parameters
    ----------
    ax : Axes
    classes : list of int
    counts : dict of (int, int) to int
        By the answers before and after.
    """
    most, place = max(counts.values(), default=1), {name: number for number, name in enumerate(classes)}
    rectangle = style.loaded("matplotlib.patches").Rectangle
    for (before, after), images in counts.items():
        corner = place[after] - 0.5, place[before] - 0.5
        ax.add_patch(rectangle(corner, 1, 1, facecolor=style.AFTER, alpha=0.1 + 0.5 * images / most, linewidth=0))
        if len(classes) <= 12:
            ax.text(place[after], place[before], str(images), ha="center", va="center", fontsize=8,
                    color=style.INK)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks(range(len(classes)), map(str, classes))
    if len(classes) > 20:
        ax.tick_params(axis="x", labelrotation=90)
    ax.set_xlim(-0.5, len(classes) - 0.5)
    ax.set_ylim(len(classes) - 0.5, -0.5)
    ax.set_aspect("equal")
    for edge in range(1, len(classes)):
        ax.axvline(edge - 0.5, color=style.GRID, linewidth=0.6, zorder=0)
        ax.axhline(edge - 0.5, color=style.GRID, linewidth=0.6, zorder=0)
    ax.tick_params(length=0)
    ax.set_xlabel("answer of the new network")
    ax.set_ylabel("answer of the original")


def told_bar(bar):
    """str: a bar as a sentence, for people who do not see it."""
    parts = []
    if bar.theoretical:
        parts.append("%s multiply-adds, now %s, %s" % (count(bar.macs_before), count(bar.macs_after),
                                                       times(bar.theoretical)))
    if bar.measured:
        parts.append("%s ms, now %s, %s" % (milliseconds(bar.ms_before), milliseconds(bar.ms_after),
                                            times(bar.measured)))
    return "%s: %s" % (bar.layer, "; ".join(parts))
