"""Which output says the class, and in which form."""
import re

import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.checkpoint import Model
from accnn.graph.ir import Graph
from accnn.scoring.heads import class_head, settled
from networks import chain_model, outputs, random_input, random_model

SHAPES = {"data": (3, 12, 12)}


def model_of(make, name="fc"):
    features = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=6, name=name)
    return random_model(make(features), data=(3, 12, 12))


@pytest.mark.parametrize("make, form", [
    (lambda x: x, "score"), (lambda x: mx.sym.SoftmaxOutput(x, name="softmax"), "probability"),
    (lambda x: mx.sym.softmax(x), "probability"), (lambda x: mx.sym.log_softmax(x), "log-probability"),
    (lambda x: mx.sym.SoftmaxActivation(x), "probability"),
    (lambda x: mx.sym.identity(mx.sym.softmax(x)), "probability"),
    (lambda x: mx.sym.Reshape(mx.sym.softmax(x), shape=(-1, 6, 1, 1)), "probability"),
    (lambda x: mx.sym.SliceChannel(x, num_outputs=2)[1], "score"),
])
def test_forms(make, form):
    model = model_of(make)
    head = class_head(model, SHAPES)
    assert head.form == form and head.classes in (3, 6)
    assert head.symbol(model).list_outputs() == [head.name]


OTHERS = [(loss, "class scores: it is %s .%s." % (said, loss)) for loss, said in (
    ("LogisticRegressionOutput", "a sigmoid for every class"), ("sigmoid", "a sigmoid for every class"),
    ("SVMOutput", "the margins of an SVM"), ("LinearRegressionOutput", "the numbers of a regression"),
    ("MAERegressionOutput", "the numbers of a regression"), ("MakeLoss", "what a loss minimises"))]


@pytest.mark.parametrize("op, said", OTHERS)
def test_what_is_no_distribution_is_said(op, said, capsys):
    model, rows = model_of(lambda x: getattr(mx.sym, op)(x, name="end")), random_input(5, 6)
    assert settled(model, class_head(model, SHAPES), rows).form == "score"
    assert re.search(said + ".*no distribution over the classes", capsys.readouterr().err)


@pytest.mark.parametrize("make, values, form, said", [
    (lambda x: mx.sym.softmax(x) - 0.1, lambda p: p - 0.1, "score", "computed from the softmax"),
    (lambda x: mx.sym.softmax(x, axis=0), lambda p: np.ones_like(p), "probability", "add up to 6 to 6 .* another axis"),
    (lambda x: mx.sym.Activation(x, act_type="relu"), lambda p: p, "probability", "no softmax is the last step"),
    (lambda x: mx.sym.Activation(x, act_type="relu"), lambda p: 2 * p, "score", None),
    (lambda x: mx.sym.softmax(x), lambda p: p, "probability", None),
    (lambda x: mx.sym.Dropout(mx.sym.softmax(x), mode="always"), lambda p: p, "probability", "no softmax is the last"),
])
def test_numbers_decide_where_the_graph_does_not(make, values, form, said, capsys):
    probabilities = np.random.RandomState(0).dirichlet(np.ones(6), 5).astype(np.float32)
    model = model_of(make)
    assert settled(model, class_head(model, SHAPES), values(probabilities)).form == form
    told = capsys.readouterr().err
    assert re.search(said, told) if said else not told


def test_a_loss_is_no_head_and_what_is_before_it_is_named():
    def make(x):
        loss = mx.sym.sum(mx.sym.log(mx.sym.softmax(x, name="prob")) * mx.sym.BlockGrad(x), axis=1) * -1
        return mx.sym.MakeLoss(loss, name="loss")

    with pytest.raises(AccnnError, match=r"scores no classes \(it is what a loss minimises \(MakeLoss\)\): choose what "
                                         r"is before it, such as _mul\d+_output"):
        class_head(model_of(make), SHAPES)


def test_two_operators_of_one_name():
    model = model_of(lambda x: mx.sym.softmax(mx.sym.Activation(x, act_type="relu", name="same"), name="same"))
    head = class_head(model, SHAPES)
    assert head.form == "probability"
    out, = outputs(Model(Graph.from_symbol(head.symbol(model)), model.arg_params, {}), data=random_input(2, 3, 12, 12))
    assert out.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("asked", ["b", "b_output", "s_output1"])
def test_one_of_several(asked):
    model = model_of(lambda x: mx.sym.Group([mx.sym.softmax(x, name="b"),
                                             mx.sym.SliceChannel(x, num_outputs=2, name="s")]))
    with pytest.raises(AccnnError, match="b_output, s_output0, s_output1.*`output`"):
        class_head(model, SHAPES)
    assert class_head(model, SHAPES, asked).classes == (3 if asked[0] == "s" else 6)


@pytest.mark.parametrize("asked, said", [
    ("data", "no output 'data'"), ("softmax_label", "did you mean softmax_output"), ("fc2_weight", "did you mean fc2"),
    ("nonsense", "softmax_output"), ("", "no output"), ("conv1", "scores no classes"),
    ("pool_output", "scores no classes"),
])
def test_no_classes(asked, said):
    with pytest.raises(AccnnError, match=said):
        class_head(chain_model(), SHAPES, asked)
