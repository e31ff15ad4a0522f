"""Networks that read labels, run without any: what they compute is that of the same network without its label."""
import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.labels import NO_CLASS, labels_read, unlabelled, without_losses
from accnn.planning.accelerator import Accelerator
from accnn.reconstruction.divergence import Divergence
from accnn.reconstruction.images import ArrayImages
from accnn.reconstruction.importance import importances
from accnn.runtime.predictor import Predictor
from accnn.scoring.heads import class_head
from labelled import CLASSES, NETWORKS, SHAPE, arcface, model, scores
from networks import outputs, random_input, random_model

S = mx.sym
READ = {"reshaped": [], "four_letters": [], "passed_on": [], "loss_by_hand": [], "arcface": ["softmax_label"],
        "picked": ["softmax_label"]}


def plain(name):
    """The symbol of which a network is the training form: no label, no margin."""
    return {"reshaped": lambda: S.softmax(scores()), "passed_on": lambda: S.softmax(scores()),
            "loss_by_hand": lambda: S.softmax(scores()), "picked": lambda: S.softmax(scores()),
            "four_letters": lambda: S.softmax(scores(name="letter0")),
            "arcface": lambda: S.softmax(arcface().get_internals()["fc7_output"])}[name]()


def wanted(name, images):
    made, part = model(name), random_model(plain(name), data=SHAPE)
    for mine, theirs in ((part.arg_params, made.arg_params), (part.aux_params, made.aux_params)):
        for key in mine:
            mine[key][:] = theirs[key]
    return outputs(part, data=images)[0]


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_computed(name):
    images = random_input(7, *SHAPE)
    predictor = Predictor(model(name), {"data": SHAPE}, 4)
    assert predictor.inputs == ["data"]
    for rows in (slice(0, 4), slice(4, 7), slice(2, 6)):
        found = predictor.forward(mx.nd.array(images[rows]))[0].asnumpy()
        np.testing.assert_allclose(found[:len(images[rows])], wanted(name, images[rows]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_given_the_label_is_an_input_that_may_be_left_out(name):
    shape = (4,) if name == "four_letters" else ()
    predictor = Predictor(model(name), {"softmax_label": shape, "data": SHAPE}, 3)
    images = random_input(3, *SHAPE)
    found = predictor.forward(mx.nd.array(images))[0].asnumpy()
    np.testing.assert_allclose(found[:3], wanted(name, images), rtol=1e-4, atol=1e-6)
    assert predictor.arranged({"data": images})[0] is images


def test_a_label_that_is_given_counts():
    predictor = Predictor(model("picked"), {"data": SHAPE, "softmax_label": ()}, 2)
    images = mx.nd.array(random_input(2, *SHAPE))
    without = predictor.forward(images)[0].asnumpy()
    given = predictor.forward(*predictor.arranged({"softmax_label": mx.nd.array([0, 1]), "data": images}))[0].asnumpy()
    assert np.abs(given - without).max() > 1e-3


@pytest.mark.parametrize("name", NETWORKS)
def test_heads_that_read_a_label(name):
    made = model(name)
    assert labels_read(made, made.graph.heads[0]) == READ[name]
    if READ[name]:
        near = {"arcface": "fc7_output", "picked": "fc_output"}[name]
        with pytest.raises(AccnnError, match="computed from the label softmax_label.*%s, with `output`" % near):
            class_head(made, {"data": SHAPE})
        assert class_head(made, {"data": SHAPE}, near[:-len("_output")]).classes == CLASSES


@pytest.mark.parametrize("name", NETWORKS)
def test_calibration_reads_no_label(name):
    """Importances of the first convolution are those of the network without the label."""
    made, images = model(name), random_input(6, *SHAPE)
    bench = Accelerator(made, {"data": SHAPE})
    found = importances(made, ArrayImages({"data": images}, 6), bench.input_shapes, [bench.specs["conv1"]])["conv1"]
    assert found.shape == (8, 8) and np.trace(found) / 8 == pytest.approx(2)
    truth = [output.asnumpy() for output in Predictor(made, {"data": SHAPE}, 6).forward(mx.nd.array(images))]
    compared = Divergence(made, truth)
    assert compared.of(truth) == pytest.approx(0, abs=1e-9)
    assert compared.of([np.abs(np.roll(array, 1, axis=-1)) for array in truth]) > 1e-4


def indexed():
    """A label that says a place in an array, where no class would be no place."""
    places = S.stack(S.arange(start=0, stop=1), S.Reshape(S.Variable("softmax_label"), shape=(-1,)), axis=0)
    x = scores()
    return S.Group([S.softmax(x), S.BlockGrad(S.gather_nd(x, places))])


@pytest.mark.parametrize("make, value", [(arcface, NO_CLASS), (NETWORKS["picked"], NO_CLASS), (indexed, 0.0)])
def test_what_stands_for_a_label(make, value):
    symbol = make()
    made = random_model(symbol, data=SHAPE, softmax_label=())
    assert unlabelled(made, symbol, {"data": (1,) + SHAPE}).values == {"softmax_label": value}


def test_losses_become_what_they_compute():
    x = S.FullyConnected(S.Variable("data"), num_hidden=CLASSES, name="fc")
    symbol = S.Group([getattr(S, loss)(x, name=loss.lower()) for loss in (
        "SoftmaxOutput", "LogisticRegressionOutput", "LinearRegressionOutput", "MAERegressionOutput", "SVMOutput")])
    made, images = random_model(symbol, data=SHAPE), random_input(3, *SHAPE)
    bare = type(made)(without_losses(made.graph), made.arg_params)
    assert [name for name in bare.graph.variables() if name.endswith("label")] == []
    assert bare.symbol.list_outputs() == symbol.list_outputs()
    for found, expected in zip(outputs(bare, data=images), outputs(made, data=images)):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make, said", [
    (lambda x: S.SoftmaxOutput(x, S.Variable("l_label")) + S.sum(S.Variable("other")), "input 'other' .*other:SIZES"),
    (lambda x: x + S.mean(S.Variable("box_label"), axis=(1, 2), keepdims=True).slice_axis(axis=3, begin=0, end=1),
     "'box_label'.*box_label: where it is one number an image"),
    (lambda x: S.broadcast_add(x, S.zeros(shape=(0, 5), name="nothing")), r"'nothing' \(_zeros\)"),
])
def test_what_cannot_be_inferred_is_named(make, said):
    x = S.FullyConnected(S.Variable("data"), num_hidden=5, name="fc")
    made = type(model("reshaped"))(model("reshaped").graph.from_symbol(make(x)), {
        "fc_weight": mx.nd.zeros((5, 12)), "fc_bias": mx.nd.zeros(5)})
    with pytest.raises(AccnnError, match=said):
        Predictor(made, {"data": (12,)}, 2)
