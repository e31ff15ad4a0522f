"""Make trained convolutional networks run faster, natively in Apache MXNet.

>>> import accnn
>>> accelerator = accnn.Accelerator(accnn.load_model("vgg16"))
>>> plan = accelerator.select_ranks(2.0)
>>> accnn.save_model(accelerator.accelerate(plan), "new-model")
"""
from importlib import import_module

from accnn.core import versions

__version__ = versions.VERSION

# Looked up at first use: a script that is started imports this package first, and must be able to tell what is missing.
_HOMES = {
    "amx_reason": "accnn.core.amx", "enable_amx": "accnn.core.compat",
    "AccnnError": "accnn.core.errors", "TargetError": "accnn.core.errors",
    "LayerSpec": "accnn.core.layers", "SubConv": "accnn.core.layers", "SubDeconv": "accnn.core.layers",
          "SubFC": "accnn.core.layers",
    "Model": "accnn.graph.checkpoint", "load_model": "accnn.graph.checkpoint", "save_model": "accnn.graph.checkpoint",
    "Request": "accnn.planning.planner",
    "Plan": "accnn.planning.plan", "load_plan": "accnn.planning.plan",
    "Accelerator": "accnn.planning.accelerator",
    "to_bfloat16": "accnn.quantization.bfloat16",
    "export_onnx": "accnn.exporting.exporter",
    "PlanPoint": "accnn.report.evidence",
    "plot_energy": "accnn.report.plots", "plot_layers": "accnn.report.plots", "plot_pareto": "accnn.report.plots",
          "plot_sensitivity": "accnn.report.plots",
    "ArrayImages": "accnn.reconstruction.images", "Calibrated": "accnn.reconstruction.calibration",
    "ReconstructionConfig": "accnn.reconstruction.calibration",
}

# Names of earlier releases that scripts of others may use.
_FORMER = {"Workbench": "Accelerator", "Wish": "ReconstructionConfig"}

__all__ = sorted(_HOMES) + ["accelerate", "quantize", "select_ranks"]


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
        The other attributes of :class:`accnn.planning.planner.Request`.

    Returns
    -------
    Plan

    Notes
    -----
    To apply the plan as well, make one :class:`accnn.planning.accelerator.Accelerator`: it remembers decompositions.
    """
    return import_module("accnn.planning.accelerator").Accelerator(model, input_shapes).select_ranks(ratio, **options)


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
    return import_module("accnn.planning.accelerator").Accelerator(model, input_shapes).accelerate(plan)


def __dir__():
    return sorted(list(globals()) + list(_HOMES) + ["quantize"])


def __getattr__(name):
    if name == "quantize":  # the script, which can be called too: see there
        return import_module("accnn.quantize")
    name = _FORMER.get(name, name)
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError("module 'accnn' has no attribute %r" % name)
