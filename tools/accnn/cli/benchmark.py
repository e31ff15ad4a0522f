"""benchmark.py: its options, the table of milliseconds."""
import contextlib
import json
import os
import time
from dataclasses import replace

import numpy as np

from accnn import engines
from accnn.cli import calibration, measuring_options, next_step, options
from accnn.cli.data_options import add_picture_options
from accnn.cli.setting_names import spelled
from accnn.cli.types import Parser
from accnn.core import amx
from accnn.core.errors import AccnnError
from accnn.core.files import full_disk_as_sentence, temporary_folder
from accnn.core.layers import FP32, PRECISIONS
from accnn.core.machine import cores
from accnn.core.progress import say
from accnn.core.text import seconds
from accnn.graph.checkpoint import symbol_path
from accnn.quantization.conversion import stored_precision
from accnn.report import timing
from accnn.timing import client
from accnn.timing.clock import NOISY
from accnn.timing.job import Job

_EPILOG = """\
A round runs the baseline once and the model once. 'measured' is the median over rounds of baseline ms / model ms;
quartiles are those of the rounds, 'known to' is the standard error of the median. A pass begins with the input in
memory and ends when all outputs are there.
--layers runs each layer and its chain alone, on the input that the baseline's pass gives it, as it lies in memory
(on random numbers where it is no map).
--engine and --precision time every network in each of them, in turns; 'measured' is against the first row, 'difference'
the largest of the outputs' from MXNet's of the same network as it is stored, over the largest output. The last column
says what ran, or why nothing did. --amx is for MXNet: OpenVINO uses AMX where the processor has it.
'outside the layers' is the whole network less their sum: below zero where the machine slowed down in between."""


def parser(description):
    """Parser: the options."""
    arguments = Parser("accnn-benchmark", description, epilog=_EPILOG)
    options.add_model_options(arguments, "checkpoint to time")
    arguments.add_argument("--baseline", metavar="PREFIX", help="checkpoint it is compared with, pass by pass in turns")
    arguments.add_argument("--baseline-epoch", type=int, metavar="N", help="its epoch (default: 1, or the newest)")
    arguments.add_argument("--batch-size", type=_numbers, default=(), metavar="N,...",
                           help="images in one pass, one or several (default: 1, or what the network is made for)")
    arguments.add_argument("--threads", type=_numbers, default=None, metavar="N,...",
                           help="threads to compute in, one or several (default: all cores)")
    arguments.add_argument("--engine", type=_names, default=(), dest="engines", metavar="E,...",
                           help="compare what runs networks: %s (default: mxnet)" % ", ".join(engines.names()))
    arguments.add_argument("--precision", type=_names, default=(), metavar="P,...",
                           help="convert float32 checkpoints when they are loaded, and compare: %s (default: as they "
                                "are, or fp32 with --engine)" % ", ".join(PRECISIONS))
    arguments.add_argument("--random-thresholds", action="store_true",
                           help="with --precision int8: make up the ranges of INT8 tensors, which is right for timing "
                                "only")
    calibration.add_range_options(arguments)
    add_picture_options(arguments)
    measuring_options.add_amx_options(arguments)
    arguments.add_argument("--layers", action="store_true",
                           help="also every layer that was replaced, in isolation, beside the chain in its place")
    arguments.add_argument("--repeats", type=int, default=20, metavar="N",
                           help="timed rounds; up to four times as many while the times are noisy (default: 20)")
    arguments.add_argument("--warm-up", type=int, default=3, metavar="N", help="untimed rounds before (default: 3)")
    arguments.add_argument("--seed", type=int, default=0, help="of the random input (default: 0)")
    arguments.add_argument("--json", action="store_true", help="print results as JSON")
    return arguments


def run(args):
    """Do what the options say.

    Raises
    ------
    AccnnError
    """
    _check(args)
    wakes_amx = amx.chosen(args.amx, args.precision or _stored(args))
    job = Job(args.model, args.baseline, args.load_epoch, args.baseline_epoch, args.gpus, tuple(args.input_shape),
              args.batch_size, args.threads or (cores(),), args.layers, args.repeats, args.warm_up, args.seed,
              amx=wakes_amx, engines=args.engines, precisions=args.precision, random_thresholds=args.random_thresholds)
    with _calibrated(args, job) as job:
        result = client.measure(job)
    for sentence in timing.noise(result, NOISY):
        say(sentence)
    result.update(repeats=job.repeats, warm_up=job.warm_up, seed=job.seed, seconds=time.monotonic() - args.started)
    result = spelled(result)
    print(json.dumps(result, indent=2) if args.json else "\n".join(
        timing.lines(result) + [seconds(result["seconds"])]))
    next_step.tell(args, next_step.after_timing(args, next(iter(_stored(args)), FP32)))


def _check(args):
    calibration.check_ranges(args, args.precision)
    if args.data_calib is not None and args.random_thresholds:
        raise AccnnError("--random-thresholds makes up what --data-calib tells: leave one of them out")


@contextlib.contextmanager
def _calibrated(args, job):
    """Yield the job, with the images that tell ranges of INT8 tensors in a file, where there are any."""
    if args.data_calib is None:
        yield job
        return
    with temporary_folder() as folder:
        yield replace(job, **_images(args, os.path.join(folder, "images.npz")))


def _images(args, path):
    """dict: what a job is told of the images, which are written to `path`."""
    model = options.open_model(args)
    shapes = calibration.image_shapes(args, model)
    batches = calibration.range_batches(args, shapes)
    with full_disk_as_sentence(path):
        np.savez(path, **{name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]})
    return {"calibration": path, "input_shapes": tuple(shapes.items())}


def _stored(args):
    """list of str: precisions of the checkpoints, as their symbol files tell; what is wrong with them comes later."""
    found = []
    for path in (symbol_path(prefix) for prefix in (args.model, args.baseline) if prefix):
        if os.path.isfile(path):
            with open(path, encoding="utf-8", errors="replace") as handle:
                found.append(stored_precision(handle.read()))
    return found


def _numbers(text):
    return tuple(int(number) for number in text.split(","))


def _names(text):
    return tuple(dict.fromkeys(name.strip() for name in text.split(",")))


_numbers.__name__ = "list of numbers"  # what argparse calls it in its complaints
