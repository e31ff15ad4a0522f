"""The batch that a graph is made for, and counts of one example whatever it is."""
import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.cut import count_macs
from accnn.graph.inputs import resolve_input_shapes
from accnn.graph.shapes import batch_for, chosen_batch, infer_shapes, native_batch, takes_batch
from accnn.planning.accelerator import Accelerator
from accnn.runtime.predictor import Predictor
from baked import SENTENCE, WORD, classes, conv, front, model_at, sym, text_model
from networks import chain_model, outputs, random_input, random_model, residual_net

TEXT = {"data": (1, SENTENCE, WORD)}
PICTURE = {"data": (3, 16, 16)}


def pooled():
    return sym.Pooling(front(), global_pool=True, kernel=(1, 1), pool_type="avg")


def parts(joined):
    first, second = sym.SliceChannel(front(), axis=0, num_outputs=2)
    return classes(joined(conv(first, "c2"), conv(second, "c3")))


def recurrent(state):
    steps = sym.Reshape(sym.transpose(front(), axes=(3, 0, 1, 2)), shape=(0, 0, -1))
    found = sym.RNN(steps, state=state("s"), state_cell=state("c"), mode="lstm", state_size=8, num_layers=1, name="l")
    return classes(sym.SequenceLast(found))


HOLDING = [
    (sym.Reshape(front(), shape=(4, -1)), 4), (sym.Reshape(front(), shape=(4, 256)), 4),
    (sym.Reshape(pooled(), shape=(4, -1)), 4), (sym.broadcast_add(classes(front(), "i"), sym.zeros(shape=(12, 5))), 12),
]


@pytest.mark.parametrize("symbol, batch", [(classes(net), batch) for net, batch in HOLDING] + [
    (recurrent(lambda name: sym.zeros(shape=(1, 6, 8))), 6),
    (recurrent(lambda name: sym.Variable(name, shape=(1, 6, 8))), 6),
])
def test_a_graph_that_holds_its_batch(symbol, batch):
    model = model_at(symbol, batch, **PICTURE)
    for state in {"s", "c"} & set(model.arg_params):  # the state is an input, too
        del model.arg_params[state]
    assert native_batch(model, PICTURE) == infer_shapes(model, PICTURE).batch == batch
    assert [size for size in range(1, 30) if takes_batch(model, PICTURE, size)] == [batch]
    assert {spec.repeats for spec in Accelerator(model, PICTURE).layers} == {1}


@pytest.mark.parametrize("symbol, smallest", [(classes(sym.squeeze(pooled())), 2),
                                              (sym.squeeze(sym.Convolution(pooled(), kernel=(1, 1), num_filter=5)), 2)])
def test_a_graph_that_one_example_does_not_fit(symbol, smallest):
    model = model_at(symbol, 4, **PICTURE)
    assert native_batch(model, PICTURE) == smallest
    assert [takes_batch(model, PICTURE, size) for size in (1, 2, 3, 64)] == [False, True, True, True]


@pytest.mark.parametrize("joined, rest", [(lambda a, b: sym.Concat(a, b, dim=0), 1), (lambda a, b: a - b, 0.5)])
def test_a_graph_that_splits_its_batch_counts_halves(joined, rest):
    bench = Accelerator(model_at(parts(joined), 4, **PICTURE), PICTURE)
    assert native_batch(bench.model, PICTURE) == 2 and batch_for(bench.model, PICTURE, 7) == 2
    assert [float(bench.specs[name].repeats) for name in ("c1", "c2", "c3", "fc")] == [1, 0.5, 0.5, rest]


@pytest.mark.parametrize("model, shapes", [(chain_model(), {"data": (3, 12, 12)}),
                                           (random_model(residual_net(), data=(3, 8, 8)), {"data": (3, 8, 8)})])
def test_most_graphs_take_any_batch(model, shapes):
    assert native_batch(model, shapes) == 1 and batch_for(model, shapes, 64) == 64
    assert chosen_batch(model, shapes, None, 32) == 32 and chosen_batch(model, shapes, 5, 32) == 5


def test_rows_that_do_not_depend_on_the_batch_are_none_of_it():
    """Anchors are the same for any number of images, and time may come before the batch."""
    data = conv(sym.Variable("data"), "c1")
    anchors = sym.contrib.MultiBoxPrior(data, sizes="(0.5,)", ratios="(1,)")
    steps = sym.transpose(data, axes=(3, 0, 1, 2))
    model = random_model(sym.Group([anchors, steps, sym.MakeLoss(sym.mean(data))]), **PICTURE)
    assert native_batch(model, PICTURE) == 1 and takes_batch(model, PICTURE, 7)


@pytest.mark.parametrize("held_by, batch", [("reshape", 50), ("hint", 50), ("state", 12)])
def test_multiply_adds_of_one_sentence(held_by, batch):
    bench = Accelerator(text_model(held_by, batch), None if held_by == "hint" else TEXT)
    assert bench.input_shapes == TEXT and native_batch(bench.model, TEXT) == batch
    fully = 30 * 16 + 16 * 16 + 16 * 5 if held_by == "state" else 30 * 5
    wanted = sum(10 * words * WORD * (SENTENCE - words + 1) for words in (3, 4, 5)) + fully
    assert count_macs(bench.layers) == wanted


def test_a_label_of_a_fixed_shape_holds_no_batch():
    bench = Accelerator(text_model("label", 20), TEXT)
    assert native_batch(bench.model, TEXT) == 1 and takes_batch(bench.model, TEXT, 64)
    assert count_macs(bench.layers) == sum(10 * n * WORD * (SENTENCE - n + 1) for n in (3, 4, 5)) + 30 * 5


def test_another_batch_than_the_graphs_is_refused_with_the_right_one():
    model = text_model("reshape", 50)
    assert chosen_batch(model, TEXT, None, 64) == chosen_batch(model, TEXT, 50, 64) == 50
    with pytest.raises(AccnnError, match="made for batches of 50: say `batch_size=50`"):
        chosen_batch(model, TEXT, 64, 64)
    with pytest.raises(AccnnError, match="made for batches of 50: say `batch_size=50`"):
        Predictor(model, TEXT, 64)


@pytest.mark.parametrize("rows", [50, 23, 1])
def test_a_batch_that_is_not_full_is_filled_up(rows):
    model, images = text_model("reshape", 50), random_input(50, *TEXT["data"])
    predictor = Predictor(model, TEXT, rows)
    found, = predictor.forward(mx.nd.array(images[:rows]))
    assert predictor.batch_size == 50 and found.shape == (rows, 5)
    np.testing.assert_allclose(found.asnumpy(), outputs(model, data=images)[0][:rows], rtol=1e-5)


def test_an_input_that_gives_two_rows_of_a_batch_that_is_held_is_refused():
    with pytest.raises(AccnnError, match=r"cannot make \(50, 30\) of \(\d+, 30, 2, 1\).*`input_shapes`"):
        Accelerator(text_model("reshape", 50), {"data": (1, SENTENCE + 1, WORD)})


def test_a_reshape_to_another_number_of_elements_is_refused():
    """MXNet infers it, and reads behind the end of the array."""
    net = sym.Reshape(front(), shape=(4, 256))
    assert net.infer_shape(data=(1, 3, 16, 16))[1] == [(4, 256)]
    with pytest.raises(AccnnError, match=r"Reshape 'r' cannot make \(4, 256\) of \(1, 4, 10, 10\).*`input_shapes`"):
        infer_shapes(random_model(sym.Reshape(front(), shape=(4, 256), name="r"), **PICTURE), {"data": (3, 20, 20)})


@pytest.mark.parametrize("reshaped", [(4, -1), (4, 256), (-1, 256)])
def test_the_side_is_found_together_with_the_batch(reshaped):
    model = model_at(classes(sym.Reshape(front(), shape=reshaped)), 4, **PICTURE)
    assert resolve_input_shapes(model) == (PICTURE, [])
