#!/usr/bin/env bash
# MXNet 1.9.1: SymbolBlock.imports forgets which layers export() wrote as frozen.
#
# Seen on 2026-11-28 with Python 3.11, mxnet 1.9.1, numpy 1.23.5 on x86-64 Linux.
#
# Guess: export() writes lr_mult and wd_mult of every Gluon parameter into the JSON (as __lr_mult__, __wd_mult__), and
# SymbolBlock.imports, made to read such files back for fine-tuning, restores them, as Module does.
# Really: the block's parameters have lr_mult and wd_mult of 1, whatever the file says; Trainer trains the layer that
# was frozen. A Module on the same file leaves it alone. Pull request 21044 of apache/mxnet (open) would mend it.
#
# Output seen:
#   written:     dense0 weight lr_mult 0.0 wd_mult 0.0
#   read back:   dense0 weight lr_mult 1.0 wd_mult 1.0
#   one step on the file: Module moves the frozen weight by 0.0, Trainer by 1.0
#
# Exits 0 while this is so, 1 when it has changed, 3 where the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
{ "${PYTHON:-python3}" -m venv venv && venv/bin/pip install -q mxnet==1.9.1 numpy==1.23.5; } >install.log 2>&1 || {
    cat install.log; echo "needs Python 3.8 to 3.11 (set PYTHON)"; exit 3; }
cat > imports.py <<'PY'
import json
import sys

import mxnet as mx
from mxnet import gluon

net = gluon.nn.HybridSequential(prefix="")
net.add(gluon.nn.Dense(1, in_units=1, prefix="dense0_"))
net.initialize(mx.init.One())
net[0].weight.lr_mult = net[0].weight.wd_mult = 0.0
net.hybridize()
one = mx.nd.ones((1, 1))
net(one)
net.export("frozen")

with open("frozen-symbol.json") as file:
    written = {node["name"]: node.get("attrs", {}) for node in json.load(file)["nodes"]}["dense0_weight"]
block = gluon.SymbolBlock.imports("frozen-symbol.json", ["data"], "frozen-0000.params")
weight = block.collect_params()["dense0_weight"]
print("written:     dense0 weight lr_mult %s wd_mult %s" % (written["__lr_mult__"], written["__wd_mult__"]))
print("read back:   dense0 weight lr_mult %s wd_mult %s" % (weight.lr_mult, weight.wd_mult))

symbol, arguments, states = mx.model.load_checkpoint("frozen", 0)
module = mx.mod.Module(mx.sym.MakeLoss(symbol), label_names=None)
module.bind([("data", (1, 1))])
module.set_params(arguments, states)
module.init_optimizer(kvstore=None, optimizer="sgd", optimizer_params={"learning_rate": 1.0})
module.forward_backward(mx.io.DataBatch([one]))
module.update()
by_module = 1 - float(module.get_params()[0]["dense0_weight"].asscalar())

trainer = gluon.Trainer(block.collect_params(), "sgd", {"learning_rate": 1.0})
with mx.autograd.record():
    loss = block(one)
loss.backward()
trainer.step(1)
by_trainer = 1 - float(weight.data().asscalar())
print("one step on the file: Module moves the frozen weight by %.1f, Trainer by %.1f" % (by_module, by_trainer))
same = (float(written["__lr_mult__"]), weight.lr_mult, weight.wd_mult, by_module, by_trainer) == (0, 1, 1, 0, 1)
sys.exit(0 if same else 1)
PY
OMP_NUM_THREADS=1 venv/bin/python -W ignore imports.py 2>errors.log || { code=$?; tail -5 errors.log; exit $code; }
