#!/usr/bin/env bash
# MXNet 1.9.1: a slice of an executor's convolution output can be read, but not copied.
#
# Seen on 2026-11-28 with Python 3.11, mxnet 1.9.1, numpy 1.23.5 on x86-64 Linux.
#
# Guess: outputs are arrays like others: what output[0:1].asnumpy() gives, output[0:1].copy() gives as well.
# Really: the output lies in oneDNN's own layout, and copy() of a view into it raises "Check failed: !is_view".
# asnumpy() of the same slice works, and so does slicing a copy. Issue 15267 of apache/mxnet (1.5, through the Java
# binding) has a relative of it, issue 17890 another; 1.9.1 still does it.
#
# Output seen:
#   output[0:1].asnumpy(): shape (1, 16, 6, 6)
#   output.copy()[0:1]:    shape (1, 16, 6, 6)
#   output[0:1].copy():    Check failed: !is_view
#
# Exits 0 while this is so, 1 when it has changed, 3 where the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
{ "${PYTHON:-python3}" -m venv venv && venv/bin/pip install -q mxnet==1.9.1 numpy==1.23.5; } >install.log 2>&1 || {
    cat install.log; echo "needs Python 3.8 to 3.11 (set PYTHON)"; exit 3; }
cat > slices.py <<'PY'
import sys

import mxnet as mx

layer = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=16)
executor = layer.simple_bind(mx.cpu(), grad_req="null", data=(2, 3, 8, 8))
ways = {
    "output[0:1].asnumpy()": lambda output: output[0:1].asnumpy(),
    "output.copy()[0:1]": lambda output: output.copy()[0:1].asnumpy(),
    "output[0:1].copy()": lambda output: output[0:1].copy().asnumpy(),
}
found = []
for name, way in ways.items():
    output = executor.forward(is_train=False)[0]
    try:
        found.append("shape %s" % (way(output).shape,))
    except mx.MXNetError as error:
        found.append("Check failed: !is_view" if "!is_view" in str(error) else "another error")
    print("%-22s %s" % (name + ":", found[-1]))
sys.exit(0 if found == ["shape (1, 16, 6, 6)"] * 2 + ["Check failed: !is_view"] else 1)
PY
OMP_NUM_THREADS=1 venv/bin/python -W ignore slices.py 2>errors.log || { code=$?; tail -5 errors.log; exit $code; }
