#!/usr/bin/env bash
# MXNet 1.9.1: a Module fed a batch of another size binds itself anew, but keeps scaling gradients by the old size.
#
# Seen on 2026-11-28 with Python 3.11, mxnet 1.9.1, numpy 1.23.5 on x86-64 Linux.
#
# Guess: Module.forward() supports batches of other sizes (so its documentation), and init_optimizer() divides the
# summed gradients by the batch size, so a step on 2 samples is the same whatever size the module was bound with.
# Really: rescale_grad is set once, to 1 / the size at init_optimizer(), and is not touched by the rebinding. A batch of
# 2 in a module bound with 8 makes a quarter of the step, a batch of 8 in a module bound with 2 makes four times the
# step. No public issue found.
#
# Output seen:
#   bound with 2, fed 2 equal samples: the weight moves by 0.100
#   bound with 8, fed 8 equal samples: the weight moves by 0.100
#   bound with 8, fed 2 equal samples: the weight moves by 0.025
#   bound with 2, fed 8 equal samples: the weight moves by 0.400
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

logging.disable(logging.WARNING)


def step(bound, fed):
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=1, no_bias=True, name="fc")
    module = mx.mod.Module(mx.sym.LinearRegressionOutput(net, name="out"), label_names=["out_label"])
    module.bind([("data", (bound, 1))], [("out_label", (bound, 1))])
    module.init_params(mx.init.Zero())
    module.init_optimizer(optimizer_params={"learning_rate": 0.1})
    module.forward_backward(mx.io.DataBatch([mx.nd.ones((fed, 1))], [mx.nd.ones((fed, 1))]))
    module.update()
    return float(module.get_params()[0]["fc_weight"].asscalar())


found = {}
for bound, fed in (2, 2), (8, 8), (8, 2), (2, 8):
    found[bound, fed] = round(step(bound, fed), 4)
    print("bound with %d, fed %d equal samples: the weight moves by %.3f" % (bound, fed, found[bound, fed]))
sys.exit(0 if found == {(2, 2): 0.1, (8, 8): 0.1, (8, 2): 0.025, (2, 8): 0.4} else 1)
PY
OMP_NUM_THREADS=1 venv/bin/python -W ignore steps.py 2>errors.log || { code=$?; tail -5 errors.log; exit $code; }
