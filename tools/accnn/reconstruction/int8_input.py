"""What no INT8 network can be made of: refused before anything is computed."""
from accnn.core.errors import AccnnError, TargetError
from accnn.core.layers import INT8
from accnn.core.text import some
from accnn.graph.precision import refuse_half
from accnn.graph.quantized import refuse_quantized
from accnn.quantization.fusing import partition
from accnn.quantization.supported import LAYERS
from accnn.runtime.predictor import Predictor

_FEWEST = 16  # images by which thresholds can be chosen, some of them held aside


def refuse_few(images):
    """Raise an AccnnError where there are too few images to make an INT8 network by."""
    if images.count < _FEWEST:
        raise AccnnError("%d images are too few to choose thresholds by: give at least %d" % (images.count, _FEWEST))


def refuse_unusable(model, original, exclude):
    """Refuse networks that are no float32 ones, and one that would have no layer in INT8.

    Parameters
    ----------
    model, original : Model
    exclude : iterable of str
        Layers that stay in float32.

    Raises
    ------
    AccnnError
    """
    for one in (model, original):
        refuse_quantized(one)
        refuse_half(one)
    kept = partition(model, exclude).kept
    layers = [node.name for node in model.graph.nodes if node.op in LAYERS]
    if all(name in kept for name in layers):
        reasons = {}
        for name in layers:
            reasons.setdefault(kept[name], []).append(name)
        raise AccnnError("no layer of %s can be INT8: %s" % (model.prefix, "; ".join(
            "%s: %s" % (some(names, 4), reason) for reason, names in reasons.items()) or
            "it has no convolution or fully connected layer"))


def refuse_unlike(model, original, input_shapes, batch_size):
    """Refuse an original whose outputs have other shapes than those of the network that was made from it."""
    made, wanted = (list(Predictor(one, input_shapes, batch_size).output_shapes.items()) for one in (model, original))
    if [shape for _, shape in made] != [shape for _, shape in wanted]:
        raise AccnnError("`original`: %s has the outputs %s, but %s has %s: give the network that it was made from"
                         % (original.prefix, _listed(wanted), model.prefix, _listed(made)))


def _listed(outputs):
    return ", ".join("%s of %s" % (name, ",".join(map(str, shape[1:])) or "one number") for name, shape in outputs)


def refuse_all_float(made):
    """Refuse an INT8 network that has no layer in INT8, because each alone costs the outputs more than the limit.

    Parameters
    ----------
    made : Int8

    Raises
    ------
    TargetError
        Says what the layer that costs least would cost.
    """
    if made.excluded and not any(one.precision == INT8 for one in made.precisions):
        least = min(made.excluded, key=lambda one: one.error)
        raise TargetError("no layer of %s can be INT8 within that relative error of the outputs: %s, which costs "
                          "least, alone costs %.2g%%; give a larger `limit`"
                          % (made.source.prefix, least.layer, 100 * least.error))
