"""INT8 networks of every kind answer what their float32 networks do, as far as INT8 can."""
import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.checkpoint import load_model
from accnn.graph.quantized import is_quantized
from accnn.quantization.int8_graph import (
    calibrated_tensors,
    graph_only,
    layer_precisions,
    partition,
    quantize,
    random_thresholds,
)
from int8_networks import SIDE, conv, errors, fc, forward, gaussian, in_int8, leaky, norm, pool, ranges, relu
from networks import chain_model, random_model

S = mx.sym
DATA, SHARED = S.Variable("data"), S.Variable("w")
R1 = relu(conv(DATA, "c1"), "r1")
HALF = S.SliceChannel(R1, num_outputs=2, name="split")[0]
NETWORKS = {
    "one layer": conv(DATA, "c1"), "one vector layer": fc(DATA, "f"), "signed": conv(conv(DATA, "c1"), "c2"),
    "no bias": conv(relu(conv(DATA, "c1", no_bias=True), "r"), "c2", no_bias=True),
    "BatchNorm": conv(relu(norm(conv(DATA, "c1", no_bias=True)), "r"), "c2"),
    "BatchNorm behind a split": conv(norm(HALF), "c2"), "BatchNorm first": conv(norm(DATA), "c2"),
    "PReLU": conv(S.LeakyReLU(conv(DATA, "c1"), act_type="prelu", name="p"), "c2"), "LeakyReLU": conv(leaky(R1), "c2"),
    "leaky layer": conv(leaky(conv(DATA, "c1")), "c2"), "leaky vector": fc(leaky(fc(R1, "f", 40)), "g"),
    "clipped": conv(S.clip(conv(DATA, "c1"), a_min=0, a_max=1, name="clip"), "c2"),
    "clipped below": conv(S.clip(conv(DATA, "c1"), a_min=-1, a_max=1, name="clip"), "c2"),
    "residual": conv(relu(conv(R1, "c2") + R1, "r2"), "c3"), "residual without ReLU": conv(conv(R1, "c2") + R1, "c3"),
    "residual signed": conv(relu(conv(R1, "c2") + conv(DATA, "c3"), "r2"), "c4"),
    "residual of two": conv(conv(R1, "c2") + conv(R1, "c3"), "c4"),
    "residual leaky": conv(leaky(conv(R1, "c2") + R1), "c3"),
    "residual of what stays": conv(conv(R1, "c2") + S.exp(conv(R1, "c3"), name="e"), "c4"),
    "residual of its maximum": conv(leaky(conv(R1, "c2") + S.Pooling(S.exp(R1, name="e"), kernel=(3, 3), pad=(1, 1),
                                                                    pool_type="max", name="m")), "c3"),
    "residual clipped": conv(S.clip(conv(R1, "c2") + R1, a_min=0, a_max=1, name="clip"), "c3"),
    "residual pre-activated": conv(relu(norm(conv(R1, "c2") + R1), "r2"), "c3"),
    "residual of a slice": conv(relu(conv(HALF, "c2", 4) + HALF, "r2"), "c3"),
    "sums behind sums": conv(relu(conv(relu(conv(R1, "c2") + conv(R1, "c3"), "r2"), "c4") + R1, "r3"), "c5"),
    "concat": conv(S.Concat(R1, conv(R1, "c2"), relu(conv(R1, "c3"), "r3"), name="cat"), "c4"),
    "depthwise": conv(relu(conv(R1, "c2", num_group=8), "r2"), "c3"),
    "grouped": conv(relu(conv(R1, "c2", num_group=4), "r2"), "c3"),
    "dilated": conv(relu(conv(R1, "c2", stride=(2, 2), dilate=(2, 2)), "r2"), "c3"),
    "maximum": conv(pool(R1, "max", pooling_convention="full"), "c2"), "average": conv(pool(R1, "avg"), "c2"),
    "average in full": conv(pool(R1, "avg", pooling_convention="full", pad=(1, 1)), "c2"),
    "summed windows": conv(pool(R1, "sum"), "c2"), "norms of windows": conv(pool(R1, "lp", p_value=2), "c2"),
    "no Flatten": fc(relu(fc(S.Pooling(R1, global_pool=True, kernel=(1, 1), pool_type="avg"), "f"), "r2"), "g"),
    "vectors": fc(fc(R1, "f", 40, no_bias=True), "g"), "dropout": fc(S.Dropout(fc(R1, "f"), name="drop"), "g"),
    "vectors joined": fc(S.Concat(S.Flatten(R1), S.Flatten(conv(R1, "c2"))), "f"),
    "inner heads": S.Group([relu(conv(R1, "c2"), "r2"), R1, R1.get_internals()["c1_output"]]),
    "gate": conv(R1 * S.Activation(conv(DATA, "c2"), act_type="sigmoid", name="s"), "c3"),
    "transposed": conv(S.Deconvolution(R1, kernel=(2, 2), stride=(2, 2), num_filter=4, name="up"), "c2"),
    "upsampled": conv(R1, "c2") + pool(S.UpSampling(R1, scale=2, sample_type="nearest"), "max", pad=(1, 1)),
    "other label": S.SoftmaxOutput(fc(R1, "f"), S.Variable("prob1_label"), name="prob1"),
    "chain": conv(relu(S.identity(conv(conv(DATA, "c1_v"), "c1_h"), name="c1"), "r"), "c2"),
    "shared weights": S.Concat(*(conv(x, n, 8, weight=SHARED, no_bias=True)
                                 for x, n in ((R1, "c2"), (relu(conv(R1, "c3"), "r3"), "c4"))))}
ODD = {
    "1-D": (S.Convolution(DATA, kernel=(3,), num_filter=4, name="c1"), (3, 20), "it is a 1-D convolution"),
    "3-D": (S.Convolution(DATA, kernel=(3, 3, 3), num_filter=4, name="c1"), (3, 6, 6, 6), "it is a 3-D convolution"),
    "rows": (fc(DATA, "c1", flatten=False), (4, 9), "flatten=False: the INT8 layer takes vectors only"),
    "computed": (S.Convolution(DATA, S.Variable("w") * 2, kernel=(3, 3), num_filter=4, no_bias=True, name="c1"),
                 (3, 9, 9), "its weights are computed, not stored"),
    "transposed": (S.Deconvolution(DATA, kernel=(2, 2), num_filter=4, name="c1"), (3, 9, 9),
                   "MXNet has no INT8 transposed convolution")}
X = gaussian(4, 3, SIDE, SIDE)


@pytest.mark.parametrize("symbol", NETWORKS.values(), ids=list(NETWORKS))
def test_answers_are_close(symbol):
    model = random_model(symbol, data=X.shape[1:])
    made = in_int8(model, data=X)
    assert is_quantized(made.graph) and max(errors(model, made, data=X)) < 0.04
    assert made.symbol.list_outputs() == model.symbol.list_outputs()
    rows = layer_precisions(model, made)
    assert layer_precisions(model, graph_only(model)) == rows
    layers = {row.layer: row.precision for row in rows}
    assert set(layers.values()) == {"int8"} or layers.pop("up") == "fp32" and set(layers.values()) == {"int8"}


def test_weights_of_a_large_layer_are_whole_numbers_of_one_step():
    model = random_model(fc(DATA, "f", 700), data=(600,))
    made = quantize(model, random_thresholds(partition(model)))
    weight = model.weight("f_weight")
    wanted = np.clip(np.rint(weight * np.float32(127.5 / np.abs(weight).max())), -128, 127)
    assert made.arg_params["f_weight_quantize"].dtype == np.int8
    np.testing.assert_array_equal(made.weight("f_weight_quantize"), wanted)


@pytest.mark.parametrize("symbol", NETWORKS.values(), ids=list(NETWORKS))
def test_the_partition_computes_the_same(symbol):
    model = random_model(symbol, data=X.shape[1:])
    assert max(errors(model, partition(model).model, data=X)) < 1e-6


@pytest.mark.parametrize("symbol, shape, reason", ODD.values(), ids=list(ODD))
def test_what_cannot_be_int8_stays_and_says_why(symbol, shape, reason):
    model = random_model(conv(symbol, "c2") if len(shape) == 3 else symbol, data=shape)
    x = gaussian(2, *shape)
    made = in_int8(model, data=x)
    assert max(errors(model, made, data=x)) < 0.03
    assert [row for row in layer_precisions(model, made) if row.layer == "c1"] == [("c1", "fp32", reason)]


RANDOM = (
    lambda x, y, n: conv(x, n), lambda x, y, n: relu(conv(y, n + "c"), n), lambda x, y, n: conv(x, n + "c") + y,
    lambda x, y, n: relu(norm(conv(y, n + "c"), n + "n") + x, n), lambda x, y, n: leaky(conv(y, n + "c"), n),
    lambda x, y, n: conv(S.Concat(x, y, name=n + "cat"), n, kernel=1), lambda x, y, n: conv(y, n, num_group=2),
    lambda x, y, n: S.Pooling(x, kernel=(3, 3), pad=(1, 1), pool_type="max", name=n), lambda x, y, n: norm(x, n),
    lambda x, y, n: relu(conv(x, n + "c") + conv(y, n + "d"), n))


def random_symbol(rng):
    """A network of eight operators that read what was there before, and some inner heads."""
    there = [relu(conv(DATA, "stem"), "stem_relu")]
    for i in range(8):
        x = there[rng.randint(len(there))]
        there.append(RANDOM[rng.randint(len(RANDOM))](x, there[-1], "n%d" % i))
    return S.Group([there[-1]] + [there[i] for i in rng.choice(8, 2, replace=False)])


@pytest.mark.parametrize("seed", range(10))
def test_random_networks(seed):
    model = random_model(random_symbol(np.random.RandomState(seed)), seed, data=X.shape[1:])
    everything = [node.name for node in model.graph.nodes if not node.is_variable]
    made, same = in_int8(model, data=X), in_int8(model, everything, data=X)
    assert made.symbol.list_outputs() == model.symbol.list_outputs()
    assert max(errors(model, partition(model).model, data=X)) < 1e-6
    assert max(errors(model, made, data=X)) < 0.1
    assert max(errors(model, same, data=X)) < 1e-6 and not layer_int8(model, same, everything)


def layer_int8(model, made, exclude=()):
    return [row.layer for row in layer_precisions(model, made, exclude) if row.precision == "int8"]


def test_activations_that_stay_float_are_passed_over_in_silence(capfd):
    """MXNet's pass writes two lines about each on stderr."""
    symbol = conv(S.Activation(conv(R1, "c2"), act_type="tanh", name="t"), "c3")
    model = random_model(symbol, data=(3, SIDE, SIDE))
    made = in_int8(model, data=gaussian(2, 3, SIDE, SIDE))
    assert "Activation" not in capfd.readouterr().err
    node, = (node for node in made.graph.nodes if node.name == "t")
    assert (node.op, node.attrs) == ("Activation", {"act_type": "tanh"})
    assert {one.precision for one in layer_precisions(model, made)} == {"int8"}


def test_several_inputs():
    symbol = fc(S.Concat(S.Flatten(R1), S.Variable("more"), name="cat"), "f")
    model = random_model(symbol, data=X.shape[1:], more=(5,))
    more = gaussian(4, 5, seed=2)
    made = in_int8(model, data=X, more=more)
    assert layer_int8(model, made) == ["c1", "f"] and max(errors(model, made, data=X, more=more)) < 0.03


def test_excluded_layers_stay_float():
    model = chain_model(side=SIDE)
    every = ["conv1", "conv2", "conv3", "fc1", "fc2"]
    found = [errors(model, in_int8(model, exclude, data=X), data=X)[0] for exclude in (every, ["conv2"], [])]
    made = in_int8(model, ["conv2"], data=X)
    rows = {row.layer: row for row in layer_precisions(model, made, ["conv2"])}
    assert found[0] < 1e-6 < found[1] and found[2] < 0.03
    assert rows["conv2"] == ("conv2", "fp32", "it is excluded") and rows["conv3"].precision == "int8"


def test_the_name_of_a_layer_that_was_split_stands_for_its_parts():
    model = random_model(NETWORKS["chain"], data=X.shape[1:])
    assert layer_int8(model, in_int8(model, ["c1"], data=X), ["c1"]) == ["c2"]


def test_fused_operators_are_called_as_tensors_of_the_network():
    found = partition(chain_model(side=SIDE))
    assert found.homes["conv1"] == found.homes["relu1"] == "relu1"
    assert calibrated_tensors(found)[:3] == ["data", "relu1_output", "relu2_output"]


@pytest.mark.parametrize("eps", [1e-3, 0.5])
def test_a_gamma_that_counts_as_1(eps):
    x = gaussian(4, 3, SIDE, SIDE)
    model = random_model(conv(S.BatchNorm(pool(R1, "max"), name="norm", eps=eps), "c2"), data=x.shape[1:])
    model.arg_params["norm_gamma"][:] = 3
    made = in_int8(model, data=x)
    assert "_contrib_quantized_batch_norm" in {node.op for node in made.graph.nodes}
    assert max(errors(model, made, data=x)) < 0.03


@pytest.mark.parametrize("name", ["BatchNorm", "residual of a slice", "residual signed", "sums behind sums", "vectors"])
def test_random_thresholds_serve_for_timing(name):
    model = random_model(NETWORKS[name], data=X.shape[1:])
    made = quantize(model, random_thresholds(partition(model)))
    assert np.isfinite(forward(made, data=X)[0]).all()


def test_dead_channels_and_constant_tensors():
    model = random_model(conv(relu(conv(DATA, "c1"), "r"), "c2"), data=X.shape[1:])
    model.arg_params["c1_weight"][2:4] = 0
    model.arg_params["c1_bias"][3] = 2
    assert max(errors(model, in_int8(model, data=X), data=X)) < 0.03
    model.arg_params["c1_bias"][:] = -100
    assert max(errors(model, in_int8(model, data=X), data=X)) < 0.03


@pytest.mark.parametrize("spoil, said", [
    (lambda found: found.pop("relu2_output"), "'relu2_output' has no thresholds"),
    (lambda found: found.update(relu2_output=(0, np.nan)), "'relu2_output' has the thresholds 0 and nan")])
def test_bad_thresholds(spoil, said):
    model = chain_model(side=SIDE)
    found = ranges(model, data=X)
    spoil(found)
    with pytest.raises(AccnnError, match=said):
        quantize(model, found)


def test_bad_models():
    model = chain_model(side=SIDE)
    with pytest.raises(AccnnError, match="has no layer 'conv22': did you mean conv2"):
        partition(model, ["conv22"])
    with pytest.raises(AccnnError, match="is an INT8 network"):
        partition(in_int8(model, data=X))
    half = random_model(conv(DATA, "c1"), dtype="float16", data=(3, 9, 9))
    assert partition(half).kept == {"c1": "its weights are float16"}


def test_residual_sums_are_fused_where_types_agree():
    x = R1
    for i in range(3):
        x = relu(conv(relu(conv(x, "a%d" % i), "ra%d" % i), "b%d" % i) + (x if i else conv(x, "s")), "rb%d" % i)
    model = random_model(x, data=X.shape[1:])
    made = in_int8(model, data=X)
    summed = [node.name for node in made.graph.nodes if "with_sum" in node.attrs]
    assert summed == ["quantized_rb0", "quantized_rb1", "quantized_rb2"]
    assert partition(model).lifted == {"b0": "rb0"}
    assert max(errors(model, made, data=X)) < 0.03
    unstored = quantize(model, ranges(model, data=X), stored=False)
    assert max(errors(made, unstored, data=X)) < 0.01 and unstored.arg_params["a1_weight"].dtype == np.float32


@pytest.mark.parametrize("name, side", [("cifar_resnet20", 32), ("mtcnn_det1", 24), ("mtcnn_det2", 24),
                                        ("mtcnn_det3", 48), ("retinaface_mnet_16", 64)])
def test_real_networks(shared, name, side):
    model = load_model("%s/models/%s" % (shared, name))
    x = gaussian(2, 3, side, side)
    made = in_int8(model, data=x)
    assert made.symbol.list_outputs() == model.symbol.list_outputs()
    assert max(errors(model, partition(model).model, data=x)) < 1e-5
