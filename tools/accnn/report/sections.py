"""Sections of a report: what each says, its plots and the tables behind them; None where nothing is known."""
from dataclasses import dataclass, field
from typing import Optional, Tuple

from accnn.core.text import count, milliseconds, percent, points, sizes, times
from accnn.ranks.energy_points import by_rank
from accnn.report import bar_chart, charts, pareto, style
from accnn.report.evidence import MEASURED, THIS_RUN
from accnn.report.layer_rows import layer_bars, layer_table
from accnn.report.plan_clock import APART
from accnn.report.tables import Table, number, table


@dataclass(frozen=True)
class Plot:
    """An SVG, what it shows, and the table behind it."""

    svg: str
    caption: str
    table: Table


@dataclass(frozen=True)
class Section:
    """One part of the page.

    Attributes
    ----------
    key, title : str
        The anchor, and the heading.
    source : str
        Where its numbers come from.
    says : tuple of str
        Paragraphs.
    plots : tuple of Plot
    tables : tuple of Table
    extra : object
        What the template has a form of its own for: chains, pictures.
    """

    key: str
    title: str
    source: str
    says: Tuple[str, ...] = ()
    plots: Tuple[Plot, ...] = ()
    tables: Tuple[Table, ...] = ()
    extra: Optional[object] = field(default=None)

    @property
    def short(self):
        """str: the title in the list of sections."""
        return _SHORT.get(self.key, self.title)


_SHORT = {"timing": "Clock", "front": "Speed and loss", "disagreement": "Disagreement", "energies": "Energy",
          "sensitivities": "Sensitivity"}


def source_of(evidence, name, default=THIS_RUN):
    """str: where the values of an attribute of the evidence come from."""
    return evidence.sources.get(name, default)


def layers(evidence):
    """Section or None: bars of every layer, and the table of all."""
    if not evidence.summary or not evidence.summary["layers"]:
        return None
    bars = layer_bars(evidence)
    says = ["Every layer alone, before and after: multiply-adds are counted by shapes, milliseconds by the clock."
            if any(bar.ms_before for bar in bars) else
            "Every layer before and after, in multiply-adds; milliseconds were not measured."]
    apart = [bar.layer for bar in bars if bar.verdict == "slower"]
    if apart:
        says.append("%d of %d layers gained over %s less time than theory says." % (
            len(apart), len(bars), percent(APART, 0)))
    whole = layer_table(evidence, bars)
    plot = _bars(bars, whole) if bar_chart.layer_panels(bars) else None
    return Section("layers", "Layers", source_of(evidence, "summary"), tuple(says), (plot,) if plot else (),
                   () if plot else (whole,))


def _bars(bars, behind):
    shown = bar_chart.shown_bars(bars)
    panels = bar_chart.layer_panels(bars)
    with style.styled():
        made = style.figure((7.6 if len(panels) == 2 else 5.2, 0.95 + 0.27 * len(shown)))
        axes = made.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        bar_chart.draw_layers(axes, shown)
        bar_chart.layer_legend(made, bars)
        text = style.svg(made, "bars", "Bars of every layer before and after",
                         told([bar_chart.told_bar(bar) for bar in shown]))
    left = " The %d dearest layers one by one, the others summed up." % (len(shown) - 1) if len(bars) > len(
        shown) else ""
    return Plot(text, "Cost of every layer before and after." + left, behind)


def told(sentences, most=50):
    """str: sentences as one text, the first of them where there are many."""
    return ". ".join(sentences[:most]) + ("; the table has them all." if len(sentences) > most else ".")


def energies(evidence):
    """Section or None: energy by rank of the layers that were split."""
    return _curves(evidence, evidence.energies, "energies", "Energy by rank", False,
                   "Share of the kernel's squared norm that a rank keeps; it knows no data.")


def sensitivities(evidence):
    """Section or None: divergence by rank, measured and predicted."""
    marks = ("Filled marks were measured by running the network; hollow ones are predicted to second order, and scaled "
             "by what was measured." if any(curve.measured is not None for curve in evidence.sensitivities) else "")
    return _curves(evidence, evidence.sensitivities, "sensitivities", "Sensitivity by rank", True,
                   "Divergence of the network's outputs, in nats, when this layer alone is split at a rank, on "
                   "calibration images. %s" % marks)


def _curves(evidence, curves, key, title, is_loss, says):
    if not curves:
        return None
    shown = curves[:charts.MOST_CURVES]
    with style.styled():
        made = style.figure(style.grid_size(len(shown)), None)
        for ax, curve in zip(style.grid(made, len(shown)), shown):
            charts.draw_curve(ax, curve, is_loss)
        text = style.svg(made, key, title, told([_told_curve(curve, is_loss) for curve in shown]))
    left = ("The first %d of %d; the table has them all." % (len(shown), len(curves)),) if len(shown) < len(
        curves) else ()
    says += " Rings are the ranks of the plans." if any(curve.plans for curve in curves) else (
        " The ring is the rank of the plan.")
    return Section(key, title, source_of(evidence, key), (says,) + left,
                   (Plot(text, title + ", a plot for every layer.", _curve_table(curves, is_loss)),))


def _told_curve(curve, is_loss):
    if not curve.marked:
        return "%s by %s: not split so" % (curve.layer, curve.method)
    told_ranks = ["%sat rank %s: %s" % ("" if curve.chosen is not None else name + " ", sizes(rank),
                                        _quantity(value, is_loss) or "not known")
                  for name, rank, value in curve.marked]
    return "%s by %s%s %s" % (curve.layer, curve.method, "," if curve.plans else "", "; ".join(told_ranks))


def _quantity(value, is_loss):
    return "" if value is None else "%.3g nats" % value if is_loss else percent(value)


def _curve_table(curves, is_loss):
    rows = []
    for curve in curves:
        points = list(_thinned(curve.points))
        there = {sizes(rank) for rank, _ in points}
        more = {sizes(rank): (rank, value) for _, rank, value in curve.marked if value is not None}
        points = sorted(points + [one for rank, one in more.items() if rank not in there],
                        key=lambda point: by_rank(point[0]))
        rows += [(curve.layer, curve.method, _rank(rank), number(lambda one: _quantity(one, is_loss), value),
                  curve.source(rank),
                  ", ".join(name for name, one, _ in curve.marked if sizes(one) == sizes(rank)))
                 for rank, value in points]
    head = "layer", "method", "rank", "divergence" if is_loss else "energy", "", ""
    return table("Points of the curves", head, rows)


def _rank(rank):
    return number(lambda _: sizes(rank), rank[0] if isinstance(rank, (tuple, list)) else rank)


def _thinned(found, most=12):
    if len(found) <= most:
        return found
    return [found[round(place * (len(found) - 1) / (most - 1))] for place in range(most)]


def errors(evidence):
    """Section or None: error of the responses without and with reconstruction."""
    rows = [(layer["layer"], layer["reconstruction"]["before"], layer["reconstruction"]["after"])
            for layer in (evidence.summary or {}).get("layers", ()) if layer.get("reconstruction")]
    if not rows:
        return None
    shown = sorted(rows, key=lambda row: -row[2])[:charts.MOST_ROWS] if len(rows) > charts.MOST_ROWS else rows
    with style.styled():
        made = style.figure((5.6, 0.9 + 0.25 * len(shown)))
        charts.draw_errors(made.subplots(), shown)
        text = style.svg(made, "errors", "Error of the responses before and after reconstruction", told(
            ["%s: %s, then %s" % (name, percent(before), percent(after)) for name, before, after in shown]))
    behind = table("Error of every layer's responses", ("layer", "error before", "after", "of it"), [
        (name, number(percent, before), number(percent, after),
         number(lambda share: percent(share, 0), after / before if before else None)) for name, before, after in rows])
    how = evidence.summary.get("calibration")
    says = ("Mean squared error of a layer's responses on samples held aside, as a share of their variance: with "
            "factors that know no data, and fitted to calibration images%s." % (
                " (%d of %s, %s)" % (how["images"], how["file"] or "memory", how["solver"]) if how else ""),)
    return Section("errors", "Reconstruction", source_of(evidence, "summary"), says,
                   (Plot(text, "Error of the responses before and after reconstruction.", behind),))


def front(evidence):
    """Section or None: speed against loss of several networks."""
    if len(evidence.front) < 2:
        return None
    behind = table("The networks", ("network", "engine", "precision", "speed-up", "", "points lost", "95% interval",
                                    "divergence, nats", "energy kept", ""), [_point(one) for one in evidence.front])
    source = source_of(evidence, "front")
    if not pareto.has_losses(evidence.front):
        return Section("front", "Speed of several networks", source, ("What they lose was not measured.",), (),
                       (behind,))
    with style.styled():
        made = style.figure((6.2, 4.0))
        pareto.draw_pareto(made.subplots(), evidence.front)
        text = style.svg(made, "pareto", "Speed against loss", told([told_point(one) for one in evidence.front]))
    says = ["Each mark is a network; the line joins those that no other beats in both."]
    if pareto.loss_is_points(evidence.front) and any(one.interval for one in evidence.front):
        says.append("Bars are 95% intervals of the points lost.")
    return Section("front", "Speed against loss", source, tuple(says),
                   (Plot(text, "Speed-up against what is lost.", behind),))


def told_point(point):
    """str: a network of a front in one line."""
    lost = "%s points lost" % points(point.lost) if point.lost is not None else (
        "divergence %.3g nats" % point.divergence if point.divergence is not None else
        "loss not known" if point.energy is None else "%s of the energy kept" % percent(point.energy))
    return "%s in %s %s: %s, %s%s" % (point.name, point.engine, point.precision, times(point.speed_up), lost,
                                      ", chosen" if point.is_chosen else "")


def _point(point):
    interval = "" if point.interval is None else "%s to %s" % tuple(map(points, point.interval))
    return (point.name, point.engine, point.precision, number(times, point.speed_up),
            "measured" if point.is_measured else "theoretical", number(points, point.lost), interval,
            number(lambda value: "%.3g" % value, point.divergence), number(percent, point.energy),
            "chosen" if point.is_chosen else "")


def timing(evidence):
    """Section or None: milliseconds of the whole network."""
    if not evidence.timings:
        return None
    rows = []
    for run in evidence.timings["runs"]:
        for side, title in (("baseline", "original"), ("model", "new")):
            if side in run:
                rows.append((title, number(str, run["threads"]), number(str, run["batch_size"]),
                             number(milliseconds, run[side]["median_ms"]),
                             "%s to %s" % tuple(map(milliseconds, run[side]["quartiles_ms"])),
                             number(times, run["measured"]["median"] if side == "model" and "measured" in run
                                    else None), number(str, run[side]["rounds"])))
    return Section("timing", "The whole network by the clock", source_of(evidence, "timings", MEASURED), (
        "Passes of both networks in turns; a pass begins with the input in memory and ends when all outputs are there.",
    ), (), (table("Milliseconds of a pass", ("network", "threads", "batch", "ms, median", "quartiles", "speed-up",
                                             "rounds"), rows),))


def totals(evidence):
    """list of tuple: multiply-adds, parameters and bytes, before and after."""
    found = []
    for key, title, form in (("convolutions", "multiply-adds, convolutions", count),
                             ("network", "multiply-adds, with fully connected layers", count),
                             ("parameters", "parameters", count), ("file_bytes", ".params file, bytes", count)):
        part = (evidence.summary or {}).get(key)
        if part and part.get("after") is not None:
            found.append((title, number(form, part["before"]), number(form, part["after"]),
                          number(times, part["ratio"])))
    return found
