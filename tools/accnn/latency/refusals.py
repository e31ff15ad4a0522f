"""What cannot be timed, found out before minutes are spent on what can."""
import numpy as np

from accnn.cli import say
from accnn.errors import AccnnError
from accnn.timing.machine import cores
from accnn.timing.memory import bytes_of, refuse_size


def refuse_measuring(measuring):
    """Refuse GPUs; say where more threads are wanted than there are cores."""
    if measuring.gpus is not None:
        raise AccnnError("--cost latency measures on the CPU: leave out --gpus %s" % measuring.gpus)
    if measuring.imported is None and (measuring.threads or 0) > cores():
        say("%d threads are wanted, but this machine has %d cores for this process: they will wait for each other"
            % (measuring.threads, cores()))


def refuse_kinds(model, specs):
    """Refuse layers in another precision than that of the chains that are timed."""
    for spec in specs:
        kind = spec.precision or np.dtype(model.arg_params[spec.weight].dtype).name
        if kind != "float32":
            raise AccnnError("--cost latency times chains in float32, but the weight of the layer %r is %s: cast the "
                             "checkpoint, or count in another --cost" % (spec.name, kind))


def refuse_batch(layers, batch_size):
    """Refuse a batch of which a layer alone does not fit; `layers` is a dict of names to keys."""
    for name, key in layers.items():
        try:
            refuse_size(bytes_of(key, batch_size))
        except MemoryError as error:
            raise AccnnError("--batch-size %d is too large to time the layer %r: %s"
                             % (batch_size, name, error)) from error
