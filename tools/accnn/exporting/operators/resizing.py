"""Maps made larger or smaller by bilinear interpolation."""
from accnn.exporting.registry import converts


@converts("_contrib_BilinearResize2D", inputs=1)
def bilinear_resize(layer):
    """``Resize`` to the size that MXNet infers from `mode`, its corners aligned unless `align_corners` says no."""
    places = "align_corners" if layer.boolean("align_corners", True) else "half_pixel"
    if tuple(layer.shape[2:]) == tuple(layer.x.shape[2:]):
        return layer.x
    return layer.add("Resize", layer.x, None, None, layer.sizes_of(layer.shape), mode="linear",
                     coordinate_transformation_mode=places)
