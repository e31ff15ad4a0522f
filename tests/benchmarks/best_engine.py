"""python tests/benchmarks/best_engine.py -m vgg16_cifar10 --data-calib cifar10_train.rec --data-val \
cifar10_val_5000.rec

       --rgb-mean 125.3,123.0,113.9 --rgb-std 63.0,62.1,66.7 --network new-vgg16 --network new-vgg16-int8
       [--timed 1,32] [--val-images 5000] [--lost 0.5] [--engines mxnet,openvino] [--precisions fp32,int8]

The fastest there is: a network, plans of it and INT8 checkpoints of both (each a `--network`, made by accnn.py or
quantize.py), in every engine and precision. Points of top-1 lost against the original in MXNet in float32, and how many
times faster than that, each network timed in turns with the original, one thread. A float32 network in INT8 is
quantized by the engine itself, with `--calib-images`; an INT8 checkpoint runs with its own thresholds in all of them.
One table, the fastest first; rows that lose no more than `--lost` points are marked. Set OMP_NUM_THREADS to 1.
"""
import argparse
import os
import sys
import tempfile
from dataclasses import dataclass, field

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "tools"))

from accnn import engines
from accnn.cli import calibration, main, options
from accnn.cli.data_options import add_preprocessing_options, preprocessing
from accnn.core import amx
from accnn.core.errors import AccnnError
from accnn.core.layers import FP32, INT8, PRECISIONS
from accnn.core.progress import say
from accnn.core.text import ruled
from accnn.data.images import read_images
from accnn.data.records import open_records
from accnn.graph.checkpoint import load_model
from accnn.quantization.conversion import precision_of
from accnn.timing import client
from accnn.timing.job import Job


@dataclass
class Row:
    """A network in an engine and a precision: percent of right answers, and by batch what `benchmark.py` tells."""

    network: str
    engine: str
    precision: str
    top1: float
    ran: str
    timed: dict = field(default_factory=dict)


def parser():
    """argparse.ArgumentParser: the options."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_model_options(arguments, "the original")
    arguments.add_argument("--network", action="append", default=[], metavar="PREFIX", help="a plan, or an INT8 form")
    arguments.add_argument("--data-val", required=True, metavar="REC")
    arguments.add_argument("--val-images", type=int, default=1000, metavar="N", help="score so many (default: 1000)")
    arguments.add_argument("--engines", default=",".join(engines.names()))
    arguments.add_argument("--precisions", default=",".join(PRECISIONS))
    arguments.add_argument("--timed", default="1,32", metavar="N,...", help="batches that are timed")
    arguments.add_argument("--repeats", type=int, default=10, metavar="N", help="timed rounds (default: 10)")
    arguments.add_argument("--lost", type=float, default=0.5, metavar="POINTS", help="mark what loses no more")
    calibration.add_range_options(arguments)
    add_preprocessing_options(arguments, 100)
    return arguments


def asked(args, model):
    """list of (str, str): engines and precisions in which a checkpoint is tried."""
    stored = precision_of(model)
    return [(engine, precision) for engine in args.engines.split(",") for precision in args.precisions.split(",")
            if stored == FP32 or stored == precision]


def scored(args, prefix, shapes, examples):
    """Yield a Row, not timed yet, for every engine and precision that runs a checkpoint."""
    model = load_model(prefix)
    images, labels, batches = examples
    for engine, precision in asked(args, model):
        try:
            network = engines.get(engine).load(model, shapes, args.batch_size, 1, precision,
                                               batches if precision == INT8 else None)
        except AccnnError as error:
            say("%s, %s, %s: %s" % (prefix, engine, precision, error))
            continue
        answers = np.concatenate([network(some)[0].argmax(axis=1) for some in images])
        yield Row(prefix, engine, precision, 100 * float((answers == labels).mean()), network.ran)


def timed(args, prefix, shapes, path):
    """dict of (str, str) to dict of int to dict: of a checkpoint what `benchmark.py` tells, by row and by batch."""
    is_original = prefix == args.model
    job = Job(prefix, None if is_original else args.model, input_shapes=tuple(shapes.items()), threads=(1,),
              batch_sizes=tuple(map(int, args.timed.split(","))), repeats=args.repeats, calibration=path,
              amx=amx.chosen(None, [INT8]), engines=tuple(args.engines.split(",")),
              precisions=tuple(args.precisions.split(",")))
    found = {}
    for run in client.measure(job)["runs"]:
        for row in run["rows"]:
            if row["network"] == "model" and "refused" not in row:
                found.setdefault((row["engine"], row["precision"]), {})[run["batch_size"]] = row
    return found


def table(rows, batches, lost, most):
    """list of str: the rows, the fastest at the last batch first."""
    lines = [("", "network", "engine", "precision", "points lost") + tuple(
        "batch %d" % batch for batch in batches) + ("ran",)]
    for row in sorted(rows, key=lambda one: -_ratio(one.timed[batches[-1]])):
        lines.append(("*" if lost(row) <= most else "", os.path.basename(row.network), row.engine, row.precision,
                      "%.2f" % lost(row)) + tuple("%.2f ms, %.2fx" % (
                          row.timed[batch]["median_ms"], _ratio(row.timed[batch])) for batch in batches) + (row.ran,))
    return ruled(lines, "<<<<>" + ">" * len(batches) + "<")


def _ratio(timing):
    return timing["measured"]["median"] if timing["measured"] else 1.0


def run(argv=None):
    """Score and time everything and print the table; return the exit code."""
    args = parser().parse_args(argv)
    calibration.check_ranges(args, args.precisions.split(","))
    original = load_model(args.model, args.load_epoch)
    shapes = calibration.image_shapes(args, original)
    (name, shape), = shapes.items()
    batches = calibration.range_batches(args, shapes)
    records, how = open_records(args.data_val, None), preprocessing(args, shape)
    count = min(args.val_images, len(records)) // args.batch_size * args.batch_size
    read = [(batch.images.asnumpy(), batch.labels.astype(int))
            for batch in read_images(records, how, args.batch_size, limit=count)]
    examples = [images for images, _ in read], np.concatenate([labels for _, labels in read]), batches
    prefixes = [args.model] + args.network
    rows = [row for prefix in prefixes for row in scored(args, prefix, shapes, examples)]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "images.npz")
        np.savez(path, **{name: np.concatenate([batch[name] for batch in batches])})
        measured = {prefix: timed(args, prefix, shapes, path) for prefix in prefixes}
    for row in rows:
        row.timed = measured[row.network].get((row.engine, row.precision), {})
    right = next(row.top1 for row in rows if row.network == args.model and row.precision == FP32)
    print("\n".join(table([row for row in rows if row.timed], list(map(int, args.timed.split(","))),
                          lambda row: right - row.top1, args.lost)))
    print("%d images scored, top-1 of the original %.2f%%; * loses no more than %g points" % (count, right, args.lost))
    return 0


if __name__ == "__main__":
    sys.exit(main.run(run))
