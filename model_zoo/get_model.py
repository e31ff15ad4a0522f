"""Write a network to accelerate: pretrained, or with random weights for benchmarks.

    python model_zoo/get_model.py vgg16                  # from the Gluon model store, checked by SHA-1
    python model_zoo/get_model.py vgg16 --random-init    # without any network: for timing only
    python model_zoo/get_model.py --list

writes vgg16-symbol.json and vgg16-0000.params. Behind a firewall, --url or MXNET_GLUON_REPO name a
mirror of the store; http_proxy, https_proxy and no_proxy are respected. A download that was cut
is resumed by the next run.
"""
import argparse
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(sys.path[0], "tools"))

from accnn.cli.main import run
from accnn.cli.replacing import add_force_option
from accnn.core.errors import AccnnError
from accnn.core.progress import say
from accnn.core.text import exact, megabytes, sizes

STORE_CLASSES = 1000  # what every network of the store was trained on: ImageNet


def main(argv=None):
    """Run the command line `argv` and return its exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.list:
        return run(_list, arguments)
    if arguments.name is None:
        parser.error("name a network, or see --list")
    if arguments.random_init and arguments.url:
        parser.error("--url is where pretrained weights come from: it says nothing with --random-init")
    return run(_write, arguments)


def _parser():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("name", nargs="?", metavar="NAME", help="a network that --list shows")
    add("--save-model", metavar="PREFIX", help="write PREFIX-symbol.json and PREFIX-%%04d.params (default: NAME)")
    add("--epoch", type=_whole(0, 9999), default=0, metavar="N", help="the number in the .params name (default: 0)")
    add("--random-init", action="store_true", help="He-normal weights instead of pretrained ones")
    add("--seed", type=_whole(0, 2**32 - 1), default=0, metavar="N",
        help="of --random-init: same seed, same bytes (default: 0)")
    add("--num-classes", type=_whole(1, 10**6), default=STORE_CLASSES, metavar="N",
        help="outputs of the network, with --random-init (default: %(default)s)")
    add("--url", metavar="BASE", help="mirror of the Gluon model store (default: $MXNET_GLUON_REPO, else the "
                                      "address built into mxnet)")
    add("--list", action="store_true", help="show the networks and exit")
    add_force_option(parser)
    add("--json", action="store_true", help="print the result as JSON")
    return parser


def _whole(lowest, highest):
    """Return an argparse type: whole numbers from `lowest` to `highest`."""
    def number(text):
        if not text.isdecimal() or not lowest <= int(text) <= highest:
            raise argparse.ArgumentTypeError("%r is not a whole number from %d to %d" % (text, lowest, highest))
        return int(text)
    return number


# Modules that import mxnet are imported inside the functions below: --help stays quick, and a
# refusal of the installed versions becomes a sentence instead of a traceback.


def _list(arguments):
    from model_zoo import catalogue
    rows = [catalogue.describe(entry) for entry in catalogue.entries()]
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    layout = "%-18s %-15s %-13s %s"
    print(layout % ("NAME", "--random-init", "pretrained", "SHA-1 in the store"))
    for row in rows:
        print(layout % (row["name"], _shape(row["random_init_input"]), _shape(row["store_input"]), _origin(row)))
    print("\nA shape is the input of the network; - means that it is not to be had that way.")


def _shape(shape):
    return sizes(shape) if shape else "-"


def _origin(row):
    alias = " (as %s)" % row["store_name"] if row["store_name"] not in (None, row["name"]) else ""
    return (row["sha1"] or "-") + alias


def _write(arguments):
    from accnn.cli.outputs import claimed
    from model_zoo import catalogue
    entry = catalogue.entry(arguments.name)
    prefix = arguments.save_model or arguments.name
    _refuse(entry, arguments)
    with claimed("--save-model", prefix):
        _make(entry, prefix, arguments)


def _make(entry, prefix, arguments):
    from accnn.graph.checkpoint import save_checkpoint
    from model_zoo import checkpoint
    make = _random if arguments.random_init else _pretrained
    checkpoint.refuse_unless_writable(prefix, arguments.epoch, arguments.force)
    symbol, arg_params, aux_params, shape = make(entry, arguments)
    save_checkpoint(prefix, arguments.epoch, symbol, arg_params, aux_params)
    files = checkpoint.paths(prefix, arguments.epoch)
    _report(arguments, {"name": arguments.name, "weights": "random" if arguments.random_init else "pretrained",
                        "input_shape": list(shape), "files": list(files),
                        "parameters": sum(value.size for value in arg_params.values()),
                        "bytes": sum(map(os.path.getsize, files))})


def _refuse(entry, arguments):
    """Refuse what is not to be had, before anything is downloaded or drawn."""
    if arguments.random_init and not entry.symbol_name:
        raise AccnnError("%s has no symbol here: --random-init knows those that --list shows, without it "
                         "the pretrained network is fetched" % entry.name)
    if not arguments.random_init and not entry.store_name:
        raise AccnnError("the Gluon model store has no pretrained %s: use --random-init" % entry.name)
    if not arguments.random_init and arguments.num_classes != STORE_CLASSES:
        raise AccnnError("pretrained networks have %d classes: use --num-classes with --random-init" % STORE_CLASSES)


def _pretrained(entry, arguments):
    from model_zoo import pretrained, store
    try:
        parameters = store.fetch(entry.store_name, arguments.url)
    except store.StoreError as error:
        raise AccnnError("%s%s" % (error, ", or use --random-init" if entry.symbol_name else "")) from error
    say("%s is checked: SHA-1 %s" % (parameters, store.store_file(entry.store_name).sha1))
    return pretrained.network(entry.store_name, parameters) + (pretrained.image_shape(entry.store_name),)


def _random(entry, arguments):
    from model_zoo.initialise import random_parameters
    from model_zoo.symbols import SYMBOLS
    module = SYMBOLS[entry.symbol_name]
    symbol = module.get_symbol(arguments.num_classes)
    return (symbol,) + random_parameters(symbol, module.IMAGE_SHAPE, arguments.seed) + (module.IMAGE_SHAPE,)


def _report(arguments, result):
    if arguments.json:
        print(json.dumps(result, indent=2))
        return
    print("%s with %s weights: %s parameters, input %s, %s in %s" % (
        result["name"], result["weights"], exact(result["parameters"]), _shape(result["input_shape"]),
        megabytes(result["bytes"]), " and ".join(result["files"])))


if __name__ == "__main__":
    sys.exit(main())
