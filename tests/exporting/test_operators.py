"""Every operator that can be exported, with its attributes: onnxruntime computes what MXNet does, and onnx checks."""
import importlib
import importlib.util
import json

import numpy as np
import pytest

from accnn import export_onnx
from accnn.core.compat import mx
from accnn.exporting.proof import difference
from accnn.exporting.registry import CONVERTERS
from networks import random_model

onnx = pytest.importorskip("onnx", reason="needs pip install '.[onnx]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs pip install '.[onnx]'")
openvino = importlib.import_module("openvino") if importlib.util.find_spec("openvino") else None

S = mx.sym
CASES = {}


def case(name, symbol, opset=17, **shapes):
    """Note a network and the shapes of its inputs, without the batch."""
    assert name not in CASES
    CASES[name] = (symbol, opset, shapes or {"data": (4, 9, 10)})


DATA = S.Variable("data")


def data():
    return DATA


def table(operator, *rows, opset=17, contrib=False, **shapes):
    """Cases of an operator of one input, one for each dict of attributes."""
    make = getattr(S.contrib if contrib else S, operator)
    for row in rows:
        said = " ".join("%s=%s" % pair for pair in row.items())
        where = " on %s" % (tuple(shapes["data"]),) if "data" in shapes else ""
        case("%s %s%s%s" % (operator, said, where, "" if opset == 17 else " opset %d" % opset),
             make(data(), name="layer", **row), opset, **shapes)


# ---- convolutions

table("Convolution", dict(kernel=(3, 3), num_filter=5), dict(kernel=(3, 5), stride=(2, 1), pad=(1, 2), num_filter=6),
      dict(kernel=(1, 3), num_filter=8, num_group=2, no_bias=True), dict(kernel=(3, 3), dilate=(2, 3), num_filter=2),
      dict(kernel=(3, 3), num_group=4, num_filter=4, pad=(3, 0), layout="NCHW"))
table("Convolution", dict(kernel=(3,), stride=(2,), pad=(2,), dilate=(2,), num_filter=5), data=(3, 11))
table("Convolution", dict(kernel=(2, 3, 3), stride=(1, 2, 1), pad=(0, 1, 1), num_filter=4), data=(3, 5, 7, 6))
table("Deconvolution", dict(kernel=(3, 3), num_filter=5), dict(kernel=(4, 4), stride=(2, 2), pad=(1, 1), num_filter=3),
      dict(kernel=(3, 3), stride=(2, 3), pad=(1, 0), adj=(1, 2), num_filter=6, num_group=2, no_bias=False),
      dict(kernel=(4, 4), stride=(2, 2), target_shape=(19, 20), pad=(1, 1), num_filter=3),
      dict(kernel=(2, 3), stride=(3, 2), adj=(2, 1), num_filter=3))
table("Deconvolution", dict(kernel=(4,), stride=(2,), pad=(1,), num_filter=3), data=(3, 7))
table("Deconvolution", dict(kernel=(2, 2, 2), stride=(2, 2, 2), num_filter=3), data=(2, 3, 4, 3))
table("UpSampling", dict(scale=2, sample_type="nearest"), dict(scale=3, sample_type="nearest"))
table("UpSampling", dict(scale=2, sample_type="bilinear", num_filter=4), dict(scale=3, sample_type="bilinear",
                                                                              num_filter=4))
for mode in ("concat", "sum"):
    case("UpSampling of two, " + mode, S.UpSampling(data(), S.Pooling(data(), kernel=(2, 2), stride=(2, 2)), scale=2,
                                                    sample_type="nearest", multi_input_mode=mode, num_args=2),
         data=(4, 8, 12))

table("Convolution_v1", dict(kernel=(3, 3), num_filter=4, num_group=2, pad=(1, 1)))

# ---- normalisation

table("BatchNorm", dict(), dict(fix_gamma=False, eps=1e-5), dict(fix_gamma=False, use_global_stats=True),
      dict(fix_gamma=False, axis=3), dict(axis=-1), dict(axis=2, fix_gamma=False))
table("BatchNorm", dict(fix_gamma=False), dict(), data=(6,))
table("BatchNorm", dict(fix_gamma=False), data=(6, 5))
table("BatchNorm", dict(fix_gamma=False), data=(3, 4, 5, 2))
table("SyncBatchNorm", dict(fix_gamma=False, key="bn"), contrib=True)
table("BatchNorm_v1", dict(), dict(fix_gamma=False, eps=0.1))
table("InstanceNorm", dict(), dict(eps=0.1))
table("LayerNorm", dict(), dict(axis=1, eps=0.1), dict(axis=-2))
table("LayerNorm", dict(), dict(axis=1), opset=13)
table("GroupNorm", dict(num_groups=2), dict(num_groups=4, eps=0.1), dict(num_groups=1))
table("LRN", dict(nsize=3), dict(nsize=5, alpha=0.1, beta=0.5, knorm=1.5))
table("L2Normalization", dict(), dict(mode="channel", eps=0.1), dict(mode="spatial"))
table("L2Normalization", dict(), data=(5,))

# ---- activations and heads

table("Activation", *(dict(act_type=kind) for kind in ("relu", "sigmoid", "tanh", "softrelu", "softsign")))
table("LeakyReLU", dict(), dict(slope=0.1), *(dict(act_type=kind) for kind in ("elu", "selu", "gelu", "prelu")),
      dict(act_type="elu", slope=0.7))
case("rrelu", S.LeakyReLU(data(), act_type="rrelu")[0])
case("rrelu with bounds", S.LeakyReLU(data(), act_type="rrelu", lower_bound=0.2, upper_bound=0.6)[0])
table("LeakyReLU", dict(act_type="prelu"), data=(7,))
table("LeakyReLU", dict(act_type="prelu"), data=(10, 4, 10))  # as wide as there are channels
table("LeakyReLU", dict(act_type="prelu"), data=(3, 7))
case("prelu with one slope", S.LeakyReLU(data(), gamma=S.Variable("slope_gamma", shape=(1,)), act_type="prelu"))
table("relu", {})
table("sigmoid", {})
table("tanh", {})
table("softsign", {})
table("hard_sigmoid", {}, dict(alpha=0.3, beta=0.4))
table("softmax", dict(), dict(axis=1), dict(temperature=2.5), dict(axis=2, temperature=0.5))
table("softmin", dict(axis=1))
table("log_softmax", dict(), dict(axis=1, temperature=3.0))
case("softmax with a length", S.softmax(data(), S.cast(S.Variable("length"), dtype="int32"), use_length=True, axis=1),
     data=(6,), length=())
table("SoftmaxActivation", dict(), dict(mode="channel"))
table("SoftmaxActivation", dict(), data=(7,))
table("SoftmaxOutput", dict(), dict(multi_output=True), dict(preserve_shape=True))
table("SoftmaxOutput", dict(), data=(7,))
table("SoftmaxOutput", dict(), dict(multi_output=True), data=(3, 5))
table("SoftmaxOutput", dict(), dict(multi_output=True), data=(2, 3, 4, 5))
table("SoftmaxActivation", dict(), dict(mode="channel"), data=(3, 5))
for head in ("LinearRegressionOutput", "LogisticRegressionOutput", "MAERegressionOutput", "SVMOutput"):
    table(head, {}, data=(5,))
table("MakeLoss", {})
table("make_loss", {})
table("BlockGrad", {})
table("IdentityAttachKLSparseReg", {}, data=(5,))

# ---- pooling

WINDOWS = (dict(kernel=(3, 3), stride=(2, 2)), dict(kernel=(3, 2), stride=(2, 3), pad=(1, 1)),
           dict(kernel=(3, 3), stride=(2, 2), pad=(1, 1), pooling_convention="full"),
           dict(kernel=(2, 2), stride=(2, 2), pooling_convention="full"),
           dict(kernel=(3, 3), stride=(3, 3), pad=(0, 2), pooling_convention="full"))
for kind in ("max", "avg", "sum"):
    table("Pooling", *(dict(row, pool_type=kind) for row in WINDOWS), dict(global_pool=True, pool_type=kind),
          dict(global_pool=True, kernel=(2, 2), pool_type=kind))
table("Pooling", *(dict(row, pool_type="avg", count_include_pad=False) for row in WINDOWS))
table("Pooling", dict(kernel=(2, 2), stride=(2, 2), pad=(2, 2), pool_type="sum"),  # of others oneDNN takes no such pad
      dict(kernel=(2, 2), stride=(2, 2), pad=(2, 2), pool_type="avg", pooling_convention="full"),
      dict(kernel=(2, 2), stride=(3, 3), pad=(1, 0), pool_type="max", pooling_convention="full"), data=(2, 7, 8))
table("Pooling", *(dict(kernel=(3, 3), stride=(2, 2), pool_type="lp", p_value=p) for p in (1, 2, 3)),
      dict(pool_type="lp", p_value=2, global_pool=True, kernel=(1, 1)))
table("Pooling", *(dict(kernel=(3,), stride=(2,), pad=(1,), pool_type=kind, pooling_convention=convention)
                   for kind in ("max", "avg") for convention in ("valid", "full")),
      data=(3, 10))
table("Pooling", *(dict(kernel=(2, 3, 3), stride=(2, 2, 1), pad=(0, 1, 1), pool_type=kind) for kind in ("max", "avg")),
      data=(3, 5, 6, 7))
table("Pooling", dict(kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="avg", pooling_convention="full"),
      data=(2, 4, 4))
table("Pooling", dict(kernel=(3, 3), stride=(2, 2), pool_type="max", pooling_convention="full"), data=(2, 112, 112))
table("Pooling_v1", *(dict(row, pool_type=kind) for row in WINDOWS[1:4] for kind in ("max", "avg", "sum")),
      dict(global_pool=True, kernel=(2, 2), pool_type="avg"))
table("AdaptiveAvgPooling2D", dict(), dict(output_size=1), dict(output_size=(3, 5)), dict(output_size=(4, 7)),
      dict(output_size=(12, 11)), contrib=True)

# ---- shapes

table("Flatten", {})
table("Reshape", dict(shape=(0, -1)), dict(shape=(-1, 10)), dict(shape=(0, 2, -1, 9, 10)), dict(shape=(-2,)),
      dict(shape=(0, -3, 0)), dict(shape=(0, -4, 2, -1, 0, 0)), dict(shape=(-4, -1, 1, -2)),
      dict(shape=(-1, 0, 0), reverse=True), dict(shape=(0, 0, -1)), dict(shape=(-1,)))
case("reshape_like", S.reshape_like(data(), S.transpose(data(), axes=(0, 2, 1, 3))))
table("expand_dims", dict(axis=1), dict(axis=-1), dict(axis=0))
table("squeeze", dict(), dict(axis=1), dict(axis=(1, -1)), data=(1, 5, 1))
table("transpose", dict(axes=(0, 2, 3, 1)), dict(axes=(1, 0, 3, 2)))
table("SwapAxis", dict(dim1=1, dim2=3))
case("Concat", S.Concat(data(), data() * 2, S.relu(data()), dim=1))
case("Concat dim 2", S.Concat(data(), data() * 2, dim=2))
case("Concat of one", S.Concat(data(), dim=1))
case("stack", S.stack(data(), data() * 2, axis=1))
case("stack last", S.stack(data(), data() * 2, axis=-1))
table("Pad", dict(mode="constant", pad_width=(0, 0, 0, 0, 1, 2, 3, 0), constant_value=2.5),
      dict(mode="edge", pad_width=(0, 0, 0, 0, 1, 2, 3, 0)), dict(mode="reflect", pad_width=(0, 0, 0, 0, 1, 2, 3, 0)))
table("tile", dict(reps=(1, 2, 1, 3)), dict(reps=(2, 1)), dict(reps=(1, 1, 1, 2, 1)))
table("repeat", dict(repeats=2, axis=1), dict(repeats=3, axis=-1))
table("broadcast_to", dict(shape=(0, 4, 9, 10)), data=(4, 1, 10))
table("broadcast_axis", dict(axis=2, size=7), data=(4, 1, 10))
case("broadcast_like", S.broadcast_like(S.mean(data(), axis=1, keepdims=True), data()))
table("reverse", dict(axis=1), dict(axis=(2, 3)))
table("depth_to_space", dict(block_size=2))
table("space_to_depth", dict(block_size=3), data=(4, 9, 12))
table("identity", {})
table("Dropout", dict(p=0.5))
table("Cast", dict(dtype="int32"), dict(dtype="float64"))
case("Cast dtype=uint8", S.cast(S.abs(data()) * 9, dtype="uint8"))
case("amp_cast", S.amp_cast(data(), dtype="float32") + 1)
case("amp_multicast", S.Group(list(S.amp_multicast(data(), S.relu(data()), num_outputs=2))))
case("_identity_with_attr_like_rhs", S._internal._identity_with_attr_like_rhs(data() * 2, data()))
for operator in ("zeros_like", "ones_like"):
    case(operator, data() + getattr(S, operator)(data()))
    case(operator + " of a part", S.broadcast_add(data(), getattr(S, operator)(S.slice_axis(data(), axis=1, begin=0,
                                                                                           end=1))))
case("_zeros", S.Concat(data(), S.zeros((0, 1, 9, 10)), dim=1))
case("_ones", S.Concat(data(), S.ones((0, 1, 9, 10)), dim=1))
case("_full", S.Concat(data(), S.full((0, 1, 9, 10), 2.5), dim=1))
case("_arange", S.broadcast_add(data(), S.arange(10)))

# ---- parts

table("slice", dict(begin=(None, 1, 2), end=(None, 3, None)), dict(begin=(None, None, -3), end=(None, None, -1)),
      dict(begin=(None, 0, 8), end=(None, 4, None), step=(None, 2, -1)),
      dict(begin=(None, None, None, None), end=(None, None, None, None), step=(1, 1, 2, -2)))
table("slice_axis", dict(axis=1, begin=1, end=3), dict(axis=-1, begin=-4, end=None), dict(axis=2, begin=0, end=-2))
case("slice_like", S.slice_like(data(), S.Pooling(data(), kernel=(2, 3)), axes=(2, 3)))
case("slice_like all", S.slice_like(data(), S.Pooling(data(), kernel=(2, 3))))
case("SliceChannel", S.Concat(*S.SliceChannel(data(), num_outputs=2, axis=1), dim=2))
case("SliceChannel squeezed", S.Group(list(S.SliceChannel(data(), num_outputs=9, axis=2, squeeze_axis=True))[:2]))
case("split_v2", S.Group(list(S.split_v2(data(), (2, 5), axis=2))))
case("split_v2 sections", S.Group(list(S.split_v2(data(), 5, axis=3))))
table("Crop", dict(h_w=(5, 6)), dict(h_w=(5, 6), offset=(2, 3)), dict(h_w=(4, 5), center_crop=True))
for said in (dict(), dict(offset=(1, 2)), dict(center_crop=True)):
    case("Crop by another %s" % said, S.Crop(data(), S.Pooling(data(), kernel=(3, 4)), num_args=2, **said))

# ---- arithmetic

for name in ("elemwise_add", "elemwise_sub", "elemwise_mul", "elemwise_div", "_grad_add", "_maximum", "_minimum",
             "_hypot", "_mod", "_equal", "_not_equal", "_greater", "_greater_equal", "_lesser", "_lesser_equal",
             "_logical_and", "_logical_or", "_logical_xor"):
    case(name, getattr(S._internal if name.startswith("_") else S, name)(data(), S.softsign(data()) + 2))
case("_power", S._internal._power(S.abs(data()), data()))
for name in ("add", "sub", "mul", "div", "maximum", "minimum", "hypot", "equal", "not_equal", "greater",
             "greater_equal", "lesser", "lesser_equal", "logical_and", "logical_or", "logical_xor", "mod", "power"):
    case("broadcast_" + name,
         getattr(S, "broadcast_" + name)(S.abs(data()), S.mean(data(), axis=1, keepdims=True) + 1.5))
for name, symbol in {"plus": data() + 2, "minus": data() - 2, "rminus": 2 - data(), "mul": data() * 3,
                     "div": data() / 3, "rdiv": 3 / (S.abs(data()) + 1), "power": S.abs(data()) ** 1.5,
                     "rpower": S._internal._rpower_scalar(data(), scalar=2.0), "mod": data() % 0.7,
                     "maximum": S.maximum(data(), 0.3), "minimum": S.minimum(data(), 0.3), "equal": data() == 0,
                     "not_equal": data() != 0, "greater": data() > 0.2, "greater_equal": data() >= 0.2,
                     "lesser_equal": data() <= 0.2, "lesser": data() < 0.2}.items():
    case("_%s_scalar" % name, symbol)
for name in ("hypot", "rmod", "logical_and", "logical_or", "logical_xor"):
    case("_%s_scalar" % name, getattr(S._internal, "_%s_scalar" % name)(S.abs(data()) + 0.1, scalar=1.5))
for name in ("abs", "exp", "negative", "sin", "cos", "arctan", "sinh", "cosh", "arcsinh", "erf", "floor", "ceil",
             "sign", "square", "cbrt", "degrees", "radians", "expm1", "rint", "round", "fix", "trunc", "smooth_l1",
             "logical_not"):
    table(name, {})
for name in ("log", "sqrt", "reciprocal", "log2", "log10", "log1p", "rsqrt", "rcbrt", "arccosh"):
    case(name, getattr(S, name)(S.abs(data()) + 1.1))
for name in ("arcsin", "arccos", "arctanh", "tan"):
    case(name, getattr(S, name)(S.tanh(data()) * 0.9))
case("rint and round of halves", S.Concat(S.rint(S.round(data() * 4) / 2), S.round(S.round(data() * 4) / 2), dim=1))
table("clip", dict(a_min=-0.5, a_max=0.7))
case("add_n", S.add_n(data(), data() * 2, S.relu(data())))

# ---- reductions

for name in ("sum", "mean", "max", "min", "prod"):
    table(name, dict(axis=(2, 3)), dict(axis=1, keepdims=True), dict(axis=-1), dict(axis=(0, 1), exclude=True))
    table(name, dict(axis=(2, 3)), opset=21)
case("nansum", S.nansum(S.log(data()), axis=1))
table("norm", dict(axis=1), dict(ord=1, axis=(2,)), dict(ord=2, axis=(2, 3), keepdims=True))
table("argmax", dict(axis=1), dict(axis=-1, keepdims=True))
table("argmin", dict(axis=1))
table("argmax_channel", {}, data=(9,))
table("topk", dict(axis=1, k=2, ret_typ="value"), dict(axis=-1, k=3), dict(axis=1, k=2, is_ascend=True))
case("topk both", S.Group(list(S.topk(data(), axis=1, k=2, ret_typ="both"))))
table("sort", dict(axis=1, is_ascend=False))
table("argsort", dict(axis=1))
case("over everything", S.broadcast_mul(data(), S.BlockGrad(S.sum(S.Variable("w_weight", shape=(3, 4))))))

# ---- products and places

table("FullyConnected", dict(num_hidden=5), dict(num_hidden=5, no_bias=True), dict(num_hidden=5, flatten=False),
      dict(num_hidden=5, flatten=False, no_bias=True))
table("FullyConnected", dict(num_hidden=5), dict(num_hidden=5, flatten=False), data=(6,))
case("dot", S.dot(data(), S.Variable("w_weight", shape=(10, 7))))
case("dot of more axes", S.dot(data(), S.Variable("w_weight", shape=(10, 3, 2))))
case("dot transposed b", S.dot(data(), S.Variable("w_weight", shape=(7, 10)), transpose_b=True))
case("dot transposed a", S.transpose(S.dot(S.Variable("w_weight", shape=(6, 5)), S.transpose(data(), axes=(1, 0)),
                                           transpose_a=True), axes=(1, 0)), data=(6,))
for a in (False, True):
    for b in (False, True):
        left = S.transpose(data(), axes=(0, 2, 1)) if a else data()
        case("batch_dot %d %d" % (a, b), S.batch_dot(left, data() if b else S.transpose(data(), axes=(0, 2, 1)),
                                                     transpose_a=a, transpose_b=b), data=(5, 6))
case("linalg_gemm2", S.linalg.gemm2(data(), data(), transpose_b=True, alpha=0.5), data=(5, 6))
case("Embedding", S.Embedding(data(), input_dim=11, output_dim=4), data=(6,))
for mode in ("clip", "wrap"):
    case("take " + mode, S.take(S.Variable("w_weight", shape=(7, 3)), S.round(data() * 5), mode=mode), data=(6,))
case("take axis 1", S.take(data(), S.Variable("places_weight", shape=(3,)), axis=1))
case("where", S.where(data() > 0, data(), data() * 0.1))
case("where rows", S.where(S.mean(data(), axis=1) > 0, data(), data() * 0.1), data=(6,))
case("one_hot", S.one_hot(S.round(data() * 3), depth=4, on_value=2.0, off_value=-1.0), data=(6,))
case("pick", S.pick(data(), S.argmax(data(), axis=1), axis=1), data=(6,))
case("pick keepdims", S.pick(data(), S.abs(S.round(S.mean(data(), axis=1) * 4)), axis=1, keepdims=True), data=(6,))
table("BilinearResize2D", dict(height=17, width=12), dict(height=5, width=4, align_corners=False),
      dict(scale_height=2, scale_width=2, mode="odd_scale"), dict(height=17, width=23, align_corners=False),
      dict(height=1, width=7, align_corners=False), dict(height=5, width=1), dict(mode="to_even_down"),
      dict(mode="to_odd_up"), dict(scale_height=0.5, scale_width=0.4),
      contrib=True)
case("BilinearResize2D like", S.contrib.BilinearResize2D(data(), S.Pooling(data(), kernel=(3, 4)), mode="like"))
case("gather_nd", S.gather_nd(S.Variable("w_weight", shape=(3, 4)), S.transpose(data() > 0)), data=(2,))
case("MultiBoxPrior", S.broadcast_mul(S.mean(data()), S.contrib.MultiBoxPrior(
    data(), sizes=(0.3, 0.5), ratios=(1, 2, 0.5), steps=(0.1, 0.1))))
case("MultiBoxPrior and data", S.Group([data() * 1, S.contrib.MultiBoxPrior(data(), sizes=(0.3,), clip=True)]))

# ---- spatial transformers

case("GridGenerator affine", S.GridGenerator(data(), transform_type="affine", target_shape=(5, 4)), data=(6,))
case("GridGenerator warp", S.GridGenerator(data(), transform_type="warp"), data=(2, 6, 5))
case("BilinearSampler", S.BilinearSampler(data(), S.tanh(S.slice_axis(data(), axis=1, begin=0, end=2)) * 1.2))
case("SpatialTransformer", S.SpatialTransformer(data(), S.FullyConnected(data(), num_hidden=6), target_shape=(7, 5),
                                                transform_type="affine", sampler_type="bilinear"))

# ---- detection

INSIDE = S.sigmoid(data())
CORNER, SIZE = (S.slice_axis(INSIDE, axis=2, begin=begin, end=begin + 2) for begin in (2, 4))
CLASS, SCORE = (S.slice_axis(INSIDE, axis=2, begin=begin, end=begin + 1) for begin in (0, 1))
BOXES = S.Concat(S.floor(CLASS * 3), SCORE, CORNER, CORNER + SIZE / 2, SIZE, dim=2)  # and two numbers behind each box
for row in (dict(), dict(id_index=0, valid_thresh=0.5), dict(id_index=0, valid_thresh=0.1, force_suppress=True),
            dict(id_index=0, topk=17, background_id=0), dict(in_format="center"),
            dict(id_index=0, out_format="center")):
    case("box_nms %s" % row, S.contrib.box_nms(BOXES, overlap_thresh=0.3, **row)[0], data=(40, 6))
for row in (dict(std0=0.1, std1=0.1, std2=0.2, std3=0.2), dict(format="corner", clip=0.5)):
    case("box_decode %s" % row, S.contrib.box_decode(data(), S.Variable("anchors_weight", shape=(1, 12, 4)), **row),
         data=(12, 4))
ANCHORS = S.sigmoid(S.Variable("corner_weight", shape=(1, 30, 2))) * 0.7
ANCHORS = S.Concat(ANCHORS, ANCHORS + S.sigmoid(S.Variable("size_weight", shape=(1, 30, 2))) * 0.4, dim=2)
SCORES, PLACES = (S.slice_axis(data(), axis=1, begin=begin, end=begin + 4) for begin in (0, 4))
for row in (dict(), dict(threshold=0.4, nms_threshold=0.3), dict(nms_topk=7), dict(nms_topk=20, threshold=0.5),
            dict(nms_threshold=-1, threshold=0.5),
            dict(force_suppress=True, clip=False, variances=(0.2, 0.2, 0.3, 0.3))):
    case("MultiBoxDetection %s" % row, S.contrib.MultiBoxDetection(
        S.softmax(SCORES * 2, axis=1), S.Flatten(S.transpose(PLACES, axes=(0, 2, 1))), ANCHORS, **row), data=(8, 30))

# ---- recurrent

for mode in ("lstm", "gru", "rnn_relu", "rnn_tanh"):
    for layers, both in ((1, False), (2, True)):
        states = [S.zeros((layers * (2 if both else 1), 0, 5)) for _ in range(2 if mode == "lstm" else 1)]
        turned = S.transpose(data(), axes=(1, 0, 2))  # time first
        rnn = S.RNN(turned, S.Variable("rnn_parameters"), *states, mode=mode, num_layers=layers, state_size=5,
                    bidirectional=both, state_outputs=True, name="rnn")
        case("%s of %d layers%s" % (mode, layers, " in two directions" if both else ""),
             S.Group([S.transpose(one, axes=(1, 0, 2)) for one in rnn]), data=(7, 3))


@pytest.mark.parametrize("name", CASES)
def test_the_same_numbers(name, tmp_path):
    """`export_onnx` itself compares the outputs, at two batches."""
    symbol, opset, shapes = CASES[name]
    path = str(tmp_path / "net.onnx")
    done = export_onnx(random_model(symbol, **shapes), path, shapes, opset=opset)
    assert len(done.batches) == 2 and max(done.differences.values()) < 1e-4
    onnx.checker.check_model(path, full_check=True)
    if openvino:
        assert difference_in_openvino(path, shapes, np.abs if name == "Embedding" else lambda x: x) < 1e-4


def difference_in_openvino(path, shapes, prepared):
    """float: how far its outputs are from onnxruntime's, on a batch of 2."""
    rng = np.random.RandomState(0)
    inputs = {name: prepared(rng.standard_normal((2,) + tuple(shape))).astype(np.float32)
              for name, shape in shapes.items()}
    expected = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, inputs)
    precise = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}  # else bfloat16, with AMX
    found = openvino.Core().compile_model(path, "CPU", precise)(inputs)
    return max(difference(found[place], array) for place, array in enumerate(expected))


def test_every_converter_has_its_case():
    there = {node["op"] for symbol, _, _ in CASES.values()
             for node in json.loads(symbol.tojson(remove_amp_cast=False))["nodes"]}
    of_int8 = {name for name in CONVERTERS if name.startswith(("_contrib_quantize", "_contrib_requantize",
                                                               "_contrib_dequantize", "_sg_mkldnn"))}
    assert sorted(set(CONVERTERS) - there - of_int8) == []  # those of INT8 have theirs in test_export_int8.py
