"""Sections of a report: what each says, its plots and the tables behind them; None where nothing was measured."""
from dataclasses import dataclass, field
from typing import Optional, Tuple

from accnn.core.layers import FP32
from accnn.core.text import count, exact, milliseconds, percent, points, sizes, times
from accnn.report import charts, style
from accnn.report.evidence import MEASURED, THIS_RUN
from accnn.report.layer_rows import layer_bars, layer_table
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
        says.append("%d of %d layers gained over 15%% less time than theory says." % (len(apart), len(bars)))
    whole = layer_table(evidence, bars)
    plot = _bars(bars, whole) if charts.layer_panels(bars) else None
    return Section("layers", "Layers", source_of(evidence, "summary"), tuple(says), (plot,) if plot else (),
                   () if plot else (whole,))


def _bars(bars, behind):
    shown = charts.shown_bars(bars)
    panels = charts.layer_panels(bars)
    with style.styled():
        made = style.figure((7.6 if len(panels) == 2 else 5.2, 0.95 + 0.27 * len(shown)))
        axes = made.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        charts.draw_layers(axes, shown)
        charts.layer_legend(made, bars)
        text = style.svg(made, "bars", "Bars of every layer before and after",
                         _told([charts.told_bar(bar) for bar in shown]))
    left = " The %d dearest layers one by one, the others summed up." % (len(shown) - 1) if len(bars) > len(
        shown) else ""
    return Plot(text, "Cost of every layer before and after." + left, behind)


def _told(sentences, most=50):
    return ". ".join(sentences[:most]) + ("; the table has them all." if len(sentences) > most else ".")


def energies(evidence):
    """Section or None: energy by rank of the layers that were split."""
    return _curves(evidence, evidence.energies, "energies", "Energy by rank", False,
                   "Share of the kernel's squared norm that a rank keeps; it knows no data. The ring is the rank of "
                   "the plan.")


def sensitivities(evidence):
    """Section or None: divergence by rank of the layers that were measured."""
    return _curves(evidence, evidence.sensitivities, "sensitivities", "Sensitivity by rank", True,
                   "Divergence of the network's outputs, in nats, when this layer alone is split at a rank, on "
                   "calibration images. The ring is the rank of the plan.")


def _curves(evidence, curves, key, title, is_loss, says):
    if not curves:
        return None
    shown = curves[:charts.MOST_CURVES]
    with style.styled():
        made = style.figure(style.grid_size(len(shown)), None)
        for ax, curve in zip(style.grid(made, len(shown)), shown):
            charts.draw_curve(ax, curve, is_loss)
        text = style.svg(made, key, title, _told([_told_curve(curve, is_loss) for curve in shown]))
    left = ("The first %d of %d; the table has them all." % (len(shown), len(curves)),) if len(shown) < len(
        curves) else ()
    return Section(key, title, source_of(evidence, key), (says,) + left,
                   (Plot(text, title + ", a plot for every layer.", _curve_table(curves, is_loss)),))


def _told_curve(curve, is_loss):
    if curve.chosen is None:
        return "%s by %s: not split so" % (curve.layer, curve.method)
    return "%s by %s at rank %s: %s" % (curve.layer, curve.method, sizes(curve.chosen), _quantity(
        curve.at_chosen, is_loss) or "not known")


def _quantity(value, is_loss):
    return "" if value is None else "%.3g nats" % value if is_loss else percent(value)


def _curve_table(curves, is_loss):
    rows = []
    for curve in curves:
        for rank, value in _thinned(curve.points):
            chosen = curve.chosen is not None and sizes(rank) == sizes(curve.chosen)
            rows.append((curve.layer, curve.method, _rank(rank), number(
                lambda one: _quantity(one, is_loss), value), "chosen" if chosen else ""))
        if curve.chosen is not None and curve.at_chosen is not None and not any(
                sizes(rank) == sizes(curve.chosen) for rank, _ in _thinned(curve.points)):
            rows.append((curve.layer, curve.method, _rank(curve.chosen), number(
                lambda one: _quantity(one, is_loss), curve.at_chosen), "chosen"))
    return table("Points of the curves", ("layer", "method", "rank", "divergence" if is_loss else "energy", ""), rows)


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
    shown = sorted(rows, key=lambda row: -row[2])[:charts.MOST_BARS] if len(rows) > charts.MOST_BARS else rows
    with style.styled():
        made = style.figure((5.6, 0.9 + 0.25 * len(shown)))
        charts.draw_errors(made.subplots(), shown)
        text = style.svg(made, "errors", "Error of the responses before and after reconstruction", _told(
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
    by_points = charts.loss_is_points(evidence.front)
    with style.styled():
        made = style.figure((6.2, 4.0))
        charts.draw_pareto(made.subplots(), evidence.front)
        text = style.svg(made, "pareto", "Speed against loss", _told([_told_point(one) for one in evidence.front]))
    behind = table("The networks", ("network", "engine", "precision", "speed-up", "", "points lost", "95% interval",
                                    "divergence, nats", "energy kept", ""), [_point(one) for one in evidence.front])
    says = ("Each mark is a network; the line joins those that no other beats in both. %s" % (
        "Bars are 95% intervals of the points lost." if by_points and any(
            one.interval for one in evidence.front) else ""),)
    return Section("front", "Speed against loss", source_of(evidence, "front"), says,
                   (Plot(text, "Speed-up against what is lost.", behind),))


def _told_point(point):
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


def history(evidence):
    """Section or None: loss and accuracy by epoch."""
    epochs = [_epoch(row) for row in evidence.history]
    if not epochs:
        return None
    validated = any(row.get(name) is not None for row in epochs for name in ("val_top1", "train_top1"))
    with style.styled():
        made = style.figure((7.2 if validated else 4, 2.8))
        charts.draw_history(made.subplots(1, 1 + validated, squeeze=False)[0], epochs)
        text = style.svg(made, "history", "Fine-tuning by epoch", _told([_told_epoch(row) for row in epochs]))
    behind = table("Epochs", ("epoch", "learning rate", "loss, training", "top-1, training", "loss, validation",
                              "top-1, validation", "images/s", "seconds"), [_epoch_cells(row) for row in epochs])
    return Section("history", "Fine-tuning", source_of(evidence, "history"),
                   ("Epoch 0 is before the first update. Training figures are with augmentation, each batch before its "
                    "update.",), (Plot(text, "Loss and top-1 by epoch.", behind),))


def _epoch(row):
    scored = row.get("val_images")
    return dict(row, val_top1=row["val_right"] / scored if scored else None)


def _told_epoch(row):
    parts = ["loss %.4f" % row[name] for name in ("val_loss",) if row.get(name) is not None]
    parts += ["top-1 %s" % percent(row["val_top1"])] if row["val_top1"] is not None else []
    return "epoch %d: %s" % (row["epoch"], ", ".join(parts) or "not validated")


def _epoch_cells(row):
    def four(value):
        return "%.4f" % value
    return (number(str, row["epoch"]), number(lambda value: "%.3g" % value, row.get("lr")),
            number(four, row.get("train_loss")), number(percent, row.get("train_top1")),
            number(four, row.get("val_loss")), number(percent, row["val_top1"]),
            number(lambda value: "%.0f" % value, row.get("images_per_second")),
            number(lambda value: "%.1f" % value, row.get("seconds")))


def stages(evidence):
    """Section or None: what the stages of two passes brought."""
    if not evidence.stages:
        return None
    rows = [(str(stage["group"]), stage["stage"], ", ".join(stage["layers"][:4]) + (
        " and %d more" % (len(stage["layers"]) - 4) if len(stage["layers"]) > 4 else ""),
        number(str, stage["epochs"]), number(lambda value: "%.4f" % value, stage["fitness"]),
        number(lambda value: "%.4f" % value, stage["val_loss"]), number(percent, stage["val_top1"]),
        number(lambda value: "%.1f" % value, stage["seconds"])) for stage in evidence.stages["stages"]]
    return Section("stages", "Two passes", source_of(evidence, "stages"), (
        "%d epochs in all, %s images." % (evidence.stages["epochs"], exact(evidence.stages["images"])),), (), (
            table("Stages", ("group", "stage", "layers", "epochs", "fitness", "loss, validation", "top-1, validation",
                             "seconds"), rows),))


def int8(evidence):
    """Section or None: layers in INT8, the steps towards it and what each brought."""
    found = evidence.int8
    if not found:
        return None
    tables = []
    if found["steps"]:
        tables.append(table("Steps, and the error of the outputs before and after each", (
            "step", "error before", "after", ""), [(one["step"], number(_three, one["before"]),
                                                   number(_three, one["after"]),
                                                   "kept" if one["kept"] else "not kept") for one in found["steps"]]))
    tables.append(table("Layers in INT8", ("layer", "precision", "thresholds", "range", "why not"), [
        (row["layer"], row["precision"], row["thresholds"] or "",
         "%.4g to %.4g" % tuple(row["range"]) if row["range"] else "", row["reason"] or "")
        for row in found["layers"]]))
    inside = sum(row["precision"] != FP32 for row in found["layers"])
    says = ["%d of %d layers are in INT8." % (inside, len(found["layers"]))]
    if found.get("divergence") is not None:
        says.append("On %d images held aside the outputs diverge by %.3g nats from the float32 network's."
                    % (found["held"], found["divergence"]))
    return Section("int8", "INT8", source_of(evidence, "int8"), tuple(says), (), tuple(tables))


def _three(value):
    return "%.3g" % value


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
