"""How long report.py takes, and how large its page is, on networks of many layers.

    python tests/benchmarks/report_speed.py --layers 20,200,2000

Chains of 3x3 convolutions with 8 channels, every second one split; nothing is timed or scored, so that the seconds are
those of loading, comparing, drawing and writing.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tools"), os.path.join(ROOT, "tests")]

from accnn.core.compat import mx
from accnn.core.text import ruled
from accnn.graph.checkpoint import load_model, save_model
from accnn.planning.accelerator import Accelerator
from accnn.planning.plan import Plan, Row
from networks import random_model, saved

_SHAPE = (8, 8, 8)


def made(folder, count):
    """Write a network of so many layers, what a plan makes of it, and the plan."""
    x = mx.sym.Variable("data")
    for number in range(count):
        name = "stage%d_conv%d" % (number // 50, number)
        x = mx.sym.Convolution(x, kernel=(3, 3), pad=(1, 1), num_filter=8, name=name)
        x = mx.sym.Activation(x, act_type="relu", name="relu%d" % number)
    saved(random_model(x, data=_SHAPE), os.path.join(folder, "old"))
    accelerator = Accelerator(load_model(os.path.join(folder, "old")), {"data": _SHAPE})
    plan = Plan(tuple(Row(spec.name, spec.kind, "vh", 3) for spec in accelerator.layers[::2]), {"ratio": 2.0})
    plan.save(os.path.join(folder, "plan.json"))
    save_model(accelerator.accelerate(plan), os.path.join(folder, "new"))


def measured(folder):
    """(float, int): seconds of report.py, and bytes of its page."""
    command = [sys.executable, os.path.join(ROOT, "tools", "accnn", "report.py"), "-m", "new", "--baseline", "old",
               "--config", "plan.json", "--input-shape", "8,8,8", "--no-timing", "--output", "page.html"]
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started, os.path.getsize(os.path.join(folder, "page.html"))


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--layers", default="20,200,2000")
    rows = [("layers", "seconds", "bytes")]
    for count in map(int, parser.parse_args().layers.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            made(folder, count)
            seconds, size = measured(folder)
        rows.append((str(count), "%.1f" % seconds, str(size)))
    print("\n".join(ruled(rows, ">>>")))


if __name__ == "__main__":
    main()
