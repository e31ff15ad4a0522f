"""MXNet's inference of shapes, also where an operator wants to be told the shape of a label before it answers."""
from accnn.core.compat import mx

GUESSES = ((), (1,))  # shapes of a label that is one number an image, without the batch


def infer_partial(symbol, shapes):
    """What ``symbol.infer_shape_partial`` says; labels that are in its way are taken to be one number an image.

    ``softmax_cross_entropy`` and ``ctc_loss`` refuse a label of unknown shape, also where only other outputs matter.

    Parameters
    ----------
    symbol : mx.sym.Symbol
    shapes : dict of str to tuple of int
        With the batch.

    Raises
    ------
    mx.base.MXNetError
        The network does not take these shapes.
    """
    try:
        return symbol.infer_shape_partial(**shapes)
    except mx.base.MXNetError:
        for found in _tried(symbol, shapes):
            return found
        raise


def _tried(symbol, shapes):
    labels = [name for name in symbol.list_arguments() if name.endswith("label") and name not in shapes]
    size = next(iter(shapes.values()), (1,))[:1]
    for guess in GUESSES if labels else ():
        try:
            yield symbol.infer_shape_partial(**dict(shapes, **dict.fromkeys(labels, size + guess)))
        except mx.base.MXNetError:
            continue
