"""The input shape of a network when nobody says it, and shapes that contradict the checkpoint."""
import pytest

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.inputs import input_names, resolve_input_shapes
from accnn.planning.accelerator import Accelerator
from networks import chain_model, chain_net, random_model, residual_net


def _resolved(*arguments):
    return resolve_input_shapes(*arguments)[0]


def lenet():
    x = mx.sym.Variable("data")
    for i, width in enumerate((20, 50), 1):
        x = mx.sym.Convolution(x, kernel=(5, 5), num_filter=width, name="conv%d" % i)
        x = mx.sym.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max", name="pool%d" % i)
    return mx.sym.FullyConnected(x, num_hidden=10, name="fc")


@pytest.mark.parametrize("side", [12, 24, 32, 48, 112])
def test_a_fully_connected_layer_pins_the_side(side):
    assert _resolved(chain_model(side=side)) == {"data": (3, side, side)}


def test_lenet_is_for_digits_of_28():
    assert _resolved(random_model(lenet(), data=(1, 28, 28))) == {"data": (1, 28, 28)}


def test_an_odd_side_is_found_too():
    assert _resolved(chain_model(side=78)) == {"data": (3, 78, 78)}


def test_nothing_pins_a_network_with_global_pooling():
    assert _resolved(random_model(residual_net(), data=(3, 8, 8))) == {"data": (3, 224, 224)}


def test_vectors():
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=3, name="fc")
    assert _resolved(random_model(net, data=(17,))) == {"data": (17,)}


def test_a_hint_on_the_variable_counts_first():
    data = mx.sym.Variable("data", shape=(0, 3, 20, 30))
    net = mx.sym.Convolution(data, kernel=(3, 3), num_filter=4, name="c")
    assert _resolved(random_model(net, data=(3, 20, 30))) == {"data": (3, 20, 30)}


def test_labels_are_no_inputs_and_missing_parameters_are_errors():
    model = chain_model()
    assert input_names(model) == (["data"], ["softmax_label"])
    del model.arg_params["conv2_bias"]
    with pytest.raises(AccnnError, match="no parameter 'conv2_bias', which the layer 'conv2' needs"):
        input_names(model)


def test_a_missing_aux_state_is_an_error():
    model = random_model(residual_net(), data=(3, 8, 8))
    del model.aux_params["unit0a_bn_moving_var"]
    with pytest.raises(AccnnError, match="unit0a_bn_moving_var"):
        Accelerator(model)


def test_no_square_picture_fits():
    model = random_model(chain_net(), data=(3, 10, 34))
    with pytest.raises(AccnnError, match="give `input_shapes"):
        Accelerator(model)
    assert Accelerator(model, {"data": (3, 10, 34)}).specs["conv3"].out_shape == (16, 10, 34)


@pytest.mark.parametrize("given, told", [
    ({"data": (3, 40, 40)}, "'fc1_weight'.*`input_shapes"), ({"data": (4, 12, 12)}, "'conv1_weight'.*`input_shapes"),
    ({"picture": (3, 12, 12)}, "no input 'picture': its inputs are data"), ({"data": (3,)}, "`input_shapes"),
    ({"data": (3, 1, 1)}, "`input_shapes"),
])
def test_shapes_that_do_not_fit(given, told):
    with pytest.raises(AccnnError, match=told):
        Accelerator(chain_model(), given)


def test_a_parameter_of_the_wrong_shape():
    model = chain_model()
    model.arg_params["conv2_weight"] = mx.nd.ones((12, 8, 5, 3))
    with pytest.raises(AccnnError, match="'conv2_weight'.*\\(12, 8, 5, 3\\).*\\(12, 8, 3, 3\\)"):
        Accelerator(model)


def test_the_only_input_needs_no_name_but_two_do():
    assert _resolved(chain_model(), {None: (3, 12, 12)}) == {"data": (3, 12, 12)}
    two = mx.sym.Variable("a") + mx.sym.Variable("b")
    with pytest.raises(AccnnError, match="has the inputs a, b"):
        resolve_input_shapes(random_model(two, a=(3,), b=(3,)), {None: (3,)})


def test_the_state_of_a_recurrent_layer_follows_from_the_data():
    """Its batch is not its first axis, so nobody can give it, and nobody has to."""
    data = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), pad=(1, 1), num_filter=4, name="c")
    steps = mx.sym.transpose(mx.sym.Reshape(data, shape=(0, -3, 0)), (2, 0, 1))
    net = mx.sym.RNN(steps, state=mx.sym.Variable("st"), state_cell=mx.sym.Variable("sc"), mode="lstm", state_size=6,
                     num_layers=2, name="lstm")
    model = random_model(net, data=(1, 8, 20))
    del model.arg_params["st"], model.arg_params["sc"]
    assert Accelerator(model, {"data": (1, 8, 20)}).specs["c"].refusal is None


def test_a_vector_beside_a_picture_follows_once_that_is_given():
    picture = mx.sym.Flatten(mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=4, name="c"))
    net = mx.sym.FullyConnected(mx.sym.Concat(picture, mx.sym.Variable("age")), num_hidden=3, name="fc")
    model = random_model(net, data=(3, 8, 8), age=(5,))
    assert _resolved(model, {"data": (3, 8, 8), "age": (5,)}) == {"data": (3, 8, 8), "age": (5,)}
    assert _resolved(model, {"data": (3, 8, 8)}) == {"data": (3, 8, 8), "age": (5,)}


def test_a_detector_of_448():
    assert _resolved(random_model(lenet(), data=(3, 448, 448))) == {"data": (3, 448, 448)}


def test_a_label_can_be_given_where_it_is_an_input():
    net = mx.sym.Concat(mx.sym.Variable("data"), mx.sym.Variable("label"))
    given = {"data": (3,), "label": (2,)}
    assert _resolved(random_model(net, **given), given) == given


@pytest.mark.parametrize("model, shape, assumed", [
    (chain_model(), None, []), (chain_model(), {"data": (3, 12, 12)}, []),
    (random_model(residual_net(), data=(3, 8, 8)), None, ["data"]),
    (random_model(residual_net(), data=(3, 8, 8)), {"data": (3, 8, 8)}, []),
    (random_model(mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=4), data=(3, 8, 8)), None,
     ["data"]),
])
def test_a_side_that_nothing_pins_is_told(model, shape, assumed):
    assert resolve_input_shapes(model, shape)[1] == assumed
