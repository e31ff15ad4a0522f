"""Kill scripts at their file operations, run the next command, and look whether all is as it was, or as it should be.

    python tests/benchmarks/kills.py                         every operation of every script, about 20 minutes
    python tests/benchmarks/kills.py --kills 10 pack get-model     ten of each, spread evenly

A run is a forked child that ends itself by SIGKILL just before the k-th of its operations on files: opening for
writing, renaming, linking, removing, making and removing folders, locking, flushing. Before each, the folder holds what
another network or other images left. After each, the next command (one that reads, or the same again, in turns) must
end well, and then: what belongs together is all old or all new and no bytes differ from those of a run that was left
alone; no hidden file is left, nor anything in the temporary folder; nothing that was there before is missing.
"""
import argparse
import contextlib
import os
import shutil
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
for folder in (HERE, os.path.dirname(HERE), ROOT, os.path.join(ROOT, "tools")):
    sys.path.insert(0, folder)
sys.dont_write_bytecode = True
os.environ.setdefault("OMP_NUM_THREADS", "1")

from killing import Scenario, examine, forked

# --- the scripts ---------------------------------------------------------------------------------

COLOURS = ["--rgb-mean", "128", "--rgb-std", "64"]


def write_inputs(folder):
    """Networks, images and a mirror of the model store, which all scenarios read."""
    from networks import chain_model, random_model, saved
    from pictures import drawn, items, packed

    os.makedirs(folder)
    saved(chain_model(widths=(8, 16, 16)), os.path.join(folder, "net"))
    saved(random_model(_other_net(), data=(3, 12, 12)), os.path.join(folder, "other"))
    packed(os.path.join(folder, "train"), items(19))
    packed(os.path.join(folder, "val"), items(9))
    with open(os.path.join(folder, "ranks.json"), "w") as handle:
        handle.write('{"conv_params": {"conv2": 9, "conv3": 11}}')
    for root, count in (("photos", 3), ("others", 2)):
        for number in range(count):
            path = os.path.join(folder, root, "class%d" % (number % 2), "%d.png" % number)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as handle:
                handle.write(drawn(seed=number))
    with open(os.path.join(folder, "labels.txt"), "w") as handle:
        handle.writelines("class%d/%d.png %d\n" % (number % 2, number, number) for number in range(3))


def _other_net():
    from accnn.core.compat import mx

    x = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=4, name="first")
    x = mx.sym.Pooling(x, global_pool=True, kernel=(1, 1), pool_type="avg", name="pool")  # any size of pictures does
    return mx.sym.SoftmaxOutput(mx.sym.FullyConnected(x, num_hidden=5, name="last"), name="softmax")


def _main(module, *arguments):
    """A function that runs a script's main."""
    def run():
        import importlib

        return importlib.import_module(module).main(list(arguments))
    return run


def _old_checkpoint(prefix, epochs=(1,)):
    def prepare(folder):
        for epoch in epochs:
            shutil.copy(os.path.join(folder, "in", "other-0001.params"), "%s/%s-%04d.params" % (folder, prefix, epoch))
        shutil.copy(os.path.join(folder, "in", "other-symbol.json"), "%s/%s-symbol.json" % (folder, prefix))
    return prepare


def _checkpoint(prefix, *epochs):
    return ("%s-symbol.json" % prefix,) + tuple("%s-%04d.params" % (prefix, epoch) for epoch in epochs)


def _accnn():
    command = ["-m", "in/net", "--ratio", "1.5", "--save-model", "out", "--force", "--no-timing", "--data-calib",
               "in/train.rec", "--calib-images", "12"] + COLOURS
    def prepare(folder):
        _old_checkpoint("out")(folder)
        with open(os.path.join(folder, "config-rksel-1.5.json"), "w") as handle:
            handle.write("{}")
    return Scenario("accnn", prepare, _main("accnn.accnn", *command), (_reader("out"), _main("accnn.accnn", *command)),
                    "out-symbol.json", {"checkpoint and config": _checkpoint("out", 1) + ("config-rksel-1.5.json",)},
                    again=_main("accnn.accnn", *command))


def _reader(prefix):
    """A command that reads a checkpoint and writes nothing."""
    return _main("accnn.accnn", "-m", prefix, "--ratio", "1.1", "--dry-run", "--load-epoch", "1", "--rank-selection",
                 "uniform", "--save-model", "nothing")


def _fine_tune():
    command = ["-m", "in/net", "--data-train", "in/train.rec", "--data-val", "in/val.rec", "--batch-size", "8",
               "--num-epochs", "2", "--lr", "0.01", "--model-prefix", "out"] + COLOURS
    forced = _main("accnn.fine_tune", *command, "--force")
    def prepare(folder):
        _old_checkpoint("out", (1, 2, 3, 4))(folder)
        _old_checkpoint("out-best", (0,))(folder)
    def go_on():
        from accnn.training import resume

        return _main("accnn.fine_tune", *command, "--resume" if resume.exists("out") else "--force")()
    return Scenario("fine-tune", prepare, forced, (_reader("out"), go_on, forced),
                    "out-symbol.json", prefixes=("out", "out-best"), again=go_on)


def _two_pass():
    command = ["-m", "in/net", "--data-train", "in/train.rec", "--batch-size", "8", "--lr", "0.003", "--groups", "1",
               "--config", "in/ranks.json", "--save-model", "out"] + COLOURS
    forced = _main("accnn.two_pass", *command, "--force")
    def go_on():
        return _main("accnn.two_pass", *command, "--resume" if os.path.exists("out-two-pass.json") else "--force")()
    return Scenario("two-pass", _old_checkpoint("out"), forced, (_reader("out"), go_on),
                    "out-symbol.json", {"checkpoint": _checkpoint("out", 1)}, again=go_on)


def _pack():
    def prepare(folder):
        from accnn import pack

        with contextlib.redirect_stdout(sys.stderr):
            assert forked(lambda: pack.main(["in/others", "out"]), folder)[0] == 0
    names = ("out.rec", "out.idx", "out.lst", "out-labels.txt")
    command = _main("accnn.pack", "in/photos", "out", "--labels", "in/labels.txt", "--force")
    reader = _main("accnn.score", "-m", "in/net", "--data-val", "out.rec", "--image-shape", "3,12,12",
                   "--batch-size", "2", *COLOURS)
    return Scenario("pack", prepare, command, (reader, command), "out.rec", {"records": names},
                    again=command)


def _get_model():
    command = _main("model_zoo.get_model", "squeezenet", "--random-init", "--num-classes", "3", "--save-model", "out",
                    "--epoch", "1", "--force")
    return Scenario("get-model", _old_checkpoint("out"), command, (_reader("out"), command),
                    "out-symbol.json", {"checkpoint": _checkpoint("out", 1)}, again=command)


SCENARIOS = {"accnn": _accnn, "fine-tune": _fine_tune, "two-pass": _two_pass, "pack": _pack, "get-model": _get_model}


def main(argv=None):
    """Examine scripts, print a table and what is wrong; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scripts", nargs="*", metavar="SCRIPT", help="of %s (default: all)" % ", ".join(SCENARIOS))
    parser.add_argument("--kills", type=int, metavar="N", help="of each (default: at every operation)")
    args = parser.parse_args(argv)
    _import_all()
    with tempfile.TemporaryDirectory() as work:
        work = os.path.realpath(work)
        os.environ.update(XDG_CACHE_HOME=os.path.join(work, "cache"), TMPDIR=work)
        assert forked(lambda: write_inputs(os.path.join(work, "in")), work)[0] in (0, None)
        return _examined(args.scripts or SCENARIOS, work, args.kills)


def _import_all():
    """What costs time, once: children are forked from this process, which computes nothing itself."""
    from accnn.cli import accnn, fine_tune, pack, score, two_pass  # noqa: F401
    from accnn.core.compat import import_mxnet
    from model_zoo import get_model  # noqa: F401

    import_mxnet()


def _examined(scripts, work, kills):
    names, wrong = ("operations", "kills", "old", "new", "torn", "stray", "lost", "failed"), []
    print("%-10s" % "script" + "".join("%11s" % name for name in names), flush=True)
    for script in scripts:
        tally, complaints = examine(SCENARIOS[script](), work, kills)
        print("%-10s" % script + "".join("%11d" % getattr(tally, name) for name in names), flush=True)
        wrong += complaints
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
