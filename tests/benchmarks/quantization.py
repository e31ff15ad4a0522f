"""python tests/benchmarks/quantization.py -m vgg16_cifar10 --data-calib cifar10_train.rec --data-val \
cifar10_val_5000.rec

       --rgb-mean 125.3,123.0,113.9 --rgb-std 63.0,62.1,66.7 [--plan new-vgg16] [--calib-images 2000] [--held-out]
       [--only 'all *']

What every step towards INT8 brings: top-1, points lost against the float32 network, and how far its outputs are from
those of the float32 network and of the original, in mnat. `--plan`: an accelerated form of the model, which becomes
INT8. `--held-out`: one file for both, whose first `--calib-images` records calibrate and whose others are scored. Set
OMP_NUM_THREADS to 1.
"""
import argparse
import contextlib
import os
import sys
import time

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "tools"))

from accnn.cli import main, options
from accnn.cli.data_options import add_preprocessing_options, preprocessing
from accnn.core.progress import say
from accnn.core.text import ruled
from accnn.data.images import image_input, read_images
from accnn.data.records import open_records
from accnn.graph.checkpoint import load_model
from accnn.planning.request import matches
from accnn.reconstruction.divergence import Divergence
from accnn.reconstruction.images import RecordImages, record_images
from accnn.reconstruction.int8 import make_int8
from accnn.reconstruction.int8_config import Int8Config
from accnn.runtime.predictor import Predictor

_NONE = {"equalise": False, "rotate": False, "resolve": False, "dense_channels": False}
ROWS = (
    ("naive thresholds", dict(_NONE, kinds=("naive",))),
    ("entropy thresholds", dict(_NONE, kinds=("entropy",))),
    ("least mean square error", dict(_NONE, kinds=("mse",))),
    ("chosen tensor by tensor", _NONE),
    ("and steps of fully connected outputs", dict(_NONE, dense_channels=True)),
    ("and scales across layers", dict(_NONE, dense_channels=True, equalise=True)),
    ("and matrices inside chains", dict(_NONE, dense_channels=True, equalise=True, rotate=True)),
    ("all steps: solved behind INT8, too", {}),
)


def parser():
    """argparse.ArgumentParser: the options."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_model_options(arguments, "the original")
    arguments.add_argument("--plan", metavar="PREFIX", help="an accelerated form of it")
    arguments.add_argument("--data-calib", required=True, metavar="REC")
    arguments.add_argument("--data-val", metavar="REC")
    arguments.add_argument("--held-out", action="store_true", help="score what is left of --data-calib")
    arguments.add_argument("--calib-images", type=int, default=2000, metavar="N")
    arguments.add_argument("--val-images", type=int, metavar="N", help="score only so many")
    arguments.add_argument("--only", action="append", metavar="PATTERN", help="rows, as 'all *'; may be repeated")
    add_preprocessing_options(arguments, 100)
    return arguments


class Scored:
    """Answers of networks to the images that are scored."""

    def __init__(self, records, how, shapes, batch_size):
        self._shapes, self._size = shapes, batch_size
        self._batches = [(batch.images[:batch.size].copy(), batch.labels.astype(int))
                         for batch in read_images(records, how, batch_size)]
        self.labels = np.concatenate([labels for _, labels in self._batches])

    def answers(self, model):
        """list of ndarray: all outputs for all images."""
        predictor = Predictor(model, self._shapes, self._size)
        found = [[output.asnumpy() for output in predictor.forward(images)] for images, _ in self._batches]
        return [np.concatenate(arrays) for arrays in zip(*found)]

    def top1(self, answers):
        """float: percent."""
        return 100 * float((answers[0].argmax(1) == self.labels).mean())


@contextlib.contextmanager
def data(args, how, name):
    """Yield (images to calibrate with, Records to score)."""
    records = open_records(args.data_calib, None)
    if not args.held_out:
        scored = open_records(args.data_val, None)
        with record_images(records, how, name, args.calib_images, 0, args.batch_size) as images, \
                scored.cut(0, min(args.val_images or len(scored), len(scored))) as chosen:
            yield images, chosen
        return
    with records.cut(0, args.calib_images) as first, records.cut(args.calib_images, len(records)) as others:
        yield RecordImages(first, how, name, args.batch_size, records, range(args.calib_images)), others


def made(plan, original, images, shapes, only):
    """Yield (title, network, seconds) of every row."""
    yield "original, float32", original, 0.0
    if plan is not original:
        yield "plan, float32", plan, 0.0
    for title, wanted in (row for row in ROWS if matches(row[0], only or ["*"])):
        start = time.monotonic()
        found = make_int8(plan, images, shapes, original, Int8Config(**wanted))
        yield title, found.model, time.monotonic() - start
        for step in found.steps:
            say("  %-42s %9.4f -> %9.4f mnat%s" % (step.name, 1e3 * step.before, 1e3 * step.after,
                                                   "" if step.is_kept else ", not kept"))
        if found.excluded:
            say("  in float32: %s" % ", ".join(one.layer for one in found.excluded))


def run(argv=None):
    """Make all rows and print the table; return the exit code."""
    args = parser().parse_args(argv)
    original = load_model(args.model, args.load_epoch)
    plan = load_model(args.plan) if args.plan else original
    (name, shape), = image_input(original, options.input_shapes(args)).items()
    shapes, how = {name: shape}, preprocessing(args, shape)
    rows = [("", "top-1", "points lost", "from float32", "from the original", "seconds")]
    with data(args, how, name) as (images, records):
        scored = Scored(records, how, shapes, args.batch_size)
        truths = [scored.answers(model) for model in (plan, original)]
        measures = [Divergence(model, truth) for model, truth in zip((plan, original), truths)]
        for title, model, taken in made(plan, original, images, shapes, args.only):
            answers = scored.answers(model)
            top1 = scored.top1(answers)
            rows.append((title, "%.2f" % top1, "%.2f" % (scored.top1(truths[0]) - top1)) + tuple(
                "%.3f" % (1e3 * measure.of(answers)) for measure in measures) + ("%.0f" % taken,))
            say("%s: top-1 %s, %s points lost, %s and %s mnat, %s s" % rows[-1])
        print("\n".join(ruled(rows, "<>>>>>")))
        print("%d images scored, %d to calibrate with" % (len(scored.labels), images.count))
    return 0


if __name__ == "__main__":
    sys.exit(main.run(run))
