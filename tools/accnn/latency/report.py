"""What a plan says of milliseconds: the dict that is its ``made_by["latency"]``."""


def latency_report(model, table, picks, timed=None, baseline=None, missed=None, over=None):
    """Describe a plan's latency, in milliseconds of today.

    The latency table's milliseconds are those of the day it was begun; where the network was timed with the plan, all
    are scaled by what it takes today.

    Parameters
    ----------
    model : LatencyModel
    table : LatencyTable
    picks : dict of str to ((Candidate, rank) or None)
    timed, baseline : dict, optional
        Of the planned network and of the untouched one: see :func:`accnn.timing.client.time_networks`. Default: the
        plan was not timed.
    missed : str, optional
        Why the plan is not as fast as asked for.
    over : (str, str), optional
        Engine and precision of the original network, of which ratios are taken.

    Returns
    -------
    dict
    """
    setting, before = table.setting, model.original_ms if baseline is None else baseline["median_ms"]
    scale = before / model.original_ms
    after = scale * model.predicted_ms(picks)
    found = {"machine": setting.machine, "isa": setting.isa, "threads": setting.threads,
             "batch_size": setting.batch_size, "engine": setting.ran_by,
             "over": over and " ".join(over),
             "before_ms": before, "predicted": before / after, "predicted_ms": after,
             "layers": model.layer_times(picks, scale), "rest": model.factors.rest, "foreign": table.foreign,
             "missed": missed, "measured": None}
    if timed is not None:
        ratio = timed["measured"]["median"]
        found.update(measured=timed["measured"], measured_ms=timed["median_ms"],
                     prediction_error=ratio * after / before - 1)
    return found
