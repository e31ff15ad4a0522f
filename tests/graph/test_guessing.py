"""Channels and sides of inputs that nobody says."""
import pytest

from accnn.core.errors import AccnnError
from accnn.graph.guessing import fitting_sides
from accnn.graph.inputs import resolve_input_shapes
from baked import classes, conv, halved, model_at, sym
from networks import chain_model, random_model, residual_net


def read_by(operator, *shape):
    """Model whose first convolution reads what `operator` makes of the data."""
    return model_at(classes(halved(conv(operator(sym.Variable("data")), "c1"))), 4, data=shape)


def each_alone(data):
    first, second, third = sym.SliceChannel(data, num_outputs=3)
    return sym.Concat(conv(first, "a"), conv(second, "b"), conv(third, "c"), dim=1)


@pytest.mark.parametrize("operator, shape", [
    (lambda x: sym.Deconvolution(x, kernel=(2, 2), stride=(2, 2), num_filter=6, name="d"), (3, 16, 16)),
    (lambda x: sym.Convolution_v1(x, kernel=(3, 3), pad=(1, 1), num_filter=7, name="v"), (3, 16, 16)),
    (lambda x: sym.space_to_depth(x, block_size=2), (3, 32, 32)),
    (lambda x: sym.depth_to_space(x, block_size=2), (12, 16, 16)),
    (lambda x: sym.tile(x, reps=(1, 3, 1, 1)), (1, 16, 16)),
    (lambda x: sym.Concat(x, -x, dim=1), (3, 16, 16)),
    (lambda x: sym.Reshape(sym.stack(x, x, axis=1), shape=(0, -3, 0, 0)), (3, 16, 16)),
    (lambda x: sym.transpose(x, axes=(0, 3, 1, 2)), (16, 16, 3)),
    (each_alone, (3, 16, 16)),
    (lambda x: sym.Concat(conv(sym.slice_axis(x, axis=1, begin=0, end=3), "a"), conv(x, "b"), dim=1), (4, 16, 16)),
    (lambda x: x, (70, 16, 16)),
])
def test_channels_count_as_mxnet_infers_them(operator, shape):
    assert resolve_input_shapes(read_by(operator, *shape)) == ({"data": shape}, [])


@pytest.mark.parametrize("operator", [lambda x: sym.slice_axis(x, axis=1, begin=0, end=3),
                                      lambda x: sym.mean(x, axis=1, keepdims=True)])
def test_channels_that_nothing_says_are_asked_for(operator):
    with pytest.raises(AccnnError, match="'data' .* may have .* or .* channels.*: give `input_shapes=C,H,W`"):
        resolve_input_shapes(read_by(operator, 4, 16, 16))


def test_what_no_channels_fit_is_asked_for_with_the_layer():
    model = read_by(lambda x: sym.slice_axis(x, axis=1, begin=10, end=None), 90, 16, 16)
    with pytest.raises(AccnnError, match="nothing says the shape of the input 'data' .*'c1'.*: give `input_shapes"):
        resolve_input_shapes(model)


def rounding_up(side):
    """Model for pictures of a side that is a multiple of 4, and up to three pixels less."""
    x = halved(conv(sym.Variable("data"), "c1"), "full")
    return random_model(classes(halved(conv(x, "c2"), "full")), data=(3, side, side))


@pytest.mark.parametrize("model, taken, fitting", [
    (rounding_up(16), 16, range(13, 17)), (rounding_up(40), 40, range(37, 41)),
    (chain_model(side=12), 12, range(12, 14)),
    (random_model(classes(halved(halved(halved(conv(sym.Variable("data"), "c1"))))), data=(3, 16, 20)), 16,
     range(16, 24)),
])
def test_round_sides_come_before_their_neighbours(model, taken, fitting):
    shapes, assumed = resolve_input_shapes(model)
    assert shapes == {"data": (3, taken, taken)} and assumed == []
    assert fitting_sides(model, shapes, "data") == fitting


def test_the_rows_of_several_parts_of_an_image_are_no_rows_of_images():
    """Reshape(-1, 256) takes an image of 32 for four of 16."""
    model = random_model(classes(sym.Reshape(halved(conv(sym.Variable("data"), "c1")), shape=(-1, 256))),
                         data=(3, 16, 16))
    assert resolve_input_shapes(model) == ({"data": (3, 16, 16)}, [])


def test_a_side_that_nothing_pins_is_assumed():
    assert resolve_input_shapes(random_model(residual_net(), data=(3, 8, 8))) == ({"data": (3, 224, 224)}, ["data"])


def test_one_of_two_inputs_is_given():
    """The other one is found although the layers behind it do not read the first."""
    first, second = (conv(sym.Variable(name), "c_" + name) for name in ("data", "more"))
    model = model_at(classes(sym.Concat(first, second)), 4, data=(3, 16, 16), more=(2, 16, 16))
    assert resolve_input_shapes(model, {"more": (2, 16, 16)})[0] == {"data": (3, 16, 16), "more": (2, 16, 16)}
