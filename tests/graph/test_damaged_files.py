"""A part of tests/benchmarks/damaged_files.py: damage that only our checks and MXNet's reader see."""
import random

import pytest

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.checkpoint import load_model
from accnn.planning.accelerator import Accelerator
from accnn.runtime.predictor import Predictor, compute_errors_as_sentences
from damage import FORMS, HARMLESS, NETS, damage_parameters, damage_symbol, write_nets


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("nets"))
    write_nets(folder)
    return folder


def ended(prefix, shapes):
    """'loaded' when the network also runs, else the sentence."""
    try:
        bench = Accelerator(load_model(prefix), dict(shapes))
        with compute_errors_as_sentences(prefix):
            predictor = Predictor(bench.model, bench.input_shapes, 2)
            inputs = [mx.nd.zeros((2,) + tuple(bench.input_shapes[name])) for name in predictor.inputs]
            assert all(output.asnumpy() is not None for output in predictor.forward(*inputs))
        return "loaded"
    except AccnnError as error:
        assert "\n" not in str(error)
        return str(error)


@pytest.mark.parametrize("net, form", [(net, form) for net in NETS for form in FORMS if net != "loop" or form > "1"])
def test_undamaged(nets, tmp_path, net, form):
    damage_symbol(random.Random(0), "%s/%s" % (nets, net), str(tmp_path / "m"), form, ways=[lambda *_: None])
    assert ended(str(tmp_path / "m"), NETS[net][1]) == "loaded"


def test_damaged_symbols_are_told_in_a_sentence(nets, tmp_path):
    dice, ends = random.Random(5), []
    for number in range(40):
        net, form = sorted(NETS)[number % len(NETS)], dice.choice(sorted(FORMS))
        damage_symbol(dice, "%s/%s" % (nets, net), str(tmp_path / "m"), form, ways=HARMLESS)
        ends.append(ended(str(tmp_path / "m"), NETS[net][1]))
    assert sum(end.startswith(str(tmp_path / "m-symbol.json")) for end in ends) >= 15


def test_damaged_parameters_are_told_in_a_sentence(nets, tmp_path):
    dice, ends = random.Random(7), []
    for number in range(40):
        net, form = sorted(NETS)[number % len(NETS)], dice.choice(sorted(FORMS))
        damage_parameters(dice, "%s/%s" % (nets, net), str(tmp_path / "m"), form, whole=True)
        ends.append(ended(str(tmp_path / "m"), NETS[net][1]))
    assert sum(end.startswith(str(tmp_path / "m-0001.params")) for end in ends) > 15
