#!/usr/bin/env bash
# MXNet 1.9.1: a Module bound for inference keeps computing with the weights of its first pass, but with new biases.
#
# Seen on 2026-11-28 with Python 3.11, mxnet 1.9.1, numpy 1.23.5 on x86-64 Linux.
#
# Guess: set_params() says it "assigns parameter and aux state values", so the next forward() uses them, as it does for
# the first time; get_params() gives what the network computes with.
# Really: weights of convolutions and fully connected layers that were set after a first forward() are never used;
# biases are. get_params() returns the new weights all the same. Nothing is said, and an executor's copy_params_from()
# does the same. A module bound with for_training=True, or bound anew (force_rebind=True), uses the new ones. Issue
# 16037 of apache/mxnet tells the same of LSTM in 1.5, and is closed.
#
# Output seen:
#   convolution,     weights doubled: outputs change by   0%, should by  98%
#   convolution,     bias doubled:    outputs change by  13%, should by  13%
#   fully connected, weights doubled: outputs change by   0%, should by 101%
#   fully connected, bias doubled:    outputs change by  18%, should by  18%
#   convolution bound for training, weights doubled: outputs change by  98%
#
# Exits 0 while this is so, 1 when it has changed, 3 where the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
{ "${PYTHON:-python3}" -m venv venv && venv/bin/pip install -q mxnet==1.9.1 numpy==1.23.5; } >install.log 2>&1 || {
    cat install.log; echo "needs Python 3.8 to 3.11 (set PYTHON)"; exit 3; }
cat > weights.py <<'PY'
import sys

import mxnet as mx
import numpy as np

rng = np.random.RandomState(0)
images = rng.uniform(-1, 1, (8, 3, 12, 12)).astype(np.float32)
batch = mx.io.DataBatch([mx.nd.array(images)])


def bound(layer, for_training=False):
    module = mx.mod.Module(layer, label_names=None)
    module.bind([("data", images.shape)], for_training=for_training)
    return module


def answer(module, arrays):
    module.set_params({name: mx.nd.array(array) for name, array in arrays.items()}, {})
    module.forward(batch, is_train=False)
    return module.get_outputs()[0].asnumpy()


def changes(layer, what, for_training=False):
    """How far the outputs move when one parameter is doubled: in a module that ran before, and in a new one."""
    shapes = dict(zip(layer.list_arguments(), layer.infer_shape(data=images.shape)[0]))
    arrays = {name: rng.randn(*shape) / np.sqrt(np.prod(shape[1:])) / (10 if len(shape) == 1 else 1)
              for name, shape in sorted(shapes.items()) if name != "data"}
    doubled = dict(arrays, **{"layer_" + what: 2 * arrays["layer_" + what]})
    used = bound(layer, for_training)
    before, after, right = answer(used, arrays), answer(used, doubled), answer(bound(layer), doubled)
    held = used.get_params()[0]["layer_" + what].asnumpy()
    assert np.allclose(held, doubled["layer_" + what]), "get_params() gives something else than what was set"
    return [np.linalg.norm(moved - before) / np.linalg.norm(before) for moved in (after, right)]


data, found = mx.sym.Variable("data"), {}
layers = {"convolution": mx.sym.Convolution(data, kernel=(3, 3), num_filter=16, name="layer"),
          "fully connected": mx.sym.FullyConnected(data, num_hidden=16, name="layer")}
for name, layer in layers.items():
    for what, word in (("weight", "weights doubled:"), ("bias", "bias doubled:")):
        found[name, what] = changes(layer, what)
        print("%-16s %-16s outputs change by %3.0f%%, should by %3.0f%%" % (
            (name + ",", word) + tuple(100 * np.array(found[name, what]))))
trained = changes(layers["convolution"], "weight", for_training=True)
print("convolution bound for training, weights doubled: outputs change by %3.0f%%" % (100 * trained[0]))
stale = all(found[name, "weight"][0] < 1e-6 < 0.5 < found[name, "weight"][1] for name in layers)
fresh = all(np.allclose(*found[name, "bias"], rtol=1e-3) for name in layers) and np.allclose(*trained, rtol=1e-3)
sys.exit(0 if stale and fresh else 1)
PY
OMP_NUM_THREADS=1 venv/bin/python -W ignore weights.py 2>errors.log || { code=$?; tail -5 errors.log; exit $code; }
