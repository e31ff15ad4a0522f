"""What a run did, for machines and as tables for people."""
from accnn.core.text import before_after, cell, count, percent, ruled, sizes, times


def summary(state, stages, images):
    """dict: what became of every layer and what every stage brought.

    Parameters
    ----------
    state : State
        Of a run that is over.
    stages : list of Stage
    images : int
        Of one epoch.
    """
    epochs = sum(stage.epochs for stage in stages)
    return {"layers": [dict(item, fitness=_of_layer(state, item["layer"])) for item in state.layers],
            "given": state.given, "stages": [_stage(state, number) for number in range(len(state.done))],
            "epochs": epochs, "images": epochs * images, "convolutions": before_after(**state.macs),
            "made_by": state.made_by}


def _of_layer(state, name):
    """dict: eq. (12) of the first and the second pass."""
    return {record["stage"]: record["fitness"][name] for record in state.done if name in record["fitness"]}


def _stage(state, number):
    record, after = state.done[number], state.done[number + 1:number + 2]
    entries = record["entries"]
    # What a decomposition left is what the training behind it begins with.
    scored = entries[-1:] if entries else [entry for one in after for entry in one["entries"][:1] if not entry["epoch"]]
    fitness = record["fitness"]
    return {"group": record["group"], "stage": record["stage"], "epochs": record["epochs"],
            "layers": [item["layer"] for item in state.layers if item["group"] == record["group"]],
            "fitness": sum(fitness.values()) / len(fitness) if fitness else None,
            "train_loss": entries[-1]["train_loss"] if entries else None,
            "val_top1": _top1(scored[0]) if scored else None, "val_loss": scored[0]["val_loss"] if scored else None,
            "seconds": record["seconds"], "entries": entries}


def _top1(entry):
    return None if entry is None or entry["val_images"] is None else entry["val_right"] / entry["val_images"]


def table(report):
    """The report as lines of text."""
    return _layers(report) + [""] + _stages(report) + [""] + [
        "MACs, all convolutions  %s -> %s  %s  theoretical" % (
            count(report["convolutions"]["before"]), count(report["convolutions"]["after"]),
            times(report["convolutions"]["ratio"])),
        "%d epochs in all, %d images" % (report["epochs"], report["images"])]


def _layers(report):
    kinds = list(report["layers"][0]["fitness"])
    passes = ("fitness, first pass", "second pass") if len(kinds) > 1 else ("fitness",)
    rows = [("layer", "group", "method", "rank") + passes]
    rows += [(item["layer"], str(item["group"]), item["method"], sizes(item["rank"])) +
             tuple("%.4f" % item["fitness"][kind] for kind in kinds) for item in report["layers"]]
    return ruled(rows, "<><>" + ">" * len(kinds))


def _stages(report):
    rows = [("group", "stage", "layers", "epochs", "fitness", "loss", "val loss", "val top-1", "seconds")]
    if report["given"]:
        rows.append(("", "given", "", "", "", "", "%.4f" % report["given"]["val_loss"],
                     percent(_top1(report["given"])), ""))
    for stage in report["stages"]:
        rows.append((str(stage["group"]), stage["stage"], _some(stage["layers"]), str(stage["epochs"] or ""),
                     cell("%.4f", stage["fitness"]), cell("%.4f", stage["train_loss"]),
                     cell("%.4f", stage["val_loss"]), percent(stage["val_top1"]), "%.1f" % stage["seconds"]))
    return ruled(rows, "><<>>>>>>")


def _some(names):
    return ", ".join(names) if len(names) < 4 else "%s .. %s (%d)" % (names[0], names[-1], len(names))
