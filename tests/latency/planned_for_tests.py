"""One network planned by milliseconds, on the machine that a test puts in the place of this one."""
from accnn import ranks
from accnn.latency.config import TimingConfig
from accnn.latency.profiler import LatencyProfiler
from accnn.latency.survey import survey
from accnn.planning import planner
from accnn.planning.accelerator import Accelerator
from accnn.planning.planner import select_ranks
from accnn.planning.request import Request
from networks import chain_model

SHAPES = {"data": (3, 16, 16)}
MODEL = chain_model(widths=(32, 48, 64), side=16)
CONVS, FCS = ["conv1", "conv2", "conv3"], ["fc1", "fc2"]


def request_of(ratio=2.0, cache=None, batch_size=1, threads=1, repeats=10, imported=None, exported=None, **options):
    how = TimingConfig(batch_size, threads, repeats, cache and str(cache), imported and str(imported),
                       exported and str(exported))
    return Request(ratio, measuring=how, **dict({"cost": "latency"}, **options))


def planned(model=MODEL, **options):
    return select_ranks(Accelerator(model, SHAPES), request_of(**options))


def surveyed(request=None, model=MODEL, initial=lambda candidates: (), **options):
    """(LatencyModel, candidates, pinned, Accelerator): of all there is to plan."""
    bench, request = Accelerator(model, SHAPES), request or request_of(**options)
    profiler, rule = LatencyProfiler(bench, request.measuring), ranks.get(request.rank_selection)
    pinned = planner.pinned_layers(bench, request)
    candidates, _ = planner.choose_layers(bench, request, rule)
    cost = survey(profiler, candidates, pinned, request.align, initial(candidates))
    return cost, candidates, pinned, bench


def layer_ms(clock, bench, name, batch_size=1):
    spec = bench.specs[name]
    return clock.ms((spec.part,), spec.in_shape, batch_size=batch_size)
