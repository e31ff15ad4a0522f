"""What cannot be exported: one sentence, exit code 2, nothing left on the disk."""
import errno
import os

import pytest

from accnn import AccnnError, accnn, export, export_onnx
from accnn.core.compat import mx
from accnn.exporting import file, registry
from accnn.reconstruction.images import ArrayImages
from networks import chain_model, random_input, random_model, saved

for _name in ("onnx", "onnxruntime"):
    pytest.importorskip(_name, reason="needs pip install '.[onnx]'")
S = mx.sym


@pytest.fixture
def path(tmp_path):
    """Where the file would be, alone in a folder."""
    folder = tmp_path / "out"
    folder.mkdir()
    return str(folder / "net.onnx")


def sentence(model, path, **how):
    """str: what is said; nothing was left."""
    with pytest.raises(AccnnError) as error:
        export_onnx(model, path, **how)
    assert os.listdir(os.path.dirname(path)) == []
    return str(error.value)


def test_an_operator_without_a_converter(path):
    data = S.Variable("data")
    rois = S.Reshape(S.slice_axis(S.Flatten(data), axis=1, begin=0, end=5), shape=(-1, 5))
    net = S.ROIPooling(S.Convolution(data, kernel=(3, 3), num_filter=4, name="conv"), rois, pooled_size=(2, 2),
                       spatial_scale=1.0, name="roi")
    said = sentence(random_model(net, data=(3, 8, 8)), path, input_shapes={"data": (3, 8, 8)})
    assert "'roi' is a ROIPooling" in said and "`outputs=conv_output,reshape" in said


def test_an_operator_that_draws_numbers(path):
    net = S.Variable("data") + S.random.uniform(shape=(1, 3), name="noise")
    said = sentence(random_model(net, data=(3,)), path, input_shapes={"data": (3,)})
    assert "'noise' is a _random_uniform" in said and "put an input in its place" in said


def test_an_attribute_without_a_form(path):
    net = S.Dropout(S.Variable("data"), mode="always", name="drop")
    assert "'drop' (Dropout) cannot be exported with mode=always" in sentence(
        random_model(net, data=(3,)), path, input_shapes={"data": (3,)})


def test_what_goes_only_with_a_fixed_batch_or_a_later_opset(path):
    parts = S.Concat(*S.SliceChannel(S.Concat(S.Variable("data"), S.Variable("data1"), dim=0), axis=0, num_outputs=2,
                                     name="halves"), dim=1)
    shapes = {"data": (3,), "data1": (3,)}
    model = random_model(parts, **shapes)
    said = sentence(model, path, input_shapes=shapes)
    assert "'halves' (SliceChannel) cannot be exported with an open batch" in said
    export_onnx(model, path, shapes, batch_size=2)
    os.unlink(path)
    data = S.Variable("data")
    model = random_model(S.BilinearSampler(data, data, name="sampler"), data=(2, 4, 4))
    said = sentence(model, path, input_shapes={"data": (2, 4, 4)}, opset=15)
    assert "'sampler' (BilinearSampler) cannot be exported with the operators of version 15: say `opset=16`" in said


def test_double_precision_is_exported_as_float32(path):
    model = random_model(chain_model().symbol, dtype="float64", data=(3, 12, 12))
    found = export_onnx(model, path, input_shapes={"data": (3, 12, 12)})
    assert os.listdir(os.path.dirname(path)) == ["net.onnx"] and found
    assert {array.dtype.name for array in map(mx.nd.NDArray.asnumpy, model.arg_params.values())} == {"float64"}


def test_half_precision(path):
    model = chain_model()
    model.arg_params["conv1_weight"] = model.arg_params["conv1_weight"].astype("float16")
    assert "'conv1_weight' is of half precision" in sentence(model, path)


def test_a_shape_that_is_not_known_or_does_not_fit(path):
    said = sentence(random_model(S.elemwise_add(S.Variable("data"), S.Variable("other")), data=(3,), other=(3,)), path)
    assert "input_shape" in said or "--input-shape" in said
    assert "fc1_weight" in sentence(chain_model(), path, input_shapes={"data": (3, 16, 16)})


def test_outputs_that_are_constants(path):
    net = S.contrib.MultiBoxPrior(S.Variable("data"), sizes=(0.3,))
    said = sentence(random_model(net, data=(3, 4, 4)), path, input_shapes={"data": (3, 4, 4)})
    assert "depend on no input" in said


def test_outputs_of_which_no_number_is_finite(path):
    model = random_model(S.log(-S.abs(S.Variable("data")) - 1), data=(3,))
    assert "no number of MXNet's output" in sentence(model, path, input_shapes={"data": (3,)})


def test_an_opset_out_of_range(path):
    for opset in (12, 22):
        assert "`opset=%d` is out of range: choose 13 to 21" % opset in sentence(chain_model(), path, opset=opset)


def test_a_batch_that_the_network_does_not_take(path):
    net = S.FullyConnected(S.Reshape(S.Variable("data"), shape=(4, -1)), num_hidden=3)
    model = random_model(S.Reshape(net, shape=(2, 6)), data=(2, 6))
    assert "batches of" in sentence(model, path, input_shapes={"data": (2, 6)}, batch_size=3)


def test_the_first_node_that_differs_is_named(path, monkeypatch):
    monkeypatch.setitem(registry.CONVERTERS, "Activation", lambda layer: layer.add("Sigmoid", layer.x))
    said = sentence(chain_model(), path)
    assert "the first node whose output differs is 'relu1' (Activation), by" in said
    monkeypatch.setitem(registry.CONVERTERS, "Flatten", lambda layer: layer.add("Transpose", layer.x, perm=[1, 0]))
    assert "onnxruntime does not load" in sentence(chain_model(), path)


def test_a_full_disk(path, monkeypatch):
    written = file._write_array

    def full(handle, array):
        written(handle, array)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(file, "_write_array", full)
    assert "No space left on device" in sentence(chain_model(), path)


def test_what_the_script_refuses_to_replace(path, tmp_path, capsys):
    prefix = saved(chain_model(), tmp_path / "net")
    (tmp_path / "text").write_text("of somebody")
    for target, said in ((str(tmp_path), "names a folder"), (str(tmp_path / "no" / "net.onnx"), "there is no folder"),
                         (prefix + "-0001.params", "is a file of the model that is read"),
                         (str(tmp_path / "text"), "is no result of this script")):
        assert export.main(["-m", prefix, "--save-model", target]) == 2
        assert said in capsys.readouterr().err
    assert (tmp_path / "text").read_text() == "of somebody"
    assert accnn.main(["export", "-m", prefix, "--save-model", path, "--opset", "9"]) == 2
    assert "out of range" in capsys.readouterr().err


def test_the_script_replaces_what_it_wrote(path, tmp_path, capsys):
    prefix = saved(chain_model(), tmp_path / "net")
    for _ in range(2):
        assert export.main(["-m", prefix, "--save-model", path]) == 0
    out, err = capsys.readouterr()
    assert "replacing %s" % path in err and "softmax_output differs by" in out and "data  batch,3,12,12" in out


def test_examples_and_batches_that_prove_nothing(path):
    pictures = random_input(4, 3, 12, 12)
    pictures[1] = float("nan")
    assert "NaN" in sentence(chain_model(), path, images=ArrayImages({"data": pictures}, 2))
    assert "`batch_size=0` is no number of images" in sentence(chain_model(), path, batch_size=0)


def test_some_outputs_of_a_network_with_sizes_and_inputs_that_others_need(path):
    """The fully connected layer says the size of the pictures; the second input is read by another output."""
    head = S.FullyConnected(S.Convolution(S.Variable("data"), kernel=(3, 3), num_filter=4, name="conv"), num_hidden=3,
                            name="fc")
    model = random_model(S.Group([head, S.FullyConnected(S.Variable("more"), num_hidden=2, name="last")]),
                         data=(3, 12, 12), more=(5,))
    done = export_onnx(model, path, {"more": (5,)}, outputs=("conv", "conv"))
    assert done.inputs == {"data": (None, 3, 12, 12)} and done.outputs == {"conv_output": (None, 4, 10, 10)}
