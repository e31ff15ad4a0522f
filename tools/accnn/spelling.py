"""Chains of layers as text: what tables of milliseconds are keyed by, and processes ask each other.

    256,28,28|conv 256-64 3x1 p1x0|conv 64-256 1x3 p0x1 b

First the place, that is the input without the batch; then a part each: channels, kernel, and whatever is not the
default of stride (s), pad (p), dilation (d), groups (g), feature maps (m) and bias (b). ``x4`` behind the input: four
rows of it per example; ``plain``: the input of the network itself. ``last`` behind ``fc``: only the last axis is
transformed.
"""
import re
from dataclasses import dataclass
from typing import Callable, Tuple

from accnn.layers import SubConv, SubFC

_NUMBER = "[1-9][0-9]*"
_MANY = "%s(?:x%s)*" % (_NUMBER, _NUMBER)
_SHAPE = "%s(?:,%s)*" % (_NUMBER, _NUMBER)
_PLACE = re.compile("(%s)(?: x(%s))?( plain)?" % (_SHAPE, _NUMBER))
_CONV = re.compile("conv (%s)-(%s) (%s)(?: s(%s))?(?: p([0-9]+(?:x[0-9]+)*))?(?: d(%s))?(?: g(%s))?(?: m(%s))?( b)?"
                   % (_NUMBER, _NUMBER, _MANY, _MANY, _MANY, _NUMBER, _SHAPE))
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
    """

    in_shape: Tuple[int, ...]
    repeats: int = 1
    plain: bool = False


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
    return "|".join([first] + [_KINDS[part.op].spell(part) for part in chain])


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
    shape, repeats, plain = found.groups()
    read = (Place(_numbers(shape, ","), int(repeats or 1), bool(plain)),
            tuple(_part(part, "_%d" % number) for number, part in enumerate(parts)))
    if key(*read) != text:  # a default was spelled out: two texts for the same would be measured twice
        raise ValueError("%r is not spelled as %r" % (text, key(*read)))
    return read


def _spell_conv(part):
    words = ["conv %d-%d" % (part.in_channels, part.out_channels), _joined(part.kernel, "x")]
    for letter, values, default in (("s", part.stride, 1), ("p", part.pad, 0), ("d", part.dilate, 1)):
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


def _read_conv(suffix, inner, outer, kernel, stride, pad, dilate, groups, maps, bias):
    sizes = _numbers(kernel, "x")
    stride, pad, dilate = (_numbers(text, "x") if text else (default,) * len(sizes)
                           for text, default in ((stride, 1), (pad, 0), (dilate, 1)))
    if not len(sizes) == len(stride) == len(pad) == len(dilate):
        raise ValueError("a kernel of %s has as many strides, pads and dilations" % kernel)
    return SubConv(suffix, int(inner), int(outer), sizes, stride, pad, dilate, int(groups or 1), bool(bias),
                   _numbers(maps, ",") if maps else None)


def _read_fc(suffix, inner, outer, last, bias):
    return SubFC(suffix, int(inner), int(outer), bias=bool(bias), flatten=not last)


def _numbers(text, mark):
    return tuple(int(number) for number in text.split(mark))


@dataclass(frozen=True)
class _Kind:
    """How one kind of part is spelled and read; `read` takes the suffix and the groups of `pattern`."""

    spell: Callable
    pattern: re.Pattern
    read: Callable


_KINDS = {SubConv.op: _Kind(_spell_conv, _CONV, _read_conv), SubFC.op: _Kind(_spell_fc, _FC, _read_fc)}
