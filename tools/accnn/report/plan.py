"""What a plan does to a model, as a dict for machines and as a table for people."""
import itertools
from dataclasses import asdict, replace

import numpy as np

from accnn import costs, methods
from accnn.core.layers import CONVOLUTION, FP32, PRECISIONS
from accnn.core.text import before_after, columns, count, milliseconds, percent, ruled, sizes, times
from accnn.core.threads import one_blas_thread
from accnn.planning.plan import NOT_IN_PLAN, of_this_run
from accnn.reconstruction import DATA_FREE
from accnn.report.plan_clock import by_layer, hints, totals

_TITLES = ("layer", "method", "rank", "precision", "MACs before", "after", "ratio", "ms before", "after", "ratio",
           "energy", "error", "")
_PRECISION, _ALWAYS = 3, {0, 1, 2, 4, 5, 6}  # columns; the others are shown where they tell something


def summary(accelerator, plan):
    """Count what a plan saves.

    Parameters
    ----------
    accelerator : Accelerator
    plan : Plan
        Checked here, see :meth:`accnn.planning.accelerator.Accelerator.check`.

    Returns
    -------
    dict
        ``layers``: a dict per row. ``convolutions`` and ``network``: MACs before and after and their ratio
        (*theoretical* speed-up), over all convolutions and over these and the fully connected layers. ``parameters``:
        numbers stored. ``weight_types``: of the layers that the graph allows to be split, as in ``["float32"]``.
        ``calibration``: which images, and how they were used; None without. ``made_by``: of the plan.
    """
    checked = accelerator.check(plan)
    chosen = [(accelerator.candidate(row.layer, methods.get(row.method)), row.rank) for row in checked.chosen()]
    accelerator.decompose([candidate for candidate,
                           rank in chosen if candidate.known_energy(rank) is None])  # for energies
    with one_blas_thread():  # methods without singular values compute energies
        layers = [_layer(accelerator, spec, row) for spec, row in zip(accelerator.layers, checked.rows)]
    convolutions = [layer for spec, layer in zip(accelerator.layers, layers) if spec.kind == CONVOLUTION]
    model = accelerator.model
    stored = sum(array.size for array in list(model.arg_params.values()) + list(model.aux_params.values()))
    saved = sum(layer["parameters_before"] - layer["parameters_after"] for layer in layers)
    return {
        "input_shapes": {name: list(shape) for name, shape in accelerator.input_shapes.items()},
        "layers": layers,
        "convolutions": _total(convolutions),
        "network": _total(layers),
        "parameters": before_after(stored, stored - saved),
        "weight_types": sorted({np.dtype(accelerator.model.arg_params[spec.weight].dtype).name
                                for spec in accelerator.layers if not spec.refusal}),
        "calibration": accelerator.responses and _calibration(accelerator.responses),
        "made_by": plan.made_by,
    }


def _calibration(responses):
    images, wish = responses.images, responses.wish
    return {"file": images.source, "images": images.count, "positions": wish.positions, "symmetric": wish.symmetric,
            "metric": wish.metric, "solver": wish.solver, "seed": wish.seed,
            "joint": responses.joint and asdict(responses.joint)}


def _layer(accelerator, spec, row):
    macs = costs.get("macs")
    before = macs.layer(spec) if spec.part else None
    stored = _parameters([spec.part]) if spec.part else 0
    layer = {"layer": row.layer, "op": spec.op, "method": row.method, "rank": row.rank, "precision": row.precision,
             "reason": row.reason, "why_fp32": row.why_fp32,
             "macs_before": before, "macs_after": before, "energy": None, "reconstruction": None, "remark": None,
             "parameters_before": stored, "parameters_after": stored}
    if row.method:
        candidate = accelerator.candidate(row.layer, methods.get(row.method))
        outcome = accelerator.responses and accelerator.responses.outcomes.get(row.layer)
        chain = _biased(candidate.chain(row.rank), outcome)
        layer.update(macs_after=macs.chain(spec, chain), parameters_after=_parameters(chain))
        layer["energy"] = candidate.energy(row.rank)
        layer["remark"] = candidate.remark(row.rank)
        layer["reconstruction"] = outcome and {name: getattr(outcome, name) for name in (
            "before", "after", "solver", "samples", "wanted")}
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


def table(report):
    """The report as lines of text; wide enough for its longest layer name."""
    unnamed = [layer for layer in report["layers"]
               if layer["reason"] == NOT_IN_PLAN and layer["precision"] == FP32]
    clock = by_layer(report)
    rows = [_cells(layer, clock.get(layer["layer"])) for layer in report["layers"] if layer not in unnamed]
    if all(layer["precision"] == FP32 for layer in report["layers"]):
        rows = [row[:_PRECISION] + ("",) + row[_PRECISION + 1:] for row in rows]
    shown = [column in _ALWAYS or any(row[column] for row in rows) for column in range(len(_TITLES))]
    rows = [tuple(itertools.compress(row, shown)) for row in [_TITLES] + rows]
    alignment = "".join(itertools.compress("<<><>>>>>>>><", shown))
    lines = ruled(rows, alignment, header=True)
    if unnamed:
        lines.append("and %d other layers, unchanged" % len(unnamed))
    return lines + [""] + _totals(report)


def _cells(layer, clock):
    """A row; `clock` has the milliseconds before and after, or is None."""
    before, after = layer["macs_before"], layer["macs_after"]
    clocked = _clocked(clock, layer["method"] or layer["precision"] != FP32)
    if not layer["method"]:
        return ((layer["layer"], "-", "-", layer["precision"], count(before), count(after), "") + clocked +
                ("", "", "; ".join(["left alone: " + layer["reason"]] + _why_fp32(layer))))
    counted = count(before), count(after), times(before / after)
    return ((layer["layer"], layer["method"], sizes(layer["rank"]), layer["precision"]) + counted + clocked +
            (percent(layer["energy"]), _error(layer["reconstruction"]), _remark(layer)))


def _clocked(clock, changed):
    """Cells for milliseconds, and their ratio where the layer is no more what it was."""
    if clock is None:
        return "", "", ""
    return milliseconds(clock[0]), milliseconds(clock[1]), times(clock[0] / clock[1]) if changed else ""


def _error(reconstruction):
    """How far a layer's responses are from the true ones, before and after its reconstruction."""
    return reconstruction and "%s -> %s" % tuple(_share(reconstruction[when]) for when in ("before", "after")) or ""


def _share(error):
    return percent(error, 1) if error < 10 else "over 1000%"


def _remark(layer):
    remarks = ["costs no less than the layer"] if layer["macs_after"] >= layer["macs_before"] else []
    if layer["reconstruction"] and layer["reconstruction"]["solver"] == DATA_FREE:
        remarks.append("data-free factors kept: images gave nothing better")
    return "; ".join(remarks + [layer["remark"]] * bool(layer["remark"]) + _why_fp32(layer))


def _why_fp32(layer):
    """list of str: why a layer is in float32 where the network is not."""
    return ["in float32: " + layer["why_fp32"]] if layer["why_fp32"] else []


def _totals(report):
    rows = [(title, count(part["before"]), "->", count(part["after"]), times(part["ratio"]), note)
            for title, part, note in (
                ("MACs, all convolutions", report["convolutions"], "theoretical"),
                ("MACs, whole network", report["network"], "theoretical; convolutions and fully connected layers"),
                ("parameters", report["parameters"], "with BatchNorm statistics"))]
    rows += file_sizes(report)
    for precision in filter(report.get, PRECISIONS + ("onnx",)):
        rows += file_sizes(report[precision], "the same, " + precision)
    rows[2:2] = totals(report)
    lines = columns(rows, "<>>>><")
    lines += ["input %s  %s" % (name, sizes(shape)) for name, shape in report["input_shapes"].items()]
    made_by = report["made_by"]
    if "reached" in made_by and of_this_run(made_by):
        lines.append("asked for %gx by %s, reached %s by the cost %r%s" % (
            made_by["ratio"], made_by["rank_selection"], times(made_by["reached"]), made_by["cost"],
            "" if made_by["align"] == 1 else ", ranks in multiples of %d" % made_by["align"]))
    lines += hints(report)
    lines += _reconstructed(report)
    if report["network"]["uncounted"]:
        lines.append("layers of unknown shape, which are not counted: %d" % report["network"]["uncounted"])
    return lines


def file_sizes(report, title=".params file, bytes"):
    """list of tuple of str: the row for the file of parameters, where one was written."""
    files = report.get("file_bytes")
    return [(title, count(files["before"]), "->", count(files["after"]), times(files["ratio"]), "")] if files else []


def _reconstructed(report):
    """The line on calibration images, where chains were fitted to some."""
    found = [layer["reconstruction"] for layer in report["layers"] if layer["reconstruction"]]
    how = report["calibration"]
    if not found:
        return []
    return ["reconstructed %d layers, %s, %s, errors in the metric of the %s, from %d images x %d places%s" % (
        sum(one["solver"] != DATA_FREE for one in found), how["solver"],
        "symmetric" if how["symmetric"] else "asymmetric", how["metric"], how["images"], how["positions"],
        " of " + how["file"] if how["file"] else "")] + _settled_line(found) + _joint_line(how["joint"])


def _settled_line(found):
    """The line on layers that needed fewer images than there are."""
    counts = [one["samples"] / one["wanted"] for one in found if one["samples"] < one["wanted"]]
    return counts and ["more images changed the fit by less than 1%% for %d layers: %s to %s of them were enough"
                       % (len(counts), percent(min(counts), 0), percent(max(counts), 0))]


def _joint_line(joint):
    """The line on what all chains were improved by together."""
    if not joint:
        return []
    if not joint["after"] < joint["before"]:
        return ["steps over all chains together brought the outputs no nearer: none is kept"]
    return ["all chains improved together in %d steps: divergence on images held aside %.2g -> %.2g nats"
            % (joint["steps"], joint["before"], joint["after"])]
