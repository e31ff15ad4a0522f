"""The speed-up that the clock says, of a checkpoint that was just written."""
import os

from accnn.cli import say
from accnn.errors import AccnnError
from accnn.latency.closing import TOLERANCE
from accnn.plan import of_this_run
from accnn.timing.told import conditions, known_to

_SHORT = 0.15  # of the theoretical speed-up: what falls short by more is worth a word


def clock(measuring):
    """Context of a process for :func:`timed`, which takes a second to start: meanwhile there is other work to do.

    Parameters
    ----------
    measuring : Measuring
    """
    from accnn.timing import parent

    return parent.started(_threads(measuring))


def _threads(measuring):
    from accnn.timing.machine import cores

    return measuring.threads or cores()


def timed(measuring, source, prefix, input_shapes, child=None):
    """Time a new checkpoint against the one it was made from, as a whole and layer by layer.

    Parameters
    ----------
    measuring : Measuring
    source : Model
        As it was loaded.
    prefix : str
        Of the new checkpoint, of which epoch 1 is timed.
    input_shapes : dict of str to tuple of int
    child : Popen, optional
        Of :func:`clock`.

    Returns
    -------
    dict or None
        See :func:`accnn.timing.parent.measure`; None where it cannot be timed, which is said.
    """
    from accnn.timing import parent, table
    from accnn.timing.clock import NOISY
    from accnn.timing.job import Job
    from accnn.timing.memory import give_back

    if os.path.realpath(prefix) == os.path.realpath(source.prefix):
        say("what was written took the place of what it was made from: there is nothing to time it against")
        return None
    give_back()
    try:
        result = parent.measure(Job(prefix, source.prefix, 1, source.epoch, measuring.gpus,
                                    tuple(input_shapes.items()), (measuring.batch_size,),
                                    (_threads(measuring),), layers=True, repeats=measuring.repeats, warm_up=2,
                                    quick=True), child)
    except AccnnError as error:  # the checkpoint is there, and good for whatever cannot be timed here
        say("what was written could not be timed: %s" % error)
        return None
    for sentence in table.noise(result, NOISY):
        say(sentence)
    return result


def told_short(result, plan):
    """int: the exit code, 1 where a plan by this machine's clock is slower in the end than was asked for.

    What is slower is said, also of a plan by times that were read from a file: the request was for another machine.

    Parameters
    ----------
    result : dict or None
        Of :func:`timed`.
    plan : Plan
    """
    planned = plan.made_by.get("latency")
    if not result or not planned or planned["missed"] or not (planned["measured"] or planned["foreign"]):
        return 0
    asked, found = plan.made_by["ratio"], result["runs"][0]["measured"]
    if found["quartiles"][1] >= asked * (1 - TOLERANCE):
        return 0
    why = ("the machine is not what it was when the plan was measured; time it again with benchmark.py, or plan again"
           if planned["measured"] else "the plan was made for %s, time it there with benchmark.py" % planned["machine"])
    say("what was written measures %.2fx here, half of the rounds within %.2f to %.2f, and not the %gx asked for: %s"
        % ((found["median"],) + tuple(found["quartiles"]) + (asked, why)))
    return 1 if planned["measured"] else 0


def by_layer(report):
    """dict of str to (float, float): milliseconds of layers, before and after, as measured now or when planning.

    Parameters
    ----------
    report : dict
        Of :func:`accnn.report.summary`, with ``measured`` where :func:`timed` was called.
    """
    if report.get("measured"):
        rows = report["measured"]["runs"][0]["layers"]["rows"]
        return {row["layer"]: (row["before"]["median_ms"], row["after"]["median_ms"])
                for row in rows if "before" in row}
    planned = _planned(report)
    return {name: (one["before_ms"], one["after_ms"]) for name, one in planned["layers"].items()} if planned else {}


def totals(report):
    """list of tuple of str: rows of milliseconds for the whole network, as the report's other totals are."""
    rows, planned = [], _planned(report)
    if report.get("measured"):
        run = report["measured"]["runs"][0]
        before, after = run["baseline"], run["model"]
        rows.append(("ms, whole network", milliseconds(before["median_ms"]), "->", milliseconds(after["median_ms"]),
                     "%.2fx" % run["measured"]["median"], "measured; " + _how_sure(run, run["measured"])))
    elif planned and planned["measured"]:
        found = planned["measured"]
        rows.append(("ms, whole network", milliseconds(planned["before_ms"]), "->",
                     milliseconds(planned["measured_ms"]), "%.2fx" % found["median"],
                     "measured with random weights; " + _how_sure(planned, found)))
    if planned and (planned["measured"] or planned["foreign"]):
        note = ("%+.1f%% off" % (100 * planned["prediction_error"]) if planned["measured"] else
                "for " + planned["machine"])
        rows.append(("ms, predicted", milliseconds(planned["before_ms"]), "->", milliseconds(planned["predicted_ms"]),
                     "%.2fx" % planned["predicted"],
                     "%s; the chains alone add up to %.2fx" % (note, planned["before_ms"] / planned["alone_ms"])))
    return rows


def _how_sure(run, ratio):
    """str: what a ratio was measured with, how its rounds spread, and how well their median is known."""
    known = known_to(ratio.get("uncertainty"))  # plans that were written by earlier versions have none
    return "%s, quartiles %.2f %.2f%s" % ((conditions(run["threads"], run["batch_size"]),) + tuple(ratio["quartiles"]) +
                                          (", known to " + known if known else "",))


def _planned(report):
    """dict or None: how the plan was measured, unless that was another run, whose plan is read from a file."""
    return report["made_by"].get("latency") if of_this_run(report["made_by"]) else None


def milliseconds(number):
    """str: three digits that count, at least."""
    size = abs(number)
    return "%.0f" % number if size >= 1000 else "%.1f" % number if size >= 100 else \
        "%.2f" % number if size >= 1 else "%.3f" % number


def hints(report):
    """list of str: a word where the clock says much less than theory.

    Parameters
    ----------
    report : dict
        Of :func:`accnn.report.summary`, with ``measured`` where :func:`timed` was called.
    """
    if not report.get("measured"):
        return []
    theoretical = report["measured"]["theoretical"]["ratio"]
    found = report["measured"]["runs"][0]["measured"]["median"]
    if theoretical is None or found >= (1 - _SHORT) * theoretical:
        return []
    made_by, sentence = report["made_by"], (
        "the clock says %.2fx where theory says %.2fx, %.0f%% less: ranks that fit no kernel, or layers that wait for "
        "memory" % (found, theoretical, 100 * (1 - found / theoretical)))
    if made_by.get("latency"):
        return [sentence]
    remedies = ["--align 16"] * (made_by.get("align", 1) == 1)
    if report["weight_types"] == ["float32"]:  # the only one in which chains are timed
        remedies.append("--cost latency, which plans by the clock")
    return [sentence + ("; try " + " or ".join(remedies) if remedies else "")]
