#!/usr/bin/env bash
# MXNet 1.9.1: in INT8 a GELU behind a convolution answers what a ReLU does.
#
# Seen on 2026-11-28 with Python 3.11, mxnet 1.9.1, numpy 1.23.5 on x86-64 Linux.
#
# Guess: quantize_model_mkldnn fuses LeakyReLU(act_type='gelu') with the convolution in front; in float32 that is
# exact, so in INT8 it is but for rounding, as it is behind a dense layer.
# Really: GELU is taken of the whole numbers instead of what they stand for. At 20 or -20 it is all but a ReLU:
# negative numbers become 0, and the bend around 0 is gone. GELU is the one activation fused with INT8 convolutions
# that is not proportional to its input; the others (ReLU, leaky) do not mind. With a sum between the two the network
# is refused instead. No public issue found.
#
# Output seen:
#   x                   -1.5  -1.0  -0.5   0.5   1.0   1.5   3.0
#   GELU               -0.10 -0.16 -0.15  0.35  0.84  1.40  3.00
#   convolution, INT8   0.00  0.00  0.00  0.49  0.99  1.50  2.98
#   dense layer, INT8  -0.10 -0.16 -0.15  0.34  0.82  1.40  2.97
#
# Exits 0 while this is so, 1 when it has changed, 3 where the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
{ "${PYTHON:-python3}" -m venv venv && venv/bin/pip install -q mxnet==1.9.1 numpy==1.23.5; } >install.log 2>&1 || {
    cat install.log; echo "needs Python 3.8 to 3.11 (set PYTHON)"; exit 3; }
cat > gelu.py <<'PY'
import math
import sys

import mxnet as mx
import numpy as np
from mxnet.contrib.quantization import quantize_model_mkldnn

ASKED = np.array([-1.5, -1.0, -0.5, 0.5, 1.0, 1.5, 3.0], np.float32)
ONE = mx.nd.ones((1, 1, 1, 1))


def in_int8(layer, weight, data):
    symbol = mx.sym.LeakyReLU(layer, act_type="gelu")
    quantized = quantize_model_mkldnn(symbol, {"layer_weight": weight}, {}, label_names=None, calib_mode="naive",
                                      calib_data=mx.io.NDArrayIter(data, batch_size=len(data)), quantized_dtype="auto")
    module = mx.mod.Module(quantized[0], label_names=None)
    module.bind([("data", data.shape)], for_training=False)
    module.set_params(*quantized[1:])
    module.forward(mx.io.DataBatch([mx.nd.array(data)]), is_train=False)
    return module.get_outputs()[0].asnumpy().ravel()


data = mx.sym.Variable("data")
convolution = mx.sym.Convolution(data, num_filter=1, kernel=(1, 1), no_bias=True, name="layer")
dense = mx.sym.FullyConnected(data, num_hidden=1, no_bias=True, name="layer")
rows = {
    "GELU": np.array([x * (1 + math.erf(x / math.sqrt(2))) / 2 for x in ASKED]),
    "convolution, INT8": in_int8(convolution, ONE, ASKED.reshape(-1, 1, 1, 1)),
    "dense layer, INT8": in_int8(dense, ONE.reshape((1, 1)), ASKED.reshape(-1, 1)),
}
print("%-18s%s" % ("x", "".join("%6.1f" % x for x in ASKED)))
for name, values in rows.items():
    print("%-18s%s" % (name, "".join("%6.2f" % (value + 0.0) for value in values)))
wanted = rows["GELU"], np.maximum(ASKED, 0), rows["GELU"]
sys.exit(0 if all(np.abs(a - b).max() < 0.03 for a, b in zip(rows.values(), wanted)) else 1)
PY
OMP_NUM_THREADS=1 venv/bin/python -W ignore gelu.py 2>errors.log || { code=$?; tail -5 errors.log; exit $code; }
