"""Sizes that nobody said: the images decide where several fit, and what was taken is told."""
import json
import re

import pytest

from accnn import score
from accnn.data.choice import choose_shapes
from accnn.data.records import open_records
from baked import classes, conv, halved, sym
from networks import random_model, residual_net, saved
from pictures import items, packed


@pytest.fixture(scope="module")
def sixteen():
    """Model for pictures of 16x16 that takes sides from 13 to 16."""
    x = halved(conv(sym.Variable("data"), "c1"), "full")
    return random_model(classes(halved(conv(x, "c2"), "full")), data=(3, 16, 16))


def images(folder, count=40, **size):
    return packed(folder / "i", items(count, **size))


@pytest.mark.parametrize("size, taken, told", [
    ((16, 16), (16, 16), ""), ((15, 15), (15, 15), "are 15x15.*its input is 3,15,15"),
    ((14, 16), (14, 16), "are 14x16.*its input is 3,14,16"),
    ((20, 20), (16, 16), "from 13 to 16 fit the input 'data'.*3,16,16 is taken, give `input_shapes`"),
])
def test_the_images_decide(sixteen, tmp_path, capsys, size, taken, told):
    rec = images(tmp_path, 5, height=size[0], width=size[1])
    assert choose_shapes(sixteen, {}, lambda: open_records(rec)) == ({"data": (3,) + taken}, [])
    found = capsys.readouterr().err
    assert re.search(told, found) and bool(told) == bool(found)


def test_what_was_said_counts(sixteen, capsys):
    assert choose_shapes(sixteen, {None: (3, 13, 13)}, lambda: pytest.fail("asked")) == ({"data": (3, 13, 13)}, [])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("side, shapes", [(32, ({"data": (3, 32, 32)}, [])),
                                          (256, ({"data": (3, 224, 224)}, ["data"]))])
def test_where_any_size_fits_small_images_are_not_made_larger(tmp_path, side, shapes):
    rec = images(tmp_path, 2, height=side, width=side)
    assert choose_shapes(random_model(residual_net(), data=(3, 8, 8)), {}, lambda: open_records(rec)) == shapes


def test_scores_are_those_of_the_size_that_the_images_have(sixteen, tmp_path, capsys):
    prefix, rec = saved(sixteen, tmp_path / "net"), images(tmp_path, height=15, width=15)
    found = []
    for said in ([], ["--input-shape", "3,15,15"], ["--input-shape", "3,16,16"]):
        assert score.main(["-m", prefix, "--data-val", rec, "--json"] + said) == 0
        found.append(json.loads(capsys.readouterr().out)["model"]["cross_entropy"])
    assert found[0] == found[1] != found[2]
