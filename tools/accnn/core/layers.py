"""What every package speaks of: a layer of a network, and the parts of the chain that replaces it.

Nothing here knows MXNet's symbols or arrays: only shapes, and the attributes an operator of that shape is
written with. Kernel order is (out, in/groups, kh, kw), of transposed convolutions too, which MXNet stores in another
one; spatial order (height, width); shapes carry no batch.
"""
import functools
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Optional, Tuple, Union

Shape = Tuple[int, ...]

CONVOLUTION, FULLY_CONNECTED = "Convolution", "FullyConnected"  # the kinds of layers
PRECISIONS = FP32, INT8, BF16 = "fp32", "int8", "bf16"  # in which a network is computed


def operators_of(layers, chains):
    """list of str: the operators of an accelerated network that compute some layers of the original.

    Parameters
    ----------
    layers : iterable of str
    chains : dict of str to sequence of (SubConv or SubFC)
        By layer, of those that were split.
    """
    return [name for layer in layers
            for name in ([layer + part.suffix for part in chains[layer]] if layer in chains else [layer])]


class _Part:
    """What parts of all kinds have: a weight that MXNet stores in the order of :attr:`weight_shape`."""

    @property
    def stored_shape(self):
        """tuple of int: shape of the weight as MXNet stores it."""
        return self.weight_shape

    def stored(self, kernel):
        """The weight as MXNet stores it, of a kernel with as many values as :attr:`weight_shape` has."""
        return kernel.reshape(self.weight_shape)

    def kernel_of(self, stored):
        """The kernel, of shape :attr:`weight_shape`, of a weight as MXNet stores it."""
        return stored.reshape(self.weight_shape)


@functools.lru_cache(maxsize=4096)
def _along(axes, values, neutral):
    """The values along `axes`, and what does nothing along the others: asked for at hundreds of ranks of a layer."""
    return tuple(tuple(value if axis in axes else nothing for axis, value in enumerate(one))
                 for one, nothing in zip(values, neutral))


@dataclass(frozen=True)
class SubConv(_Part):
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
    op : str
        MXNet's operator. A layer may be of a sibling, such as ``'Convolution_v1'``, whose shapes are the same; parts of
        chains are plain.
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
    op: str = "Convolution"

    kind = CONVOLUTION
    axis = 1  # of the output, with the batch in front: its filters
    _neutral = {"kernel": 1, "stride": 1, "pad": 0, "dilate": 1}  # what does nothing along an axis

    @property
    def outputs(self):
        """int: filters."""
        return self.out_channels

    @property
    def weight_shape(self):
        """tuple of int: (out, in/groups, kh, kw)."""
        return (self.out_channels, self.in_channels // self.groups) + tuple(self.kernel)

    def along(self, axes, suffix, in_channels, out_channels, groups=1, bias=False):
        """A part of a chain that has this layer's kernel along some axes, and a kernel of 1 along the others.

        Parameters
        ----------
        axes : sequence of int
            0 is the height; stride, pad and dilation go with the kernel.
        suffix, in_channels, out_channels, groups, bias
            Of the part.
        """
        values = tuple(tuple(getattr(self, name)) for name in self._neutral)
        kept = dict(zip(self._neutral, _along(tuple(axes), values, tuple(self._neutral.values()))))
        return type(self)(suffix, in_channels, out_channels, groups=groups, bias=bias, **kept)

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

    def places(self, in_shape):
        """int: places of one example at which all outputs are evaluated."""
        return prod(self.out_shape(in_shape)[1:])

    def macs(self, in_shape):
        """int: multiply-adds of one example; zeros that pad count, biases do not."""
        return self.places(in_shape) * prod(self.weight_shape)

    def attrs(self):
        """dict of str: what MXNet's JSON writes for this operator; defaults are left out, as MXNet does."""
        said = {"kernel": str(tuple(self.kernel)), "num_filter": str(self.out_channels)}
        for name, nothing in self._neutral.items():
            if name != "kernel" and any(value != nothing for value in getattr(self, name)):
                said[name] = str(tuple(getattr(self, name)))
        if self.groups != 1:
            said["num_group"] = str(self.groups)
        return self._with_bias(said)

    def _with_bias(self, said):
        return said if self.bias else dict(said, no_bias="True")


@dataclass(frozen=True)
class SubDeconv(SubConv):
    """A transposed convolution, which MXNet calls Deconvolution: every input adds a scaled kernel to the output.

    Its kernel is that of the response at one place: (out, in/groups, kh, kw), as of a convolution. MXNet stores
    (in, out/groups, kh, kw).

    Attributes
    ----------
    adj : tuple of int
        Rows and columns added to the output at its end. A layer's ``target_shape`` is read as the pad and adj that
        MXNet makes of it.
    """

    op: str = "Deconvolution"
    adj: Shape = (0, 0)

    _neutral = dict(SubConv._neutral, adj=0)

    @property
    def stored_shape(self):
        """tuple of int: (in, out/groups, kh, kw)."""
        return (self.in_channels, self.out_channels // self.groups) + tuple(self.kernel)

    def stored(self, kernel):
        """The weight as MXNet stores it, of a kernel with as many values as :attr:`weight_shape` has."""
        outer, inner = self.weight_shape[0] // self.groups, self.weight_shape[1]
        return self._swapped(kernel, outer, inner).reshape(self.stored_shape)

    def kernel_of(self, stored):
        """The kernel, of shape :attr:`weight_shape`, of a weight as MXNet stores it."""
        inner, outer = self.stored_shape[0] // self.groups, self.stored_shape[1]
        return self._swapped(stored, inner, outer).reshape(self.weight_shape)

    def _swapped(self, weight, first, second):
        return weight.reshape((self.groups, first, second) + tuple(self.kernel)).swapaxes(1, 2)

    def out_shape(self, in_shape):
        """Shape (channels, height, width) of the output for an input of `in_shape`."""
        spatial = ((size - 1) * stride - 2 * pad + dilate * (kernel - 1) + 1 + adj
                   for size, kernel, stride, pad, dilate, adj in zip(in_shape[1:], self.kernel, self.stride, self.pad,
                                                                     self.dilate, self.adj))
        return (self.out_channels,) + tuple(spatial)

    def macs(self, in_shape):
        """int: multiply-adds of one example; those whose result is cropped count, as a convolution's padding does."""
        return prod(in_shape[1:]) * prod(self.weight_shape)

    def _with_bias(self, said):
        return dict(said, no_bias="False") if self.bias else said  # which is not the default here


@dataclass(frozen=True)
class SubFC(_Part):
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
    kind = FULLY_CONNECTED
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

    def places(self, in_shape):
        """int: places of one example at which all outputs are evaluated."""
        return prod(self.out_shape(in_shape)[:-1])

    def macs(self, in_shape):
        """int: multiply-adds of one example; biases are not counted."""
        return self.places(in_shape) * prod(self.weight_shape)

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
        MXNet's operator, such as ``'Convolution'``.
    refusal : str or None
        Why the graph does not allow this layer to be replaced, whatever the method.
    repeats : int or Fraction
        How often it runs for one example: more than once behind ROIPooling, where time is folded into the batch, or in
        a loop; half a time, say, where it reads every second example.
    maps : tuple of int or None
        The feature maps (C, H, W) whose flattening a fully connected layer multiplies, so that it is a convolution with
        a kernel of (H, W); None where it reads no such maps, or those of one pixel.
    precision : str or None
        What the weight is cast to before the layer reads it, as in ``'bfloat16'``; None: the layer reads it as it is
        stored.
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
    precision: Optional[str] = None

    @property
    def kind(self):
        """str: `CONVOLUTION`, whatever operator convolves, or `FULLY_CONNECTED`."""
        return FULLY_CONNECTED if self.op == SubFC.op else CONVOLUTION

    @property
    def out_shape(self):
        """tuple of int: shape of the output without the batch."""
        return self.part.out_shape(self.in_shape)


def macs(chain, in_shape):
    """Multiply-adds of one example through a chain that starts at `in_shape`; biases are not counted."""
    return sum(part.macs(shape) for part, shape in walk(chain, in_shape))


def walk(chain, in_shape):
    """Yield (part, shape of its input) along a chain that starts at `in_shape`."""
    for part in chain:
        yield part, in_shape
        in_shape = part.out_shape(in_shape)
