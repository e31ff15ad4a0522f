"""Plans of several ratios: what each is worth, as dicts for machines, as a table and as points of a front."""
from math import prod

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
        well it is known, ``ms``; ``predicted``, by latencies, where the plan is by these; ``energy``, the product over
        split layers of what their ranks keep; ``divergence`` in
        nats, as planned, where images said it; ``precision``; ``missed``, why it is not as fast as was asked for.
    """
    planned = plan.made_by.get("latency") or {}
    measured = timed["measured"] if timed else planned.get("measured")
    energies = [layer["energy"] for layer in summary["layers"] if layer["method"]]
    by_images = summary["calibration"] and plan.made_by.get("rank_selection") in _DIVERGENCES
    return {"ratio": ratio, "theoretical": summary["network"]["ratio"], "measured": measured,
            "ms": timed["median_ms"] if timed else planned.get("measured_ms"), "predicted": planned.get("predicted"),
            "energy": None if None in energies else prod(energies),
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
                              found["batch_size"], environment(), found["engine"],
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
    nothing = {"divergence": 0.0 if any(one["divergence"] is not None for one in rows) else None,
               "lost": 0.0 if any(one["scores"] for one in rows) else None, "energy": 1.0}
    is_measured = any(one["measured"] for one in rows)
    return (PlanPoint(baseline, 1.0, is_measured=is_measured, **nothing),) + tuple(
        _point(one, found) for one in rows)


def _point(one, found):
    lost, interval = _lost(one)
    return PlanPoint("%gx" % one["ratio"], one["measured"]["median"] if one["measured"] else one["theoretical"],
                     one["divergence"], lost, interval, one["precision"], found["engine"],
                     bool(one["measured"]), energy=one["energy"])


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
    cells = [(title, [_said(one, read, form) for one in rows]) for title, read, form in _COLUMNS]
    shown = [[title] + said for title, said in cells if any(said)]
    return (columns(list(zip(*shown)), ">" * (len(shown) - 1) + "<") if rows else []) + _about(found)


def _said(one, read, form):
    value = read(one)
    return "" if value is None else form(value)


def _interval(ends):
    return "%s to %s" % tuple(map(points, ends))


# Title, how the value is read from a row, how it is said; a column of which no row has a value is left out.
_COLUMNS = (
    ("asked", lambda one: one["ratio"], lambda ratio: "%gx" % ratio),
    ("theoretical", lambda one: one["theoretical"], times),
    ("measured", lambda one: one["measured"] and one["measured"]["median"], times),
    ("ms", lambda one: one["ms"], milliseconds),
    ("known to", lambda one: one["measured"] and one["measured"].get("uncertainty"), known_to),
    ("predicted", lambda one: None if one["measured"] else one["predicted"], times),
    ("", lambda one: one["missed"], lambda _: "missed"),
    ("divergence, nats", lambda one: one["divergence"], lambda nats: "%.3g" % nats),
    ("energy", lambda one: None if one["summary"]["calibration"] else one["energy"], percent),
    ("points lost", lambda one: _lost(one)[0], points),
    ("95% interval", lambda one: _lost(one)[1], _interval),
    ("written", lambda one: one.get("prefix"), str))


def _about(found):
    """list of str: how it was measured, and which ratios there are no plans for."""
    lines = ["%s: %s" % ("%gx" % one["ratio"], one["missed"]) for one in found["sweep"] if "theoretical" not in one]
    if found.get("original_ms") is not None:
        lines.insert(0, "original %s ms; %s%s" % (
            milliseconds(found["original_ms"]), conditions(found["threads"], found["batch_size"]),
            "; planned networks were timed in turns with it, with random weights"))
    return lines
