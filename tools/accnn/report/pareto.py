"""Networks by speed and loss."""
import math
from dataclasses import dataclass

from accnn.report import style


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
    ax.step([point.speed_up for point in best], [value(point) for point in best], where="post", color=style.BEFORE,
            linewidth=1.4, zorder=1)
    kinds = list(dict.fromkeys((point.engine, point.precision) for point in known))
    for number, kind in enumerate(kinds):
        same = [point for point in known if (point.engine, point.precision) == kind]
        colour, marker = style.SERIES[number % len(style.SERIES)], style.MARKERS[number % len(style.MARKERS)]
        if by_points:
            _intervals(ax, same, colour)
        ax.plot([point.speed_up for point in same], [value(point) for point in same], linestyle="none", marker=marker,
                color=colour, markersize=7, label="%s, %s" % kind, zorder=3)
    if not by_points:
        _scale(ax, [value(point) for point in known])
    ax.set_xlabel("speed-up, %s" % _of_what(known))
    ax.set_ylabel(title)
    ax.xaxis.set_major_formatter(lambda place, _: "%gx" % round(place, 3))
    ax.margins(0.14, 0.18)
    ax.grid()
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2, handletextpad=0.3)
    _label_points(ax, known, value)


def _scale(ax, values):
    """Make the axis of losses logarithmic where they are of several magnitudes; 0 has its place below."""
    some = [value for value in values if value > 0]
    if not some or max(some) < 10 * min(some):
        return
    if len(some) == len(values):
        style.log_axis(ax, ax.yaxis, 5)
        return
    decades = range(math.floor(math.log10(min(some))), math.ceil(math.log10(max(some))) + 1)
    ax.set_yscale("symlog", linthresh=10.0 ** decades[0], linscale=0.5)
    ticks = [10.0 ** power for power in decades[::max(1, len(decades) // 4)]]
    ax.set_yticks([0] + ticks, ["0"] + [style.plain(tick) for tick in ticks])
    ax.yaxis.set_minor_locator(style.loaded("matplotlib.ticker").NullLocator())


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


def has_losses(points):
    """bool: whether two networks have a loss that can be compared."""
    value, _ = _loss(points)
    return sum(value(point) is not None for point in points) > 1


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
        name = style.shortened(point.name.rpartition("/")[2], 26) + (" (chosen)" if point.is_chosen else "")
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
