"""Sections on what runs did to a network after it was split: epochs, two passes, INT8."""
from accnn.core.layers import FP32
from accnn.core.text import exact, percent
from accnn.report import charts, style
from accnn.report.sections import Plot, Section, source_of, told
from accnn.report.tables import number, table


def history(evidence):
    """Section or None: loss and accuracy by epoch."""
    epochs = [_epoch(row) for row in evidence.history]
    if not epochs:
        return None
    validated = any(row.get(name) is not None for row in epochs for name in ("val_top1", "train_top1"))
    with style.styled():
        made = style.figure((7.2 if validated else 4, 2.8))
        charts.draw_history(made.subplots(1, 1 + validated, squeeze=False)[0], epochs)
        text = style.svg(made, "history", "Fine-tuning by epoch", told([_told_epoch(row) for row in epochs]))
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
