#!/usr/bin/env bash
# MXNet 1.9.1: pooling with pooling_convention='full' gives -3.4e38 or 0 for windows that lie outside the map.
#
# Seen on 2026-11-28 with Python 3.11, mxnet 1.9.1, numpy 1.23.5 on x86-64 Linux.
#
# Guess: 'full' rounds the number of windows up so that no pixel is left out, as Caffe does. Where the last window
# would begin behind the last pixel, because the stride is larger than the kernel, there is none, or it is moved
# inside.
# Really: it is there and reads nothing. Maximum pooling gives the lowest float32 for it, average pooling 0, in a whole
# row and column of every map; the next convolution makes infinities of it. A 1x1 kernel with stride 2, by which
# residual networks take every other pixel, does it on every map of even size. onnxruntime 1.32 leaves such windows
# out, so that a file made of such a network has maps of another size there. Issue 6191 of apache/mxnet tells of the
# same numbers where the padding is as wide as the kernel.
#
# Output seen:
#   10x10 map of ones, 1x1 kernel, stride 2, max: 6x6, last row and column -3.4e+38, four of them add up to -inf
#   10x10 map of ones, 1x1 kernel, stride 2, avg: 6x6, last row and column 0
#   9x9 map of ones, 2x2 kernel, stride 3, max: 4x4, last row and column -3.4e+38, four of them add up to -inf
#   9x9 map of ones, 2x2 kernel, stride 3, avg: 4x4, last row and column 0
#
# Exits 0 while this is so, 1 when it has changed, 3 where the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
{ "${PYTHON:-python3}" -m venv venv && venv/bin/pip install -q mxnet==1.9.1 numpy==1.23.5; } >install.log 2>&1 || {
    cat install.log; echo "needs Python 3.8 to 3.11 (set PYTHON)"; exit 3; }
cat > outside.py <<'PY'
import sys

import mxnet as mx
import numpy as np

LOWEST = np.finfo(np.float32).min
same = True
for side, kernel, stride in (10, 1, 2), (9, 2, 3):
    for kind in "max", "avg":
        ones = mx.nd.ones((1, 1, side, side))
        maps = mx.nd.Pooling(ones, kernel=(kernel, kernel), stride=(stride, stride), pool_type=kind,
                             pooling_convention="full")
        added = float(mx.nd.Convolution(maps, mx.nd.ones((1, 1, 2, 2)), no_bias=True, kernel=(2, 2), num_filter=1)
                     .asnumpy()[0, 0, -1, -1])
        rows = maps.asnumpy()[0, 0]
        border, wanted = np.append(rows[-1], rows[:, -1]), LOWEST if kind == "max" else 0
        print("%dx%d map of ones, %dx%d kernel, stride %d, %s: %dx%d, last row and column %.2g%s" % (
            (side, side, kernel, kernel, stride, kind) + rows.shape + (border[0],
             ", four of them add up to %g" % added if kind == "max" else "")))
        same &= bool((border == wanted).all() and (rows[:-1, :-1] == 1).all())
        same &= bool(kind == "avg" or np.isinf(added))
sys.exit(0 if same else 1)
PY
OMP_NUM_THREADS=1 venv/bin/python -W ignore outside.py 2>errors.log || { code=$?; tail -5 errors.log; exit $code; }
