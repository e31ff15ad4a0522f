#!/usr/bin/env bash
# MXNet 1.9.1: amp.convert_model(cast_optional_params=True) casts the parameters of the network that it is given.
#
# Seen on 2026-11-28 with Python 3.11, mxnet 1.9.1, numpy 1.23.5 on x86-64 Linux.
#
# Guess: convert_model() returns a symbol and two dictionaries in the lower precision, and leaves those that were passed
# in to the float32 network, as cast_optional_params=False does, and as convert_hybrid_block() does with a block.
# Really: what it returns is the very dictionary that was passed in, and the arrays in it are float16 now. Module takes
# them without a word, so the float32 network that is run or saved afterwards has lost 13 bits of each weight. The
# documentation of the option speaks of the memory of the converted model only. Pull request 15118 of apache/mxnet
# brought it; no public issue on this found.
#
# Output seen:
#   convert_model(cast_optional_params=False): float32 network unchanged, its weights are float32
#   convert_model(cast_optional_params=True):  float32 network off by 1.9e-04, its weights are float16
#   convert_hybrid_block(the same option):     float32 network unchanged, its weights are float32
#
# Exits 0 while this is so, 1 when it has changed, 3 where the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
{ "${PYTHON:-python3}" -m venv venv && venv/bin/pip install -q mxnet==1.9.1 numpy==1.23.5; } >install.log 2>&1 || {
    cat install.log; echo "needs Python 3.8 to 3.11 (set PYTHON)"; exit 3; }
cat > casts.py <<'PY'
import sys

import mxnet as mx
import numpy as np
from mxnet.contrib import amp

rng = np.random.RandomState(0)
images = rng.rand(4, 3, 8, 8).astype(np.float32)
stored = {"layer_weight": rng.randn(8, 3, 3, 3).astype(np.float32), "layer_bias": rng.randn(8).astype(np.float32)}
network = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=8, name="layer")


def answer(parameters):
    module = mx.mod.Module(network, label_names=None)
    module.bind([("data", images.shape)], for_training=False)
    module.set_params(parameters, {})
    module.forward(mx.io.DataBatch([mx.nd.array(images)]), is_train=False)
    return module.get_outputs()[0].asnumpy()


def block_with(parameters):
    block = mx.gluon.SymbolBlock(network, mx.sym.Variable("data"))
    for name, parameter in block.collect_params().items():
        parameter.shape = parameters[name].shape
        parameter.initialize()
        parameter.set_data(parameters[name])
    block.hybridize()
    block(mx.nd.array(images))
    return block


def through_model(parameters, optional):
    amp.convert_model(network, parameters, {}, cast_optional_params=optional)
    return parameters


def through_block(parameters):
    block = block_with(parameters)
    amp.convert_hybrid_block(block, cast_optional_params=True, ctx=mx.cpu())
    return {name: parameter.data() for name, parameter in block.collect_params().items()}


def tried(name, convert, *options):
    after = convert({key: mx.nd.array(array) for key, array in stored.items()}, *options)
    kind = np.dtype(after["layer_weight"].dtype).name
    right = answer({key: mx.nd.array(array) for key, array in stored.items()})
    lost = np.abs(answer(after) - right).max() / np.abs(right).max()
    print("%-42s float32 network %s, its weights are %s" % (name, "off by %.1e" % lost if lost else "unchanged", kind))
    return kind, lost


kept = tried("convert_model(cast_optional_params=False):", through_model, False)
cast = tried("convert_model(cast_optional_params=True):", through_model, True)
block = tried("convert_hybrid_block(the same option):", through_block)
sys.exit(0 if kept == block == ("float32", 0) and cast[0] == "float16" and cast[1] > 1e-5 else 1)
PY
OMP_NUM_THREADS=1 venv/bin/python -W ignore casts.py 2>errors.log || { code=$?; tail -5 errors.log; exit $code; }
