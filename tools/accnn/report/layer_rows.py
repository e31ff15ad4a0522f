"""Rows of layers: bars for the plot, cells for the table."""
from accnn.core.layers import FP32
from accnn.core.text import count, milliseconds, percent, sizes, times
from accnn.report.bar_chart import LayerBar
from accnn.report.plan_clock import by_layer
from accnn.report.tables import Cell, number, table

_HEAD = ("layer", "method", "rank", "precision", "MACs before", "after", "ratio", "ms before", "after", "ratio",
         "theory and clock", "energy", "error before", "after", "note")


def layer_bars(evidence):
    """list of LayerBar: of every layer whose shape is known."""
    summary = evidence.summary
    clock = by_layer(dict(summary, measured=evidence.timings))
    return [LayerBar(layer["layer"], layer["macs_before"], layer["macs_after"], *clock.get(layer["layer"],
                                                                                           (None, None)))
            for layer in summary["layers"] if layer["macs_before"] is not None]


def layer_table(evidence, bars):
    """Table: of every layer."""
    by_name = {bar.layer: bar for bar in bars}
    return table("Every layer", _HEAD, [_cells(layer, by_name.get(layer["layer"], LayerBar(layer["layer"])))
                                        for layer in evidence.summary["layers"]])


def _cells(layer, bar):
    fitted = layer.get("reconstruction") or {"before": None, "after": None}
    is_split = layer["method"] is not None or bar.macs_before != bar.macs_after
    return (layer["layer"], layer["method"] or "", _rank(layer["rank"]),
            layer["precision"] if layer["precision"] != FP32 else "",
            number(count, bar.macs_before), number(count, bar.macs_after),
            number(times, bar.theoretical if is_split else None),
            number(milliseconds, bar.ms_before), number(milliseconds, bar.ms_after),
            number(times, bar.measured if is_split else None),
            Cell(bar.verdict, mark="verdict " + bar.verdict.replace(" ", "-")) if is_split else "",
            number(percent, layer.get("energy")), number(percent, fitted["before"]),
            number(percent, fitted["after"]), _note(layer))


def _note(layer):
    """str: why a layer was left alone, or what is to be said of its chain, and why it is in float32."""
    why = ["in float32: " + layer["why_fp32"]] if layer.get("why_fp32") else []
    return "; ".join(list(filter(None, [layer.get("reason") or layer.get("remark")])) + why)


def _rank(rank):
    if rank is None:
        return ""
    return number(lambda _: sizes(rank), rank[0] if isinstance(rank, (tuple, list)) else rank)
