#!/usr/bin/env bash
# MXNet 1.9.1: Module.get_params() returns BatchNorm statistics that are still being written.
#
# Seen on 2026-11-28 with Python 3.11, mxnet 1.9.1, numpy 1.23.5 on x86-64 Linux.
#
# Guess: MXNet's engine orders reads behind writes, so after update() and get_outputs()[0].asnumpy() the auxiliary
# states that get_params() copies are those of this step.
# Really: moving mean and variance are updated in the backward pass behind the engine's back (issue 18610 of
# apache/mxnet describes it), so copies of the first layers' statistics may be one step old or half written. Reading the
# outputs waits for the forward pass only. mx.nd.waitall() before get_params() gives the right ones.
#
# Output seen:
#   without waitall: statistics stale after 67 of 100 steps
#   with waitall:    statistics stale after 0 of 100 steps
#
# Exits 0 while this is so, 1 when it has changed, 3 where the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
{ "${PYTHON:-python3}" -m venv venv && venv/bin/pip install -q mxnet==1.9.1 numpy==1.23.5; } >install.log 2>&1 || {
    cat install.log; echo "needs Python 3.8 to 3.11 (set PYTHON)"; exit 3; }
cat > steps.py <<'PY'
import logging
import sys

import mxnet as mx
import numpy as np

logging.disable(logging.WARNING)
LAYERS, STEPS = 20, 100


def network():
    net = mx.sym.Variable("data")
    for i in range(LAYERS):
        net = mx.sym.Convolution(net, num_filter=16, kernel=(3, 3), pad=(1, 1), no_bias=True, name="conv%d" % i)
        net = mx.sym.Activation(mx.sym.BatchNorm(net, fix_gamma=False, name="bn%d" % i), act_type="relu")
    return mx.sym.SoftmaxOutput(mx.sym.FullyConnected(mx.sym.Flatten(net), num_hidden=10), name="softmax")


def statistics(module):
    module._params_dirty = True  # or a second get_params() would return the first one's copies
    return {name: array.asnumpy() for name, array in module.get_params()[1].items()}


def stale_steps(wait):
    rng = np.random.RandomState(0)
    module = mx.mod.Module(network())
    module.bind([("data", (16, 3, 16, 16))], [("softmax_label", (16,))])
    module.init_params(mx.init.Xavier())
    module.init_optimizer(optimizer_params={"learning_rate": 0.01})
    stale = 0
    for _ in range(STEPS):
        images, labels = rng.rand(16, 3, 16, 16), rng.randint(0, 10, 16)
        module.forward_backward(mx.io.DataBatch([mx.nd.array(images)], [mx.nd.array(labels)]))
        module.update()
        module.get_outputs()[0].asnumpy()
        if wait:
            mx.nd.waitall()
        early = statistics(module)
        mx.nd.waitall()
        late = statistics(module)
        stale += any(not np.array_equal(early[name], late[name]) for name in late)
    return stale


without, waited = stale_steps(False), stale_steps(True)
print("without waitall: statistics stale after %d of %d steps" % (without, STEPS))
print("with waitall:    statistics stale after %d of %d steps" % (waited, STEPS))
sys.exit(0 if without > 0 and waited == 0 else 1)
PY
OMP_NUM_THREADS=1 venv/bin/python -W ignore steps.py 2>errors.log || { code=$?; tail -5 errors.log; exit $code; }
