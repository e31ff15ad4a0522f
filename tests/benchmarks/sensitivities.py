"""python tests/benchmarks/sensitivities.py -m vgg16_cifar10 --data-calib cifar10_train.rec --data-val \
cifar10_val_5000.rec

       --rgb-mean 125.3,123.0,113.9 --rgb-std 63.0,62.1,66.7 [--method vh] [--ratio 4] [--calib-images 2000]
       [--measured 2 10] [--table FILE]

Sensitivities that are predicted and measured at a few ranks, beside those measured at all: the seconds that the table
takes, how far predictions were, and the divergence of plans by each of them, after reconstruction, on other images.
`--table` adds a table of another version or run. Set OMP_NUM_THREADS to the number of cores.
"""
import argparse
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "tools"))

import numpy as np

import accnn
from accnn.cli.data_options import add_preprocessing_options, preprocessing
from accnn.core.errors import TargetError
from accnn.core.progress import say
from accnn.data.images import image_input
from accnn.data.records import open_records
from accnn.reconstruction.calibration import Calibrated, ReconstructionConfig
from accnn.reconstruction.images import record_images
from accnn.reconstruction.sensitivity import Comparison

RATIOS = 2.0, 3.0, 4.0, 6.0


def main(argv=None):
    """Print a line for each table, and one for each of its plans."""
    args = _parse(argv)
    bench = accnn.Accelerator(accnn.load_model(args.model))
    (name, shape), = image_input(bench.model, bench.input_shapes).items()
    how = preprocessing(args, shape)
    calib, val = open_records(args.data_calib, None), open_records(args.data_val, None)
    with record_images(calib, how, name, args.calib_images, 0, args.batch_size) as images, record_images(
            val, how, name, args.val_images, 0, args.batch_size) as others:
        judge = Comparison(bench.model, others, bench.input_shapes, args.val_images)
        for measured in args.measured:
            _table(args, bench, images, judge, "measured at %d ranks" % measured, None, measured)
        for table in args.table:
            _table(args, bench, images, judge, table, table)


def _table(args, bench, images, judge, title, path, measured=2):
    bench.responses = Calibrated(bench, images, ReconstructionConfig(measured=measured), table=path, read_only=True)
    started = time.perf_counter()
    options = dict(rank_selection="sensitivity", method=args.method)
    plans = []
    for ratio in args.ratio:
        try:
            plans.append((ratio, bench.select_ranks(ratio, **options)))
        except TargetError as error:
            say(str(error))
    print("%s: %.1f s; measured over predicted %s" % (title, time.perf_counter() - started, _off(bench.responses)),
          flush=True)
    for ratio, plan in plans if args.plans else ():
        made = bench.accelerate(plan)
        print("  %gx: predicted %.4f, divergence %.4f nats on other images"
              % (ratio, -plan.made_by["objective"], judge.of(made)), flush=True)


def _off(responses):
    splits = [split for methods in responses.measured_splits().values() for some in methods.values() for split in some
              if split[1] is not None]
    if not splits:
        return "not told"
    off = [measured / max(predicted, 1e-9) for _, predicted, measured in splits]
    return "%s (least, median, most of %d splits)" % (
        " ".join("%.2f" % value for value in np.percentile(off, (0, 50, 100))), len(off))


def _parse(argv):
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("-m", "--model", required=True)
    arguments.add_argument("--data-calib", required=True, metavar="REC")
    arguments.add_argument("--data-val", required=True, metavar="REC")
    arguments.add_argument("--calib-images", type=int, default=2000, metavar="N")
    arguments.add_argument("--val-images", type=int, default=1000, metavar="N")
    arguments.add_argument("--method", default="vh")
    arguments.add_argument("--ratio", type=float, nargs="+", default=RATIOS)
    arguments.add_argument("--measured", type=int, nargs="*", default=[2, 10])
    arguments.add_argument("--table", nargs="*", default=[], metavar="FILE")
    arguments.add_argument("--no-plans", dest="plans", action="store_false", help="time the tables only")
    add_preprocessing_options(arguments, 64)
    return arguments.parse_args(argv)


if __name__ == "__main__":
    main()
