"""The words that every room shares: a layer of a network, and the parts of the chain that replaces it.

Nothing here knows MXNet's symbols or arrays: only shapes, and the attributes an operator of that shape is
written with. Kernel order is (out, in/groups, kh, kw), spatial order (height, width); shapes carry no batch.
"""
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Optional, Tuple, Union

Shape = Tuple[int, ...]


@dataclass(frozen=True)
class SubConv:
    """A convolution: a layer to be replaced, or one part of the chain that replaces it.

    Methods deal in 2-D ones; a layer of a network may also be 1-D or 3-D, and is then only counted.

    Attributes
    ----------
    suffix : str
        Appended to the layer's name: ``'_v'`` gives ``conv1_v``; ``''`` for the layer itself.
    in_channels, out_channels : int
    kernel, stride, pad, dilate : tuple of int
        (height, width).
    groups : int
        ``in_channels`` makes it depthwise.
    bias : bool
    maps : tuple of int or None
        At the start of a chain that reads vectors: the feature maps (C, H, W) that these are the flattening of, and
        that the part reads them as. None: it reads maps.
    """

    suffix: str
    in_channels: int
    out_channels: int
    kernel: Shape
    stride: Shape = (1, 1)
    pad: Shape = (0, 0)
    dilate: Shape = (1, 1)
    groups: int = 1
    bias: bool = True
    maps: Optional[Shape] = None

    op = "Convolution"
    axis = 1  # of the output, with the batch in front: its filters

    @property
    def outputs(self):
        """int: filters."""
        return self.out_channels

    @property
    def weight_shape(self):
        """tuple of int: (out, in/groups, kh, kw)."""
        return (self.out_channels, self.in_channels // self.groups) + tuple(self.kernel)

    @property
    def patch_shape(self):
        """tuple of int: (groups, values) of the input that the outputs at one place are computed from."""
        return self.groups, prod(self.weight_shape[1:])

    def out_shape(self, in_shape):
        """Shape (channels, height, width) of the output for an input of `in_shape`, which may be that of `maps`."""
        sizes = (self.maps or in_shape)[1:]
        spatial = (
            (size + 2 * pad - dilate * (kernel - 1) - 1) // stride + 1
            for size, kernel, stride, pad, dilate in zip(sizes, self.kernel, self.stride, self.pad, self.dilate)
        )
        return (self.out_channels,) + tuple(spatial)

    def attrs(self):
        """dict of str: what MXNet's JSON writes for this operator; defaults are left out, as MXNet does."""
        said = {"kernel": str(tuple(self.kernel)), "num_filter": str(self.out_channels)}
        for name, value, default in (("stride", self.stride, 1), ("pad", self.pad, 0), ("dilate", self.dilate, 1)):
            if any(item != default for item in value):
                said[name] = str(tuple(value))
        if self.groups != 1:
            said["num_group"] = str(self.groups)
        if not self.bias:
            said["no_bias"] = "True"
        return said


@dataclass(frozen=True)
class SubFC:
    """A fully connected layer: one to be replaced, or one part of the chain that replaces it.

    Attributes
    ----------
    suffix : str
        Appended to the layer's name; ``''`` for the layer itself.
    in_units, out_units : int
    bias : bool
    flatten : bool
        True: everything behind the batch is one vector; False: only the last axis is transformed.
    """

    suffix: str
    in_units: int
    out_units: int
    bias: bool = True
    flatten: bool = True

    op = "FullyConnected"
    axis = -1  # of the output, with the batch in front: its units
    groups = 1

    @property
    def outputs(self):
        """int: units."""
        return self.out_units

    @property
    def weight_shape(self):
        """tuple of int: (out, in)."""
        return self.out_units, self.in_units

    @property
    def patch_shape(self):
        """tuple of int: (groups, values) of the input that the outputs at one place are computed from."""
        return self.groups, self.in_units

    def out_shape(self, in_shape):
        """Shape of the output for an input of `in_shape`, both without the batch."""
        return (self.out_units,) if self.flatten else tuple(in_shape[:-1]) + (self.out_units,)

    def attrs(self):
        """dict of str: what MXNet's JSON writes for this operator; defaults are left out."""
        said = {"num_hidden": str(self.out_units)}
        if not self.bias:
            said["no_bias"] = "True"
        if not self.flatten:
            said["flatten"] = "False"
        return said


@dataclass(frozen=True)
class LayerSpec:
    """One convolution or fully connected layer of a network, with everything a method needs to know of it.

    Attributes
    ----------
    name : str
    part : SubConv or SubFC or None
        The layer as a chain of one; None when its shape could not be read.
    in_shape : tuple of int or None
        Shape of its input without the batch: (C, H, W), or (units,) and (time, units) for FCs.
    weight, bias : str or None
        Names of its parameters in the checkpoint.
    op : str
        MXNet's operator, ``'Convolution'`` or ``'FullyConnected'``.
    refusal : str or None
        Why the graph does not allow this layer to be replaced, whatever the method.
    repeats : int or Fraction
        How often it runs for one example: more than once behind ROIPooling, or where time is folded into the batch;
        half a time, say, where it reads every second example.
    maps : tuple of int or None
        The feature maps (C, H, W) whose flattening a fully connected layer multiplies, so that it is a convolution with
        a kernel of (H, W); None where it reads no such maps, or those of one pixel.
    """

    name: str
    part: Optional[object]
    in_shape: Optional[Shape]
    weight: Optional[str]
    bias: Optional[str]
    op: str
    refusal: Optional[str] = None
    repeats: Union[int, Fraction] = 1
    maps: Optional[Shape] = None

    @property
    def out_shape(self):
        """tuple of int: shape of the output without the batch."""
        return self.part.out_shape(self.in_shape)


def positions(part, in_shape):
    """Number of places of one example at which `part` evaluates all its outputs."""
    out = part.out_shape(in_shape)
    return prod(out[1:]) if part.op == "Convolution" else prod(out[:-1])


def macs(chain, in_shape):
    """Multiply-adds of one example through a chain that starts at `in_shape`; biases are not counted."""
    return sum(positions(part, shape) * prod(part.weight_shape) for part, shape in walk(chain, in_shape))


def walk(chain, in_shape):
    """Yield (part, shape of its input) along a chain that starts at `in_shape`."""
    for part in chain:
        yield part, in_shape
        in_shape = part.out_shape(in_shape)
