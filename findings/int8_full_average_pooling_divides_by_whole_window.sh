#!/usr/bin/env bash
# MXNet 1.9.1: average pooling in "full" convention divides by another number in INT8 than in float32.
#
# Seen on 2026-11-28 with Python 3.11, mxnet 1.9.1, numpy 1.23.5 on x86-64 Linux (a processor with AVX-512 VNNI).
#
# Guess: a picture that is 1 everywhere stays 1 everywhere, as it does in float32, where windows that reach over the
# edge are divided by the number of pixels that lie inside (without pad there are no zeros that could be counted).
# Really: in INT8 such windows are divided by the size of the kernel, as if zeros followed: the last row and column fall
# to 2/3, their corner to 4/9. With count_include_pad=False both agree. Pull request 13260 of apache/mxnet brought this
# convention to INT8; no public issue on this found.
#
# Output seen (6x6 ones, kernel 3, stride 2):
#   float32:                         [1.0, 1.0, 1.0] [1.0, 1.0, 1.0] [1.0, 1.0, 1.0]
#   INT8:                            [1.0, 1.0, 0.67] [1.0, 1.0, 0.67] [0.67, 0.67, 0.44]
#   INT8, count_include_pad=False:   [1.0, 1.0, 1.0] [1.0, 1.0, 1.0] [1.0, 1.0, 1.0]
#
# Exits 0 while this is so, 1 when it has changed, 3 where the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
{ "${PYTHON:-python3}" -m venv venv && venv/bin/pip install -q mxnet==1.9.1 numpy==1.23.5; } >install.log 2>&1 || {
    cat install.log; echo "needs Python 3.8 to 3.11 (set PYTHON)"; exit 3; }
cat > pooling.py <<'PY'
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


def pooled(**more):
    layer = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(1, 1), num_filter=1, no_bias=True, name="layer")
    network = mx.sym.Pooling(layer, kernel=(3, 3), stride=(2, 2), pool_type="avg", pooling_convention="full", **more)
    return [found[0, 0] for found in both(network, {"layer_weight": np.ones((1, 1, 1, 1))}, np.ones((1, 1, 6, 6), "f"))]


def shown(name, rows):
    print("%-32s %s" % (name, " ".join(str([round(float(value) + 0.0, 2) for value in row]) for row in rows)))


whole, small = pooled()
apart = pooled(count_include_pad=False)[1]
shown("float32:", whole)
shown("INT8:", small)
shown("INT8, count_include_pad=False:", apart)
edge = np.array([1, 1, 2 / 3])
same = np.allclose(whole, 1) and np.allclose(apart, 1, atol=0.03)
sys.exit(0 if same and np.allclose(small, np.outer(edge, edge), atol=0.03) else 1)
PY
OMP_NUM_THREADS=1 venv/bin/python -W ignore pooling.py 2>errors.log || { code=$?; tail -5 errors.log; exit $code; }
