"""The form of symbol JSON: what MXNet wrote in any version is fine, everything else is told before MXNet sees it."""
import json

import pytest

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
