"""Plots of curves by rank, errors, epochs and answers, drawn into axes of matplotlib that the caller made."""
from accnn.core.text import percent, sizes
from accnn.report import style

MOST_ROWS = 40
MOST_CURVES = 24
_LEAST = 1e-7  # of a loss, below which it is rounding: where a logarithmic axis ends


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
    is_marked = curve.measured is None and len(places) < 25
    ax.plot(places, values, color=style.AFTER, marker="." if is_marked else None, markersize=4)
    if is_loss:
        style.log_axis(ax, ax.yaxis, 4)
    else:
        ax.set_ylim(0, 1.05)
        ax.yaxis.set_major_formatter(lambda value, _: "%d%%" % round(100 * value))
    for _, rank, value in curve.marked:
        if value is not None:
            _mark_chosen(ax, curve, rank, max(value, _LEAST) if is_loss else value)
    if curve.chosen is not None and curve.at_chosen is not None:
        _tell_chosen(ax, curve, is_loss)
    if curve.measured is not None:
        _mark_measured(ax, curve, places, values)
    ax.set_title(style.shortened(curve.layer, 20), fontsize=9)
    ax.grid()
    ax.margins(x=0.06, y=0.15 if is_loss else 0)
    _rank_axis(ax, curve, compact)


def _places(curve):
    """list of float: where ranks stand on the axis; ranks of several numbers stand in their order."""
    plain = all(not isinstance(rank, (tuple, list)) for rank, _ in curve.points)
    return [rank if plain else place for place, (rank, _) in enumerate(curve.points)]


def _place_of(curve, chosen, at_chosen):
    if not isinstance(chosen, (tuple, list)):
        return chosen
    ranks = [tuple(rank) for rank, _ in curve.points]
    if tuple(chosen) in ranks:
        return ranks.index(tuple(chosen))
    values = [value for _, value in curve.points]
    return min(range(len(values)), key=lambda place: abs(values[place] - at_chosen))


def _mark_chosen(ax, curve, rank, value):
    place = _place_of(curve, rank, value)
    ax.plot([place], [value], marker="o", markersize=8, markerfacecolor="none", markeredgecolor=style.SLOWER,
            markeredgewidth=2, linestyle="none")


def _tell_chosen(ax, curve, is_loss):
    place, value = _place_of(curve, curve.chosen, curve.at_chosen), curve.at_chosen
    told = "%.2g" % value if is_loss else percent(value, 1)
    ax.annotate("K=%s\n%s" % (sizes(curve.chosen), told), (place, value), (0.97, 0.95 if is_loss else 0.06),
                textcoords="axes fraction", ha="right", va="top" if is_loss else "bottom", fontsize=8,
                color=style.INK)


def _mark_measured(ax, curve, places, values):
    """Fill the marks of what was measured, and leave those of what was predicted hollow."""
    for kind, face in (("measured", style.AFTER), ("predicted", "none")):
        some = [point for point, (rank, _) in zip(zip(places, values), curve.points) if curve.source(rank) == kind]
        ax.plot([place for place, _ in some], [value for _, value in some], "o", markersize=4, markerfacecolor=face,
                markeredgecolor=style.AFTER)


def _rank_axis(ax, curve, compact):
    if all(not isinstance(rank, (tuple, list)) for rank, _ in curve.points):
        ax.xaxis.set_major_locator(style.loaded("matplotlib.ticker").MaxNLocator(3, integer=True))
    else:
        ends = [0, len(curve.points) - 1]
        ax.set_xticks(ends, [sizes(curve.points[end][0]) for end in ends], ha="center")
    if not compact:
        ax.set_xlabel("rank")
    ax.tick_params(labelsize=8)


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
    ax.set_yticks(range(len(rows)), [style.shortened(name) for name, _, _ in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    style.log_axis(ax, ax.xaxis, 5)
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
        if ax.lines:
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
