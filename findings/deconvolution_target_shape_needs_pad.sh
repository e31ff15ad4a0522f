#!/usr/bin/env bash
# MXNet 1.9.1: Deconvolution with a target_shape binds without pad, and fails on a CPU unless the right pad is given.
#
# Seen on 2026-11-28 with Python 3.11, mxnet 1.9.1, numpy 1.23.5 on x86-64 Linux.
#
# Guess: the documentation of pad says that with target_shape "pad will be ignored and a padding that will generate the
# target shape will be used". So kernel 4, stride 2 and a target of twice the input run without a pad.
# Really: shapes are inferred so and binding succeeds, but the oneDNN kernel takes the pad that was written down (0 if
# none was): the first forward pass fails, speaking of a "dilated deconvolution", although nothing is dilated. With
# pad=(1, 1) it runs, and with MXNET_MKLDNN_ENABLED=0 it runs without as well. No public issue found.
#
# Output seen:
#   target_shape only:           bound to (8, 8), fails (dilated)
#   target_shape and pad=(1, 1): bound to (8, 8), runs
#   target_shape, oneDNN off:    bound to (8, 8), runs
#
# Exits 0 while this is so, 1 when it has changed, 3 where the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
{ "${PYTHON:-python3}" -m venv venv && venv/bin/pip install -q mxnet==1.9.1 numpy==1.23.5; } >install.log 2>&1 || {
    cat install.log; echo "needs Python 3.8 to 3.11 (set PYTHON)"; exit 3; }
cat > deconv.py <<'PY'
import os
import subprocess
import sys

import mxnet as mx


def run(**options):
    layer = mx.sym.Deconvolution(mx.sym.Variable("data"), kernel=(4, 4), stride=(2, 2), num_filter=2, **options)
    executor = layer.simple_bind(mx.cpu(), grad_req="null", data=(1, 3, 4, 4))
    try:
        executor.forward()[0].asnumpy()
        return "bound to %s, runs" % (executor.outputs[0].shape[2:],)
    except mx.MXNetError as error:
        message = "dilated" if "dilated deconvolution" in str(error) else "another message"
        return "bound to %s, fails (%s)" % (executor.outputs[0].shape[2:], message)


if sys.argv[1:]:
    print(run(target_shape=(8, 8)))
    sys.exit()
plain = subprocess.run([sys.executable, "-W", "ignore", __file__, "without"], check=True, stdout=subprocess.PIPE,
                       env=dict(os.environ, MXNET_MKLDNN_ENABLED="0"), universal_newlines=True).stdout.strip()
found = [run(target_shape=(8, 8)), run(target_shape=(8, 8), pad=(1, 1)), plain]
for name, result in zip(["target_shape only:           ", "target_shape and pad=(1, 1): ",
                         "target_shape, oneDNN off:    "], found):
    print(name + result)
sys.exit(0 if found == ["bound to (8, 8), fails (dilated)"] + ["bound to (8, 8), runs"] * 2 else 1)
PY
OMP_NUM_THREADS=1 venv/bin/python -W ignore deconv.py 2>errors.log || { code=$?; tail -5 errors.log; exit $code; }
