#!/usr/bin/env bash
# TensorLy 0.9.0: parafac puts its result into the decomposition that it was given as init.
#
# Seen on 2026-11-28 with Python 3.11, tensorly 0.9.0, numpy 1.26.4, scipy 1.13.1 on x86-64 Linux.
#
# Guess: parafac(kernel, rank, init=start) reads start, and start is afterwards what it was, so that several settings
# can be tried from it, or an error before be compared with one after.
# Really: it works in the list of factors that it is given. start holds the new factors afterwards. Where start has
# weights (normalize_factors=True makes them) those stay, although they are in the new factors already: start then
# stands for a kernel that is nothing like either. A plain list of arrays is overwritten as well; tucker does so with
# its factors and leaves the core as it was. Issue 594 of tensorly/tensorly (open) tells of a shape changed by it.
# Remedy: hand over copies of the lists.
#
# Output seen:
#   parafac, start without weights: off by 0.13 before, 0.09 after it was read; result 0.09
#   parafac, start with weights:    off by 0.13 before, more than 1 after it was read; result 0.09
#   tucker:                         off by 0.12 before, 0.25 after it was read; result 0.07
#
# Exits 0 while this is so, 1 when it has changed, 3 where the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
{ "${PYTHON:-python3}" -m venv venv &&
    venv/bin/pip install -q tensorly==0.9.0 numpy==1.26.4 scipy==1.13.1; } >install.log 2>&1 || {
    cat install.log; echo "needs Python 3.9 to 3.11 (set PYTHON)"; exit 3; }
cat > start.py <<'PY'
import sys
import warnings

import numpy as np
import tensorly as tl
from tensorly.decomposition import parafac, tucker

rng = np.random.RandomState(0)
terms = [np.einsum("a,b,c,d", *(rng.randn(side) for side in (24, 16, 3, 3))) / (i + 1) for i in range(20)]
KERNEL = sum(terms)
RANKS = [6, 6, 3, 3]


def error(decomposition, dense):
    return float(np.linalg.norm(dense(decomposition) - KERNEL) / np.linalg.norm(KERNEL))


def tried(decompose, rank, dense, start):
    before = error(start, dense)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = decompose(KERNEL, rank, init=start, n_iter_max=50)
    return before, error(start, dense), error(result, dense)


CASES = {
    "parafac, start without weights": (parafac, 6, tl.cp_to_tensor,
                                       parafac(KERNEL, 6, n_iter_max=2, random_state=0)),
    "parafac, start with weights": (parafac, 6, tl.cp_to_tensor,
                                    parafac(KERNEL, 6, n_iter_max=2, random_state=0, normalize_factors=True)),
    "tucker": (tucker, RANKS, tl.tucker_to_tensor, tucker(KERNEL, RANKS, init="random", n_iter_max=1, random_state=0)),
}
found = []
for name, (decompose, rank, dense, start) in CASES.items():
    found.append(tried(decompose, rank, dense, start))
    before, after, result = ("%.2f" % number if number < 1 else "more than 1" for number in found[-1])
    print("%-31s off by %s before, %s after it was read; result %s" % (name + ":", before, after, result))
plain, weighted, core = found
same = plain[1] == plain[2] < plain[0] and weighted[1] > 1 > weighted[0] > weighted[2] and core[1] > core[2]
sys.exit(0 if same else 1)
PY
OMP_NUM_THREADS=1 venv/bin/python -W ignore start.py 2>errors.log || { code=$?; tail -5 errors.log; exit $code; }
