"""Bars of layers, before and after, in multiply-adds and in milliseconds."""
from dataclasses import dataclass
from typing import Optional

from accnn.core.text import count, milliseconds, percent, times
from accnn.report import style
from accnn.report.plan_clock import APART

MOST_BARS = 40


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
_LABELS = {"as theory": "after, as theory says (within %s)" % percent(APART, 0),
           "slower": "after, slower than theory says", "faster": "after, faster than theory says", "": "after"}


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
        ax.xaxis.set_major_locator(style.loaded("matplotlib.ticker").MaxNLocator(4))
        ax.grid(axis="x")
        ax.set_xlim(left=0)
        ax.set_ylim(len(bars) - 0.4, -0.6)
        ax.tick_params(axis="y", length=0)
        ax.set_yticks(list(places), [style.shortened(bar.layer) for bar in bars])


def _short(value, kind):
    number, _, unit = (count(value) if kind == "macs" and value else "%g" % value).partition(" ")
    return ("%g %s" % (float(number), unit)).rstrip()


def layer_legend(figure, bars):
    """Say above the plots of a figure what the colours of :func:`draw_layers` mean."""
    patch = style.loaded("matplotlib.patches").Patch
    verdicts = [name for name in _LABELS if any(bar.verdict == name for bar in bars)]
    if "ms" not in layer_panels(bars):
        verdicts = [""]
    handles = [patch(color=style.BEFORE, label="before")] + [patch(color=_COLOURS[name], label=_LABELS[name])
                                                             for name in verdicts]
    figure.legend(handles=handles, loc="outside upper left", ncols=2, handlelength=1.2, columnspacing=1.4)


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
