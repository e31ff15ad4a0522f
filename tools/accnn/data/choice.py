"""Sizes of inputs that nobody said: those of the images where these fit, and a word where others fit as well."""
from accnn.core.progress import say
from accnn.data.sizes import common_size
from accnn.graph.guessing import fits_too, fitting_sides
from accnn.graph.inputs import hint, resolve_input_shapes


def choose_shapes(model, given=None, images=None):
    """The shapes of all inputs; says on stderr where an image may be of another size than the one that was taken.

    Parameters
    ----------
    model : Model
    given : dict, optional
        Shapes of inputs by name, without the batch; None stands for the only input.
    images : callable, optional
        Returns the Records that will be fed to the network. Called only where several sizes fit.

    Returns
    -------
    shapes, assumed
        As those of :func:`accnn.graph.inputs.resolve_input_shapes`, except that an image whose size nothing pins has
        the size of `images`, where they all have one: that which is pinned to a few sizes, or the 224 that would be
        assumed if it is larger.
    """
    shapes, assumed = resolve_input_shapes(model, given)
    for name in [] if None in (given or ()) else list(shapes):
        if name not in (given or ()) and not hint(model.graph, name) and _is_square_image(shapes[name]):
            shapes, assumed = _chosen(model, shapes, assumed, name, images)
    return shapes, assumed


def _is_square_image(shape):
    return len(shape) == 3 and shape[1] == shape[2] and shape[0] in (1, 3, 4)


def _chosen(model, shapes, assumed, name, images):
    channels, side = shapes[name][:2]
    sides = range(1, side + 1) if name in assumed else fitting_sides(model, shapes, name)
    if len(sides) == 1:
        return shapes, assumed
    records = images and images()
    size = common_size(records) if records else None
    if size and max(size) <= sides[-1] and fits_too(model, shapes, dict(shapes, **{name: (channels,) + size})):
        if size != (side, side):
            say("the images of %s are %dx%d, which %s takes: its input is %d,%d,%d, where %d,%d,%d would be "
                "taken without images" % ((records.path,) + size + (model.prefix, channels) + size + shapes[name]))
        return dict(shapes, **{name: (channels,) + size}), [other for other in assumed if other != name]
    if name not in assumed:
        say("heights and widths from %d to %d fit the input %r of %s: %d,%d,%d is taken, give `input_shapes` where "
            "that is not right" % ((sides[0], sides[-1], name, model.prefix) + shapes[name]))
    return shapes, assumed
