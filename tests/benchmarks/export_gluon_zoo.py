"""Export every architecture of Gluon's model zoo, with random weights, to ONNX: a line for each.

    python tests/benchmarks/export_gluon_zoo.py --names 'resnet.*|vgg11'
"""
import argparse
import inspect
import os
import re
import tempfile
import time

from accnn.core.compat import import_mxnet

mx = import_mxnet()

from accnn import export_onnx, load_model  # once NumPy is mended

SIDES = (("inception", 299), ("squeezenet|densenet|alexnet", 224), ("", 64))


def architectures():
    """list of str: the names that ``get_model`` takes."""
    return re.findall(r"'([\w.]+)': \w+", inspect.getsource(mx.gluon.model_zoo.vision.get_model))


def exported(name, folder):
    """Exported: what became of an architecture."""
    side = next(side for pattern, side in SIDES if re.match(pattern, name))
    net = mx.gluon.model_zoo.vision.get_model(name)
    net.initialize(mx.init.Xavier())
    net.hybridize()
    net(mx.nd.zeros((1, 3, side, side)))
    net.export(os.path.join(folder, name))
    return export_onnx(load_model(os.path.join(folder, name)), os.path.join(folder, name + ".onnx"),
                       {"data": (3, side, side)})


def main():
    """Print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", default=".*", help="regular expression (default: all)")
    for name in filter(re.compile(parser.parse_args().names).fullmatch, architectures()):
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            done = exported(name, folder)
        print("%-18s %4d nodes, batches %s, differs by %.1e, %.1f seconds" % (
            name, done.nodes, done.batches, max(done.differences.values()), time.monotonic() - started), flush=True)


if __name__ == "__main__":
    main()
