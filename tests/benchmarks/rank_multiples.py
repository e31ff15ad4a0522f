"""Which ranks are fast, by precision and instruction set: chains of several forms, ranks in steps of 8.

    python tests/benchmarks/rank_multiples.py --forms vh,pointwise --channels 128x28,256x28,512x14

A chain is timed six times in a row behind each other, with a ReLU behind each, as in a network: what converts at the
ends counts little. Each line has microseconds of one chain. An asterisk: a larger rank of the list is faster. The last
table has, for ranks that are multiples of 64, of 32, of 16 and of 8 only, how much longer a rank takes than the fastest
rank that is not smaller, on average over the ranks of all tables: the multiple to plan with is the least that has about
1.00.
"""
import argparse
import json
import subprocess
import sys

import numpy as np

from accnn import engines
from accnn.core import amx
from accnn.core.compat import mx
from accnn.core.text import ruled
from accnn.graph.checkpoint import Model
from accnn.graph.ir import Graph
from accnn.timing.client import environment_for
from accnn.timing.clock import alternate
from accnn.timing.machine import cpu_model

DEEP = 6
CASES = [("fp32", False), ("int8", False), ("bf16", False), ("int8", True), ("bf16", True)]


def conv(data, name, outputs, kernel=(1, 1), groups=1):
    return mx.sym.Convolution(data, name=name, num_filter=outputs, kernel=kernel, num_group=groups, no_bias=True,
                              pad=tuple(side // 2 for side in kernel))


def vh(data, name, channels, rank):
    return conv(conv(data, name + "_v", rank, (3, 1)), name + "_h", channels, (1, 3))


def pointwise(data, name, channels, rank):
    return conv(conv(data, name + "_a", rank), name + "_b", channels)


def channel(data, name, channels, rank):
    return conv(conv(data, name + "_a", rank, (3, 3)), name + "_b", channels)


def grouped(data, name, channels, rank):
    return conv(conv(conv(data, name + "_a", rank), name + "_c", rank, (3, 3), 4), name + "_b", channels)


def depthwise(data, name, channels, rank):
    inner = conv(conv(conv(data, name + "_a", rank), name + "_v", rank, (3, 1), rank), name + "_h", rank, (1, 3), rank)
    return conv(inner, name + "_b", channels)


def dense(data, name, channels, rank):
    inner = mx.sym.FullyConnected(data, name=name + "_a", num_hidden=rank, no_bias=True)
    return mx.sym.FullyConnected(inner, name=name + "_b", num_hidden=channels, no_bias=True)


FORMS = {one.__name__: one for one in (vh, pointwise, channel, grouped, depthwise, dense)}


def chain(form, channels, side, rank):
    """(Model, shape): `DEEP` chains of random weights in a row."""
    net, shape = mx.sym.Variable("data"), (channels,) if form == "dense" else (channels, side, side)
    for place in range(DEEP):
        net = mx.sym.Activation(FORMS[form](net, "c%d" % place, channels, rank), act_type="relu", name="r%d" % place)
    rng, shapes = np.random.RandomState(0), net.infer_shape(data=(1,) + shape)[0]
    return Model(Graph.from_symbol(net), {
        name: mx.nd.array(rng.randn(*size) / np.sqrt(np.prod(size[1:])))
        for name, size in zip(net.list_arguments(), shapes) if name != "data"}), shape


def measure(job):
    """Yield the microseconds of one chain for every rank, a form and a size at a time."""
    engine = engines.get("mxnet")
    for form, channels, side in job["places"]:
        calls = []
        for rank in job["ranks"]:
            model, shape = chain(form, channels, side, rank)
            data = np.random.RandomState(1).uniform(0, 1, (1,) + shape).astype(np.float32)
            network = engine.load(model, {"data": shape}, 1, None, job["precision"], [{"data": data}])
            calls.append(network.once(data))
        samples = alternate(calls, job["rounds"], 3, noisy=1.0)
        yield [1e6 / DEEP * min(sample.quartiles) for sample in samples]


def asked(job):
    """list of list of float: :func:`measure` in a process of its own."""
    done = subprocess.run([sys.executable, __file__, "--job", json.dumps(job)], env=environment_for(1, job["amx"]),
                          capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def excess(times):
    """list of float: how much longer a rank takes than the fastest that is not smaller."""
    return [time / min(times[place:]) for place, time in enumerate(times)]


def grain(rank):
    return next(one for one in (64, 32, 16, 8) if rank % one == 0)


def main(args):
    places = [(form, *map(int, size.split("x"))) for form in args.forms.split(",") for size in args.channels.split(",")]
    ranks = list(range(args.least, args.most + 1, 8))
    titles = [precision + uses * " AMX" for precision, uses in CASES]
    print("%s; without AMX %s" % (cpu_model(), amx.isa(False)))
    found = [asked({"precision": precision, "amx": uses, "places": places, "ranks": ranks, "rounds": args.rounds})
             for precision, uses in CASES if not uses or amx.unusable() is None]
    for number, (form, channels, side) in enumerate(places):
        print("\n%s, %d channels, %dx%d, microseconds" % (form, channels, side, side))
        rows = [("rank", *titles[:len(found)])]
        for place, rank in enumerate(ranks):
            rows.append((str(rank), *(marked(case[number], place) for case in found)))
        print("\n".join(ruled(rows, ">" * len(rows[0]))))
    summarize(titles, places, ranks, found)


def marked(times, place):
    return "%.1f%s" % (times[place], "*" if excess(times)[place] > 1.03 else " ")


def summarize(titles, places, ranks, found):
    most = ranks[-1] - 64  # what is above has no rank of each multiple that is larger
    print("\nexcess, ranks up to %d" % most)
    rows = [("form", "multiple of", *titles[:len(found)])]
    for form in dict.fromkeys(place[0] for place in places):
        for multiple in (8, 16, 32, 64):
            wanted = [place for place, rank in enumerate(ranks) if grain(rank) == multiple and rank <= most]
            rows.append((form, str(multiple), *(
                "%.2f" % np.mean([excess(times)[place] for times, where in zip(case, places) if where[0] == form
                                  for place in wanted]) if wanted else "" for case in found)))
    print("\n".join(ruled(rows, "<>" + ">" * len(found))))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--forms", default=",".join(FORMS))
    parser.add_argument("--channels", default="128x28,256x28,512x14", help="CHANNELSxSIDE,...")
    parser.add_argument("--least", type=int, default=16)
    parser.add_argument("--most", type=int, default=192)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        mx.nd.waitall()  # imports MXNet
        for times in measure(json.loads(args.job)):
            print(json.dumps(times), flush=True)
    else:
        main(args)
