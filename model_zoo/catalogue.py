"""Which networks there are: those of the Gluon model store, those with a symbol here, and both."""
import collections
import difflib

from accnn.core.errors import AccnnError
from model_zoo import pretrained, store
from model_zoo.symbols import SYMBOLS

# Our short names for networks of the store; elsewhere the names agree.
STORE_NAMES = {"resnet50": "resnet50_v1", "squeezenet": "squeezenet1.0"}

Entry = collections.namedtuple("Entry", "name store_name symbol_name")
Entry.__doc__ = "A name that get_model.py takes; the two other names are None where there is no such thing."


def entries():
    """Return all entries, those with a symbol first."""
    rest = (name for name in store.names() if name not in SYMBOLS)
    return [entry(name) for name in list(SYMBOLS) + list(rest)]


def entry(name):
    """Return the :class:`Entry` of `name`, or refuse it with the nearest names."""
    store_name = STORE_NAMES.get(name, name)
    symbol_name = {value: key for key, value in STORE_NAMES.items()}.get(name, name)
    in_store, has_symbol = store_name in store.names(), symbol_name in SYMBOLS
    if not in_store and not has_symbol:
        raise AccnnError("there is no network %r: %s" % (name, _nearest(name)))
    return Entry(name, store_name if in_store else None, symbol_name if has_symbol else None)


def describe(found):
    """Return what --list tells of an :class:`Entry`, as a dictionary for JSON."""
    return {
        "name": found.name,
        "random_init_input": list(SYMBOLS[found.symbol_name].IMAGE_SHAPE) if found.symbol_name else None,
        "store_name": found.store_name,
        "store_input": list(pretrained.image_shape(found.store_name)) if found.store_name else None,
        "sha1": store.store_file(found.store_name).sha1 if found.store_name else None,
    }


def _nearest(name):
    known = list(SYMBOLS) + store.names()
    near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    near = list(dict.fromkeys(near))
    return "did you mean %s?" % " or ".join(near) if near else "--list shows those there are"
