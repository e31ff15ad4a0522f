"""What became of a network in INT8, as a dict for machines and as a table for people."""
from accnn.core.layers import FP32, INT8
from accnn.core.text import columns, percent, ruled, sizes
from accnn.graph.quantized import names_inside, own_name
from accnn.report.plan import file_sizes
from accnn.report.plan_clock import totals

_RANGE = "min_calib_range"


def summary(made, input_shapes, images, made_by):
    """Describe an INT8 network.

    Parameters
    ----------
    made : Int8
    input_shapes : dict of str to tuple of int
        Without the batch.
    images : RecordImages or ArrayImages
        Those that it was calibrated on.
    made_by : dict
        What was asked for.

    Returns
    -------
    dict
        ``layers``: for each its precision, the tensor that it gives and the kind of its thresholds (None where it gives
        float32), or the reason why it stays in float32. ``thresholds``: of every tensor. ``steps``: the error of
        the outputs before and after each, see :class:`accnn.reconstruction.judge.Judge`, and whether it was kept.
        ``divergence`` and ``errors``: of the outputs, on ``held`` images that were held aside. ``made_by``.
    """
    given = _given(made.model.graph)
    return {
        "input_shapes": {name: list(shape) for name, shape in input_shapes.items()},
        "layers": [_layer(made, row, given.get(row.layer)) for row in made.precisions],
        "thresholds": {name: {"kind": made.kinds.get(name), "range": list(bounds)}
                       for name, bounds in made.thresholds.items()},
        "steps": [{"step": one.name, "before": one.before, "after": one.after, "kept": one.is_kept}
                  for one in made.steps],
        "divergence": made.divergence, "errors": made.errors, "held": made.held,
        "calibration": {"file": images.source, "images": images.count}, "made_by": made_by}


def plan(report):
    """dict: of a :func:`summary` what is kept beside the network, in the form that is written."""
    return {key: report[key] for key in ("layers", "thresholds", "steps", "made_by")}


def _given(graph):
    """dict of str to (str or None): for every layer inside an INT8 operator the tensor that this gives in INT8."""
    found = {}
    for node in graph.nodes:
        given = own_name(node.name) + "_output" if _RANGE in node.attrs else None
        found.update(dict.fromkeys(names_inside(node), given))
    return found


def _layer(made, row, tensor):
    reasons = {one.layer: one.reason for one in made.excluded}
    in_int8 = row.precision == INT8
    bounds = made.thresholds.get(tensor) if in_int8 else None
    return {"layer": row.layer, "precision": row.precision, "gives": tensor if bounds else None,
            "thresholds": made.kinds.get(tensor) if bounds else None, "range": bounds and list(bounds),
            "reason": None if in_int8 else reasons.get(row.layer, row.reason)}


def with_exclusions(rows, report, operators):
    """Rows of a plan's layers, those that INT8 left in float32 besides told with the reason.

    Parameters
    ----------
    rows : list of dict
        ``layers`` of :func:`accnn.report.plan.summary`.
    report : dict
        Of :func:`summary`.
    operators : dict of str to list of str
        By layer of the original network: what computes it in the accelerated one.
    """
    found = {one["layer"]: one for one in report["layers"]}
    return [_with_exclusion(row, [found[name] for name in operators[row["layer"]] if name in found]) for row in rows]


def _with_exclusion(row, parts):
    left = [one for one in parts if one["precision"] != INT8]
    if row["precision"] != INT8 or not left:
        return row
    whole = len(left) == len(parts)
    why = "; ".join(dict.fromkeys(one["reason"] if whole else "%s, %s" % (one["layer"], one["reason"])
                                  for one in left))
    return dict(row, precision=FP32 if whole else INT8, why_fp32=why)


def table(report):
    """The report as lines of text.

    Parameters
    ----------
    report : dict
        Of :func:`summary`, with ``file_bytes`` and ``measured`` where there is something to say.
    """
    rows = [("layer", "precision", "thresholds", "range", "")] + [_cells(layer) for layer in report["layers"]]
    return ruled(rows, "<<<<<", header=True) + [""] + _steps(report) + _whole(report)


def _cells(layer):
    if layer["precision"] != INT8:
        return layer["layer"], layer["precision"], "-", "", "left in float32: " + layer["reason"]
    if layer["range"] is None:
        return layer["layer"], INT8, "-", "", "gives float32"
    return layer["layer"], INT8, layer["thresholds"] or "", "%.4g to %.4g" % tuple(layer["range"]), ""


def _steps(report):
    if not report["steps"]:
        return []
    rows = [("step", "error before", "after", "")]
    rows += [(one["step"], _number(one["before"]), _number(one["after"]), "kept" if one["kept"] else "not kept")
             for one in report["steps"]]
    return ruled(rows, "<>><", header=True) + [""]


def _whole(report):
    rows = totals(report) + file_sizes(report)
    lines = columns(rows, "<>>>><") if rows else []
    lines += ["input %s  %s" % (name, sizes(shape)) for name, shape in report["input_shapes"].items()]
    return lines + outcome(report)


def outcome(report):
    """list of str: how much of the network is INT8, and how far its outputs are from the float32 network's."""
    lines = ["%d of %d layers in INT8, thresholds from %d images%s" % (
        sum(layer["precision"] == INT8 for layer in report["layers"]), len(report["layers"]),
        report["calibration"]["images"] - report["held"],
        " of " + report["calibration"]["file"] if report["calibration"]["file"] else "")]
    errors = ", ".join("%s of %s" % (percent(error, 2), name) for name, error in report["errors"].items())
    lines.append("on %d images held aside, from %s: divergence %s; relative error %s" % (
        report["held"], report["made_by"]["original"] or "the float32 network", _number(report["divergence"]), errors))
    return lines


def _number(divergence):
    return "%.3g" % divergence
