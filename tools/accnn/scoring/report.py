"""What scoring found, as a dict for machines and as a table for people."""
import numpy as np

from accnn.core.text import columns, percent, points, sizes
from accnn.scoring.tally import drop_interval


def model_report(prefix, epoch, tally):
    """dict: the answers of one network."""
    n = tally.images
    return {"model": prefix, "epoch": epoch, "output": tally.head.name, "classes": tally.head.classes, "images": n,
            "top": {str(k): {"right": right, "accuracy": right / n} for k, right in tally.right.items()},
            "cross_entropy": tally.loss / n}


def pair_report(after, before, pair):
    """dict: two networks on the same images; drops are before minus after, as shares."""
    low, high = drop_interval(pair.only_second, pair.only_first, pair.images)
    return {"agree": pair.agree, "agreement": pair.agree / pair.images, "only_model_right": pair.only_first,
            "only_baseline_right": pair.only_second,
            "drop": {k: before["top"][k]["accuracy"] - after["top"][k]["accuracy"] for k in after["top"]},
            "drop_interval_95": [low, high]}


def class_report(tallies):
    """list of dict: every class that has images, with the right answers of each network."""
    images = tallies[0].of_class
    return [{"class": int(number), "images": int(images[number]),
             "right": [int(tally.right_of_class[number]) for tally in tallies]} for number in np.flatnonzero(images)]


def fidelity_report(tally):
    """dict: how far the outputs of two networks are apart."""
    return {"images": tally.images, "relative_error": tally.relative_errors()}


def table(report):
    """The report as lines of text."""
    lines = []
    if "fidelity" in report:
        lines += columns([("output", "relative error", "")] + [
            (name, "baseline is 0" if error is None else "%.3e" % error, "")
            for name, error in report["fidelity"]["relative_error"].items()], "<><")
    if "model" in report:
        lines += _accuracy(report["model"], report.get("baseline"), report.get("paired"))
    if "per_class" in report:
        lines += [""] + _classes(report)
    return lines + [""] + _footer(report)


def _accuracy(model, baseline, paired):
    rows = [("", "baseline", "model", "drop", "")] if baseline else [("", "model", "")]
    for k, top in model["top"].items():
        said = "%d of %d right" % (top["right"], model["images"])
        if not baseline:
            rows.append(("top-" + k, percent(top["accuracy"]), said))
            continue
        old, note = baseline["top"][k], "points; %d and %s" % (baseline["top"][k]["right"], said)
        if k == "1":
            note += "; 95%% interval %s to %s" % tuple(map(points, paired["drop_interval_95"]))
        rows.append(("top-" + k, percent(old["accuracy"]), percent(top["accuracy"]),
                     points(paired["drop"][k]), note))
    loss = ("cross-entropy", "%.4f" % model["cross_entropy"], "nats")
    rows.append(loss if not baseline else (
        loss[0], "%.4f" % baseline["cross_entropy"], loss[1],
        "%+.4f" % (baseline["cross_entropy"] - model["cross_entropy"]), "nats"))
    if baseline:
        rows.append(("same answer", "", percent(paired["agreement"]), "", "%d of %d images; %d right only before, %d "
                     "only after" % (paired["agree"], model["images"], paired["only_baseline_right"],
                                     paired["only_model_right"])))
    return columns(rows, "<>>><" if baseline else "<><")


def _classes(report):
    names = ["baseline", "model"] if "baseline" in report else ["model"]
    rows = [("class", "images") + tuple(names)]
    for row in report["per_class"]:
        right = row["right"][::-1]  # the model is counted first, and shown last
        rows.append((str(row["class"]), str(row["images"])) + tuple(
            percent(count / row["images"]) for count in right))
    return columns(rows, ">>" + ">" * len(names))


def _footer(report):
    data, speed = report["data"], report.get("images_per_second")
    lines = ["%d images of %s, each once; input %s" % (data["images"], data["file"],
                                                       sizes(data["image_shape"]))]
    if speed:
        parts = ["decoding alone %.0f" % speed["decoding"]]
        parts += ["%s alone %.0f" % (name, speed[name]) for name in ("model", "baseline") if name in speed]
        lines.append("%.0f images/s: %s (batch %d%s)" % (speed["pass"], ", ".join(parts), data["batch_size"],
                                                         "" if data["workers"] == 1 else
                                                         ", %d workers" % data["workers"]))
    lines += ["the %s ran in %s %s: %s" % (side, ran["engine"], ran["version"], ran["ran"])
              for side, ran in report.get("ran", {}).items()]
    return lines
