"""python tests/benchmarks/peers.py -m vgg16_cifar10 --data-calib cifar10_train.rec --data-val cifar10_val_5000.rec \
--rgb-mean 125.3,123.0,113.9 --rgb-std 63.0,62.1,66.7

       [--calib-images 2000] [--ratio 4] [--only 'balf*']

Points of top-1 lost without training at equal multiply-adds of the convolutions, by accnn and by two other ways, both
written here from their descriptions in plain NumPy on the same weights, the same images and the same graph:

balf: activation-aware low rank (BALF, arXiv 2509.25136). The kernel is projected to the rank whose responses to the
calibration images are nearest, by an SVD behind the square root of the patches' second moments; a kxk convolution with
fewer filters and a 1x1. Ranks minimise the layers' shares of lost response energy under the budget, by a multiplier.
spatial-svd: (N,C,k,1) and (1,k) by SVD of the kernel, ranks by the accuracy of the whole network with one layer split
at a time, nine ratios each, all layers at the lowest accuracy that meets the budget (the search that AIMET documents).

Convolutions are taken as they stand, in front of BatchNorm too: with it folded in BALF loses more at 2x to 4x.
tools/accnn/docs/calibration.md tells what the authors' own code makes of the same networks.

Set OMP_NUM_THREADS to the number of cores.
"""
import argparse
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "tools"))

from parts.rivals import ActivationAware, GreedySpatialSVD, Scored
from parts.scoring import Scoring, add_image_options

from accnn.cli import main, options
from accnn.cli.data_options import add_preprocessing_options, preprocessing
from accnn.core.errors import AccnnError
from accnn.core.progress import Progress, say
from accnn.core.text import ruled
from accnn.data.images import image_input
from accnn.data.records import open_records
from accnn.planning.request import matches
from accnn.reconstruction.calibration import Calibrated, ReconstructionConfig
from accnn.reconstruction.images import record_images

RATIOS = 2.0, 3.0, 4.0


class Ours:
    """accnn's own rule: ranks by sensitivity, factors fitted to responses."""

    def __init__(self, accelerator, responses, method):
        self._accelerator, self._responses, self._method = accelerator, responses, method

    def prepare(self):
        """Nothing: sensitivities are looked at by the first plan and kept."""

    def model(self, ratio):
        """(Model, float): the accelerated network and the ratio that it reaches."""
        self._accelerator.responses = self._responses
        plan = self._accelerator.select_ranks(ratio, rank_selection="sensitivity", method=self._method, cost="macs")
        return self._accelerator.accelerate(plan), plan.made_by["reached"]


def parser():
    """argparse.ArgumentParser: the options."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_model_options(arguments)
    options.add_effort_options(arguments)
    add_image_options(arguments)
    add = arguments.add_argument
    add("--ratio", type=float, action="append", help="may be repeated (default: 2, 3 and 4)")
    add("--only", action="append", metavar="PATTERN", help="shell pattern of names of rows; may be repeated")
    add("--seed", type=int, default=0, help="default: %(default)s")
    add_preprocessing_options(arguments, 100)
    return arguments


def contenders(accelerator, images, scored, seed):
    """dict of str to what plans by that name."""
    responses = Calibrated(accelerator, images, ReconstructionConfig(seed=seed), Progress)
    (name, _), = accelerator.input_shapes.items()
    return {"balf": lambda: ActivationAware(accelerator, (batch[name] for _, batch in images.batches())),
            "spatial-svd": lambda: GreedySpatialSVD(accelerator, scored),
            **{"accnn %s" % method: lambda method=method: Ours(accelerator, responses, method)
               for method in ("vh", "channel", "all")}}


def cells(peer, ratios, lost):
    """dict of float to str: what was lost at every ratio; and seconds in all."""
    found, started = {}, time.monotonic()
    peer.prepare()
    for ratio in ratios:
        try:
            model, reached = peer.model(ratio)
            found[ratio] = "%.2f" % lost(model) + ("" if reached < 1.02 * ratio else " (%.2fx)" % reached)
        except AccnnError as error:
            found[ratio] = str(error)
    return found, time.monotonic() - started


def run(argv=None):
    """Plan, score and print; return the exit code."""
    args = parser().parse_args(argv)
    accelerator = options.open_accelerator(args)
    (name, shape), = image_input(accelerator.model, accelerator.input_shapes).items()
    how, ratios = preprocessing(args, shape), list(args.ratio or RATIOS)
    scoring = Scoring(args, accelerator, how)
    original = scoring.right(accelerator.model)
    records = open_records(args.data_calib, args.data_calib_idx)
    scored = Scored(records, how, accelerator.input_shapes, args.seed, args.batch_size)
    rows = [("points lost", *("%gx" % ratio for ratio in ratios), "seconds, planning and scoring")]
    with record_images(records, how, name, args.calib_images, args.seed, args.batch_size) as images:
        for title, make in contenders(accelerator, images, scored, args.seed).items():
            if matches(title, args.only or ["*"]):
                found, seconds = cells(make(), ratios,
                                       lambda model: 100 * (original - scoring.right(model)) / scoring.images)
                rows.append((title, *(found[ratio] for ratio in ratios), "%.0f" % seconds))
                say("  ".join(rows[-1]))
    print("points of top-1 lost of %.2f%%, %d images" % (100 * original / scoring.images, scoring.images))
    print("\n".join(ruled(rows, "<" + ">" * (len(ratios) + 1), header=True)))
    return 0


if __name__ == "__main__":
    sys.exit(main.run(run))
