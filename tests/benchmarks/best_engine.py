"""python tests/benchmarks/best_engine.py -m vgg16_cifar10 --data-calib cifar10_train.rec --data-val \
cifar10_val_5000.rec

       --rgb-mean 125.3,123.0,113.9 --rgb-std 63.0,62.1,66.7 --network new-vgg16 --network new-vgg16-int8
       [--timed 1,32] [--val-images 5000] [--lost 0.5] [--engines mxnet,openvino] [--precisions fp32,int8]

The fastest there is: a network, plans of it and INT8 checkpoints of both (each a `--network`, made by accnn.py or
quantize.py), in every engine and precision. Points of top-1 lost against the original in MXNet in float32, and how many
times faster than that: all in one process, in turns, one thread. A float32 network in INT8 is quantized by the engine
itself, with `--calib-images`; an INT8 checkpoint runs with its own thresholds in all of them. One table, the fastest
first; rows that lose no more than `--lost` points are marked. Set OMP_NUM_THREADS to 1.
"""
import argparse
import os
import sys
from dataclasses import dataclass, field

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "tools"))

from accnn import engines
from accnn.cli import calibration, main, options
from accnn.cli.data_options import add_preprocessing_options, preprocessing
from accnn.core import amx
from accnn.core.compat import enable_amx
from accnn.core.errors import AccnnError
from accnn.core.layers import FP32, INT8, PRECISIONS
from accnn.core.progress import say
from accnn.core.text import ruled
from accnn.data.images import read_images
from accnn.data.records import open_records
from accnn.graph.checkpoint import load_model
from accnn.quantization.conversion import precision_of
from accnn.timing.clock import alternate, ratios

_SCORED_AT_ONCE = 100
_CALIBRATING = 16  # images for what is timed only


@dataclass
class Row:
    """A network in an engine and a precision: percent of right answers, and by batch seconds and how much faster."""

    network: str
    engine: str
    precision: str
    ran: str
    top1: float
    once: dict
    seconds: dict = field(default_factory=dict)
    ratio: dict = field(default_factory=dict)


def parser():
    """argparse.ArgumentParser: the options."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_model_options(arguments, "the original")
    arguments.add_argument("--network", action="append", default=[], metavar="PREFIX", help="a plan, or an INT8 form")
    arguments.add_argument("--data-val", required=True, metavar="REC")
    arguments.add_argument("--val-images", type=int, default=1000, metavar="N", help="score so many (default: 1000)")
    arguments.add_argument("--engines", default=",".join(engines.names()))
    arguments.add_argument("--precisions", default=",".join(PRECISIONS))
    arguments.add_argument("--timed", default=(1, 32), metavar="N,...", help="batches that are timed (default: 1,32)",
                           type=lambda text: tuple(map(int, text.split(","))))
    arguments.add_argument("--repeats", type=int, default=10, metavar="N", help="timed rounds (default: 10)")
    arguments.add_argument("--lost", type=float, default=0.5, metavar="POINTS", help="mark what loses no more")
    calibration.add_range_options(arguments)
    add_preprocessing_options(arguments, _SCORED_AT_ONCE)
    return arguments


class Scored:
    """The images that are scored."""

    def __init__(self, args, shape):
        records, how = open_records(args.data_val, None), preprocessing(args, shape)
        count = min(args.val_images, len(records)) // args.batch_size * args.batch_size
        read = [(batch.images.asnumpy(), batch.labels.astype(int))
                for batch in read_images(records, how, args.batch_size, limit=count)]
        self.batches, self.labels = [images for images, _ in read], np.concatenate([labels for _, labels in read])

    def top1(self, network):
        """float: percent."""
        answers = np.concatenate([network(images)[0].argmax(axis=1) for images in self.batches])
        return 100 * float((answers == self.labels).mean())


def made(args, prefix, shapes, scored, batches):
    """Yield a Row, not timed yet, for every engine and precision that runs a checkpoint."""
    model = load_model(prefix, args.load_epoch if prefix == args.model else None)
    stored = precision_of(model)
    for engine in map(engines.get, args.engines.split(",")):
        for precision in args.precisions.split(",") if stored == FP32 else [stored]:
            few = batches if precision == INT8 != stored else None
            try:
                network = engine.load(model, shapes, args.batch_size, 1, precision, few)
                yield Row(prefix, engine.name, precision, network.ran, scored.top1(network), {
                    batch: engine.load(model, shapes, batch, 1, precision, few and few[:_CALIBRATING // len(
                        few[0][next(iter(shapes))])]).once(scored.batches[0][:batch]) for batch in args.timed})
            except AccnnError as error:
                say("%s, %s, %s: %s" % (prefix, engine.name, precision, error))


def time_rows(rows, first, args):
    """Time all rows in turns, and compare each with `first`."""
    for batch in args.timed:
        samples = alternate([row.once[batch] for row in rows], args.repeats, 2, untimed=1)
        for row, sample in zip(rows, samples):
            row.seconds[batch] = sample.median
            row.ratio[batch] = ratios(samples[rows.index(first)], sample).median


def table(rows, first, args):
    """list of str: the rows, the fastest at the last batch first."""
    lines = [("", "network", "engine", "precision", "points lost") + tuple(
        "batch %d" % batch for batch in args.timed) + ("ran",)]
    for row in sorted(rows, key=lambda one: -one.ratio[args.timed[-1]]):
        lost = first.top1 - row.top1
        lines.append(("*" if lost <= args.lost else "", os.path.basename(row.network), row.engine, row.precision,
                      "%.2f" % lost) + tuple("%.2f ms, %.2fx" % (1e3 * row.seconds[batch], row.ratio[batch])
                                             for batch in args.timed) + (row.ran,))
    return ruled(lines, "<<<<>" + ">" * len(args.timed) + "<")


def run(argv=None):
    """Score and time everything and print the table; return the exit code."""
    args = parser().parse_args(argv)
    if amx.amx_reason() is None:
        enable_amx()
    shapes = calibration.image_shapes(args, load_model(args.model, args.load_epoch))
    scored, batches = Scored(args, next(iter(shapes.values()))), calibration.range_batches(args, shapes)
    rows = []
    for prefix in [args.model] + args.network:
        for row in made(args, prefix, shapes, scored, batches):
            say("%s, %s, %s: %.2f%%" % (row.network, row.engine, row.ran, row.top1))
            rows.append(row)
    first = rows[0]  # the original, in MXNet unless other engines are asked for, in float32
    time_rows(rows, first, args)
    print("\n".join(table(rows, first, args)))
    print("%d images scored, top-1 of the original %.2f%%; * loses no more than %g points" % (
        len(scored.labels), first.top1, args.lost))
    return 0


if __name__ == "__main__":
    sys.exit(main.run(run))
