"""Steps of ``accnn models``: every network of the zoo, with what it takes and where it comes from."""
import json
import os

import numpy as np

from accnn.cli.types import Parser
from accnn.core.compat import mx
from accnn.core.text import columns, megabytes, sizes
from accnn.graph.checkpoint import params_path
from model_zoo import catalogue, pretrained, store
from model_zoo.demo import run as demo
from model_zoo.demo.pack_digits import IMAGE_SHAPE
from model_zoo.symbols import SYMBOLS

STORE = "Gluon model store of Apache MXNet; trained on ImageNet, whose terms hold"
OWN = "random weights, built here; Apache-2.0"
DEMO = "trained here on scikit-learn's digits; Apache-2.0"


def parser(description):
    """Parser: the options."""
    made = Parser("accnn models", description)
    made.add_argument("--json", action="store_true", help="print the list as JSON")
    return made


def run(args):
    """Print the list."""
    rows = [_demo()] + [_described(entry) for entry in catalogue.entries()]
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    lines = columns([("name", "input", "float32", "here", "source and licence")] + [
        (row["name"], sizes(row["input"]), megabytes(row["bytes"]), row["here"] or "no", row["source"])
        for row in rows], "<<><<")
    print("\n".join(line.rstrip() for line in lines))
    print("\nhere: the checkpoint, what was downloaded, or yes where the network is built without a download; "
          "to get one:\n  python %s %s" % (os.path.relpath(os.path.join(os.path.dirname(demo.FOLDER), "get_model.py")),
                                           "vgg16 --random-init"))


def _demo():
    path = params_path(demo.CHECKPOINT, demo.EPOCH)
    return {"name": "digits", "input": list(IMAGE_SHAPE), "bytes": os.path.getsize(path),
            "here": os.path.relpath(demo.CHECKPOINT), "source": DEMO}


def _described(entry):
    """dict: of a network of the catalogue; pretrained where there is such a one."""
    if entry.store_name is None:
        module = SYMBOLS[entry.symbol_name]
        return _row(entry.name, module.get_symbol(), module.IMAGE_SHAPE, "yes", OWN)
    shape, file = pretrained.image_shape(entry.store_name), _downloaded(entry.store_name)
    here = file or ("yes, with random weights" if entry.symbol_name else None)
    return _row(entry.name, _symbol(entry.store_name), shape, here, STORE)


def _downloaded(name):
    """str or None: the file of pretrained parameters, where it is; its SHA-1 is checked when it is used."""
    path = os.path.join(store.cache_folder(), store.store_file(name).stem + ".params")
    return path if os.path.isfile(path) else None


def _symbol(name):
    with mx.name.NameManager():
        return mx.gluon.model_zoo.vision.get_model(name)(mx.sym.var("data"))


def _row(name, symbol, shape, here, source):
    """dict: the size is that of all parameters, by their shapes, in float32."""
    shapes, _, auxiliary = symbol.infer_shape_partial(data=(1,) + tuple(shape))
    labels = {"data", "softmax_label"}
    sized = [one for argument, one in zip(symbol.list_arguments(), shapes) if argument not in labels] + list(auxiliary)
    return {"name": name, "input": list(shape), "bytes": 4 * sum(int(np.prod(one)) for one in sized), "here": here,
            "source": source}
