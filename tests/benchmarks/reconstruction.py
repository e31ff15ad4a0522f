"""python tests/benchmarks/reconstruction.py -m vgg16_cifar10 --data-calib cifar10_train.rec --data-val \
cifar10_val_5000.rec

       --rgb-mean 125.3,123.0,113.9 --rgb-std 63.0,62.1,66.7 --calib-images 2000 [--ratio 4] [--only 'vh*'] [--ranks]
       [--all-methods] [--joint]

What reconstruction keeps of the accuracy, without fine-tuning, in the form of Tables 2, 6 and 7 of Zhang et al.
(2016): for methods, rank rules, solvers, symmetric or asymmetric, and metrics the points of top-1 lost against the
original, and whether the paper's orderings hold. Rows go to stderr as they are found, the tables to stdout at the end;
an interrupted run prints what it has. Set OMP_NUM_THREADS to the number of cores.
"""
import argparse
import json
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "tools"))

from parts.combinations import wanted
from parts.findings import Findings
from parts.scoring import Scoring, add_image_options
from parts.study import Study, measured

from accnn.cli import main, options
from accnn.cli.data_options import add_preprocessing_options, preprocessing
from accnn.cli.types import positive
from accnn.core.progress import say
from accnn.data.images import image_input
from accnn.data.records import open_records
from accnn.reconstruction.images import record_images

RATIOS = 2.0, 3.0, 4.0, 5.0, 6.0, 8.0


def parser():
    """Return the argument parser."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_model_options(arguments)
    options.add_effort_options(arguments)
    add_image_options(arguments)
    arguments.add_argument("--calib-positions", type=positive, default=10, metavar="N", help="default: %(default)s")
    arguments.add_argument("--joint", action="store_true",
                           help="in the metric network improve all chains together at the end")
    arguments.add_argument("--ratio", type=float, action="append", help="may be repeated (default: 2 to 6, and 8)")
    arguments.add_argument("--only", action="append", metavar="PATTERN",
                           help="shell pattern of names of rows, as in 'vh sensitivity*'; may be repeated")
    arguments.add_argument("--all-methods", action="store_true",
                           help="every method with ranks by sensitivity, linear, and nothing else")
    arguments.add_argument("--ranks", action="store_true", help="print the ranks as well, layer by layer")
    arguments.add_argument("--json", action="store_true", help="print results as JSON")
    arguments.add_argument("--sensitivity-table", metavar="FILE",
                           help="kept for the next run, as FILE with the names of solver and metric added (default: "
                                "not kept)")
    arguments.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    add_preprocessing_options(arguments, 64)
    return arguments


def fill(findings, study, combinations):
    """Measure all combinations, telling every number as soon as it is there."""
    for number, one in enumerate(combinations, 1):
        for result in measured(study, one, findings.ratios):
            findings.results[one] = result
            say("[%d/%d] %s" % (number, len(combinations), findings.told(result)))


def run(argv=None):
    """Measure and print; return the exit code."""
    args = parser().parse_args(argv)
    combinations, code = wanted(args.only, args.all_methods), 0
    bench = options.open_accelerator(args)
    (name, shape), = image_input(bench.model, bench.input_shapes).items()
    how = preprocessing(args, shape)
    scoring = Scoring(args, bench, how)
    findings = Findings(bench, scoring.images, scoring.right(bench.model), list(args.ratio or RATIOS))
    calibrating = open_records(args.data_calib, args.data_calib_idx)
    with tempfile.TemporaryDirectory(prefix="accnn-") as folder, record_images(
            calibrating, how, name, args.calib_images, args.seed, args.batch_size) as images:
        tables = args.sensitivity_table or os.path.join(folder, "table.json")
        try:
            fill(findings, Study(args, bench, images, scoring, tables), combinations)
        except KeyboardInterrupt:
            say("interrupted: this is what was found")
            code = main.INTERRUPTED
    print(json.dumps(findings.document(), indent=2) if args.json else "\n".join(findings.lines(args.ranks)))
    return code


if __name__ == "__main__":
    sys.exit(main.run(run))
