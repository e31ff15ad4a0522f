"""python tests/benchmarks/exact_resume.py --data-train cifar10_train.rec [-m cifar_resnet20] [--tools OTHER/tools]

Whether training writes the same bytes whenever it is read, killed and resumed. Rows: epochs whose model() differs from
the parameters read again once MXNet is idle; runs of fine_tune.py killed at a random moment and resumed, runs of
two_pass.py left alone, and such runs killed in the half second after their state file appeared and resumed, each
against one run that was left alone. Images are 32x32; without -m the network has --layers convolutions with BatchNorm.
A number of 0 leaves a row out. --tools tries another checkout; threads by OMP_NUM_THREADS. About 10 minutes on 2 cores.
"""
import argparse
import glob
import os
import random
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
COLOURS = ["--rgb-mean", "125.3,123.0,113.9", "--rgb-std", "63.0,62.1,66.7"]
PATIENCE = 300
SHAPE = (3, 32, 32)


def stale_epochs(args):
    """(epochs whose model was stale, epochs, the largest part of a statistic by which one was off)."""
    from accnn.core.compat import mx
    from trainers import arrays, batch, deep_model, trainer

    made = trainer(deep_model(args.layers, SHAPE), SHAPE, size=8, lr=0.01)
    stale, worst = 0, 0.0
    for epoch in range(args.stale_epochs):
        for step in range(2):
            images, labels = batch(2 * epoch + step, shape=SHAPE)
            answer = made.step(mx.nd.array(images), mx.nd.array(labels), epoch, step)
        answer.probabilities.asnumpy()  # all that the loop of an epoch waits for
        found = arrays(made.model())
        mx.nd.waitall()
        settled = made._module._exec_group.execs[0]
        settled = {name: array.asnumpy() for some in (settled.arg_dict, settled.aux_dict)
                   for name, array in some.items() if name in found}
        off = [abs(array - found[name]).max() / abs(array).max() for name, array in settled.items()]
        stale, worst = stale + (max(off) > 0), max(worst, *off)
    return stale, args.stale_epochs, worst


def start(args, script, *options):
    """A script of the checkout in question, as a child process."""
    command = [sys.executable, os.path.join(args.tools, "accnn", script), *options]
    environment = dict(os.environ, PYTHONPATH=args.tools)
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)


def ended(child):
    """Wait for the end of a run that nobody kills."""
    _, said = child.communicate(timeout=PATIENCE)
    if child.returncode:
        raise SystemExit(said.decode())


def written(prefix, two_pass):
    """Bytes of the checkpoints of a run, by the end of their names."""
    paths = glob.glob(prefix + ("-0001.params" if two_pass else "-[0b]*.params")) + [prefix + "-symbol.json"]
    return {path[len(prefix):]: open(path, "rb").read() for path in paths}


def killed(child, marker, latest):
    """Kill a run up to `latest` seconds after the file `marker` appeared; return whether it was still running."""
    until = time.monotonic() + PATIENCE
    while child.poll() is None and not os.path.exists(marker) and time.monotonic() < until:
        time.sleep(0.002)
    time.sleep(random.uniform(0, latest))
    child.kill()
    child.communicate()
    return child.returncode < 0


def differing(args, folder, script, option, options, count, latest=None):
    """(runs with other bytes than the first, count, runs that were killed before their end)."""
    two_pass, marker = script == "two_pass.py", "-two-pass.json" if script == "two_pass.py" else "-resume.params"
    prefixes = [os.path.join(folder, "%s-%s-%d" % (script[:3], latest is not None, number)) for number in
                range(count + 1)]
    ended(start(args, script, *options, option, prefixes[0]))
    wanted, others, cut = written(prefixes[0], two_pass), 0, 0
    for prefix in prefixes[1:]:
        child = start(args, script, *options, option, prefix)
        if latest is not None:
            cut += killed(child, prefix + marker, latest)
            child = start(args, script, *options, option, prefix, "--resume")
        ended(child)
        others += written(prefix, two_pass) != wanted
    return others, count, cut


def network(args, folder):
    """Options that name the network; a deep one is made where none is given."""
    shape = ["--image-shape", ",".join(map(str, SHAPE))]
    if args.model:
        return ["-m", args.model] + shape
    from networks import saved
    from trainers import deep_model

    return ["-m", saved(deep_model(args.layers, SHAPE), os.path.join(folder, "deep"))] + shape


def first_images(rec, path, count=200):
    """Write the first records of a file into another, to validate on; return its path."""
    from accnn.core.compat import mx

    reader, writer = mx.recordio.MXRecordIO(rec, "r"), mx.recordio.MXRecordIO(path, "w")
    for _ in range(count):
        writer.write(reader.read())
    writer.close()
    return path


def rows(args, folder):
    """Yield (what was tried, how many of them wrong, of how many, a remark)."""
    if args.stale_epochs:
        stale, epochs, worst = stale_epochs(args)
        yield "epochs with stale parameters", stale, epochs, "off by up to %.2g%%" % (100 * worst)
    base = network(args, folder) + COLOURS + ["--data-train", args.data_train, "--num-examples", str(args.num_examples),
                                              "--batch-size", "16", "--lr", "0.005", "--save-every", "0.2"]
    val = first_images(args.data_train, os.path.join(folder, "val.rec"))
    tuning = base + ["--data-val", val, "--num-epochs", "4"]
    if args.kills:
        others, count, cut = differing(args, folder, "fine_tune.py", "--model-prefix", tuning, args.kills, 3.0)
        yield "fine_tune.py killed and resumed", others, count, "%d were cut" % cut
    passing = base + ["--ratio", "1.5", "--groups", "1"]
    for count, latest, what in ((args.repeats, None, "left alone"), (args.early_kills, 0.5, "killed early, resumed")):
        if count:
            others, count, cut = differing(args, folder, "two_pass.py", "--save-model", passing, count, latest)
            yield "two_pass.py %s" % what, others, count, "" if latest is None else "%d were cut" % cut


def main():
    """Try and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model")
    parser.add_argument("--data-train", required=True)
    parser.add_argument("--layers", type=int, default=20)
    parser.add_argument("--num-examples", type=int, default=128)
    parser.add_argument("--stale-epochs", type=int, default=100)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--early-kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of killing")
    parser.add_argument("--tools", default=os.path.join(HERE, os.pardir, os.pardir, "tools"))
    args = parser.parse_args()
    args.tools = os.path.abspath(args.tools)
    sys.path[:0] = [args.tools, os.path.join(HERE, os.pardir)]
    random.seed(args.seed)
    print("%s, threads: %s" % (args.model or "%d x conv + BatchNorm" % args.layers,
                               os.environ.get("OMP_NUM_THREADS", "unset")))
    with tempfile.TemporaryDirectory() as folder:
        for what, wrong, count, remark in rows(args, folder):
            print("%-34s %3d of %3d differ   %s" % (what, wrong, count, remark), flush=True)


if __name__ == "__main__":
    main()
