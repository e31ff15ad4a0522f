#!/usr/bin/env bash
# MXNet 1.9.1: the INT8 BatchNorm divides by sqrt(1 + eps) once more, and multiplies by a gamma that fix_gamma rules out.
#
# Seen on 2026-11-28 with Python 3.11, mxnet 1.9.1, numpy 1.23.5 on x86-64 Linux.
#
# Guess: _contrib_quantized_batch_norm, which quantize_model_mkldnn puts in the place of a BatchNorm that follows no
# convolution, computes what BatchNorm does but for rounding, and like that takes gamma as 1 with fix_gamma, its default.
# Really: it gives gamma / sqrt(var + eps) / sqrt(1 + eps), and gamma is the stored one whatever fix_gamma says. With the
# usual eps of 1e-3 the first is 0.05%; networks with an eps of 0.1, or with a gamma that training left in the file of a
# layer with fix_gamma, are wrong by that much. Nothing is said.
#
# Output seen:
#   eps 0.001, gamma 1, fix_gamma=False: slope 0.998 in INT8, 1.000 in float32, 0.999 with eps twice
#   eps 0.100, gamma 1, fix_gamma=False: slope 0.909 in INT8, 0.953 in float32, 0.909 with eps twice
#   eps 1.000, gamma 1, fix_gamma=False: slope 0.498 in INT8, 0.707 in float32, 0.500 with eps twice
#   eps 0.001, gamma 2, fix_gamma=True: slope 1.995 in INT8, 1.000 in float32, 0.999 with eps twice
#
# Exits 0 while this is so, 1 when it has changed, 3 where the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
{ "${PYTHON:-python3}" -m venv venv && venv/bin/pip install -q mxnet==1.9.1 numpy==1.23.5; } >install.log 2>&1 || {
    cat install.log; echo "needs Python 3.8 to 3.11 (set PYTHON)"; exit 3; }
cat > norm.py <<'PY'
import sys

import mxnet as mx
import numpy as np

PIXELS = np.linspace(-1, 1, 64, dtype=np.float32).reshape(1, 1, 8, 8)
READ, GIVEN = 1.0, 2.2  # the largest values of the input and of the output


def slope(symbol, gamma):
    """By how much the answer is larger than the input: mean 0, variance 1, beta 0."""
    arrays = {"data": mx.nd.array(PIXELS), "gamma": mx.nd.array([gamma]), "beta": mx.nd.zeros(1)}
    others = {"mean": mx.nd.zeros(1), "var": mx.nd.ones(1)}
    chosen = {name: {**arrays, **others}[name] for name in symbol.list_arguments()}
    states = {name: others[name] for name in symbol.list_auxiliary_states()}
    answer = symbol.bind(mx.cpu(), chosen, aux_states=states).forward(is_train=False)[0].asnumpy()
    return float((answer * PIXELS).sum() / np.square(PIXELS).sum())


def networks(eps, fix_gamma):
    data, others = mx.sym.Variable("data"), [mx.sym.Variable(name) for name in ("gamma", "beta", "mean", "var")]
    read = mx.sym.contrib.quantize_v2(data, out_type="int8", min_calib_range=-READ, max_calib_range=READ)
    small = mx.sym.contrib.quantized_batch_norm(read[0], *others, read[1], read[2], eps=eps, fix_gamma=fix_gamma,
                                                min_calib_range=-GIVEN, max_calib_range=GIVEN)
    return mx.sym.contrib.dequantize(*small), mx.sym.BatchNorm(data, *others, eps=eps, fix_gamma=fix_gamma)


same = True
for eps, gamma, fix_gamma in ((1e-3, 1, False), (0.1, 1, False), (1.0, 1, False), (1e-3, 2, True)):
    small, full = (slope(symbol, gamma) for symbol in networks(eps, fix_gamma))
    twice = 1 / (1 + eps)
    print("eps %.3f, gamma %d, fix_gamma=%s: slope %.3f in INT8, %.3f in float32, %.3f with eps twice"
          % (eps, gamma, fix_gamma, small, full, twice))
    same &= abs(full - 1 / np.sqrt(1 + eps)) < 1e-3 and abs(small - gamma * twice) < 0.01 * gamma
sys.exit(0 if same else 1)
PY
OMP_NUM_THREADS=1 venv/bin/python norm.py 2>/dev/null || { echo "this has changed"; exit 1; }
