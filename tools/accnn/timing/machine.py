"""What the milliseconds were measured on."""
import os
import platform
from math import prod

import numpy as np

from accnn.core import amx
from accnn.core.compat import mx
from accnn.core.layers import walk
from accnn.core.machine import cores
from accnn.core.text import gigabytes
from accnn.timing.keys import parse


def bytes_of(text, batch_size):
    """int: of the weights of a chain, given as its key, and of what goes in, through and out."""
    place, chain = parse(text)
    shapes = [place.in_shape] + [part.out_shape(shape) for part, shape in walk(chain, place.in_shape)]
    return 4 * (sum(prod(part.weight_shape) for part in chain) +
                batch_size * place.repeats * sum(abs(prod(shape)) for shape in shapes))


def machine_bytes():
    """int: of the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def refuse_size(size):
    """Refuse what the machine cannot hold: the system would not, but end the process in the middle.

    Raises
    ------
    MemoryError
    """
    if size > machine_bytes():
        raise MemoryError("%s are needed, and the machine has %s" % (gigabytes(size), gigabytes(machine_bytes())))


_TELLING = ("MXNET_", "OMP_", "KMP_", "MKL_", "DNNL_", "ONEDNN_", "MKLDNN_")
# Ends of variables that do not change how fast MXNet is, and that importing accnn.core.compat, or scikit-learn, sets.
_IDLE = ("_VERBOSE", "KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK")


def settings(variables):
    """dict: of environment variables those that change what MXNet runs, in the order of their names."""
    return {name: value for name, value in sorted(variables.items())
            if name.startswith(_TELLING) and not name.endswith(_IDLE)}


def cpu_model():
    """str: the name the processor gives itself, as far as the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as handle:
            names = [line.split(":", 1)[1].strip() for line in handle if line.lower().startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def environment():
    """dict: processor, versions, instruction set, and the settings that change what MXNet runs."""
    return {"cpu": cpu_model(), "cores": cores(), "system": platform.platform(),
            "python": platform.python_version(), "mxnet": mx.__version__, "numpy": np.__version__,
            "gpus": mx.context.num_gpus(), "isa": amx.isa(), "amx": amx.enabled(),
            "settings": {name: value for name, value in sorted(os.environ.items())
                         if name.startswith(_TELLING) and not name.endswith("_NUM_THREADS")},  # a run's own matter
            # None is MXNet's default, which for 1.9.1 on the CPU is MKLDNN.
            "MXNET_SUBGRAPH_BACKEND": os.environ.get("MXNET_SUBGRAPH_BACKEND"),
            "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None}
