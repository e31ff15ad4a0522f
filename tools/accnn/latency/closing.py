"""Closing the loop: a plan is measured as a whole, and the budget corrected until the clock says what was asked for."""
from dataclasses import dataclass
from math import log

from accnn.cli import say
from accnn.errors import AccnnError, TargetError
from accnn.ranks.base import Selection, Unreachable

TOLERANCE = 0.03  # of the speed-up that was asked for
_AIM = 1.01  # times the speed-up: what the clock says next time may be a little less
_ATTEMPTS = 6  # plans that are measured
_STEP = 1.015  # by which another speed-up is tried where the last one gave a plan that was measured already
_STEPS = 40
_NOISY = 0.03  # uncertainty of a ratio from which a machine cannot tell whether a plan is right
_BELIEVED = 0.7, 1.4  # corrections beyond are not carried over to the next run


@dataclass(frozen=True)
class Attempt:
    """A plan that was measured.

    Attributes
    ----------
    selection : Selection
    predicted : float
        Speed-up by the sum of its chains.
    baseline, measured : dict
        Of the whole network, untouched and planned: see :func:`accnn.timing.parent.time_networks`.
    """

    selection: Selection
    predicted: float
    baseline: dict
    measured: dict

    @property
    def ratio(self):
        """float: the median of the measured speed-ups."""
        return self.measured["measured"]["median"]


def settle(sharing, cost, surveyor, measuring):
    """Choose a plan whose measured speed-up is that asked for, within 3%, or as near above as there is.

    Parameters
    ----------
    sharing : accnn.planning.Sharing
    cost : Measured
    surveyor : Surveyor
    measuring : Measuring

    Returns
    -------
    (Selection, dict)

    Raises
    ------
    TargetError
        No plan is as fast; says how fast the fastest is.
    AccnnError
        The machine is too noisy to tell.
    """
    asked = sharing.request.ratio
    if not surveyor.here:
        selection, least = _at(sharing, asked)
        missed = _unreached(sharing, sharing.speed_up(selection.cost), "predicted") if least else None
        return _ended(sharing, cost, selection, missed, None, measuring)
    attempts, exhausted = _attempts(sharing, cost, surveyor, asked)
    best = _best(attempts, asked)
    missed = None
    if best.ratio < asked * (1 - TOLERANCE):
        missed = _unreached(sharing, best.ratio, "measured") if exhausted else _not_found(asked, attempts)
    else:
        cost.remember(asked, best.predicted / best.ratio)
    return _ended(sharing, cost, best.selection, missed, best, measuring)


def _attempts(sharing, cost, surveyor, asked):
    """Return a list of Attempt, until one is right or nothing else is left, and whether the fastest of all is one."""
    attempts, aim, measured, exhausted = [], asked * _AIM * _correction(cost, asked), {}, False
    for _ in range(_STEPS):
        most = aim <= 1  # nothing that was measured may be slower
        selection, least = _at(sharing, max(aim, 1.0))
        keys = cost.plan_keys(dict(selection.picks, **sharing.pinned))
        mark, exhausted = tuple(sorted(keys.items())), exhausted or least
        if mark not in measured:
            if len(attempts) == _ATTEMPTS:
                break
            attempts.append(_measured(sharing, surveyor, selection, keys))
            measured[mark] = attempts[-1]
            aim = attempts[-1].predicted * asked * _AIM / attempts[-1].ratio
        else:  # the options are coarse: go on in the same direction
            aim = aim * _STEP if measured[mark].ratio < asked else aim / _STEP
        ratio = measured[mark].ratio
        if (asked <= ratio <= asked * (1 + TOLERANCE) or (least and ratio < asked) or
                (most and ratio > asked) or _bracketed(attempts, asked, aim)):
            break
    return attempts, exhausted


def _measured(sharing, surveyor, selection, keys):
    answer = surveyor.networks([keys])
    found, = answer["plans"]
    refuse_noise(found["measured"], "the planned network")
    attempt = Attempt(selection, sharing.speed_up(selection.cost), answer["baseline"], found)
    say("planned %.2fx, measured %.2fx" % (attempt.predicted, attempt.ratio))
    return attempt


def _bracketed(attempts, asked, aim):
    """True where `aim` lies beyond a plan that was measured on the other side of what is asked for."""
    slower = [one.predicted for one in attempts if one.ratio < asked]
    faster = [one.predicted for one in attempts if one.ratio >= asked]
    return bool(slower and faster) and (aim <= min(min(slower), min(faster)) or aim >= max(max(slower), max(faster)))


def _at(sharing, ratio):
    """Return the Selection for a ratio, or the cheapest there is, and whether it is that."""
    try:
        return sharing.at(ratio), False
    except Unreachable as error:
        return sharing.at(sharing.speed_up(error.least) * (1 - 1e-9)), True


def _best(attempts, asked):
    """The slowest Attempt that is fast enough, within what the clock can tell; else the fastest."""
    enough = [one for one in attempts if one.ratio >= asked]
    if enough and min(one.ratio for one in enough) <= asked * (1 + TOLERANCE):
        return min(enough, key=lambda one: one.ratio)
    near = [one for one in attempts if one.ratio >= asked * (1 - TOLERANCE)]
    return min(near, key=lambda one: abs(log(one.ratio / asked))) if near else max(attempts, key=lambda one: one.ratio)


def _correction(cost, asked):
    """float: by how much like plans of this network had to be asked for more than what the clock said."""
    known = {ratio: factor for ratio, factor in cost.corrections().items()
             if _BELIEVED[0] <= factor <= _BELIEVED[1]}
    return known[min(known, key=lambda ratio: abs(log(ratio / asked)))] if known else 1.0


def _unreached(sharing, best, how):
    return ("%gx (latency, over the whole network) cannot be reached: the best %s is %.2fx, with the cheapest choice "
            "everywhere%s; ask for less, or say --best-effort to have that"
            % (sharing.request.ratio, how, best, _staying(sharing.total)))


def _staying(total):
    """The share of the time that no plan changes, where there is some."""
    share = 100 * total.fixed / total.before
    return " (%.0f%% of the time is in what stays)" % share if share >= 1 else ""


def _not_found(asked, attempts):
    found = ", ".join("%.2fx for %.2fx" % (one.ratio, one.predicted) for one in attempts)
    return ("no plan for %gx (latency, over the whole network) measured what was predicted: %s; ask for another ratio, "
            "or say --best-effort to have the fastest of these" % (asked, found))


def _ended(sharing, cost, selection, missed, best, measuring):
    # The table's milliseconds are those of the day it was begun; today's come of the network that was measured.
    before = sharing.total.before if best is None else best.baseline["median_ms"]
    layers = cost.told(dict(selection.picks, **sharing.pinned), before / sharing.total.before)
    if measuring.exported is not None:
        cost.export(measuring.exported)
    if missed and not measuring.best_effort:
        raise TargetError(missed)
    setting, predicted = cost.table.setting, sharing.speed_up(selection.cost)
    found = {"machine": setting.machine, "threads": setting.threads, "batch_size": setting.batch_size,
             "before_ms": before, "predicted": predicted, "predicted_ms": before / predicted,
             "layers": layers, "missed": missed, "measured": None}
    if best is None:
        return selection, {"latency": found}
    found.update(measured=best.measured["measured"], measured_ms=best.measured["median_ms"],
                 prediction_error=best.ratio / predicted - 1)
    return selection, {"latency": found, "reached": best.ratio}


def refuse_noise(sample, what):
    """Refuse what cannot be told from noise.

    Parameters
    ----------
    sample : dict
        With ``uncertainty`` and ``rounds``.
    what : str

    Raises
    ------
    AccnnError
    """
    if sample["uncertainty"] > _NOISY:
        raise AccnnError("this machine is too noisy to measure %s: after %d rounds its time is known to %.0f%%, and "
                         "half of them spread over %.0f%% of the median; stop what else runs, or give more --repeats"
                         % (what, sample["rounds"], 100 * sample["uncertainty"], 100 * sample["spread"]))
