"""The devices that a network is computed on."""
from accnn.core.compat import mx
from accnn.core.errors import AccnnError


def check_gpus(gpus):
    """Refuse devices, as in '0,1', that are not there; None is the CPU."""
    if gpus is None:
        return
    try:
        wanted = [int(number) for number in gpus.split(",")]
    except ValueError:
        raise AccnnError("`gpus=%s` is no list of numbers, as in 0,1" % gpus) from None
    there = mx.context.num_gpus()
    if any(not 0 <= number < there for number in wanted):
        raise AccnnError("`gpus=%s`: this MXNet sees %d GPUs; leave the option out to run on the CPU" % (gpus, there))
