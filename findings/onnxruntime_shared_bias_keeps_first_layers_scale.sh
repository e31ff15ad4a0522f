#!/usr/bin/env bash
# onnxruntime 1.32: of layers that share a bias quantize_static gives all but the first a wrong one (QOperator).
#
# Seen on 2026-11-28 with Python 3.11, onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6 on x86-64 Linux.
#
# Guess: a bias is stored in int32 in steps of its layer's input times its weights. Where two convolutions share one,
# as the heads of detectors do at each scale of the image, the quantizer makes an integer bias for each.
# Really: QuantFormat.QOperator makes it for the convolution that it meets first and gives the same integers to the
# others: with an input twenty times as large the bias counts twenty times. QuantFormat.QDQ, the default, stores it for
# each and is right. Pull request 7982 of microsoft/onnxruntime has the title of this fault, from 2021; it is open.
#
# Output seen:
#    -1 / 2 + 1, input of up to  1: float32  0.50, QDQ  0.50, QOperator  0.50
#   -20 / 2 + 1, input of up to 20: float32 -9.00, QDQ -8.94, QOperator 10.04
#
# Exits 0 while this is so, 1 when it has changed, 3 where the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
{ "${PYTHON:-python3}" -m venv venv &&
    venv/bin/pip install -q onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6; } >install.log 2>&1 || {
    cat install.log; echo "needs Python 3.11 or later (set PYTHON)"; exit 3; }
cat > bias.py <<'PY'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

DATA = np.array([-1.0, 0.0, 1.0], np.float32).reshape(-1, 1, 1, 1)


def save(nodes, weights, outputs):
    floats = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes, "network", [helper.make_tensor_value_info("data", floats, [None, 1, 1, 1])],
        [helper.make_tensor_value_info(name, floats, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(array, np.float32), name) for name, array in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, "float32.onnx")


class Images(CalibrationDataReader):
    def __init__(self):
        self._batches = iter([{"data": DATA}])

    def get_next(self):
        return next(self._batches, None)


def answers(path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return [array.ravel() for array in session.run(None, {"data": DATA})]


nodes = [helper.make_node("Conv", ["data", "kernel", "bias"], ["small"], name="small"),
         helper.make_node("Mul", ["data", "twenty"], ["larger"], name="larger"),
         helper.make_node("Conv", ["larger", "kernel", "bias"], ["large"], name="large")]
save(nodes, {"kernel": np.full((1, 1, 1, 1), 0.5), "bias": [1.0], "twenty": 20.0}, ["small", "large"])
rows = [answers("float32.onnx")]
for form in QuantFormat.QDQ, QuantFormat.QOperator:
    quantize_static("float32.onnx", "int8.onnx", Images(), quant_format=form)
    rows.append(answers("int8.onnx"))
found = [[float(row[place][0]) for row in rows] for place in (0, 1)]
for (x, limit), numbers in zip(((-1, 1), (-20, 20)), found):
    print("%3d / 2 + 1, input of up to %2d: float32 %5.2f, QDQ %5.2f, QOperator %5.2f" % ((x, limit) + tuple(numbers)))
wanted = [[0.5, 0.5, 0.5], [-9, -9, -20 / 2 + 20]]
sys.exit(0 if np.abs(np.array(found) - wanted).max() < 0.2 else 1)
PY
OMP_NUM_THREADS=1 venv/bin/python -W ignore bias.py 2>errors.log || { code=$?; tail -5 errors.log; exit $code; }
