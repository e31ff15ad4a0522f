"""The form of symbol JSON: what MXNet wrote in any version is fine, everything else is told before MXNet sees it."""
import json

import pytest

from accnn.core.compat import mx
from accnn.graph.document import document_findings
from accnn.graph.operators import takes
from damage import as_version_08
from networks import chain_model, residual_net


def document(net=None):
    return json.loads((chain_model().symbol if net is None else net).tojson())


def told(changed):
    """The sentences about a document; the document itself stays as it is."""
    before = json.dumps(changed)
    found = [finding.what for finding in document_findings(changed, "net-symbol.json")]
    assert json.dumps(changed) == before
    return found


@pytest.mark.parametrize("form", [dict, as_version_08])
@pytest.mark.parametrize("net", [None, residual_net()])
def test_whole_documents(net, form):
    assert told(form(document(net))) == []


@pytest.mark.parametrize("key, value, sentence", [
    ("op", ["Convolution"], "'op' of node 3 ('conv1') must be text"), ("op", {}, "must be text"),
    ("op", None, "must be text"), ("op", "\ud800", "text in UTF-8"), ("name", 3, "'name' of node 3 must be text"),
    ("name", "a\0b", "without the character 0"), ("attrs", [], "an object of texts"),
    ("attrs", {"num_filter": 8}, "an object of texts"), ("attr", {"num_filter": ["8"]}, "an object of texts"),
    ("param", "x", "an object of texts"), ("inputs", 3, "entries of 2 or 3 whole numbers"),
    ("inputs", [[0]], "entries of 2 or 3"), ("inputs", [[0, 0, 0, 0]], "entries of 2 or 3"),
    ("inputs", [[0.0, 0, 0]], "entries of 2 or 3"), ("inputs", [[True, 0, 0]], "entries of 2 or 3"),
    ("inputs", [[-1, 0, 0]], "entries of 2 or 3"), ("inputs", [[2 ** 31, 0, 0]], "entries of 2 or 3"),
    ("inputs", [[99, 0, 0]], "names a node that does not exist"),
    ("inputs", [[3, 0, 0]], "form a cycle through 'conv1'"),
    ("control_deps", [4], "form a cycle"), ("control_deps", "x", "a list of whole numbers"),
    ("subgraphs", [3], "no MXNet symbol"), ("subgraphs", {}, "a list of graphs"),
    ("colour", "red", "the field 'colour'"),
    ("op", "_Native", "lives only in the process"), ("op", "_backward_Activation", "lives only in the process"),
])
def test_a_field_of_a_node(key, value, sentence):
    changed = document()
    changed["nodes"][3][key] = value
    assert len(told(changed)) == 1 and sentence in told(changed)[0]


@pytest.mark.parametrize("key, value, sentence", [
    ("nodes", 3, "no list of nodes and heads"), ("nodes", [3], "node 0 is no object"), ("heads", [], "has no output"),
    ("heads", [[99, 0, 0]], "the list of heads names a node"), ("heads", [3], "entries of 2 or 3"),
    ("arg_nodes", ["x"], "a list of whole numbers"), ("arg_nodes", [99], "names a node that does not exist"),
    ("attrs", 3, "pairs of a type and a value"), ("attrs", {"mxnet_version": 3}, "pairs of a type and a value"),
    ("attrs", {"mxnet_version": ["str", "x"]}, "mxnet_version"), ("attrs", {"mxnet_version": ["int", -1]},
                                                                 "mxnet_version"),
    ("node_row_ptr", [None], "a list of whole numbers"), ("colour", 3, "the field 'colour'"),
])
def test_a_field_of_the_document(key, value, sentence):
    assert sentence in told(dict(document(), **{key: value}))[0]


@pytest.mark.parametrize("key", ["op", "name", "inputs"])
def test_a_node_without_what_each_has(key):
    changed = document()
    del changed["nodes"][3][key]
    assert "has no %r" % key in told(changed)[0]


def test_a_subgraph_is_looked_at_too():
    inner, outer = document(), document()
    inner["nodes"][3]["op"] = 7
    outer["nodes"][3]["subgraphs"] = [inner]
    assert "'op' of node 3" in told(outer)[0]


@pytest.mark.parametrize("attrs, sentence", [
    ({"num_args": "99999999999"}, "num_args=99999999999, but has 3 inputs"), ({"num_outputs": "70000"}, "num_outputs"),
    ({"num_args": "9" * 5000}, "num_args"), ({"__dtype__": "(3,)"}, "__dtype__=(3,)"),
    ({"__dtype__": "99"}, "__dtype__=99"),
    ({"__lr_mult__": "fast"}, "__lr_mult__=fast"), ({"weight_wd_mult": "nan"}, "weight_wd_mult=nan"),
])
def test_an_attribute_that_counts_what_is_not_there(attrs, sentence):
    changed = document()
    changed["nodes"][3]["attrs"].update(attrs)
    assert sentence in told(changed)[0]


def loops():
    """One of each operator with subgraphs, as MXNet writes it."""
    a, b, c, d = (mx.sym.Variable(name) for name in "abcd")
    totals = mx.sym.contrib.while_loop(lambda i, s: i < 5, lambda i, s: ([i + s], [i + 1, s + i]), [a, b], 6)
    either = mx.sym.contrib.cond(mx.sym.sum(a) < 3, lambda: a + b, lambda: a * b)
    several = mx.sym.contrib.foreach(lambda x, s: ([x[0] + s[0] * b, x[0]], [s[0] + 1, s[1] + x[0]]),
                                      [a], [c, d])
    normed = mx.sym.contrib.foreach(lambda x, s: (mx.sym.BatchNorm(x, name="bn") + s, s), a, mx.sym.zeros((3,)))
    return {"while": mx.sym.Group(totals[0] + totals[1]), "cond": either,
            "foreach": mx.sym.Group(several[0] + several[1]), "with auxiliary states": normed[0]}


@pytest.mark.parametrize("kind", ["while", "cond", "foreach", "with auxiliary states"])
def test_operators_with_subgraphs_are_fine_as_mxnet_writes_them(kind):
    assert told(document(loops()[kind])) == []


@pytest.mark.parametrize("kind, key, value", [
    ("foreach", "in_data_locs", "[1]"), ("foreach", "remain_locs", "None"), ("foreach", "num_out_data", "9"),
    ("while", "func_input_locs", "[0, 7]"), ("while", "cond_input_locs", "[]"), ("while", "func_var_locs", "[0, 2]"),
    ("cond", "then_input_locs", "[1, 3]"), ("cond", "num_args", "7"),
])
def test_places_outside_the_inputs_of_a_subgraph(kind, key, value):
    changed = document(loops()[kind])
    node = next(node for node in changed["nodes"] if "subgraphs" in node)
    node["attrs"][key] = value
    found = told(changed)
    assert len(found) == 1 and repr(node["name"]) in found[0] and ("inputs" in found[0] or key in found[0])


def test_an_axis_named_twice():
    changed = document(mx.sym.transpose(mx.sym.Variable("data"), axes=(0, 2, 1), name="turned"))
    assert told(changed) == []
    changed["nodes"][1]["attrs"]["axes"] = "(0, 2, 2)"
    assert told(changed) == ["the layer 'turned' says axes=(0, 2, 2): every axis can be named once: mend it"]


def test_all_layers_that_lack_an_input_are_told():
    changed = document()
    for node in changed["nodes"]:
        if node["op"] in ("Convolution", "Activation"):
            node["inputs"].pop()
    found = told(changed)
    assert len(found) == 7 and found[0].startswith("the layer 'conv1' has no bias among its inputs")


def test_what_an_operator_takes():
    assert takes("Convolution", {"kernel": "(3L, 3L)", "num_filter": "4", "weight_lr_mult": "2"}) == (
        "data", "weight", "bias")
    assert takes("BatchNorm", {}) == ("data", "gamma", "beta", "moving_mean", "moving_var")
    assert takes("Concat", {"num_args": "2"}) == ("arg0", "arg1") and takes("_Plus", {}) == ("lhs", "rhs")
    assert takes("Nonsense", {}) is None and takes("Convolution", {"kernel": "x"}) is None and takes("null", {}) is None
