"""Plans of several ratios: what each is worth, as dicts for machines, as a table and as points of a front."""
from accnn import engines
from accnn.core.text import columns, milliseconds, percent, points, times
from accnn.report.card import Measured
from accnn.report.evidence import PlanPoint
from accnn.timing.clock import conditions, known_to
from accnn.timing.machine import environment

# Rank rules whose objective is minus the sum of divergences, where images are given.
_DIVERGENCES = ("sensitivity", "latency")


def row(ratio, plan, summary, timed=None):
    """dict: what a plan is worth.

    Parameters
    ----------
    ratio : float
        That was asked for.
    plan : Plan
    summary : dict
        Of :func:`accnn.report.plan.summary`.
    timed : dict, optional
        Of the planned network, one of the ``plans`` of :func:`accnn.timing.client.time_networks`; default: what the
        plan says itself of how it was measured.

    Returns
    -------
    dict
        ``ratio`` that was asked for, ``theoretical`` over the whole network, ``measured`` with its quartiles and how
        well it is known, ``ms``; ``energy``, the product over split layers of what their ranks keep; ``divergence`` in
        nats, as planned, where images said it; ``precision``; ``missed``, why it is not as fast as was asked for.
    """
    planned = plan.made_by.get("latency") or {}
    measured = timed["measured"] if timed else planned.get("measured")
    energy = 1.0
    for layer in summary["layers"]:
        energy *= 1.0 if layer["energy"] is None else layer["energy"]
    by_images = summary["calibration"] and plan.made_by.get("rank_selection") in _DIVERGENCES
    return {"ratio": ratio, "theoretical": summary["network"]["ratio"], "measured": measured,
            "ms": timed["median_ms"] if timed else planned.get("measured_ms"), "energy": energy,
            "divergence": -plan.made_by["objective"] if by_images else None, "precision": plan.precision,
            "missed": planned.get("missed"), "scores": None, "summary": summary}


def measured_of(plan, timed, found):
    """Measured or None: the same milliseconds for a model card.

    Parameters
    ----------
    plan, timed
        As for :func:`row`.
    found : dict
        With ``original_ms``, ``threads`` and ``batch_size``.
    """
    planned = plan.made_by.get("latency") or {}
    ratio, ms = (timed["measured"], timed["median_ms"]) if timed else (planned.get("measured"), planned.get(
        "measured_ms"))
    return ratio and Measured(ratio, found["original_ms"] if timed else planned["before_ms"], ms, found["threads"],
                              found["batch_size"], environment(), found.get("engine", engines.DEFAULT),
                              "the planned network, with random weights")


def front(found, baseline):
    """tuple of PlanPoint: the original and every plan, by measured ratios, or theoretical ones where nothing was timed.

    Parameters
    ----------
    found : dict
        With ``original_ms`` and ``sweep``, a list of :func:`row`.
    baseline : str
        Prefix of the original.
    """
    rows = [one for one in found["sweep"] if "theoretical" in one]
    is_measured = all(one["measured"] for one in rows)
    nothing = {"divergence": 0.0 if any(one["divergence"] is not None for one in rows) else None,
               "lost": 0.0 if any(one["scores"] for one in rows) else None, "energy": 1.0}
    return (PlanPoint(baseline, 1.0, is_measured=is_measured, **nothing),) + tuple(
        _point(one, found, is_measured) for one in rows)


def _point(one, found, is_measured):
    lost, interval = _lost(one)
    return PlanPoint("%gx" % one["ratio"], one["measured"]["median"] if is_measured else one["theoretical"],
                     one["divergence"], lost, interval, one["precision"], found.get("engine", engines.DEFAULT),
                     is_measured, energy=one["energy"])


def _lost(one):
    """(float, (float, float)) or (None, None): share of top-1 that is lost, and its 95% interval."""
    pair = one["scores"] and one["scores"].get("paired")
    return (pair["drop"]["1"], tuple(pair["drop_interval_95"])) if pair and "1" in pair["drop"] else (None, None)


def table(found):
    """list of str: a line for every ratio.

    Parameters
    ----------
    found : dict
        See :func:`front`; a ratio that cannot be reached has ``missed`` alone.
    """
    rows = [one for one in found["sweep"] if "theoretical" in one]
    shown = [("asked", lambda one: "%gx" % one["ratio"]), ("theoretical", lambda one: times(one["theoretical"]))]
    if any(one["measured"] for one in rows):
        shown += [("measured", _measured), ("ms", lambda one: milliseconds(one["ms"])),
                          ("known to", lambda one: known_to(one["measured"].get("uncertainty")) or "")]
    if any(one["divergence"] is not None for one in rows):
        shown.append(("divergence, nats", lambda one: "%.3g" % one["divergence"]))
    else:
        shown.append(("energy", lambda one: percent(one["energy"])))
    if any(_lost(one)[0] is not None for one in rows):
        shown += [("points lost", lambda one: points(_lost(one)[0])),
                          ("95% interval", lambda one: "%s to %s" % tuple(map(points, _lost(one)[1])))]
    if any(one.get("written") for one in rows):
        shown.append(("written", lambda one: one["prefix"]))
    cells = [[title for title, _ in shown]] + [[cell(one) for _, cell in shown] for one in rows]
    return (columns(cells, ">" * (len(shown) - 1) + "<") if rows else []) + _about(found)


def _measured(one):
    return times(one["measured"]["median"]) + (" (missed)" if one["missed"] else "")


def _about(found):
    """list of str: how it was measured, and which ratios there are no plans for."""
    lines = ["%s: %s" % ("%gx" % one["ratio"], one["missed"]) for one in found["sweep"] if "theoretical" not in one]
    if found.get("original_ms") is not None:
        lines.insert(0, "original %s ms; %s%s" % (
            milliseconds(found["original_ms"]), conditions(found["threads"], found["batch_size"]),
            "; planned networks were timed in turns with it, with random weights"))
    return lines
