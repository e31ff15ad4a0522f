#!/usr/bin/env bash
# MXNet 1.9.1: a Module trains layers with lr_mult=0, and decays biases, when its optimizer is given as an object.
#
# Seen on 2026-11-28 with Python 3.11, mxnet 1.9.1, numpy 1.23.5 on x86-64 Linux.
#
# Guess: init_optimizer() takes 'sgd' or an Optimizer, and does the same with both: lr_mult and wd_mult that the
# symbol's variables carry hold, and weight decay spares biases, as Optimizer.set_wd_mult documents. At most it warns
# of rescale_grad, for which it has a message.
# Really: only an optimizer that it creates from a name is told of the symbol. One that is handed over gets the names
# of the parameters and nothing more: all multipliers are 1. Frozen layers are trained, biases and the betas of
# BatchNorm are decayed, nothing is said. set_lr_mult({}) and set_wd_mult({}) after init_optimizer() do not bring it
# back: the object has no symbol either, only the rule on biases returns. Issue 9511 of apache/mxnet is of multipliers
# set before; none on those of the symbol found.
#
# Output seen:
#   'sgd':                    the frozen weight moves by 0.00, the bias by 1.00
#   SGD(...):                 the frozen weight moves by 1.10, the bias by 1.10
#   SGD(...), set_..._mult(): the frozen weight moves by 1.10, the bias by 1.00
#
# Exits 0 while this is so, 1 when it has changed, 3 where the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
{ "${PYTHON:-python3}" -m venv venv && venv/bin/pip install -q mxnet==1.9.1 numpy==1.23.5; } >install.log 2>&1 || {
    cat install.log; echo "needs Python 3.8 to 3.11 (set PYTHON)"; exit 3; }
cat > frozen.py <<'PY'
import sys

import mxnet as mx

SETTINGS = {"learning_rate": 1.0, "wd": 0.1, "rescale_grad": 1.0}


def network():
    weight = mx.sym.Variable("dense_weight", lr_mult=0)
    return mx.sym.MakeLoss(mx.sym.FullyConnected(mx.sym.Variable("data"), weight, num_hidden=1, name="dense"))


def moves(optimizer, settings, again):
    """How far one step moves weight and bias, which are 1; their gradients are 1."""
    module = mx.mod.Module(network(), label_names=None)
    module.bind([("data", (1, 1))])
    module.init_params(arg_params={"dense_weight": mx.nd.ones((1, 1)), "dense_bias": mx.nd.ones(1)})
    module.init_optimizer(kvstore=None, optimizer=optimizer, optimizer_params=settings)
    if again:
        optimizer.set_lr_mult({})
        optimizer.set_wd_mult({})
    module.forward_backward(mx.io.DataBatch([mx.nd.ones((1, 1))]))
    module.update()
    arrays = module.get_params()[0]
    return tuple(round(1 - float(arrays[name].asnumpy().sum()), 2) for name in ("dense_weight", "dense_bias"))


found = (moves("sgd", SETTINGS, False), moves(mx.optimizer.SGD(**SETTINGS), (), False),
         moves(mx.optimizer.SGD(**SETTINGS), (), True))
for text, distances in zip(("'sgd':", "SGD(...):", "SGD(...), set_..._mult():"), found):
    print("%-25s the frozen weight moves by %.2f, the bias by %.2f" % ((text,) + distances))
sys.exit(0 if found == ((0.0, 1.0), (1.1, 1.1), (1.1, 1.0)) else 1)
PY
OMP_NUM_THREADS=1 venv/bin/python -W ignore frozen.py 2>errors.log || { code=$?; tail -5 errors.log; exit $code; }
