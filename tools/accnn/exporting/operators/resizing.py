"""Maps made larger or smaller by bilinear interpolation."""
from accnn.exporting.registry import converts


@converts("_contrib_BilinearResize2D", inputs=1)
def bilinear_resize(layer):
    """``Resize`` to the size that MXNet infers from `mode`, its corners aligned unless `align_corners` says no.

    A single row or column is the first of the map in either case.
    """
    places = "align_corners" if layer.boolean("align_corners", True) else "half_pixel"
    if tuple(layer.shape[2:]) == tuple(layer.x.shape[2:]):
        return layer.x
    single = [axis for axis in (2, 3) if layer.shape[axis] == 1]
    x = layer.slice(layer.x, [0] * len(single), [1] * len(single), single) if single else layer.x
    return layer.add("Resize", x, None, None, layer.sizes_of(layer.shape), mode="linear",
                     coordinate_transformation_mode=places)
