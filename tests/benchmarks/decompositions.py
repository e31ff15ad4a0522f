"""python tests/benchmarks/decompositions.py -m vgg16_cifar10 -m squeezenet_v1.0 --layers 'conv[34]_2' --ratio 4

Error and seconds of the iterative decompositions on real kernels, beside TensorLy's: cp and cp3 beside its parafac of
the same tensor and rank, tucker beside its partial_tucker, btd beside greedy Tucker-2 blocks made of partial_tucker,
one after the other on what the others leave, and beside Tucker-2 at equal cost. Every method takes the rank of its own
whose chain comes closest below 1/ratio of the layer's multiply-adds. --json prints the rows.
"""
import argparse
import fnmatch
import json
import os
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one core, as accnn's own decompositions take

import numpy as np

from accnn import Accelerator, costs, load_model, methods

MACS = costs.get("macs")
NAMES = ("cp", "cp3", "tucker", "btd")
TENSORLY_ITERATIONS, TENSORLY_TOLERANCE = 200, 1e-5  # as in accnn.methods.Effort


def error(weight, other):
    """||W - W'|| / ||W||."""
    return float(np.linalg.norm(weight - other) / np.linalg.norm(weight))


def timed(function, *arguments):
    """(what it returns, seconds)."""
    started = time.perf_counter()
    return function(*arguments), time.perf_counter() - started


class TensorLy:
    """What TensorLy makes of a kernel (N, C, kh, kw), float32, at a rank of ours."""

    def __init__(self):
        from tensorly import cp_to_tensor, decomposition

        self._decomposition, self._from_cp = decomposition, cp_to_tensor

    def of(self, method, weight, rank):
        """Yield (title, function that returns the approximation) of what there is to compare `method` with."""
        if method.name == "cp":
            yield "parafac", lambda: self._parafac(weight, rank)
        elif method.name == "cp3":
            yield "parafac", lambda: self._parafac(weight.reshape(weight.shape[:2] + (-1,)), rank).reshape(weight.shape)
        elif method.name == "tucker":
            yield "partial_tucker", lambda: self._tucker(weight, rank[0], rank[1])
        elif method.name == "btd":
            yield "greedy partial_tucker", lambda: self._greedy(weight, rank)

    def _parafac(self, tensor, rank):
        """Started with the SVD, as theirs does by default; with random vectors where it has too few."""
        init = "svd" if rank <= min(tensor.shape) else "random"
        return self._from_cp(self._decomposition.parafac(tensor, rank, n_iter_max=TENSORLY_ITERATIONS, init=init,
                                                         tol=TENSORLY_TOLERANCE, random_state=0))

    def _tucker(self, weight, inner, outer):
        (core, factors), _ = self._decomposition.partial_tucker(
            weight, [outer, inner], modes=[0, 1], n_iter_max=TENSORLY_ITERATIONS, tol=TENSORLY_TOLERANCE)
        return np.einsum("tsyx,nt,cs->ncyx", core, *factors, optimize=True)

    def _greedy(self, weight, rank):
        left = weight
        for _ in range(rank[2]):
            left = left - self._tucker(left, rank[0] // rank[2], rank[1] // rank[2])
        return weight - left


def affordable(method, spec, budget):
    """The last of the ranks whose chain costs at most `budget`, or None."""
    fitting = [rank for rank in method.ranks(spec) if MACS.chain(spec, method.chain(spec, rank)) <= budget]
    return fitting[-1] if fitting else None


def ours(method, weight, spec, rank):
    """Our error."""
    decomposition = method.decompose(weight, spec, methods.Effort())
    decomposition.factors(weight, rank)
    return np.sqrt(max(1 - decomposition.energy(rank), 0.0))


def compare(bench, spec, ratio, tensorly):
    """Yield a row for every method that is registered and has such a rank."""
    weight, budget = bench.model.weight(spec.weight).astype(np.float32), MACS.layer(spec) / ratio
    for method in (methods.get(name) for name in NAMES if name in methods.names()):
        rank = None if bench.refusal(spec, method) else affordable(method, spec, budget)
        if rank is None:
            continue
        say("%s: %s at %s" % (spec.name, method.name, rank))
        mine, seconds = timed(ours, method, weight, spec, rank)
        row = {"layer": spec.name, "shape": list(weight.shape), "method": method.name, "rank": rank,
               "ratio": MACS.layer(spec) / MACS.chain(spec, method.chain(spec, rank)), "error": float(mine),
               "seconds": seconds, "others": []}
        for title, function in tensorly.of(method, weight, rank) if tensorly else ():
            made, took = timed(function)
            row["others"].append({"title": title, "error": error(weight, made), "seconds": took})
        if method.name == "btd":
            row["others"] += tucker_at_equal_cost(weight, spec, MACS.chain(spec, method.chain(spec, rank)))
        yield row


def tucker_at_equal_cost(weight, spec, budget):
    """list: our Tucker-2 at what the blocks cost, or slightly less."""
    tucker = methods.get("tucker")
    rank = affordable(tucker, spec, budget)
    if rank is None:
        return []
    made, seconds = timed(ours, tucker, weight, spec, rank)
    return [{"title": "our tucker at %s" % (rank,), "error": float(made), "seconds": seconds}]


def say(text):
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def lines(rows):
    """Yield the lines of the table."""
    form = "%-20s %-15s %-7s %-15s %6s %7s %8s   %s"
    yield form % ("layer", "kernel", "method", "rank", "ratio", "error", "seconds", "beside it: error, seconds")
    for row in rows:
        others = "; ".join("%s %.4f, %.2f" % (one["title"], one["error"], one["seconds"]) for one in row["others"])
        yield form % (row["layer"], "x".join(map(str, row["shape"])), row["method"],
                      str(row["rank"]).replace(" ", ""), "%.2fx" % row["ratio"], "%.4f" % row["error"],
                      "%.2f" % row["seconds"], others)


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", action="append", required=True, metavar="PREFIX", help="may be repeated")
    parser.add_argument("--layers", default="*", metavar="PATTERN", help="of layers' names (default: all)")
    parser.add_argument("--ratio", type=float, default=4, help="of a layer's multiply-adds (default: %(default)s)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    try:
        tensorly = TensorLy()
    except ImportError:
        tensorly = None
        say("without TensorLy there is nothing to compare with: pip install tensorly")
    rows = []
    for prefix in args.model:
        bench = Accelerator(load_model(prefix))
        for spec in bench.layers:
            if spec.op == "Convolution" and not spec.refusal and fnmatch.fnmatch(spec.name, args.layers):
                rows += compare(bench, spec, args.ratio, tensorly)
    print(json.dumps(rows, indent=1) if args.json else "\n".join(lines(rows)))


if __name__ == "__main__":
    main()
