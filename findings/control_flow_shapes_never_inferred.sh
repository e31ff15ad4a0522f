#!/usr/bin/env bash
# MXNet 1.9.1: shapes are never inferred through the symbolic cond and while_loop, however much is known.
#
# Seen on 2026-11-28 with Python 3.11, mxnet 1.9.1, numpy 1.23.5 on x86-64 Linux.
#
# Guess: with the shapes of all inputs given, infer_shape() gives those of the outputs, as it does for foreach: the
# documentation of cond asks that both branches give the same shape, and while_loop's speaks of an inferred shape.
# Really: infer_shape() gives (None, None, None) and simple_bind() raises an error whose list of arguments without a
# shape is empty. bind() with arrays works. Pull request 14393 of apache/mxnet (dynamic shapes in while_loop and cond)
# looks like where it comes from.
#
# Output seen:
#   cond:       infer_shape: None, simple_bind: fails, bind with arrays: (2, 3)
#   while_loop: infer_shape: None, simple_bind: fails, bind with arrays: (2, 3)
#   foreach:    infer_shape: [(4, 3)], simple_bind: works, bind with arrays: (4, 3)
#
# Exits 0 while this is so, 1 when it has changed, 3 where the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
{ "${PYTHON:-python3}" -m venv venv && venv/bin/pip install -q mxnet==1.9.1 numpy==1.23.5; } >install.log 2>&1 || {
    cat install.log; echo "needs Python 3.8 to 3.11 (set PYTHON)"; exit 3; }
cat > flow.py <<'PY'
import sys

import mxnet as mx

data, count = mx.sym.Variable("data"), mx.sym.Variable("count")
outputs, states = mx.sym.contrib.while_loop(lambda i, s: i < 3, lambda i, s: (s, [i + 1, s * 2]), [count, data], 3)
stacked, last = mx.sym.contrib.foreach(lambda row, s: (row + s, s * 2), data, count)
graphs = {
    "cond": (mx.sym.contrib.cond(count, lambda: data + 1, lambda: data * 2), {"data": (2, 3), "count": (1,)}),
    "while_loop": (states[1], {"data": (2, 3), "count": (1,)}),
    "foreach": (stacked, {"data": (4, 3), "count": (3,)}),
}
found = {}
for name, (graph, shapes) in graphs.items():
    inferred = graph.infer_shape(**shapes)[1]
    try:
        graph.simple_bind(mx.cpu(), grad_req="null", **shapes)
        bound = "works"
    except RuntimeError as error:
        bound = "fails" if "cannot decide shapes" in str(error) else "fails otherwise"
    arrays = {key: mx.nd.ones(shape) for key, shape in shapes.items()}
    ran = graph.bind(mx.cpu(), arrays).forward()[0].asnumpy().shape
    found[name] = inferred, bound, ran
    print("%-11s infer_shape: %s, simple_bind: %s, bind with arrays: %s" % ((name + ":",) + found[name]))
unknown = None, "fails", (2, 3)
wanted = {"cond": unknown, "while_loop": unknown, "foreach": ([(4, 3)], "works", (4, 3))}
sys.exit(0 if found == wanted else 1)
PY
OMP_NUM_THREADS=1 venv/bin/python -W ignore flow.py 2>errors.log || { code=$?; tail -5 errors.log; exit $code; }
