"""Small networks of many operators, their files in every form since MXNet 0.8, and ways to damage these."""
import json
import struct

import numpy as np

from accnn.core.compat import mx
from networks import chain_net, random_model, residual_net, saved


def prelu_net():
    """Groups, PReLU, local normalization, a concatenation, two heads."""
    x = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), pad=(1, 1), num_filter=8, name="c1")
    x = mx.sym.LeakyReLU(x, act_type="prelu", name="p1")
    x = mx.sym.LRN(mx.sym.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max", name="pool"), nsize=3, name="norm")
    left = mx.sym.Convolution(x, kernel=(3, 3), pad=(1, 1), num_group=2, num_filter=4, name="c2")
    right = mx.sym.Dropout(mx.sym.Convolution(x, kernel=(1, 1), num_filter=4, no_bias=True, name="c3"), name="drop")
    x = mx.sym.Concat(left, right, name="cat")
    first = mx.sym.SoftmaxActivation(mx.sym.Convolution(x, kernel=(1, 1), num_filter=2, name="c4"), mode="channel")
    return mx.sym.Group([first, mx.sym.FullyConnected(mx.sym.Reshape(x, shape=(0, -1), name="flat"), num_hidden=4,
                                                      name="box")])


def segmenting_net():
    """Deconvolution, slices, a crop, arithmetic, BatchNorm with global statistics."""
    data = mx.sym.Variable("data")
    x = mx.sym.Convolution(data, kernel=(3, 3), stride=(2, 2), pad=(1, 1), num_filter=8, name="c1")
    x = mx.sym.BatchNorm(x, fix_gamma=True, use_global_stats=True, name="bn")
    left, right = mx.sym.SliceChannel(x, num_outputs=2, name="split")
    x = mx.sym.broadcast_mul(mx.sym.Activation(left, act_type="sigmoid", name="gate"), right) * 2 + left
    x = mx.sym.Deconvolution(x, kernel=(4, 4), stride=(2, 2), pad=(1, 1), num_filter=4, name="up")
    x = mx.sym.Crop(x, data, name="crop", num_args=2)
    x = mx.sym.UpSampling(mx.sym.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="avg", name="pool"), scale=2,
                          sample_type="nearest", num_args=1, name="larger")
    return mx.sym.SoftmaxOutput(mx.sym.transpose(x, axes=(0, 1, 3, 2)), multi_output=True, name="softmax")


def text_net():
    """An embedding, convolutions of several widths, a normalization by layer."""
    x = mx.sym.Embedding(mx.sym.Variable("data"), input_dim=20, output_dim=6, name="embed")
    x = mx.sym.Reshape(x, shape=(-1, 1, 8, 6), name="as_map")
    parts = [mx.sym.max(mx.sym.Activation(mx.sym.Convolution(x, kernel=(width, 6), num_filter=4, name="c%d" % width),
                                          act_type="relu"), axis=2) for width in (2, 3)]
    x = mx.sym.LayerNorm(mx.sym.Flatten(mx.sym.concat(*parts, dim=1)), name="ln")
    return mx.sym.softmax(mx.sym.FullyConnected(x, num_hidden=3, name="fc"), name="out")


def loop_net():
    """A loop with a fully connected layer inside, whose subgraph stands in the document."""
    weight, bias = mx.sym.Variable("loop_weight"), mx.sym.Variable("loop_bias")

    def step(x, state):
        state = mx.sym.Activation(mx.sym.FullyConnected(x, weight, bias, num_hidden=5, name="inner") + state,
                                  act_type="tanh")
        return state, state

    steps = mx.sym.transpose(mx.sym.Variable("data"), axes=(1, 0, 2), name="steps")
    start = mx.sym.slice_axis(mx.sym.sum(steps, axis=0), axis=1, begin=0, end=5, name="start")
    return mx.sym.FullyConnected(mx.sym.contrib.foreach(step, steps, start)[1], num_hidden=3, name="fc")


NETS = {"chain": (chain_net, {"data": (3, 12, 12)}), "residual": (residual_net, {"data": (3, 8, 8)}),
        "prelu": (prelu_net, {"data": (3, 8, 8)}), "segmenting": (segmenting_net, {"data": (3, 8, 8)}),
        "text": (text_net, {"data": (8,)}),
        "loop": (loop_net, {"data": (4, 6)})}


def write_nets(folder):
    """Save all of :data:`NETS` with random parameters as `folder`/NAME."""
    for name, (build, shapes) in NETS.items():
        saved(random_model(build(), **shapes), "%s/%s" % (folder, name))


def as_version_08(document):
    """Symbol JSON as MXNet 0.8 wrote it: 'param', inputs without version, no aux nodes, no row pointers."""
    nodes, new_position = [], {}
    aux = {entry[0] for node in document["nodes"] for entry in node["inputs"] if entry[2] == 1}
    for position, node in enumerate(document["nodes"]):
        if position in aux:
            continue
        new_position[position] = len(nodes)
        old = {"op": node["op"], "name": node["name"], "backward_source_id": -1,
               "param": node.get("attrs", {}) if node["op"] != "null" else {},
               "inputs": [[new_position[e[0]], e[1]] for e in node["inputs"] if e[0] not in aux]}
        nodes.append(old)
    return {"nodes": nodes, "arg_nodes": [i for i, node in enumerate(nodes) if node["op"] == "null"],
            "heads": [[new_position[h[0]], h[1]] for h in document["heads"]]}


def as_version_09(document):
    """As 0.9 to 0.12 wrote it: 'attr' instead of 'attrs'."""
    nodes = [{("attr" if key == "attrs" else key): value for key, value in node.items()} for node in document["nodes"]]
    return dict(document, nodes=nodes, attrs={"mxnet_version": ["int", 1001]})


def as_version_15(document):
    """As 1.5 wrote it, with the attributes by operator that version had under bare names."""
    return dict(document, attrs={"mxnet_version": ["int", 10500]})


FORMS = {"0.8": as_version_08, "0.9": as_version_09, "1.5": as_version_15, "1.9": dict}

_VALUES = [None, True, 0, 1, -1, 7, 2 ** 31, 2 ** 40, 1.5, "", "x", "null", "(3, 3)", [], [0], [0, 0], [0, 0, 0],
           [[0, 0, 0]], {}, {"x": 1}, {"kernel": "(3, 3)"}, "\ud800", "0"]
_SETTINGS = ["", "0", "-1", "1", "2", "64", "None", "True", "x", "(0, 0)", "(1, 1)", "(3,)", "(2, 2, 2)", "(-1, 2)",
             "[3,3]", "1e9", "99999999999", "2147483647", "nan", "()"]
_OPERATORS = ["Convolution", "FullyConnected", "BatchNorm", "Embedding", "Activation", "Pooling", "Concat", "Flatten",
              "Dropout", "SoftmaxOutput", "Deconvolution", "LeakyReLU", "elemwise_add", "SliceChannel", "null",
              "Nonsense", "Reshape", "transpose", "InstanceNorm", "L2Normalization", "Crop", "dot", "_Plus"]
_BARE = ["weight_lr_mult", "bias_wd_mult", "lr_mult", "moving_mean_lr_mult", "gamma_wd_mult", "ctx_group",
         "data_force_mirroring", "__shape__", "__dtype__", "__init__", "num_args", "num_outputs", "axis", "nonsense"]


def damage_symbol(dice, source, target, form, ways=None):
    """Write the checkpoint `source` as `target` with a symbol of some form and damage; return what was done."""
    with open(source + "-0001.params", "rb") as handle, open(target + "-0001.params", "wb") as copy:
        copy.write(handle.read())
    with open(source + "-symbol.json", encoding="utf-8") as handle:
        document = json.loads(json.dumps(FORMS[form](json.load(handle))))
    chosen = [dice.choice(ways or _WAYS) for _ in range(dice.choice((1, 1, 1, 2)))]
    said = [way.__name__.strip("_") for way in chosen if isinstance(document.get("nodes"), list) and way(dice, document)
            is None]
    text = json.dumps(document)
    if ways is None and dice.random() < 0.1:
        text, said = _damaged_text(dice, text), said + ["text"]
    with open(target + "-symbol.json", "w", encoding="utf-8", errors="surrogatepass") as handle:
        handle.write(text)
    return "%s %s" % (form, " ".join(said))


def _places(value, path=()):
    """Yield every path into a document."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield path + (key,)
        if isinstance(inner, (dict, list)):
            yield from _places(inner, path + (key,))


def _holder(document, path):
    for key in path[:-1]:
        document = document[key]
    return document


def _replaced(dice, document):
    path = dice.choice(list(_places(document)))
    _holder(document, path)[path[-1]] = json.loads(json.dumps(dice.choice(_VALUES)))


def _removed(dice, document):
    path = dice.choice(list(_places(document)))
    del _holder(document, path)[path[-1]]


def _some_node(dice, document, operator=True):
    nodes = [node for node in document["nodes"] if isinstance(node, dict)
             and isinstance(node.get("inputs"), list) and (node.get("op") != "null") == operator]
    return dice.choice(nodes or [{"op": "x", "inputs": []}])


def _settings(node):
    return next((node[key] for key in ("attrs", "attr", "param") if isinstance(node.get(key), dict)), {})


def _another_setting(dice, document):
    settings = _settings(_some_node(dice, document))
    if settings:
        settings[dice.choice(sorted(settings))] = dice.choice(_SETTINGS)


def _added_setting(dice, document):
    _settings(_some_node(dice, document, dice.random() < 0.7))[dice.choice(_BARE)] = dice.choice(_SETTINGS)


def _another_operator(dice, document):
    _some_node(dice, document, dice.random() < 0.9)["op"] = dice.choice(_OPERATORS)


def _input_lost(dice, document):
    inputs = _some_node(dice, document)["inputs"]
    if inputs:
        inputs.pop(dice.randrange(len(inputs)))


def _inputs_cut(dice, document):
    inputs = _some_node(dice, document)["inputs"]
    del inputs[dice.randrange(len(inputs) + 1):]


def _input_added(dice, document):
    _some_node(dice, document)["inputs"].append([dice.randrange(len(document["nodes"]) or 1), 0, 0])


def _input_elsewhere(dice, document):
    inputs = _some_node(dice, document)["inputs"]
    if inputs:
        number = dice.randrange(len(document["nodes"]) + 1) if dice.random() < 0.9 else dice.choice((-1, 2 ** 31))
        inputs[dice.randrange(len(inputs))] = [number, dice.choice((0, 0, 0, 1, 3, 10 ** 9)), dice.choice((0, 1))]


def _names_alike(dice, document):
    one, other = (_some_node(dice, document, dice.random() < 0.5) for _ in range(2))
    one["name"] = other.get("name")


def _nodes_swapped(dice, document):
    nodes = document["nodes"]
    one, other = dice.randrange(len(nodes) or 1), dice.randrange(len(nodes) or 1)
    if nodes:
        nodes[one], nodes[other] = nodes[other], nodes[one]


def _version_changed(dice, document):
    document["attrs"] = {"mxnet_version": dice.choice((["int", 800], ["int", 900], ["int", 10901], ["int", 99999],
                                                       ["str", "x"], ["int", "1"], 3, ["float", 1.0], ["int", -1]))}


def _damaged_text(dice, text):
    position = dice.randrange(len(text))
    return dice.choice((text[:position], text[:position] + dice.choice('{}[]",:0x\\') + text[position + 1:],
                        text[:position] + text[position + dice.randrange(9):]))


# Damage that no reader can trip over: values of another kind, which MXNet's own reader refuses, too.
HARMLESS = [_replaced, _version_changed, _names_alike]
_WAYS = [_replaced, _replaced, _removed, _another_setting, _another_setting, _added_setting, _another_operator,
         _input_lost, _inputs_cut, _input_added, _input_elsewhere, _names_alike, _nodes_swapped, _version_changed]


def damage_parameters(dice, source, target, form, whole=False):
    """Write the checkpoint `source` as `target` with damaged parameters, in some form; return what was done."""
    with open(source + "-symbol.json", encoding="utf-8") as handle:
        document = FORMS[form](json.load(handle))
    with open(target + "-symbol.json", "w", encoding="utf-8") as handle:
        json.dump(document, handle)
    path = target + "-0001.params"
    if whole or dice.random() < 0.5:
        arrays = mx.nd.load(source + "-0001.params")
        way = dice.choice(_ARRAY_WAYS)
        way(dice, arrays)
        mx.nd.save(path, arrays)
        return "%s %s" % (form, way.__name__.strip("_"))
    with open(source + "-0001.params", "rb") as handle:
        data = bytearray(handle.read())
    _bytes_changed(dice, data)
    with open(path, "wb") as handle:
        handle.write(data[:dice.randrange(len(data))] if dice.random() < 0.1 else data)
    return form + " bytes changed"


def _bytes_changed(dice, data):
    """Change bytes at the beginning, of an array's header, or of the names."""
    headers = [at for at in range(0, len(data) - 40) if data[at:at + 4] == struct.pack("<I", 0xF993FAC9)]
    at = dice.choice(headers)
    places = list(range(24)) + list(range(at, at + 52)) + list(range(max(len(data) - 260, 0), len(data)))
    for _ in range(dice.randint(1, 3)):
        place = dice.choice(places)
        if place < len(data):
            data[place] = dice.choice((0, 1, 2, 3, 4, 0x7F, 0x80, 0xFF, 0xFE, dice.randrange(256)))
    if dice.random() < 0.3:
        field, form = dice.choice(((4, "<i"), (8, "<i"), (12, "<q"), (20, "<q")))
        number = struct.pack(form, dice.choice((-2, -1, 0, 1, 2, 3, 6, 31)))
        data[at + field:at + field + len(number)] = number


def _one(dice, arrays):
    return dice.choice(sorted(arrays))


def _lost(dice, arrays):
    for _ in range(dice.randint(1, 3)):
        if arrays:
            del arrays[_one(dice, arrays)]


def _renamed(dice, arrays):
    name = _one(dice, arrays)
    arrays[dice.choice((name + "x", "arg:", "x", name[:5], "aux:" + name[4:], "arg:" + name[4:]))] = arrays.pop(name)


def _moved(dice, arrays):
    for name in [name for name in arrays if name.startswith("aux:")] or [_one(dice, arrays)]:
        arrays[("arg:" if name.startswith("aux:") else "aux:") + name[4:]] = arrays.pop(name)


def _reshaped(dice, arrays):
    name = _one(dice, arrays)
    size = arrays[name].size
    arrays[name] = arrays[name].reshape(dice.choice(((-1,), (1, -1), (-1, 1), (size, 1, 1), (1, 1, 1, 1, -1))))


def _resized(dice, arrays):
    name = _one(dice, arrays)
    shape = list(arrays[name].shape)
    shape[dice.randrange(len(shape))] += dice.choice((-1, 1, 3))
    arrays[name] = mx.nd.ones([max(length, 1) for length in shape])


def _retyped(dice, arrays):
    for name in [_one(dice, arrays)] if dice.random() < 0.7 else list(arrays):
        arrays[name] = arrays[name].astype(dice.choice(("float16", "float64", "int8", "int32", "int64", "uint8")))


def _not_a_number(dice, arrays):
    name = _one(dice, arrays)
    values = arrays[name].asnumpy().copy()
    values.reshape(-1)[dice.randrange(values.size)] = dice.choice((np.nan, np.inf, -np.inf))
    arrays[name] = mx.nd.array(values)


def _exchanged(dice, arrays):
    one, other = _one(dice, arrays), _one(dice, arrays)
    arrays[one], arrays[other] = arrays[other], arrays[one]


def _sparse(dice, arrays):
    name = _one(dice, arrays)
    arrays[name] = arrays[name].reshape((arrays[name].shape[0], -1)).tostype(dice.choice(("row_sparse", "csr")))


_ARRAY_WAYS = [_lost, _renamed, _moved, _reshaped, _resized, _retyped, _not_a_number, _exchanged, _sparse]
