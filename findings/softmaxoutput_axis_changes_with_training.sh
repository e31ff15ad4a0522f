#!/usr/bin/env bash
# MXNet 1.9.1: SoftmaxOutput on four axes takes its softmax over another axis in prediction than in training.
#
# Seen on 2026-11-28 with Python 3.11, mxnet 1.9.1, numpy 1.23.5 on x86-64 Linux.
#
# Guess: on data of shape (images, classes, 1, 1), as a fully convolutional classifier ends, the softmax is taken over
# the classes of each image: the documentation says that by default the data is reshaped to (images, all the rest)
# first.
# Really: so it is with is_train=True. With is_train=False the oneDNN kernel (which pull request 13699 of apache/mxnet
# brought in) takes it over the last axis, which has length 1 here, so every class gets probability 1. Nothing is said.
# A Flatten before it, or multi_output=True, gives the same in both.
#
# Output seen:
#   shape (2, 5), is_train=True: probabilities of an image sum to 1.00
#   shape (2, 5), is_train=False: probabilities of an image sum to 1.00
#   shape (2, 5, 1, 1), is_train=True: probabilities of an image sum to 1.00
#   shape (2, 5, 1, 1), is_train=False: probabilities of an image sum to 5.00
#
# Exits 0 while this is so, 1 when it has changed, 3 where the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
{ "${PYTHON:-python3}" -m venv venv && venv/bin/pip install -q mxnet==1.9.1 numpy==1.23.5; } >install.log 2>&1 || {
    cat install.log; echo "needs Python 3.8 to 3.11 (set PYTHON)"; exit 3; }
cat > axis.py <<'PY'
import sys

import mxnet as mx
import numpy as np

IMAGES, CLASSES = 2, 5


def sums_per_image(shape, is_train):
    executor = mx.sym.SoftmaxOutput(mx.sym.Variable("data"), name="softmax").simple_bind(mx.cpu(), data=shape)
    executor.arg_dict["data"][:] = np.random.RandomState(0).rand(*shape)
    return executor.forward(is_train=is_train)[0].asnumpy().reshape(IMAGES, -1).sum(axis=1)


found = {}
for shape in (IMAGES, CLASSES), (IMAGES, CLASSES, 1, 1):
    for is_train in True, False:
        sums = found[len(shape), is_train] = sums_per_image(shape, is_train)
        print("shape %s, is_train=%s: probabilities of an image sum to %.2f" % (shape, is_train, sums[0]))
expected = {(2, True): 1, (2, False): 1, (4, True): 1, (4, False): CLASSES}
sys.exit(0 if all(np.allclose(sums, expected[key]) for key, sums in found.items()) else 1)
PY
OMP_NUM_THREADS=1 venv/bin/python -W ignore axis.py 2>errors.log || { code=$?; tail -5 errors.log; exit $code; }
