"""Plans timed as whole networks, with random weights, before anything is written."""
from accnn import methods
from accnn.latency.profiler import LatencyProfiler
from accnn.timing.keys import chain_key


def time_plans(accelerator, measuring, plans):
    """Time a network and what plans would make of it, all in turns in one process.

    Parameters
    ----------
    accelerator : Accelerator
    measuring : TimingConfig
    plans : list of Plan
        In one precision; those that change nothing are timed as well.

    Returns
    -------
    dict
        See :func:`accnn.timing.client.time_networks`: ``baseline``, and ``plans`` in their order.

    Raises
    ------
    AccnnError
        They cannot be timed.
    """
    precisions = {row.layer: row.precision for plan in plans for row in plan.rows}
    profiler = LatencyProfiler(accelerator, measuring, precisions=precisions)
    return profiler.time_networks([{row.layer: chain_key(profiler.places[row.layer], accelerator.candidate(
        row.layer, methods.get(row.method)), row.rank) for row in plan.chosen()} for plan in plans])
