"""Make trained convolutional networks run faster, natively in Apache MXNet.

>>> import accnn
>>> bench = accnn.Workbench(accnn.load_model("vgg16"))
>>> plan = bench.select_ranks(2.0)
>>> accnn.save_model(bench.accelerate(plan), "new-model")
"""
from importlib import import_module

__version__ = "2.0.0.dev0"

# Looked up at first use, so that --help and a mistyped option do not wait for MXNet to be imported.
_HOMES = {
    "AccnnError": "accnn.errors", "TargetError": "accnn.errors",
    "LayerSpec": "accnn.layers", "SubConv": "accnn.layers", "SubDeconv": "accnn.layers", "SubFC": "accnn.layers",
    "Model": "accnn.graph.checkpoint", "load_model": "accnn.graph.checkpoint", "save_model": "accnn.graph.checkpoint",
    "Request": "accnn.planning",
    "Plan": "accnn.plan", "load_plan": "accnn.plan",
    "Workbench": "accnn.workbench",
    "ArrayImages": "accnn.responses.images", "Calibrated": "accnn.reconstruction.calibrated",
    "Wish": "accnn.reconstruction.calibrated",
}

__all__ = sorted(_HOMES) + ["accelerate", "select_ranks"]


def select_ranks(model, ratio, input_shapes=None, **options):
    """Choose ranks for a model.

    Parameters
    ----------
    model : Model
    ratio : float
        Theoretical speed-up.
    input_shapes : dict of str to tuple of int, optional
        Without the batch.
    **options
        The other attributes of :class:`accnn.planning.Request`.

    Returns
    -------
    Plan

    Notes
    -----
    To apply the plan as well, make one :class:`accnn.workbench.Workbench`: it remembers the decompositions.
    """
    return import_module("accnn.workbench").Workbench(model, input_shapes).select_ranks(ratio, **options)


def accelerate(model, plan, input_shapes=None):
    """Apply a plan, such as one of :func:`load_plan`.

    Parameters
    ----------
    model : Model
        Not changed.
    plan : Plan
    input_shapes : dict of str to tuple of int, optional
        Without the batch.

    Returns
    -------
    Model
    """
    return import_module("accnn.workbench").Workbench(model, input_shapes).accelerate(plan)


def __dir__():
    return sorted(list(globals()) + list(_HOMES))


def __getattr__(name):
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError("module 'accnn' has no attribute %r" % name)
