"""python tests/benchmarks/fine_tune_throughput.py -m vgg16_cifar10 --data-train cifar10_train.rec

       [--teacher P [--mixup 1]] [--average 50] [--clip-gradient 10] [--pad-size 4]

How much of the speed of MXNet's bare loop fine-tuning keeps: in turns, the same number of steps of a bare
forward/backward/update on one synthetic batch, with a teacher its forward pass before, of the decoder alone, and of
fine-tuning as fine_tune.py does it, images decoded, augmented and blended, gradients clipped, weights averaged.
"""
import argparse
import json
import os
import statistics
import sys
import time

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


def bare_loop(model, teacher, shapes, batch_size, steps):
    """A function that makes so many steps of MXNet's Module on one batch that is in memory already."""
    module = mx.mod.Module(model.symbol, list(shapes), ["softmax_label"])
    name, shape = next(iter(shapes.items()))
    module.bind([(name, (batch_size,) + shape)], [("softmax_label", (batch_size,))])
    module.set_params(model.arg_params, model.aux_params)
    module.init_optimizer("local", "sgd", {"learning_rate": 1e-5, "momentum": 0.9, "wd": 1e-4})
    batch = mx.io.DataBatch([mx.nd.random.normal(shape=(batch_size,) + shape)], [mx.nd.zeros(batch_size)])

    taught = teacher and Predictor(teacher, shapes, batch_size)

    def run():
        for _ in range(steps):
            if taught:
                taught.forward(batch.data[0])
            module.forward_backward(batch)
            module.update()
        mx.nd.waitall()

    return run


def fine_tuning(model, teacher, head, shapes, stream, how):
    """The same number of steps as fine_tune.py makes them: decoding, random numbers, answers read and counted."""
    schedule = scheduler("constant", 1e-5, stream.steps)
    knowing = teacher and Teacher(teacher, class_head(teacher, shapes), shapes, stream.batch_size, [mx.cpu()],
                                  Distillation(1.0, 2.0))
    trainer = Trainer(model, head, shapes, stream.batch_size, Job(), [mx.cpu()], "sgd",
                      optimizer.parameters("sgd", schedule, 0.9, 1e-4), teacher=knowing, steps=how)
    tally = tally_of(trainer, head.classes)

    def run():
        waiting = None
        for step, (images, labels) in enumerate(stream.epoch(1)):
            answer = trainer.step(images, labels, 1, step)
            if waiting:
                counted(tally, waiting)
            waiting = answer
        mx.nd.waitall()

    return run


def decoding(stream):
    """The images alone."""

    def run():
        for images, _ in stream.epoch(1):
            images.wait_to_read()

    return run


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--data-train", required=True)
    parser.add_argument("--teacher")
    parser.add_argument("--mixup", type=float, default=0.0)
    parser.add_argument("--average", type=int, help="updates")
    parser.add_argument("--clip-gradient", type=float, default=0.0)
    parser.add_argument("--pad-size", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    model = load_model(args.model)
    shapes = image_input(model, {})
    head = class_head(model, shapes)
    stream = TrainingStream(open_records(args.data_train), Preprocessing(next(iter(shapes.values()))),
                            Augmentation(pad=args.pad_size), args.batch_size, limit=args.steps * args.batch_size)
    teacher = args.teacher and load_model(args.teacher)
    how = Steps(args.mixup, args.clip_gradient, args.average)
    runs = {"bare": bare_loop(model, teacher, shapes, args.batch_size, stream.steps), "decoding": decoding(stream),
            "fine_tuning": fine_tuning(model, teacher, head, shapes, stream, how)}
    speeds = {name: [] for name in runs}
    for turn in range(args.rounds + 1):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            if turn:
                speeds[name].append(stream.steps * args.batch_size / (time.perf_counter() - started))
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    slower = [min(bare, decoded) for bare, decoded in zip(speeds["bare"], speeds["decoding"])]
    shares = [own / other for own, other in zip(speeds["fine_tuning"], slower)]
    bare = [own / other for own, other in zip(speeds["fine_tuning"], speeds["bare"])]
    print(json.dumps({"images_per_second": medians, "share_of_the_slower": statistics.median(shares),
                      "shares": sorted(shares), "share_of_bare": statistics.median(bare),
                      "threads": os.environ.get("OMP_NUM_THREADS", "unset")}, indent=2))


if __name__ == "__main__":
    main()
