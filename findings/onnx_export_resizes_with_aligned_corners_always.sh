#!/usr/bin/env bash
# MXNet 1.9.1: mx.onnx writes every BilinearResize2D with aligned corners, whatever align_corners says.
#
# Seen on 2026-11-28 with Python 3.11, mxnet 1.9.1, numpy 1.24.4, onnx 1.13.1, onnxruntime 1.15.1 on x86-64 Linux.
#
# Guess: BilinearResize2D(align_corners=False) becomes ONNX's Resize with coordinate_transformation_mode half_pixel,
# which computes the same, or is refused, as the exporter refuses the modes that it does not know.
# Really: it writes align_corners for both. The file passes ONNX's checker and runs; masks of segmentation networks are
# shifted by up to half a pixel of the small map, and the error is largest where the map is smallest. Pull request
# 19733 of apache/mxnet, which brought the operator, says that it has the default mode only.
#
# Output seen:
#   BilinearResize2D of 0 1 2 3 to 8 columns
#   align_corners=True:  MXNet 0.00 0.43 0.86 1.29 1.71 2.14 2.57 3.00
#                        ONNX  0.00 0.43 0.86 1.29 1.71 2.14 2.57 3.00
#   align_corners=False: MXNet 0.00 0.25 0.75 1.25 1.75 2.25 2.75 3.00
#                        ONNX  0.00 0.43 0.86 1.29 1.71 2.14 2.57 3.00
#
# Exits 0 while this is so, 1 when it has changed, 3 where the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
{ "${PYTHON:-python3}" -m venv venv &&
    venv/bin/pip install -q mxnet==1.9.1 numpy==1.24.4 \
    onnx==1.13.1 protobuf==3.20.3 onnxruntime==1.15.1; } >install.log 2>&1 || {
    cat install.log; echo "needs Python 3.8 to 3.11 (set PYTHON)"; exit 3; }
cat > resize.py <<'PY'
import sys

import numpy as np
import onnx
import onnxruntime

np.bool = bool  # gone from NumPy 1.24; MXNet reads it
import mxnet as mx  # noqa: E402

ROW = np.arange(4, dtype=np.float32).reshape(1, 1, 1, 4).repeat(4, axis=2)
print("BilinearResize2D of 0 1 2 3 to 8 columns")
found = {}
for aligned in True, False:
    settings = {"height": 8, "width": 8, "align_corners": aligned}
    mx.onnx.export_model(mx.sym.contrib.BilinearResize2D(mx.sym.Variable("data"), **settings), {}, [ROW.shape],
                         np.float32, "resize.onnx")
    onnx.checker.check_model("resize.onnx")
    session = onnxruntime.InferenceSession("resize.onnx", providers=["CPUExecutionProvider"])
    there = mx.nd.contrib.BilinearResize2D(mx.nd.array(ROW), **settings).asnumpy()[0, 0, 0]
    here = session.run(None, {"data": ROW})[0][0, 0, 0]
    for text, program, numbers in (("align_corners=%s:" % aligned, "MXNet", there), ("", "ONNX", here)):
        print("%-20s %-5s %s" % (text, program, " ".join("%.2f" % number for number in numbers)))
    found[aligned] = there, here
(aligned, aligned_file), (halves, halves_file) = found[True], found[False]
same = np.allclose(aligned, aligned_file, atol=1e-5) and np.allclose(aligned, halves_file, atol=1e-5) \
    and np.allclose(halves, np.clip(np.arange(8) / 2 - 0.25, 0, 3), atol=1e-5)
sys.exit(0 if same else 1)
PY
OMP_NUM_THREADS=1 venv/bin/python -W ignore resize.py 2>errors.log || { code=$?; tail -5 errors.log; exit $code; }
