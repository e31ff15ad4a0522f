"""What a measuring process holds from one job to the next: a checkpoint that was read, its network bound and run."""
import os

import numpy as np

from accnn.graph.checkpoint import choose_epoch, load_with_remarks, params_path, symbol_path
from accnn.runtime.bound import BoundNetwork
from accnn.timing import passes
from accnn.timing.stored import StoredModel, released

_models, _networks, _norms = {}, {}, {}  # the last of each: of a large network they take a gigabyte


def stored_model(prefix, epoch=None):
    """StoredModel: a checkpoint, read once as long as its files are the same.

    Parameters
    ----------
    prefix : str
    epoch : int, optional

    Raises
    ------
    AccnnError
        See :func:`accnn.graph.checkpoint.load_with_remarks`.
    """
    files = _files(prefix, choose_epoch(prefix, epoch)) if os.path.isfile(symbol_path(prefix)) else None
    if files not in _models:
        forget()
        _models[files] = StoredModel(load_with_remarks(prefix, epoch))
    return _models[files]


def network(stored, shapes, batch_size):
    """BoundNetwork: of what :func:`stored_model` returned, in float32; it has been run, and is held for later jobs.

    Parameters
    ----------
    stored : StoredModel
    shapes : dict of str to tuple of int
        Of the inputs, without the batch.
    batch_size : int
    """
    key = _key(stored, shapes, batch_size)
    if key not in _networks:
        _networks.clear()
        with released([stored]):  # weights are read once, and rearranged
            first = _run(BoundNetwork(stored.model, shapes, batch_size), shapes)
            # The one that has the first memory of a process stays 2 to 6% slower: let that be no baseline.
            _networks[key] = _run(BoundNetwork(stored.model, shapes, batch_size), shapes)
            del first
    return _networks[key]


def _run(network, shapes):
    rng = np.random.RandomState(0)
    passes.of_network(network, [passes.random_array(rng, (network.batch_size,) + tuple(shapes[name]))
                                for name in network.inputs])()
    return network


def take(stored, shapes, batch_size):
    """BoundNetwork or None: the same where it is held, and no longer then."""
    return _networks.pop(_key(stored, shapes, batch_size), None)


def norm(model, name):
    """float: the norm of a parameter; of the model that is held it is computed once.

    Parameters
    ----------
    model : Model
    name : str
    """
    known = _norms if any(one.model is model for one in _models.values()) else {}
    if name not in known:
        known[name] = float(np.linalg.norm(model.weight(name)))
    return known[name]


def forget():
    """Give back all that is held."""
    for known in (_models, _networks, _norms):
        known.clear()


def _key(stored, shapes, batch_size):
    return id(stored), tuple(sorted((name, tuple(shape)) for name, shape in shapes.items())), batch_size


def _files(prefix, epoch):
    """What tells a checkpoint from another: path, epoch, and which files these are."""
    found = [os.stat(path) for path in (symbol_path(prefix), params_path(prefix, epoch))]
    return (os.path.realpath(prefix), epoch) + tuple((one.st_ino, one.st_size, one.st_mtime_ns) for one in found)
