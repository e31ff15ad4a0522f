#!/usr/bin/env bash
# MXNet 1.9.1: SoftmaxOutput ignores smooth_alpha where multi_output=True.
#
# Seen on 2026-11-28 with Python 3.11, mxnet 1.9.1, numpy 1.23.5 on x86-64 Linux.
#
# Guess: smooth_alpha takes that much from the label's class and spreads it over the others, in whatever way the softmax
# is laid out: the parameter's description names no condition.
# Really: with multi_output=True (one label for each position) the gradient is that of hard labels, and nothing is said.
# Smoothing (pull request 8072 of apache/mxnet) is done for data of two axes only; no public issue on the rest found.
#
# Output seen:
#   two axes:     smooth_alpha 0.0, gradient [0.25, -0.75, 0.25, 0.25]
#   two axes:     smooth_alpha 0.3, gradient [0.15, -0.45, 0.15, 0.15]
#   multi_output: smooth_alpha 0.0, gradient [0.25, -0.75, 0.25, 0.25]
#   multi_output: smooth_alpha 0.3, gradient [0.25, -0.75, 0.25, 0.25]
#
# Exits 0 while this is so, 1 when it has changed, 3 where the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
{ "${PYTHON:-python3}" -m venv venv && venv/bin/pip install -q mxnet==1.9.1 numpy==1.23.5; } >install.log 2>&1 || {
    cat install.log; echo "needs Python 3.8 to 3.11 (set PYTHON)"; exit 3; }
cat > smooth.py <<'PY'
import sys

import mxnet as mx


def gradient(shape, labels, **options):
    data = mx.nd.zeros(shape)
    data.attach_grad()
    with mx.autograd.record():
        out = mx.nd.SoftmaxOutput(data, mx.nd.array(labels), **options)
    out.backward()
    return [round(float(value), 4) for value in data.grad.asnumpy().ravel()]


# One sample, four classes; with multi_output at one position.
plain = {alpha: gradient((1, 4), [1], smooth_alpha=alpha) for alpha in (0.0, 0.3)}
multi = {alpha: gradient((1, 4, 1), [[1]], multi_output=True, smooth_alpha=alpha) for alpha in (0.0, 0.3)}
for name, found in ("two axes:    ", plain), ("multi_output:", multi):
    for alpha in found:
        print("%s smooth_alpha %.1f, gradient %s" % (name, alpha, found[alpha]))
hard = [0.25, -0.75, 0.25, 0.25]
as_described = plain == {0.0: hard, 0.3: [0.15, -0.45, 0.15, 0.15]} and multi == {0.0: hard, 0.3: hard}
sys.exit(0 if as_described else 1)
PY
OMP_NUM_THREADS=1 venv/bin/python -W ignore smooth.py 2>errors.log || { code=$?; tail -5 errors.log; exit $code; }
