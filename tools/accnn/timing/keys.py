"""Chains of layers as text: what tables of milliseconds are keyed by, and processes ask each other.

    256,28,28|conv 256-64 3x1 p1x0|conv 64-256 1x3 p0x1 b

First the place, that is the input without the batch; then a part each: channels, kernel, and whatever is not the
default of stride (s), pad (p), dilation (d), adj (a), groups (g), feature maps (m) and bias (b). ``x4`` behind the
input: four rows of it per example; ``plain``: the input of the network itself; ``u8``, ``s8``, ``bf16``: its numbers,
where they are not float32, and so the precision of the chain; ``fp32`` behind it: the chain itself is float32, its
conversions are a part of it. ``last`` behind ``fc``: only the last axis is
transformed. ``deconv`` is a Deconvolution, ``conv_v1`` a Convolution_v1.
"""
import re
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Callable, Optional, Tuple

from accnn.core.layers import BF16, FP32, INT8, SubConv, SubDeconv, SubFC
from accnn.graph.passing import nonnegative

_BLOCKED = {"Convolution", "Deconvolution"}  # what leaves feature maps in memory as oneDNN's kernels like them
_PLAIN = {"FullyConnected", "Flatten", "Reshape", "reshape", "transpose"}  # what leaves them in rows
_NUMBERS = {FP32: (None, None), INT8: ("u8", "s8"), BF16: ("bf16", "bf16")}  # behind a ReLU, and elsewhere


def places_of(graph, specs, precisions=None):
    """dict of str to Place: by layer, for those of known shape that a key can say, and in no loop or branch.

    Parameters
    ----------
    graph : Graph
    specs : sequence of LayerSpec
    precisions : dict of str to str, optional
        By layer: ``'int8'`` or ``'bf16'``; default: 'fp32'.
    """
    blocked, positive = _blocked(graph), nonnegative(graph)
    inputs = {node.name: node.inputs[0][0] for node in graph.nodes if node.inputs}
    return {spec.name: Place(tuple(spec.in_shape), ceil(spec.repeats),
                             len(spec.in_shape) == 3 and not blocked[inputs[spec.name]],
                             _NUMBERS[(precisions or {}).get(spec.name, FP32)][not positive[inputs[spec.name]]])
            for spec in specs if spec.part is not None and spec.name in inputs and can_spell(spec.part)}


def _blocked(graph):
    """list of bool: for every node whether its data came through a convolution."""
    found = []
    for node in graph.nodes:
        found.append(node.op in _BLOCKED or (
            node.op not in _PLAIN and any(found[position] for position, _, _ in node.inputs)))
    return found


def layer_key(place, spec):
    """str: what the layer itself is called in a table."""
    return key(place, (spec.part,))


def chain_key(place, candidate, rank):
    """str: what the chain of a candidate at a rank is called in a table."""
    return key(place, candidate.chain(rank))


_NUMBER = "[1-9][0-9]*"
_MANY = "%s(?:x%s)*" % (_NUMBER, _NUMBER)
_SHAPE = "%s(?:,%s)*" % (_NUMBER, _NUMBER)
_PLACE = re.compile("(%s)(?: x(%s))?( plain)?(?: (u8|s8|bf16)( fp32)?)?" % (_SHAPE, _NUMBER))
_SOME = "[0-9]+(?:x[0-9]+)*"
_CONV = "%%s (%s)-(%s) (%s)(?: s(%s))?(?: p(%s))?(?: d(%s))?(?: a(%s))?(?: g(%s))?(?: m(%s))?( b)?" % (
    _NUMBER, _NUMBER, _MANY, _MANY, _SOME, _MANY, _SOME, _NUMBER, _SHAPE)
_LETTERS = (("s", "stride", 1), ("p", "pad", 0), ("d", "dilate", 1), ("a", "adj", 0))
_FC = re.compile("fc (%s)-(%s)( last)?( b)?" % (_NUMBER, _NUMBER))


@dataclass(frozen=True)
class Place:
    """Where a chain stands in a network, as far as that changes the time it takes.

    Attributes
    ----------
    in_shape : tuple of int
        Of its input, without the batch.
    repeats : int
        Rows of it for one example: more than one behind ROIPooling, or where time is folded into the batch.
    plain : bool
        Its input lies in memory as pictures that enter a network do; False: as a convolution leaves it.
    numbers : {'u8', 's8', 'bf16'} or None
        What its input holds, which says the precision of the chain; None: float32.
    as_float : bool
        The chain is float32 all the same: it converts what it reads, and back what it gives.
    """

    in_shape: Tuple[int, ...]
    repeats: int = 1
    plain: bool = False
    numbers: Optional[str] = None
    as_float: bool = False


def key(place, chain):
    """str: canonical, for people and machines; what a chain takes at a place depends on nothing that is not in it.

    Parameters
    ----------
    place : Place
    chain : sequence of SubConv or SubFC
        Suffixes do not count.
    """
    first = _joined(place.in_shape, ",")
    first += (" x%d" % place.repeats if place.repeats != 1 else "") + (" plain" if place.plain else "")
    first += " " + place.numbers if place.numbers else ""
    first += " fp32" if place.as_float else ""
    return "|".join([first] + [_KINDS[part.op].encode(part) for part in chain])


def parse(text):
    """Return the (Place, tuple of SubConv or SubFC) of a :func:`key`, with the suffixes '_0', '_1' and so on.

    Raises
    ------
    ValueError
        It is no such key, or not the canonical one.
    """
    place, *parts = text.split("|")
    found = _PLACE.fullmatch(place)
    if not found or not parts:
        raise ValueError("%r is no chain at a place" % text)
    shape, repeats, plain, numbers, as_float = found.groups()
    read = (Place(_numbers(shape, ","), int(repeats or 1), bool(plain), numbers, bool(as_float)),
            tuple(_part(part, "_%d" % number) for number, part in enumerate(parts)))
    if key(*read) != text:  # a default was spelled out: two texts for the same would be measured twice
        raise ValueError("%r is not spelled as %r" % (text, key(*read)))
    return read


def can_spell(part):
    """bool: whether :func:`key` knows parts with that operator."""
    return part.op in _KINDS


def _spell_conv(word, part):
    words = ["%s %d-%d" % (word, part.in_channels, part.out_channels), _joined(part.kernel, "x")]
    for letter, name, default in _LETTERS:
        values = getattr(part, name, ())
        if any(value != default for value in values):
            words.append(letter + _joined(values, "x"))
    if part.groups != 1:
        words.append("g%d" % part.groups)
    if part.maps is not None:
        words.append("m" + _joined(part.maps, ","))
    return " ".join(words + ["b"] * bool(part.bias))


def _spell_fc(part):
    return "fc %d-%d" % (part.in_units, part.out_units) + " last" * (not part.flatten) + " b" * bool(part.bias)


def _joined(values, mark):
    return mark.join("%d" % value for value in values)


def _part(text, suffix):
    for kind in _KINDS.values():
        found = kind.pattern.fullmatch(text)
        if found:
            return kind.read(suffix, *found.groups())
    raise ValueError("%r is no layer" % text)


def _read_conv(made, suffix, inner, outer, kernel, *more):
    *spatial, groups, maps, bias = more
    sizes = _numbers(kernel, "x")
    read = {name: _numbers(text, "x") if text else (default,) * len(sizes)
            for text, (_, name, default) in zip(spatial, _LETTERS)}
    if any(len(values) != len(sizes) for values in read.values()):
        raise ValueError("a kernel of %s has as many strides, pads and dilations" % kernel)
    return made(suffix, int(inner), int(outer), sizes, groups=int(groups or 1), bias=bool(bias),
                maps=_numbers(maps, ",") if maps else None, **read)


def _plainly(op, suffix, *given, adj, **more):
    if any(adj):
        raise ValueError("only a deconv has an adj")
    return SubConv(suffix, *given, op=op, **more)


def _read_fc(suffix, inner, outer, last, bias):
    return SubFC(suffix, int(inner), int(outer), bias=bool(bias), flatten=not last)


def _numbers(text, mark):
    return tuple(int(number) for number in text.split(mark))


@dataclass(frozen=True)
class _Kind:
    """How one kind of part is spelled and read; `read` takes the suffix and the groups of `pattern`."""

    encode: Callable
    pattern: re.Pattern
    read: Callable


def _convolving(word, made):
    return _Kind(partial(_spell_conv, word), re.compile(_CONV % word), partial(_read_conv, made))


_KINDS = {SubConv.op: _convolving("conv", partial(_plainly, SubConv.op)),
          "Convolution_v1": _convolving("conv_v1", partial(_plainly, "Convolution_v1")),
          SubDeconv.op: _convolving("deconv", SubDeconv),
          SubFC.op: _Kind(_spell_fc, _FC, _read_fc)}
