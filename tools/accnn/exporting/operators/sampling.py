"""Spatial transformers: where a map is sampled, and the samples."""
import numpy as np

from accnn.exporting.registry import converts
from accnn.exporting.sizes import Shape


@converts("BilinearSampler")
def bilinear_sampler(layer):
    """``GridSample``, its places in the last axis; zeros outside, corners at -1 and 1."""
    return [_sampled(layer, layer.transpose(layer.inputs[1], [0, 2, 3, 1])), None]


def _sampled(layer, places):
    if layer.builder.opset < 16:
        raise layer.refused("the operators of version %d" % layer.builder.opset, "say `opset=16`")
    return layer.add("GridSample", layer.x, places, align_corners=1, mode="bilinear", padding_mode="zeros")


@converts("GridGenerator")
def grid_generator(layer):
    """Places from -1 to 1 that an affine transform, or a flow in pixels, makes of a regular grid."""
    height, width = layer.shape[2:]
    if layer.text("transform_type") == "affine":
        places = layer.transpose(_affine(layer, layer.x, height, width), [0, 2, 1])
        return [layer.reshape(places, layer.shape), None]
    regular = np.stack(np.broadcast_arrays(np.arange(width), np.arange(height)[:, None])).astype(np.float32)
    half = np.array([(width - 1) / 2, (height - 1) / 2], np.float32).reshape(2, 1, 1)
    moved = layer.add("Div", layer.add("Add", layer.x, regular), half)
    return [layer.add("Sub", moved, layer.scalar(1)), None]


def _affine(layer, transforms, height, width):
    """(batch, height * width, 2): transforms of 2x3 applied to a grid."""
    x, y = np.linspace(-1, 1, width), np.linspace(-1, 1, height)[:, None]
    grid = np.stack([one.reshape(-1) for one in np.broadcast_arrays(x, y, 1.0)], 1).astype(np.float32)
    matrices = layer.reshape(transforms, layer.shape.take([0]).joined(Shape((2, 3))))
    return layer.add("MatMul", grid, layer.transpose(matrices, [0, 2, 1]))


@converts("SpatialTransformer")
def spatial_transformer(layer):
    """An affine transform of the whole map."""
    height, width = layer.shape[2:]
    places = layer.reshape(_affine(layer, layer.inputs[1], height, width),
                           layer.shape.take([0, 2, 3]).joined(Shape((2,))))
    return [_sampled(layer, places), None, None]
