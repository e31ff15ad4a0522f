"""What was measured, as text for people."""
from accnn.core.text import columns, count, percent, ruled, sizes, some, times
from accnn.core.text import milliseconds as _ms
from accnn.timing.clock import NOT_COMPARED, REPLACED, UNCHANGED, conditions, known_to


def lines(result):
    """list of str: the whole networks, then a table of layers for every run that has one.

    Parameters
    ----------
    result : dict
        See :func:`accnn.timing.client.measure`.
    """
    text = _head(result) + [""] + _whole(result)
    for run in result["runs"]:
        if "layers" in run:
            text += [""] + _layers(run)
    return text


def _head(result):
    machine, macs = result["environment"], result["theoretical"]
    rows = [(side, "%s, epoch %d" % (network["prefix"], network["epoch"]))
            for side, network in result["networks"].items()]
    rows += [("input " + name, sizes(shape)) for name, shape in result["input_shapes"].items()]
    rows += [("machine", "%s, %d cores" % (machine["cpu"], machine["cores"])),
             ("mxnet", "%s, subgraph backend %s" % (machine["mxnet"], machine["MXNET_SUBGRAPH_BACKEND"] or "default")),
             ("instructions", instructions(machine))]
    if macs["ratio"] is not None:
        rows.append(("theoretical", "%s: MACs %s -> %s over convolutions and fully connected layers"
                     % (times(macs["ratio"]), count(macs["macs_before"]), count(macs["macs_after"]))))
    elif macs["macs_after"] is not None:
        rows.append(("MACs", "%s over convolutions and fully connected layers" % count(macs["macs_after"])))
    if macs["uncounted"]:
        rows.append(("", "layers of unknown shape, which are not counted: %d" % macs["uncounted"]))
    return columns(rows, "<<")


def instructions(machine):
    """str: the instruction set that ran, and whether AMX did.

    Parameters
    ----------
    machine : dict
        See :func:`accnn.timing.machine.environment`.
    """
    return "%s, AMX %s" % (machine["isa"], "on" if machine["amx"] else "off")


def _whole(result):
    """One line a run; quartiles in brackets, since a median alone does not say how far to trust it."""
    if "rows" in result["runs"][0]:
        return _engines(result)
    if "baseline" not in result["networks"]:
        rows = [("threads", "batch", "ms", "[quartiles]", "images/s", "rounds")]
        rows += [_setting(run) + _milliseconds(run["model"]) + (_rate(run["model"]), str(run["model"]["rounds"]))
                 for run in result["runs"]]
        return ruled(rows, ">>>>>>")
    rows = [("threads", "batch", "baseline ms", "[quartiles]", "model ms", "[quartiles]", "images/s", "->",
             "theoretical", "measured", "[quartiles]", "known to", "rounds")]
    for run in result["runs"]:
        measured = run["measured"]
        rows.append(_setting(run) + _milliseconds(run["baseline"]) + _milliseconds(run["model"]) +
                    (_rate(run["baseline"]), _rate(run["model"]), times(result["theoretical"]["ratio"])) +
                    _ratio(measured) + (known_to(measured["uncertainty"]), str(measured["rounds"])))
    return ruled(rows, ">" * 13)


def _engines(result):
    """A line for every network in every engine and precision, and what really ran, or why nothing did."""
    rows = [("threads", "batch", "network", "engine", "precision", "ms", "[quartiles]", "images/s", "measured",
             "[quartiles]", "known to", "rounds", "difference", "")]
    reasons = {}
    for run in result["runs"]:
        for row in run["rows"]:
            named = _setting(run) + (row["network"], " ".join(filter(None, (row["engine"], row["version"]))),
                                     row["precision"])
            if "refused" in row:
                reasons.setdefault(row["refused"], []).append(" ".join((row["network"], row["engine"],
                                                                        row["precision"])))
            rows.append(named + (("",) * 8 + ("did not run",) if "refused" in row else _figures(row)))
    return ruled(rows, ">><<<>>>>>>>><") + ["did not run: %s: %s" % (", ".join(dict.fromkeys(found)), why)
                                            for why, found in reasons.items()]


def _figures(row):
    measured = row["measured"]
    return (_milliseconds(row) + (_rate(row),) +
            (_ratio(measured) + (known_to(measured["uncertainty"]),) if measured else ("", "", "")) +
            (str(row["rounds"]), "" if row["difference"] is None else _difference(row["difference"]), row["ran"]))


def _difference(share):
    return percent(share, 2) if share >= 1e-4 else "%.0e" % share


def _layers(run):
    rows = [("layer", "theoretical", "measured", "[quartiles]", "baseline ms", "model ms", "GFLOP/s", "->", "")]
    found = {status: [row for row in run["layers"]["rows"] if row["status"] == status]
             for status in (REPLACED, UNCHANGED, NOT_COMPARED)}
    rows += [_layer(row) for row in found[REPLACED]]
    if found[UNCHANGED]:
        rows.append(_unchanged(found[UNCHANGED], run["batch_size"]))
    if not found[REPLACED] + found[UNCHANGED]:
        return _left_out(found[NOT_COMPARED])
    total, whole = run["layers"]["sum"], [run[side]["median_ms"] for side in ("baseline", "model")]
    inside = total["before_ms"], total["after_ms"]
    outside = [a - b for a, b in zip(whole, inside)]
    rows += [_total("sum of the layers", *inside), _total("outside the layers", *outside),
             _total("whole network", *whole)]
    title = "layers, each in isolation: " + _place(run)
    return [title] + ruled(rows, "<>>>>>>><") + _left_out(found[NOT_COMPARED])


def _left_out(rows):
    reasons = {}
    for row in rows:
        reasons.setdefault(row["reason"], []).append(row["layer"])
    return ["not compared: %s: %s" % (some(layers), reason) for reason, layers in reasons.items()]


def _layer(row):
    return ((row["layer"], times(row["theoretical"])) + _ratio(row["measured"]) +
            (_ms(row["before"]["median_ms"]), _ms(row["after"]["median_ms"]),
             "%.1f" % row["gflops_before"], "%.1f" % row["gflops_after"], ", ".join(row["chain"])))


def _unchanged(rows, batch_size):
    milliseconds = sum(row["before"]["median_ms"] for row in rows)
    rate = "%.1f" % (2e-6 * batch_size * sum(row["macs_before"] for row in rows) / milliseconds) if milliseconds else ""
    return ("%d unchanged" % len(rows), "", "", "", _ms(milliseconds), _ms(milliseconds), rate, rate, "")


def _total(title, before, after):
    return (title, "", "", "", _ms(before), _ms(after), "", "", "")


def _place(run):
    return conditions(run["threads"], run["batch_size"])


def _setting(run):
    return str(run["threads"]), str(run["batch_size"])


def _milliseconds(timing):
    return _ms(timing["median_ms"]), "[%s %s]" % tuple(map(_ms, timing["quartiles_ms"]))


def _ratio(measured):
    return times(measured["median"]), "[%.2f %.2f]" % tuple(measured["quartiles"])


def _rate(timing):
    return "%.1f" % timing["images_per_second"]


def noise(result, noisy):
    """list of str: a sentence for every measurement whose interquartile range is above `noisy` times its median."""
    sentences = []
    for run in result["runs"]:
        place = _place(run)
        for what, found in _timed(run, result["networks"]):
            if found["spread"] > noisy:
                sentences.append("noisy: %s at %s: half of its %d rounds lie within %s to %s ms, %s of the median"
                                 % ((what, place, found["rounds"]) + tuple(map(_ms, found["quartiles_ms"])) +
                                    (percent(found["spread"], 0),)))
        sentences += _noisy_layers(run, place, noisy)
    return sentences


def _timed(run, sides):
    """list of (str, dict): what a run has timed as a whole."""
    if "rows" in run:
        return [("%s in %s %s" % (row["network"], row["engine"], row["precision"]), row) for row in run["rows"]
                if "refused" not in row]
    return [(side, run[side]) for side in sides]


def _noisy_layers(run, place, noisy):
    rows = [(max(row["before"]["spread"], row["after"]["spread"]), row["layer"])
            for row in run.get("layers", {}).get("rows", ()) if row["status"] != NOT_COMPARED]
    wide = [row for row in rows if row[0] > noisy]
    if not wide:
        return []
    return ["noisy: %d of %d layers at %s; the worst, %s, has an interquartile range of %s of its median"
            % (len(wide), len(rows), place, max(wide)[1], percent(max(wide)[0], 0))]
