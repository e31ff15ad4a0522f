"""report.py: networks scored and timed, alone and as points of speed against loss."""
import argparse

from accnn import engines
from accnn.cli.scoring import NOT_ASKED, scored
from accnn.core import amx
from accnn.core.machine import cores
from accnn.data.records import open_records
from accnn.graph.checkpoint import load_with_remarks
from accnn.quantization.conversion import precision_of
from accnn.report.evidence import PlanPoint
from accnn.report.thumbnails import disagreement
from accnn.runtime import distributed
from accnn.scoring.changes import ChangeTally
from accnn.timing import client
from accnn.timing.job import Job


def names(text):
    """tuple of str: names of a list that commas part."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",")))


def scores(args, prefix, engine=engines.DEFAULT):
    """dict: the attributes of the evidence that scoring a checkpoint beside the baseline gives.

    Parameters
    ----------
    args : Namespace
    prefix : str
    engine : str
        That runs both.
    """
    seen = []

    def watch(*heads):
        seen.append(ChangeTally(*heads))
        return seen[0]

    how = argparse.Namespace(**dict(vars(args), model=prefix, output=args.scored_output, engine=engine, **NOT_ASKED))
    if prefix != args.model:
        how.load_epoch = None
    records = open_records(args.data_val, args.data_val_idx)
    with distributed.open_job() as job:
        found, _ = scored(how, job, records, watch)
    return {"scores": found, "disagreement": disagreement(seen[0], records)}


def timings(args, prefix, epoch, shapes, engines_too=()):
    """dict: see :func:`accnn.timing.client.measure`.

    Parameters
    ----------
    args : Namespace
    prefix : str
    epoch : int
    shapes : dict of str to tuple of int
    engines_too : tuple of str
        Time both networks in these instead of layer by layer.
    """
    precision = precision_of(load_with_remarks(prefix, epoch))
    sizes = (args.batch_size,) if args.batch_size else ()
    return client.measure(Job(prefix, args.baseline, epoch, args.baseline_epoch, args.gpus, tuple(shapes.items()),
                              sizes, (args.threads or cores(),), layers=not engines_too, repeats=args.repeats,
                              warm_up=2, quick=True, amx=amx.chosen(args.amx, [precision]), engines=engines_too))


def front(args, shapes, found):
    """Compare the checkpoint with others, and with itself in other engines.

    Parameters
    ----------
    args : Namespace
    shapes : dict of str to tuple of int
    found : dict
        ``timings`` of the checkpoint, and ``scores`` where there are any.

    Returns
    -------
    tuple of PlanPoint
        The baseline first.
    list of str
        Sentences on what did not run.
    """
    points = [PlanPoint(args.baseline, 1.0, lost=0.0 if "scores" in found else None), _point(args.model, found, True)]
    for prefix in args.beside:
        more = {"timings": timings(args, prefix, load_with_remarks(prefix).epoch, shapes)}
        if args.data_val is not None:
            more.update(scores(args, prefix))
        points.append(_point(prefix, more, False))
    others, refused = _in_engines(args, shapes) if args.engines else ([], [])
    return tuple(points + others), refused


def _point(prefix, found, is_chosen):
    return PlanPoint(prefix, found["timings"]["runs"][0]["measured"]["median"],
                     precision=precision_of(load_with_remarks(prefix)), is_chosen=is_chosen, **_lost(found))


def _lost(found):
    pair = found.get("scores", {}).get("paired")
    return {"lost": pair["drop"]["1"], "interval": tuple(pair["drop_interval_95"])} if pair else {}


def _in_engines(args, shapes):
    asked = tuple(name for name in args.engines if name != engines.DEFAULT)
    run = timings(args, args.model, args.load_epoch, shapes, (engines.DEFAULT,) + asked)["runs"][0]
    points, refused = [], []
    for row in run["rows"]:
        if row["network"] != "model" or row["engine"] not in asked:
            continue
        if "refused" in row:
            refused.append("%s did not run in %s: %s" % (args.model, row["engine"], row["refused"]))
            continue
        found = scores(args, args.model, row["engine"]) if args.data_val is not None else {}
        points.append(PlanPoint(args.model, row["measured"]["median"], precision=row["precision"],
                                engine=row["engine"], **_lost(found)))
    return points, refused
