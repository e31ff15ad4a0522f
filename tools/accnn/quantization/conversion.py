"""The precisions below float32, one object each: how a network gets into it, what is in it, how it is recognised."""
from dataclasses import dataclass
from typing import Callable

from accnn.core.layers import BF16, FP32, INT8
from accnn.graph import quantized
from accnn.quantization import bfloat16, int8_graph
from accnn.quantization.int8_graph import LayerPrecision, partition, quantize, random_thresholds


@dataclass(frozen=True)
class Precision:
    """A precision that a float32 network can be converted to.

    Attributes
    ----------
    convert : callable
        ``convert(model, exclude, thresholds) -> Model``; see :func:`converted`.
    layers : callable
        ``layers(model, converted, exclude) -> list of LayerPrecision``.
    sketch : callable
        ``sketch(model, exclude) -> Model``: of a conversion what `layers` reads, in a fraction of the time.
    is_stored : callable
        ``is_stored(model) -> bool``: a checkpoint that is in it already.
    sign : str
        What the symbol JSON of such a checkpoint holds, and no other does.
    """

    convert: Callable
    layers: Callable
    sketch: Callable
    is_stored: Callable
    sign: str


def _to_int8(model, exclude, thresholds):
    return quantize(model, thresholds(partition(model, exclude)), exclude, stored=False)


def _checked_for_bf16(model, exclude):
    bfloat16.refuse(model, exclude)
    return model


_PRECISIONS = {
    INT8: Precision(_to_int8, int8_graph.layer_precisions, int8_graph.graph_only,
                    lambda model: quantized.is_quantized(model.graph), "_contrib_quantize"),
    BF16: Precision(lambda model, exclude, _: bfloat16.to_bfloat16(model, exclude),
                    lambda model, _, exclude: bfloat16.layer_precisions(model, exclude), _checked_for_bf16,
                    bfloat16.is_bfloat16, bfloat16.NAME)}


def converted(model, precision, exclude=(), thresholds=random_thresholds):
    """Return a network as it is in a precision, to be run here: INT8 weights are not stored as such.

    Parameters
    ----------
    model : Model
        Float32; not changed.
    precision : str
        Of :data:`accnn.core.layers.PRECISIONS`.
    exclude : iterable of str
        Layers that stay in float32.
    thresholds : callable
        ``thresholds(partition) -> dict of str to (float, float)``: the ranges of INT8 tensors. Default: made up, which
        is right for timing only.

    Returns
    -------
    Model
        `model` itself for 'fp32'.

    Raises
    ------
    AccnnError
        The network cannot be converted.
    """
    return model if precision == FP32 else _PRECISIONS[precision].convert(model, exclude, thresholds)


def precision_of(model):
    """str: the precision that a checkpoint is stored in."""
    return next((name for name, one in _PRECISIONS.items() if one.is_stored(model)), FP32)


def stored_precision(text):
    """str: the same, told by the text of its symbol file, which need not be whole."""
    return next((name for name, one in _PRECISIONS.items() if one.sign in text), FP32)


def layer_precisions(model, converted, precision, exclude=()):
    """Say in which precision the layers of a network are computed.

    Parameters
    ----------
    model : Model
        Float32.
    converted : Model or None
        What :func:`converted` made of it; None: it need not be made.
    precision : str
    exclude : iterable of str
        As given there.

    Returns
    -------
    list of LayerPrecision
        Of the layers that a precision below float32 knows; those that stay in float32 have a reason.
    """
    if precision == FP32:
        return []
    kind = _PRECISIONS[precision]
    return kind.layers(model, kind.sketch(model, exclude) if converted is None else converted, exclude)


__all__ = ["LayerPrecision", "Precision", "converted", "layer_precisions", "precision_of", "stored_precision"]
