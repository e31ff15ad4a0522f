#!/usr/bin/env bash
# MXNet 1.9.1: print_summary's total leaves out most weights of a dense layer that reads maps, and all of others.
#
# Seen on 2026-11-28 with Python 3.11, mxnet 1.9.1, numpy 1.23.5 on x86-64 Linux.
#
# Guess: the "Total params" of mx.viz.print_summary is the number of weights that the network's layers hold, as the
# shapes say that it infers itself.
# Really: it works the number out anew from attributes and from the channels of the layer before. A dense layer without
# a Flatten in front, as Gluon writes VGG and AlexNet, is counted as if each map were one pixel: of the 102.8 million
# weights of VGG-16's first one it sees 2.1 million. Deconvolution and PReLU count 0, shared weights twice. Issue 15192
# of apache/mxnet (open) tells of the dense layer. Compressing a network by that table starts at the wrong end.
#
# Output seen:
#   dense, behind a Flatten:  says 102764544, holds 102764544
#   dense, on maps:           says   2101248, holds 102764544
#   transposed convolution:   says         0, holds     36864
#   PReLU:                    says         0, holds       512
#   shared kernel, no bias:   says   4718592, holds   2359296
#
# Exits 0 while this is so, 1 when it has changed, 3 where the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
{ "${PYTHON:-python3}" -m venv venv && venv/bin/pip install -q mxnet==1.9.1 numpy==1.23.5; } >install.log 2>&1 || {
    cat install.log; echo "needs Python 3.8 to 3.11 (set PYTHON)"; exit 3; }
cat > summary.py <<'PY'
import contextlib
import io
import re
import sys

import mxnet as mx

S, SHAPE = mx.sym, (1, 512, 7, 7)
MAPS, KERNEL = S.Variable("data"), S.Variable("kernel")


def shared(maps, name):
    return S.Convolution(maps, KERNEL, num_filter=512, kernel=(3, 3), no_bias=True, name=name)


NETWORKS = {
    "dense, behind a Flatten": S.FullyConnected(S.Flatten(MAPS), num_hidden=4096, name="dense"),
    "dense, on maps": S.FullyConnected(MAPS, num_hidden=4096, name="dense"),
    "transposed convolution": S.Deconvolution(MAPS, num_filter=8, kernel=(3, 3), name="up"),
    "PReLU": S.LeakyReLU(MAPS, act_type="prelu", name="prelu"),
    "shared kernel, no bias": shared(shared(MAPS, "first"), "second"),
}


def said(symbol):
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        mx.viz.print_summary(symbol, {"data": SHAPE})
    return int(re.search(r"Total params: (\d+)", text.getvalue()).group(1))


def held(symbol):
    total = 0
    for name, shape in zip(symbol.list_arguments(), symbol.infer_shape(data=SHAPE)[0]):
        size = 1
        for side in shape:
            size *= side
        total += size if name != "data" else 0
    return total


found = []
for name, symbol in NETWORKS.items():
    found.append((said(symbol), held(symbol)))
    print("%-25s says %9d, holds %9d" % ((name + ":",) + found[-1]))
flat, maps, up, prelu, twice = found
same = flat[0] == flat[1] and maps[0] < maps[1] / 40 and (up[0], prelu[0]) == (0, 0) and twice[0] == 2 * twice[1]
sys.exit(0 if same else 1)
PY
OMP_NUM_THREADS=1 venv/bin/python -W ignore summary.py 2>errors.log || { code=$?; tail -5 errors.log; exit $code; }
