"""Sections on what networks answer: scores with their interval, and where two networks disagree."""
from accnn.core.text import cell, percent, points
from accnn.report import charts, style
from accnn.report.sections import Plot, Section, source_of
from accnn.report.tables import number, table

_MOST_CLASSES = 40  # more than that would be no picture, but a list
_MOST_PAIRS = 200


def scores(evidence):
    """Section or None: accuracy of both networks on the same images."""
    found = evidence.scores
    if not found or "model" not in found:
        return None
    before, after, pair = found.get("baseline"), found["model"], found.get("paired")
    rows = [("top-" + k, number(percent, before and before["top"][k]["accuracy"]),
             number(percent, after["top"][k]["accuracy"]),
             number(points, pair and pair["drop"][k]), _interval(pair) if k == "1" else "")
            for k in after["top"]]
    rows.append(("cross-entropy, nats", number(_four, before and before["cross_entropy"]),
                 number(_four, after["cross_entropy"]), "", ""))
    says = ["%d images of %s, each once." % (after["images"], found["data"]["file"])]
    if pair:
        says.append("Both networks give the same answer to %s of them; %d are right only in the original, %d only in "
                    "the new network. The interval is the one of the difference of paired proportions (Agresti and "
                    "Min, 2005)." % (percent(pair["agreement"]), pair["only_baseline_right"],
                                     pair["only_model_right"]))
    return Section("scores", "Accuracy", source_of(evidence, "scores"), tuple(says), (), (
        table("Accuracy on the same images", ("", "original", "new", "points lost", "95% interval"), rows),))


def _interval(pair):
    return "%s to %s" % tuple(map(points, pair["drop_interval_95"])) if pair else ""


def _four(value):
    return cell("%.4f", value)


def disagreement(evidence):
    """Section or None: which answers became which, and the images that changed the most."""
    found = evidence.disagreement
    if found is None:
        return None
    differ = sum(found.pairs.values())
    says = ["%d of %d images get another answer than before (%s)." % (differ, found.images,
                                                                      percent(differ / found.images))]
    if found.changes:
        says.append("Below them, the %d images whose probabilities changed the most, by the divergence of the new "
                    "network's from the original's." % len(found.changes))
    pairs = sorted(found.pairs.items(), key=lambda item: (-item[1], item[0]))
    behind = table("Answers that changed", ("answer before", "after", "images"), [
        (number(str, before), number(str, after), number(str, images))
        for (before, after), images in pairs[:_MOST_PAIRS]])
    if len(pairs) > _MOST_PAIRS:
        says.append("The table has the %d most frequent of %d changes." % (_MOST_PAIRS, len(pairs)))
    classes = sorted({one for pair in found.pairs for one in pair})
    plots = (_confusion(classes, found.pairs, behind),) if 0 < len(classes) <= _MOST_CLASSES else ()
    return Section("disagreement", "Where the networks disagree", source_of(evidence, "disagreement"), tuple(says),
                   plots, () if plots or not pairs else (behind,), found.changes)


def _confusion(classes, pairs, behind):
    side = min(max(2.2 + 0.26 * len(classes), 3.4), 7)
    with style.styled():
        made = style.figure((side, side))
        charts.draw_confusion(made.subplots(), classes, pairs)
        text = style.svg(made, "confusion", "Answers that changed",
                         "; ".join("%d became %d: %d images" % (before, after, images) for (before, after), images in
                                   sorted(pairs.items(), key=lambda item: -item[1])[:20]))
    return Plot(text, "How many images got which answer of the original (rows) and of the new network (columns), where "
                      "these differ.", behind)
