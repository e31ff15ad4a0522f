#!/usr/bin/env bash
# MXNet 1.9.1: SoftmaxOutput with normalization='null' still divides the gradient by the number of positions.
#
# Seen on 2026-11-28 with Python 3.11, mxnet 1.9.1, numpy 1.23.5 on x86-64 Linux.
#
# Guess: the documentation says of 'null' (the default): "do nothing". So the gradient at a position is output - label,
# with multi_output=True too, and a picture with more positions makes a larger sum.
# Really: with multi_output=True each gradient is divided by the number of positions. Issue 5981 of apache/mxnet told of
# it and was closed without an answer. With normalization='valid' the division is by the labels of the whole batch
# instead.
#
# Output seen:
#    1 positions: output - label is -0.75, the gradient is -0.750000
#    4 positions: output - label is -0.75, the gradient is -0.187500
#   16 positions: output - label is -0.75, the gradient is -0.046875
#
# Exits 0 while this is so, 1 when it has changed, 3 where the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
{ "${PYTHON:-python3}" -m venv venv && venv/bin/pip install -q mxnet==1.9.1 numpy==1.23.5; } >install.log 2>&1 || {
    cat install.log; echo "needs Python 3.8 to 3.11 (set PYTHON)"; exit 3; }
cat > null.py <<'PY'
import sys

import mxnet as mx

found = {}
for positions in 1, 4, 16:
    data = mx.nd.zeros((1, 4, positions))
    data.attach_grad()
    with mx.autograd.record():
        out = mx.nd.SoftmaxOutput(data, mx.nd.zeros((1, positions)), multi_output=True, normalization="null")
    out.backward()
    found[positions] = float(data.grad[0, 0, 0].asscalar())
    print("%2d positions: output - label is -0.75, the gradient is %.6f" % (positions, found[positions]))
sys.exit(0 if all(abs(found[positions] + 0.75 / positions) < 1e-6 for positions in found) else 1)
PY
OMP_NUM_THREADS=1 venv/bin/python -W ignore null.py 2>errors.log || { code=$?; tail -5 errors.log; exit $code; }
