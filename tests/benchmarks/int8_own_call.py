"""python tests/benchmarks/int8_own_call.py -m vgg16_cifar10 --data-calib cifar10_train.rec [--input-shape 3,32,32]

       [--rgb-mean 125.3,123.0,113.9] [--rgb-std 63.0,62.1,66.7] [--images 32] [--rounds 20]

INT8 by accnn beside INT8 by MXNet's own call (`quantize_model_mkldnn`, naive thresholds, all labels named), calibrated
on the same images: the relative error of every output against float32 on other ones, milliseconds of a pass over all of
these, and megabytes of parameters. Set OMP_NUM_THREADS.
"""
import argparse
import os
import sys
import tempfile
import time

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "tools"))

from accnn.quantization.calibrated import quantize_on_images

from accnn.cli.data_options import add_preprocessing_options, preprocessing
from accnn.core.compat import mx
from accnn.core.text import megabytes, milliseconds, percent, ruled, times
from accnn.data.images import read_images
from accnn.data.records import open_records
from accnn.graph.checkpoint import Model, load_model, save_model
from accnn.graph.inputs import resolve_input_shapes
from accnn.graph.ir import Graph
from accnn.runtime.predictor import Predictor


def own_call(model, name, images):
    """Model: by MXNet's own call."""
    symbol = model.symbol
    labels = [label for label in symbol.list_arguments() if label.endswith("label")]
    return Model(*_graph_first(mx.contrib.quantization.quantize_model_mkldnn(
        symbol, model.arg_params, model.aux_params, data_names=(name,), label_names=labels or None, calib_mode="naive",
        calib_data=mx.io.NDArrayIter({name: images}, batch_size=len(images)), quantized_dtype="auto")))


def _graph_first(made):
    return (Graph.from_symbol(made[0]),) + tuple(made[1:])


def errors(right, found):
    """str: the relative error of every output."""
    return ", ".join(percent(np.linalg.norm(a - b) / np.linalg.norm(a), 1) for a, b in zip(right, found))


def size(model):
    """int: bytes of the parameters when saved."""
    with tempfile.TemporaryDirectory(prefix="accnn-") as folder:
        save_model(model, os.path.join(folder, "model"))
        return os.path.getsize(os.path.join(folder, "model-0001.params"))


def timed(predictors, images, rounds):
    """list of float: the median seconds of a pass of each, in turns."""
    taken = [[] for _ in predictors]
    for _ in range(rounds):
        for predictor, seconds in zip(predictors, taken):
            start = time.perf_counter()
            predictor.forward(images)[0].wait_to_read()
            seconds.append(time.perf_counter() - start)
    return [float(np.median(seconds)) for seconds in taken]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--data-calib", required=True)
    parser.add_argument("--input-shape", type=lambda text: tuple(map(int, text.split(","))))
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=20)
    add_preprocessing_options(parser, None, "not used")
    args = parser.parse_args()
    model = load_model(args.model)
    shapes, _ = resolve_input_shapes(model, {None: args.input_shape} if args.input_shape else {})
    (name, shape), = shapes.items()
    batches = read_images(open_records(args.data_calib), preprocessing(args, shape), args.images, limit=2 * args.images)
    calibrating, others = [batch.images.copy() for batch in batches]
    models = {"float32": model, "MXNet's own call": own_call(model, name, calibrating.asnumpy()),
              "accnn": quantize_on_images(model, [{name: calibrating}])}
    predictors = [Predictor(one, shapes, args.images) for one in models.values()]
    answers = [[output.asnumpy() for output in predictor.forward(others)] for predictor in predictors]
    seconds = timed(predictors, others, args.rounds)
    rows = [("", "error of outputs", "ms", "speed-up", "parameters")]
    rows += [(said, errors(answers[0], found), milliseconds(1e3 * took), times(seconds[0] / took), megabytes(size(one)))
             for (said, one), found, took in zip(models.items(), answers, seconds)]
    print("\n".join(ruled(rows, "<<>>>")))


if __name__ == "__main__":
    main()
