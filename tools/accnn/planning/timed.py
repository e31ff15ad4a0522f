"""Plans timed as whole networks, with random weights, before anything is written."""
from accnn import methods
from accnn.core.layers import FP32
from accnn.latency.profiler import ANY_RATIO, LatencyProfiler
from accnn.timing.keys import chain_key


def time_plans(accelerator, measuring, plans):
    """Time a network and what plans would make of it, all in turns in one process.

    Parameters
    ----------
    accelerator : Accelerator
    measuring : TimingConfig
    plans : list of Plan
        In one precision but for layers that stay in float32; those that change nothing are timed as well.

    Returns
    -------
    dict
        See :func:`accnn.timing.client.time_networks`: ``baseline``, and ``plans`` in their order.

    Raises
    ------
    AccnnError
        They cannot be timed.
    """
    precisions = {}
    for row in (row for plan in plans for row in plan.rows):
        if precisions.get(row.layer, FP32) == FP32:
            precisions[row.layer] = row.precision
    profiler = LatencyProfiler(accelerator, measuring, precisions=precisions)
    return profiler.time_networks(
        [{row.layer: chain_key(profiler.places[row.layer], accelerator.candidate(row.layer, methods.get(row.method)),
                               row.rank) for row in plan.chosen()} for plan in plans],
        [[name for name in plan.in_fp32() if precisions[name] != FP32] for plan in plans], [ANY_RATIO] * len(plans))
