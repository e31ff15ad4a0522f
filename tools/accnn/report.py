"""What a plan does to a model, as a dict for machines and as a table for people."""
import itertools
from dataclasses import replace

import numpy as np

from accnn import costs, methods, speed
from accnn.layers import CONVOLUTION
from accnn.plan import NOT_IN_PLAN, of_this_run
from accnn.reconstruction import DATA_FREE
from accnn.threads import one_blas_thread


def summary(bench, plan):
    """Count what a plan saves.

    Parameters
    ----------
    bench : Workbench
    plan : Plan
        Checked here, see :meth:`accnn.workbench.Workbench.check`.

    Returns
    -------
    dict
        ``layers``: a dict per row. ``convolutions`` and ``network``: MACs before and after and their ratio
        (*theoretical* speed-up), over all convolutions and over these and the fully connected layers. ``parameters``:
        numbers stored. ``weight_types``: of the layers that the graph allows to be split, as in ``["float32"]``.
        ``calibration``: which images, and how they were used; None without. ``made_by``: of the plan.
    """
    checked = bench.check(plan)
    chosen = [(bench.candidate(row.layer, methods.get(row.method)), row.rank) for row in checked.chosen()]
    bench.decompose([candidate for candidate, rank in chosen if candidate.known_energy(rank) is None])  # for energies
    with one_blas_thread():  # methods without singular values compute energies
        layers = [_layer(bench, spec, row) for spec, row in zip(bench.layers, checked.rows)]
    convolutions = [layer for spec, layer in zip(bench.layers, layers) if spec.kind == CONVOLUTION]
    stored = sum(array.size for array in list(bench.model.arg_params.values()) + list(bench.model.aux_params.values()))
    saved = sum(layer["parameters_before"] - layer["parameters_after"] for layer in layers)
    return {
        "input_shapes": {name: list(shape) for name, shape in bench.input_shapes.items()},
        "layers": layers,
        "convolutions": _total(convolutions),
        "network": _total(layers),
        "parameters": before_after(stored, stored - saved),
        "weight_types": sorted({np.dtype(bench.model.arg_params[spec.weight].dtype).name
                                for spec in bench.layers if not spec.refusal}),
        "calibration": bench.responses and _calibration(bench.responses),
        "made_by": plan.made_by,
    }


def _calibration(responses):
    images, wish = responses.images, responses.wish
    return {"file": images.source, "images": images.count, "positions": wish.positions, "symmetric": wish.symmetric,
            "metric": wish.metric, "solver": wish.solver, "seed": wish.seed}


def _layer(bench, spec, row):
    macs = costs.get("macs")
    before = macs.layer(spec) if spec.part else None
    stored = _parameters([spec.part]) if spec.part else 0
    layer = {"layer": row.layer, "op": spec.op, "method": row.method, "rank": row.rank, "reason": row.reason,
             "macs_before": before, "macs_after": before, "energy": None, "reconstruction": None, "remark": None,
             "parameters_before": stored, "parameters_after": stored}
    if row.method:
        candidate = bench.candidate(row.layer, methods.get(row.method))
        outcome = bench.responses and bench.responses.outcomes.get(row.layer)
        chain = _biased(candidate.chain(row.rank), outcome)
        layer.update(macs_after=macs.chain(spec, chain), parameters_after=_parameters(chain))
        layer["energy"] = candidate.energy(row.rank)
        layer["remark"] = candidate.remark(row.rank)
        layer["reconstruction"] = outcome and {name: getattr(outcome, name) for name in (
            "before", "after", "solver", "samples")}
    return layer


def _biased(chain, outcome):
    """The chain as it was written: a last part that was fitted has a bias also where the layer has none."""
    fitted = outcome and outcome.solver != DATA_FREE
    return tuple(chain[:-1]) + (replace(chain[-1], bias=True),) if fitted else chain


def _parameters(chain):
    return costs.get("params").chain(None, chain)


def _total(layers):
    known = [layer for layer in layers if layer["macs_before"] is not None]
    total = before_after(sum(layer["macs_before"] for layer in known), sum(layer["macs_after"] for layer in known))
    return dict(total, uncounted=len(layers) - len(known))


def before_after(before, after):
    """dict: two numbers and their ratio, None when nothing is left."""
    return {"before": before, "after": after, "ratio": before / after if after else None}


def table(report):
    """The report as lines of text; wide enough for its longest layer name."""
    unnamed = [layer for layer in report["layers"] if layer["reason"] == NOT_IN_PLAN]
    clock = speed.by_layer(report)
    rows = [("layer", "method", "rank", "MACs before", "after", "ratio", "ms before", "after", "ratio", "energy",
             "error", "")]
    rows += [_cells(layer, clock.get(layer["layer"])) for layer in report["layers"] if layer["reason"] != NOT_IN_PLAN]
    shown = [bool(column < 6 or any(row[column] for row in rows[1:])) for column in range(len(rows[0]))]
    rows, alignment = [tuple(itertools.compress(row, shown)) for row in rows], "".join(
        itertools.compress("<<>>>>>>>>><", shown))
    lines = columns(rows, alignment)
    lines.insert(1, "-" * len(lines[0]))
    if unnamed:
        lines.append("and %d other layers, unchanged" % len(unnamed))
    return lines + [""] + _totals(report)


def columns(rows, alignment):
    """Lay out rows of strings in columns as wide as their longest cell.

    Parameters
    ----------
    rows : list of tuple of str
    alignment : str
        ``<`` or ``>`` for every column.
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(alignment))]
    return ["  ".join("{:{}{}}".format(cell, side, width) for cell, side, width in zip(row, alignment, widths)).rstrip()
            for row in rows]


def _cells(layer, clock):
    """A row; `clock` has the milliseconds before and after, or is None."""
    before, after = layer["macs_before"], layer["macs_after"]
    times = _times_of(clock, layer["method"])
    if not layer["method"]:
        return ((layer["layer"], "-", "-", count(before), count(after), "") + times +
                ("", "", "left alone: " + layer["reason"]))
    energy = "" if layer["energy"] is None else "%.2f%%" % (100 * layer["energy"])
    rank = layer["rank"] if isinstance(layer["rank"], int) else ",".join(map(str, layer["rank"]))
    return ((layer["layer"], layer["method"], str(rank), count(before), count(after), "%.2fx" % (before / after)) +
            times + (energy, _error(layer["reconstruction"]), _remark(layer)))


def _times_of(clock, changed):
    """Cells for milliseconds, and their ratio where the layer is no more what it was."""
    if clock is None:
        return "", "", ""
    return speed.milliseconds(clock[0]), speed.milliseconds(clock[1]), _times(clock[0] / clock[1]) if changed else ""


def _error(reconstruction):
    """How far a layer's responses are from the true ones, before and after its reconstruction."""
    return reconstruction and "%s -> %s" % tuple(_share(reconstruction[when]) for when in ("before", "after")) or ""


def _share(error):
    return "%.1f%%" % (100 * error) if error < 10 else "over 1000%"


def _remark(layer):
    remarks = ["costs no less than the layer"] if layer["macs_after"] >= layer["macs_before"] else []
    if layer["reconstruction"] and layer["reconstruction"]["solver"] == DATA_FREE:
        remarks.append("data-free factors kept: images gave nothing better")
    return "; ".join(remarks + [layer["remark"]] if layer["remark"] else remarks)


def _totals(report):
    rows = [(title, count(part["before"]), "->", count(part["after"]), _times(part["ratio"]), note)
            for title, part, note in (
                ("MACs, all convolutions", report["convolutions"], "theoretical"),
                ("MACs, whole network", report["network"], "theoretical; convolutions and fully connected layers"),
                ("parameters", report["parameters"], "with BatchNorm statistics"))]
    files = report.get("file_bytes")
    if files:
        rows.append((".params file, bytes", count(files["before"]), "->", count(files["after"]), _times(files["ratio"]),
                     ""))
    rows[2:2] = speed.totals(report)
    lines = columns(rows, "<>>>><")
    lines += ["input %s  %s" % (name, ",".join(map(str, shape))) for name, shape in report["input_shapes"].items()]
    made_by = report["made_by"]
    if "reached" in made_by and of_this_run(made_by):
        lines.append("asked for %gx by %s, reached %.2fx by the cost %r%s" % (
            made_by["ratio"], made_by["rank_selection"], made_by["reached"], made_by["cost"],
            "" if made_by["align"] == 1 else ", ranks in multiples of %d" % made_by["align"]))
    lines += speed.hints(report)
    lines += _reconstructed(report)
    if report["network"]["uncounted"]:
        lines.append("layers of unknown shape, which are not counted: %d" % report["network"]["uncounted"])
    return lines


def _reconstructed(report):
    """The line on calibration images, where chains were fitted to some."""
    found = [layer["reconstruction"] for layer in report["layers"] if layer["reconstruction"]]
    how = report["calibration"]
    if not found:
        return []
    return ["reconstructed %d layers, %s, %s, errors in the metric of the %s, from %d images x %d places%s" % (
        sum(one["solver"] != DATA_FREE for one in found), how["solver"],
        "symmetric" if how["symmetric"] else "asymmetric", how["metric"], how["images"], how["positions"],
        " of " + how["file"] if how["file"] else "")]


def _times(ratio):
    return "" if ratio is None else "%.2fx" % ratio


def count(number):
    """A count with a unit: 15346630656 -> '15.347 G'; '?' for None."""
    if number is None:
        return "?"
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return "%.3f%s" % (number / size, unit)
    return str(number)
