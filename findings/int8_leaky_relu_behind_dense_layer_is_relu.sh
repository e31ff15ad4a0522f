#!/usr/bin/env bash
# MXNet 1.9.1: in INT8 a LeakyReLU between two fully connected layers loses its negative half.
#
# Seen on 2026-11-28 with Python 3.11, mxnet 1.9.1, numpy 1.23.5 on x86-64 Linux (a processor with AVX-512 VNNI).
#
# Guess: LeakyReLU behind a fully connected layer computes the same in INT8, but for rounding, as it does behind a
# convolution, and as elu does behind a fully connected layer.
# Really: the result is stored as if it could not be negative, so all that the slope let through becomes 0, as behind a
# ReLU. As the last layer, where the result is float32, it is right. Nothing is said. Pull request 20228 of apache/mxnet
# brought this fusion; no public issue found.
#
# Output seen (off by: all values, those that are negative in float32, smallest value in INT8 and in float32):
#   fully connected, leaky:             23.3%,  100%,   0.00,  -2.47
#   fully connected, leaky, as output:   0.8%,    1%,  -2.45,  -2.47
#   fully connected, elu:                1.4%,   11%,  -0.26,  -0.25
#   convolution,     leaky:              1.2%,    3%,  -2.49,  -2.47
#
# Exits 0 while this is so, 1 when it has changed, 3 where the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
{ "${PYTHON:-python3}" -m venv venv && venv/bin/pip install -q mxnet==1.9.1 numpy==1.23.5; } >install.log 2>&1 || {
    cat install.log; echo "needs Python 3.8 to 3.11 (set PYTHON)"; exit 3; }
cat > leaky.py <<'PY'
import sys

import mxnet as mx
import numpy as np
from mxnet.contrib.quantization import quantize_model_mkldnn


def answer(symbol, arrays, images):
    module = mx.mod.Module(symbol, label_names=None)
    module.bind([("data", images.shape)], for_training=False)
    module.set_params(arrays, {})
    module.forward(mx.io.DataBatch([mx.nd.array(images)]), is_train=False)
    return module.get_outputs()[0].asnumpy()


def both(symbol, arrays, images):
    """The answers of a network in float32 and in INT8, with the very images that it answers for calibration."""
    arrays = {name: mx.nd.array(array) for name, array in arrays.items()}
    batches = mx.io.NDArrayIter(images, None, len(images))
    small = quantize_model_mkldnn(symbol, arrays, {}, label_names=None, calib_mode="naive", calib_data=batches,
                                  quantized_dtype="auto", quantize_mode="full")
    return answer(symbol, arrays, images), answer(small[0], small[1], images)


def error(found, right):
    return np.linalg.norm(found - right) / np.linalg.norm(right)


rng = np.random.RandomState(0)
rows = rng.uniform(-1, 1, (64, 32)).astype(np.float32)
weights, same = rng.randn(16, 32), np.eye(16)


def layer(kind, data, name):
    if kind == "fully connected":
        return mx.sym.FullyConnected(data, num_hidden=16, no_bias=True, name=name)
    return mx.sym.Convolution(data, kernel=(1, 1), num_filter=16, no_bias=True, name=name)


def tried(kind, act_type, ends=False):
    network = mx.sym.LeakyReLU(layer(kind, mx.sym.Variable("data"), "first"), act_type=act_type, slope=0.25)
    arrays, side = {"first_weight": weights}, (1, 1) if kind == "convolution" else ()
    if not ends:
        network, arrays["second_weight"] = layer(kind, network, "second"), same  # the same numbers once more
    arrays = {name: array.reshape(array.shape + side) for name, array in arrays.items()}
    right, small = both(network, arrays, rows.reshape(rows.shape + side))
    below = right < 0
    found = error(small, right), error(small[below], right[below]), small.min(), right.min()
    name = "%-16s %s" % (kind + ",", act_type + (", as output" if ends else "") + ":")
    print("%-35s%5.1f%%, %4.0f%%, %6.2f, %6.2f" % ((name, 100 * found[0], 100 * found[1]) + found[2:]))
    return found


lost = tried("fully connected", "leaky")
others = [tried("fully connected", "leaky", ends=True), tried("fully connected", "elu"), tried("convolution", "leaky")]
sys.exit(0 if lost[0] > 0.1 and abs(lost[2]) < 1e-6 and max(found[0] for found in others) < 0.05 else 1)
PY
OMP_NUM_THREADS=1 venv/bin/python -W ignore leaky.py 2>errors.log || { code=$?; tail -5 errors.log; exit $code; }
