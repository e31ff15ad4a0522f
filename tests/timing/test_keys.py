"""Chains as text and back."""
import dataclasses
import re

import pytest

from accnn import methods
from accnn.core.layers import LayerSpec, SubConv, SubDeconv, SubFC
from accnn.timing import keys
from accnn.timing.keys import Place, key, parse

MAPS = Place((28, 9, 11))
SPLIT = (SubConv("_v", 28, 4, (3, 1), (2, 1), (1, 0), bias=False), SubConv("_h", 4, 12, (1, 3), (1, 2), (0, 1)))

SPELLED = [
    (Place((256, 28, 28)), (SubConv("_v", 256, 64, (3, 1), pad=(1, 0), bias=False),
                            SubConv("_h", 64, 256, (1, 3), pad=(0, 1))),
     "256,28,28|conv 256-64 3x1 p1x0|conv 64-256 1x3 p0x1 b"),
    (MAPS, SPLIT, "28,9,11|conv 28-4 3x1 s2x1 p1x0|conv 4-12 1x3 s1x2 p0x1 b"),
    (Place((3, 224, 224), plain=True), (SubConv("", 3, 64, (7, 7), (2, 2), (3, 3), (1, 2), bias=False),),
     "3,224,224 plain|conv 3-64 7x7 s2x2 p3x3 d1x2"),
    (Place((64, 14, 14), 100, True), (SubConv("", 64, 64, (3, 3), groups=64),),
     "64,14,14 x100 plain|conv 64-64 3x3 g64 b"),
    (Place((20,), 7), (SubConv("_r", 5, 3, (1, 1), bias=False, maps=(5, 2, 2)), SubFC("_p", 12, 7)),
     "20 x7|conv 5-3 1x1 m5,2,2|fc 12-7 b"),
    (Place((6, 20)), (SubFC("", 20, 3, bias=False, flatten=False), SubFC("x", 3, 4, flatten=False)),
     "6,20|fc 20-3 last|fc 3-4 last b"),
    (MAPS, (SubDeconv("_v", 28, 4, (4, 1), (2, 1), (1, 0), bias=False, adj=(1, 0)), SubConv("_p", 4, 12, (1, 1))),
     "28,9,11|deconv 28-4 4x1 s2x1 p1x0 a1x0|conv 4-12 1x1 b"),
    (MAPS, (SubConv("", 28, 12, (3, 3), op="Convolution_v1"),), "28,9,11|conv_v1 28-12 3x3 b"),
    (Place((4, 30)), (SubConv("", 4, 5, (3,), (2,), (1,), (1,)),), "4,30|conv 4-5 3 s2 p1 b"),
    (Place((4, 8, 8, 8)), (SubConv("", 4, 5, (3, 3, 1), (1, 1, 1), (0, 0, 0), (1, 1, 2)),),
     "4,8,8,8|conv 4-5 3x3x1 d1x1x2 b"),
]


@pytest.mark.parametrize("place, chain, text", SPELLED)
def test_a_key_says_all_and_can_be_read(place, chain, text):
    assert key(place, chain) == text
    read_place, read = parse(text)
    assert read_place == place and key(read_place, read) == text
    assert read == tuple(dataclasses.replace(part, suffix="_%d" % i) for i, part in enumerate(chain))


@pytest.mark.parametrize("place, part", [
    (MAPS, SubConv("_h", 28, 12, (3, 3))), (MAPS, SubDeconv("_h", 28, 12, (4, 4), (3, 3))),
    (Place((12, 20)), SubFC("", 20, 12))])
def test_whatever_changes_the_work_changes_the_key_and_names_do_not(place, part):
    other = {"suffix": "_other", "in_channels": 27, "out_channels": 13, "kernel": (3, 2), "stride": (1, 2),
             "pad": (1, 0), "dilate": (2, 1), "groups": 4, "bias": False, "maps": (28, 9, 11), "in_units": 21,
             "out_units": 13, "flatten": False, "op": "Convolution_v1", "adj": (1, 0)}
    changed = {field.name: key(place, (dataclasses.replace(part, **{field.name: other[field.name]}),))
               for field in dataclasses.fields(part)}
    assert changed.pop("suffix") == key(place, (part,))
    assert len(set(changed.values()) | {key(place, (part,))}) == len(changed) + 1
    places = [place, Place(place.in_shape[::-1]), dataclasses.replace(place, repeats=2),
              dataclasses.replace(place, plain=True)]
    assert len({key(item, (part,)) for item in places}) == len(places)


def test_another_kind_of_part_is_one_more_place(monkeypatch):
    @dataclasses.dataclass(frozen=True)
    class Pool:
        suffix: str
        size: int
        op = "Pooling"

    monkeypatch.setitem(keys._KINDS, Pool.op, keys._Kind(
        lambda part: "pool %d" % part.size, re.compile("pool ([0-9]+)"), lambda suffix, size: Pool(suffix, int(size))))
    chain = (SubConv("_0", 28, 4, (1, 1)), Pool("_1", 2))
    assert key(MAPS, chain) == "28,9,11|conv 28-4 1x1 b|pool 2" and parse(key(MAPS, chain)) == (MAPS, chain)


LAYERS = {"Convolution": (SubConv("", 16, 24, (3, 3), (2, 2), (1, 1)), (16, 9, 9), None),
          "FullyConnected": (SubFC("", 144, 24), (144,), (16, 3, 3))}


@pytest.mark.parametrize("op, name", [(op, name) for op in LAYERS for name in methods.names(op)])
def test_every_method_can_be_spelled(op, name):
    part, shape, maps = LAYERS[op]
    spec, method = LayerSpec("layer", part, shape, "w", "b", op, maps=maps), methods.get(name)
    assert not method.refuse(spec)
    chain = method.chain(spec, method.full_rank(spec))
    read = parse(key(Place(shape), chain))[1]
    assert [(part.weight_shape, part.attrs()) for part in read] == [(part.weight_shape, part.attrs()) for part in chain]


@pytest.mark.parametrize("text", [
    "", "|", "8,9,9", "8,9,9|", "|conv 8-4 3x3", "8,9|pool 2x2", "8,9,9|conv 8-4", "8,9,9|conv 8-4 3x3 ",
    "8,9,9|conv 8-4 3x3 b p1x1", "8,9,9|conv 8-4 3x3 p1", "8,9,9|conv 8-4 3x3 s2x2x2", "8,9,9|conv 8-0 3x3",
    "8,9,9|conv 8-4 3x3 s1x1", "8,9,9|conv 8-4 3x3 p0x0", "8,9,9|conv 8-4 3x3 g1", "8,9,9|conv 8-4 3x3 p01x1",
    "08,9,9|conv 8-4 3x3", "8,9,9 x1|conv 8-4 3x3", "8,9,9|conv 8-4 3x3\n", "8,-9,9|conv 8-4 3x3", "20|fc 20-٣",
    "20|fc 20-3 b last", "20|fc 20-3 b|", "()|fc 20-3"])
def test_what_is_no_key_is_refused(text):
    with pytest.raises(ValueError, match="no |spelled|as many"):
        parse(text)
