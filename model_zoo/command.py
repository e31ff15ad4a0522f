"""Options and steps of ``get_model.py``."""
import argparse
import json
import os

from accnn.cli.outputs import claimed
from accnn.cli.replacing import add_force_option
from accnn.core.errors import AccnnError
from accnn.core.progress import say
from accnn.core.text import exact, megabytes, sizes
from accnn.graph.checkpoint import save_checkpoint
from model_zoo import catalogue, checkpoint, pretrained, store
from model_zoo.initialise import random_parameters
from model_zoo.symbols import SYMBOLS

STORE_CLASSES = 1000  # what every network of the store was trained on: ImageNet


def parser(description):
    """Return the parser of ``get_model.py``."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = made.add_argument
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
    add_force_option(made)
    add("--json", action="store_true", help="print the result as JSON")
    return made


def run(arguments):
    """Show the networks, or write the one that was named."""
    if arguments.list:
        _list(arguments)
    elif arguments.name is None:
        raise AccnnError("name a network, or see --list")
    elif arguments.random_init and arguments.url:
        raise AccnnError("--url is where pretrained weights come from: it says nothing with --random-init")
    else:
        _write(arguments)


def _whole(lowest, highest):
    """Return an argparse type: whole numbers from `lowest` to `highest`."""
    def number(text):
        if not text.isdecimal() or not lowest <= int(text) <= highest:
            raise argparse.ArgumentTypeError("%r is not a whole number from %d to %d" % (text, lowest, highest))
        return int(text)
    return number


def _list(arguments):
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
    entry = catalogue.entry(arguments.name)
    prefix = arguments.save_model or arguments.name
    _refuse(entry, arguments)
    with claimed("--save-model", prefix):
        _make(entry, prefix, arguments)


def _make(entry, prefix, arguments):
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
    try:
        parameters = store.fetch(entry.store_name, arguments.url)
    except store.StoreError as error:
        raise AccnnError("%s%s" % (error, ", or use --random-init" if entry.symbol_name else "")) from error
    say("%s is checked: SHA-1 %s" % (parameters, store.store_file(entry.store_name).sha1))
    return pretrained.network(entry.store_name, parameters) + (pretrained.image_shape(entry.store_name),)


def _random(entry, arguments):
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
