"""The one look at a checkpoint: what is missing, misplaced, misshapen or unusual, and how it is told."""
import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.checkpoint import examine, load_model, save_model
from accnn.graph.inputs import input_names
from accnn.runtime.predictor import Predictor
from networks import chain_model, outputs, random_input, random_model, residual_net, saved

BN = "unit0a_bn_"


def stored(tmp_path, change, model=None):
    """Prefix of a checkpoint whose parameters, a dict by 'arg:name', were changed."""
    prefix = saved(model or random_model(residual_net(), data=(3, 8, 8)), tmp_path / "m")
    arrays = mx.nd.load(prefix + "-0001.params")
    change(arrays)
    mx.nd.save(prefix + "-0001.params", arrays)
    return prefix


def findings(prefix):
    return [(one.severity, one.where, one.what) for one in examine(prefix)[1]]


def refused(prefix):
    with pytest.raises(AccnnError) as error:
        load_model(prefix)
    return str(error.value)


def test_nothing_is_found_in_a_plain_checkpoint(tmp_path):
    assert findings(saved(chain_model(), tmp_path / "a")) == []
    assert load_model(saved(random_model(residual_net(), data=(3, 8, 8)), tmp_path / "b")).remarks == ()


@pytest.mark.parametrize("wrong, right", [("arg:", "aux:"), ("aux:", "arg:")])
def test_parameters_in_the_wrong_dictionary_are_put_right(tmp_path, wrong, right):
    names = [BN + "moving_mean", BN + "moving_var"] if right == "aux:" else [BN + "gamma", "stem_weight"]

    def change(arrays):
        for name in names:
            arrays[wrong + name] = arrays.pop(right + name)

    whole = random_model(residual_net(), data=(3, 8, 8))
    model, x = load_model(stored(tmp_path, change, whole)), random_input(2, 3, 8, 8)
    assert set(names) <= set(model.aux_params if right == "aux:" else model.arg_params)
    assert (outputs(model, data=x)[0] == outputs(whole, data=x)[0]).all()
    assert len(model.remarks) == 1 and all(name in model.remarks[0].what for name in names)
    save_model(model, str(tmp_path / "new"))
    _, args, aux = mx.model.load_checkpoint(str(tmp_path / "new"), 1)
    assert set(args) == set(whole.arg_params) and set(aux) == set(whole.aux_params)
    assert load_model(str(tmp_path / "new")).remarks == ()


def test_of_a_name_in_both_dictionaries_the_one_that_is_read_counts(tmp_path):
    def change(arrays):
        arrays["arg:" + BN + "moving_mean"] = arrays["aux:" + BN + "moving_mean"] + 1

    whole = random_model(residual_net(), data=(3, 8, 8))
    model = load_model(stored(tmp_path, change, whole))
    assert BN + "moving_mean" not in model.arg_params
    assert (model.aux_params[BN + "moving_mean"].asnumpy() == whole.aux_params[BN + "moving_mean"].asnumpy()).all()


def test_all_that_is_missing_is_told_at_once(tmp_path):
    def change(arrays):
        for key in ("aux:" + BN + "moving_mean", "aux:" + BN + "moving_var", "arg:fc_bias"):
            del arrays[key]

    prefix = stored(tmp_path, change)
    sentence = ("the checkpoint has no parameter '%smoving_mean', '%smoving_var', 'fc_bias', which the layers "
                "'unit0a_bn', 'fc' need: it belongs to another symbol or epoch" % (BN, BN))
    assert refused(prefix) == prefix + "-0001.params: " + sentence
    model = load_model(prefix, inputs=["fc_bias", BN + "moving_mean", BN + "moving_var"])
    for look in (lambda: input_names(model), lambda: Predictor(model, {"data": (3, 8, 8)}, 1)):
        with pytest.raises(AccnnError) as error:
            look()
        assert str(error.value) == prefix + ": " + sentence


def test_a_variable_of_no_operator_that_is_known_for_parameters(tmp_path):
    scaled = mx.sym.broadcast_mul(mx.sym.Variable("data"), mx.sym.Variable("scale", shape=(1, 3, 1, 1)))
    model = random_model(mx.sym.Convolution(scaled, kernel=(1, 1), num_filter=2, name="c"), data=(3, 4, 4))
    del model.arg_params["scale"]
    with pytest.raises(AccnnError, match="has no parameter 'scale': if it is an input, give its `input_shapes`"):
        Predictor(model, {"data": (3, 4, 4)}, 1)


def every_shape():
    """A network of all operators whose parameters have a shape of their own."""
    x = mx.sym.Variable("data")
    x = mx.sym.Deconvolution(x, kernel=(2, 2), num_filter=4, num_group=2, no_bias=False, name="up")
    x = mx.sym.LeakyReLU(mx.sym.Convolution(x, kernel=(3, 1), num_filter=6, num_group=2, name="c"), act_type="prelu",
                         name="p")
    x = mx.sym.InstanceNorm(x, name="norm")
    x = mx.sym.FullyConnected(x, num_hidden=5, name="fc")
    words = mx.sym.Flatten(mx.sym.Embedding(mx.sym.Variable("words"), input_dim=7, output_dim=3, name="embed"))
    return random_model(mx.sym.Concat(x, words), data=(4, 5, 5), words=(2,))


@pytest.mark.parametrize("name, needed", [
    ("up_weight", "(any, 2, 2, 2)"), ("up_bias", "(4)"), ("c_weight", "(6, any, 3, 1)"), ("c_bias", "(6)"),
    ("p_gamma", "(any)"), ("norm_gamma", "(6)"), ("fc_weight", "(5, any)"), ("fc_bias", "(5)"),
    ("embed_weight", "(7, 3)"),
])
def test_shapes_that_the_operators_do_not_take(tmp_path, name, needed):
    def flat_in_five_axes(arrays):
        arrays["arg:" + name] = arrays["arg:" + name].reshape((1, 1, 1, 1, -1))

    found = findings(stored(tmp_path, flat_in_five_axes, every_shape()))
    assert [one[:2] for one in found] == [("error", name)] and "needs %s:" % needed in found[0][2]
    assert findings(saved(every_shape(), tmp_path / "right")) == []


def test_a_weight_of_one_axis_is_told_on_loading(tmp_path):
    def change(arrays):
        arrays["arg:fc_weight"] = arrays["arg:fc_weight"].reshape((-1,))

    assert "'fc_weight' has the shape (32,), but the layer 'fc' needs (4, any)" in refused(stored(tmp_path, change))


def test_of_unequal_vectors_the_odd_one_is_told(tmp_path):
    def change(arrays):
        arrays["arg:" + BN + "gamma"] = mx.nd.ones((9,))

    assert [one[1] for one in findings(stored(tmp_path, change))] == [BN + "gamma"]


def test_everything_is_found_in_one_pass(tmp_path):
    def change(arrays):
        arrays["arg:fc_weight"] = arrays["arg:fc_weight"].reshape((-1,))
        arrays["arg:stem_weight"][0, 0, 0, 0] = np.nan
        arrays["arg:counter"] = mx.nd.array([3], dtype="int64")
        arrays["arg:fc_bias"] = arrays["arg:fc_bias"].astype("float16")
        del arrays["aux:" + BN + "moving_var"]

    prefix = stored(tmp_path, change)
    assert [one[:2] for one in findings(prefix)] == [
        ("error", BN + "moving_var"), ("error", "stem_weight"), ("error", "fc_weight"), ("warning", "counter"),
        ("note", "counter"), ("note", "precision")]
    assert refused(prefix).endswith("(and 2 more: accnn check lists them)")


def test_whole_numbers_stay_what_they_are(tmp_path):
    def change(arrays):
        arrays["arg:counter"] = mx.nd.array([2 ** 40], dtype="int64")

    model = load_model(stored(tmp_path, change))
    save_model(model, str(tmp_path / "new"))
    kept = load_model(str(tmp_path / "new")).arg_params["counter"]
    assert kept.dtype == np.int64 and kept.asnumpy().tolist() == [2 ** 40]


def test_two_outputs_or_inputs_of_one_name(tmp_path):
    x = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(1, 1), num_filter=2, name="c")
    twice = mx.sym.Group([mx.sym.Activation(x, act_type=kind, name="out") for kind in ("relu", "tanh")])
    prefix = saved(random_model(twice, data=(3, 4, 4)), tmp_path / "outputs")
    assert [one[:2] for one in findings(prefix)] == [("warning", "out_output")]
    data = mx.sym.Variable("data") + mx.sym.Variable("data")
    prefix = saved(random_model(mx.sym.Convolution(x, kernel=(1, 1), num_filter=2, name="d"), data=(3, 4, 4)),
                   tmp_path / "inputs")
    with open(prefix + "-symbol.json", "w") as handle:
        handle.write(data.tojson())
    assert "2 inputs or parameters are called 'data'" in refused(prefix)
