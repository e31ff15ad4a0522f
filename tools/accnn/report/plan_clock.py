"""Milliseconds in the report of a plan: of its layers, of the whole network, and a word where theory promised more."""
from accnn.core.layers import FP32
from accnn.core.text import milliseconds, percent, times
from accnn.engines import DEFAULT
from accnn.planning.plan import of_this_run
from accnn.timing.clock import conditions, known_to

APART = 0.15  # of the theoretical speed-up: by more the clock and theory have parted, which is worth a word


def by_layer(report):
    """dict of str to (float, float): milliseconds of layers, before and after, as measured now or when planning.

    Parameters
    ----------
    report : dict
        Of :func:`accnn.report.plan.summary`, with ``measured`` where what the plan made was timed.
    """
    timed = (report["measured"]["runs"][0] if report.get("measured") else {}).get("layers")
    if timed:
        rows = timed["rows"]
        return {row["layer"]: (row["before"]["median_ms"], row["after"]["median_ms"])
                for row in rows if "before" in row}
    planned = _planned(report)
    return {name: (one["before_ms"], one["after_ms"]) for name, one in planned["layers"].items()} if planned else {}


def totals(report):
    """list of tuple of str: rows of milliseconds for the whole network, as the report's other totals are."""
    rows, planned = [], _planned(report)
    if report.get("measured"):
        run, isa = report["measured"]["runs"][0], report["measured"]["environment"]["isa"]
        before, after = run["baseline"], run["model"]
        rows += _over_originals(run) if "over" in run else [(
            "ms, whole network", milliseconds(before["median_ms"]), "->", milliseconds(after["median_ms"]),
            times(run["measured"]["median"]),
            "measured%s; %s" % (_against(report), _how_sure(run, run["measured"], isa)))]
    elif planned and planned["measured"]:
        found = planned["measured"]
        rows.append(("ms, whole network", milliseconds(planned["before_ms"]), "->",
                     milliseconds(planned["measured_ms"]), times(found["median"]),
                     "measured with random weights%s; %s" % (
                         _against(report), _how_sure(planned, found, planned.get("isa")))))
    if planned and (planned["measured"] or planned["foreign"]):
        note = (percent(planned["prediction_error"], 1, "+") + " off" if planned["measured"] else
                "for " + planned["machine"])
        rows.append(("ms, predicted", milliseconds(planned["before_ms"]), "->", milliseconds(planned["predicted_ms"]),
                     times(planned["predicted"]), note))
    return rows


def _over_originals(run):
    """list of tuple of str: milliseconds in the engine of a plan, over each of the originals."""
    model = run["model"]
    return [("ms, over %(engine)s %(precision)s" % one, milliseconds(one["median_ms"]), "->",
             milliseconds(model["median_ms"]), times(one["measured"]["median"]),
             "measured, %s %s, %s; %s" % (model["engine"], model["version"], model["ran"],
                                          _how_sure(run, one["measured"], None))) for one in run["over"]]


def _against(report):
    """str: in which engine or precision the new network was measured, where it is another than the original's."""
    planned = _planned(report)
    if planned and planned.get("over") and not planned["engine"].startswith(DEFAULT):
        return ", %s %s against %s" % (planned["engine"], report["made_by"].get("precision", FP32), planned["over"])
    low = sorted({layer["precision"] for layer in report["layers"]} - {FP32})
    return ", %s against %s" % (low[0], FP32) if low else ""


def _how_sure(run, ratio, isa):
    """str: what a ratio was measured with, how its rounds spread, and how well their median is known."""
    known = known_to(ratio.get("uncertainty"))  # plans that were written by earlier versions have none
    return "%s%s, quartiles %.2f %.2f%s" % (
        (conditions(run["threads"], run["batch_size"]), ", " + isa if isa else "") + tuple(ratio["quartiles"]) +
        (", known to " + known if known else "",))


def _planned(report):
    """dict or None: how the plan was measured, unless that was another run, whose plan is read from a file."""
    return report["made_by"].get("latency") if of_this_run(report["made_by"]) else None


def hints(report):
    """list of str: a word where the clock says much less than theory.

    Parameters
    ----------
    report : dict
        Of :func:`accnn.report.plan.summary`, with ``measured`` where what the plan made was timed.
    """
    if not report.get("measured"):
        return []
    theoretical = report["measured"]["theoretical"]["ratio"]
    found = report["measured"]["runs"][0]["measured"]["median"]
    if theoretical is None or found >= (1 - APART) * theoretical:
        return []
    made_by, sentence = report["made_by"], (
        "the clock says %s where theory says %s, %s less: ranks that fit no kernel, or layers that wait for "
        "memory" % (times(found), times(theoretical), percent(1 - found / theoretical, 0)))
    if made_by.get("latency"):
        return [sentence]
    remedies = ["`align=16`"] * (made_by.get("align", 1) == 1)
    if report["weight_types"] == ["float32"]:  # the only one in which chains are timed
        remedies.append("`cost='latency'`, which plans by measured latency" +
                        ("" if "precision" in made_by else ", and with `precision='int8'` for INT8 kernels"))
    return [sentence + ("; try " + " or ".join(remedies) if remedies else "")]
