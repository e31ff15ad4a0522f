"""The speed-up that the clock says, of a checkpoint that was just written."""
import contextlib
import os

from accnn import engines
from accnn.core.errors import AccnnError
from accnn.core.layers import FP32, INT8
from accnn.core.machine import cores, give_back
from accnn.core.progress import say
from accnn.core.text import times
from accnn.planning.search import TOLERANCE
from accnn.report import timing
from accnn.timing import client
from accnn.timing.clock import NOISY
from accnn.timing.engines import over_originals
from accnn.timing.job import Job, PrepareJob


@contextlib.contextmanager
def clock(measuring, prefix=None, epoch=None, input_shapes=None):
    """Context of a process that takes a second to start, while there is other work to do, and times all in it.

    Parameters
    ----------
    measuring : TimingConfig
    prefix : str, optional
        Of a checkpoint that is going to be timed several times: it is read and bound meanwhile.
    epoch : int, optional
    input_shapes : dict of str to tuple of int, optional
        As far as they were given.
    """
    with client.started(_threads(measuring), measuring.amx) as process:
        if prefix is not None:
            process.prepare(PrepareJob(prefix, epoch, tuple((input_shapes or {}).items()), threads=_threads(measuring),
                                       batch_size=measuring.batch_size, amx=measuring.amx,
                                       baseline=(engines.DEFAULT, FP32)))
        yield


def _threads(measuring):
    return measuring.threads or cores()


def timed(measuring, source, prefix, input_shapes, layers=True, precision=FP32, exclude=()):
    """Time a new checkpoint against the one it was made from.

    Parameters
    ----------
    measuring : TimingConfig
    source : Model
        As it was loaded.
    prefix : str
        Of the new checkpoint, of which epoch 1 is timed.
    input_shapes : dict of str to tuple of int
    layers : bool
        Layer by layer too.
    precision : str
        To which the new network is converted, with ranges that are made up.
    exclude : sequence of str
        Operators that stay in float32 then.

    Returns
    -------
    dict or None
        See :func:`accnn.timing.client.measure`; None where it cannot be timed, which is said.
    """
    return _measured(prefix, source, Job(
        prefix, source.prefix, 1, source.epoch, measuring.gpus, tuple(input_shapes.items()), (measuring.batch_size,),
        (_threads(measuring),), layers=layers, repeats=measuring.repeats, warm_up=2, quick=True, amx=measuring.amx,
        precision=precision, exclude=tuple(exclude)))


def _measured(prefix, source, job):
    """dict or None: what a job found; None where it cannot be done, which is said."""
    if os.path.realpath(prefix) == os.path.realpath(source.prefix):
        say("what was written took the place of what it was made from: there is nothing to time it against")
        return None
    give_back()
    try:
        result = client.measure(job)
    except AccnnError as error:
        return _untimed(error)
    for sentence in timing.noise(result, NOISY):
        say(sentence)
    return result


def _untimed(error):
    """None; says why: the checkpoint is there, and good for whatever cannot be timed here."""
    say("what was written could not be timed: %s" % error)


def timed_in_engine(measuring, source, prefix, input_shapes, precision=FP32):
    """Time a new checkpoint in the engine it was planned for, against the one it was made from in that and in MXNet.

    The parameters are those of :func:`timed`.

    Returns
    -------
    dict or None
        The same, with ``over``, a list of :func:`accnn.timing.engines.over_originals`, of which ``measured`` is that
        which was asked for.
    """
    rows = [("baseline", engines.DEFAULT, FP32)] + [("baseline", measuring.engine, one) for one in dict.fromkeys(
        (FP32, precision))] + [("model", measuring.engine, precision)]
    result = _measured(prefix, source, Job(
        prefix, source.prefix, 1, source.epoch, None, tuple(input_shapes.items()), (measuring.batch_size,),
        (_threads(measuring),), repeats=measuring.repeats, warm_up=2, quick=True, asked=tuple(rows),
        random_thresholds=precision == INT8))
    if result is None:
        return None
    run = result["runs"][0]
    try:
        run["over"] = over_originals(run["rows"])
    except AccnnError as error:
        return _untimed(error)
    place = 0 if measuring.is_over_mxnet else len(run["over"]) - 1
    run.update(baseline=run["rows"][place], model=run["rows"][-1], measured=run["over"][place]["measured"])
    return result


def verify_speedup(result, plan):
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
    say("what was written measures %s here, half of the rounds within %.2f to %.2f, and not the %gx asked for: %s"
        % ((times(found["median"]),) + tuple(found["quartiles"]) + (asked, why)))
    return 1 if planned["measured"] else 0
