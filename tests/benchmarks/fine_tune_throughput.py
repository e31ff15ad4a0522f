"""python tests/benchmarks/fine_tune_throughput.py -m vgg16_cifar10 --data-train cifar10_train.rec

       [--teacher P [--mixup 1] [--teacher-mirror]] [--average 1] [--clip-gradient 10] [--pad-size 4]

How much of the speed of MXNet's bare loop fine-tuning keeps: in turns, the same number of steps of a bare
forward/backward/update on one batch that is in memory, with a teacher its forward passes before, of the decoder alone,
and of fine-tuning as fine_tune.py does it, images decoded, augmented and blended, gradients clipped, weights averaged,
answers counted. `share_of_bare` is that of the steps; what comes before them, the decoding of pictures that are kept
once and the opening of the file in every epoch, is told apart, and counted in `share_over_three_epochs`.
"""
import argparse
import itertools
import json
import os
import statistics
import sys
import time

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "tools"))

from accnn.core.compat import mx
from accnn.data.images import Preprocessing, image_input
from accnn.data.records import open_records
from accnn.data.stream import Augmentation, TrainingStream
from accnn.graph.checkpoint import load_model
from accnn.runtime.distributed import Job
from accnn.runtime.predictor import Predictor
from accnn.scoring.heads import class_head
from accnn.training import optimizer
from accnn.training.matching import counted, tally_of
from accnn.training.objective import Distillation, Teacher
from accnn.training.optimizer import scheduler
from accnn.training.trainer import Steps, Trainer


def bare_loop(model, teacher, passes, shapes, batch_size, steps):
    """A function that makes so many steps of MXNet's Module on one batch that is in memory already.

    Like those below it returns how many of its seconds were spent before the first step.
    """
    module = mx.mod.Module(model.symbol, list(shapes), ["softmax_label"])
    name, shape = next(iter(shapes.items()))
    module.bind([(name, (batch_size,) + shape)], [("softmax_label", (batch_size,))])
    module.set_params(model.arg_params, model.aux_params)
    module.init_optimizer("local", "sgd", {"learning_rate": 1e-5, "momentum": 0.9, "wd": 1e-4})
    batch = mx.io.DataBatch([mx.nd.random.normal(shape=(batch_size,) + shape)], [mx.nd.zeros(batch_size)])

    taught = teacher and Predictor(teacher, shapes, batch_size)

    def run():
        for _ in range(steps):
            for _ in range(passes if taught else 0):
                taught.forward(batch.data[0])
            module.forward_backward(batch)
            module.update()
        mx.nd.waitall()
        return 0.0

    return run


def fine_tuning(model, teacher, mirrored, head, shapes, stream, steps, how):
    """The same number of steps as fine_tune.py makes them: decoding, random numbers, answers read and counted."""
    schedule = scheduler("constant", 1e-5, stream.steps)
    knowing = teacher and Teacher(teacher, class_head(teacher, shapes), shapes, stream.batch_size, [mx.cpu()],
                                  Distillation(1.0, 2.0, mirrored))
    trainer = Trainer(model, head, shapes, stream.batch_size, Job(), [mx.cpu()], "sgd",
                      optimizer.parameters("sgd", schedule, 0.9, 1e-4), teacher=knowing, steps=how)
    tally = tally_of(trainer, head.classes)

    def run():
        waiting, batches = None, _Begun(lambda: stream.epoch(1), steps)
        for step, (images, labels) in enumerate(batches):
            answer = trainer.step(images, labels, 1, step)
            if waiting:
                counted(tally, waiting)
            waiting = answer
        mx.nd.waitall()
        return batches.begun

    return run


def decoding(stream, steps):
    """The images alone."""

    def run():
        batches = _Begun(lambda: stream.epoch(1), steps)
        for images, _ in batches:
            images.wait_to_read()
        return batches.begun

    return run


class _Begun:
    """Passes on the first batches of an epoch, and keeps how many seconds it took to the first."""

    def __init__(self, epoch, steps):
        self._epoch, self._steps, self.begun = epoch, steps, 0.0

    def __iter__(self):
        started = time.perf_counter()
        for batch in itertools.islice(self._epoch(), self._steps):
            self.begun = self.begun or time.perf_counter() - started
            yield batch


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--data-train", required=True)
    parser.add_argument("--teacher")
    parser.add_argument("--teacher-mirror", action="store_true")
    parser.add_argument("--mixup", type=float, default=0.0)
    parser.add_argument("--average", type=float, default=0.0, help="epochs")
    parser.add_argument("--clip-gradient", type=float, default=0.0)
    parser.add_argument("--pad-size", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    model, records = load_model(args.model), open_records(args.data_train)
    shapes = image_input(model, {}, lambda: records)
    head = class_head(model, shapes)
    stream = TrainingStream(records, Preprocessing(next(iter(shapes.values()))), Augmentation(pad=args.pad_size),
                            args.batch_size)
    teacher, steps = args.teacher and load_model(args.teacher), min(args.steps, stream.steps)
    how = Steps(args.mixup, args.clip_gradient, max(1, round(args.average * stream.steps)) if args.average else None)
    found = measured({
        "bare": bare_loop(model, teacher, 1 + args.teacher_mirror, shapes, args.batch_size, steps),
        "fine_tuning": fine_tuning(model, teacher, args.teacher_mirror, head, shapes, stream, steps, how),
        "decoding": decoding(stream, steps),
    }, args.rounds)
    print(json.dumps(summary(found, stream, steps), indent=2))


def measured(runs, rounds):
    """dict of str to list of (float, float): seconds of the steps and before them, in turns; the first one warms up."""
    found = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, run in runs.items():
            started = time.perf_counter()
            begun = run()
            found[name].append((time.perf_counter() - started - begun, begun))
    return found


def summary(found, stream, steps):
    """dict: speeds, and shares of the bare loop's, turn by turn and the median."""
    once = found["fine_tuning"][0][1]
    times = {name: np.array(turns[1:]) for name, turns in found.items()}
    bare, (own, begun) = times["bare"][:, 0], times["fine_tuning"].T
    epoch = stream.steps / steps
    epochs = 3 * bare * epoch / (once + 2 * begun + 3 * own * epoch)
    return {"images_per_second": {name: round(steps * stream.batch_size / statistics.median(values[:, 0]), 1)
                                  for name, values in times.items()},
            "seconds_to_the_first_step": {"first epoch": round(once, 3), "later": round(statistics.median(begun), 3)},
            "share_of_bare": round(statistics.median(bare / own), 4), "shares": sorted((bare / own).round(4)),
            "share_of_the_medians": round(statistics.median(bare) / statistics.median(own), 4),
            "share_over_three_epochs": round(statistics.median(epochs), 4),
            "threads": os.environ.get("OMP_NUM_THREADS", "unset")}


if __name__ == "__main__":
    main()
