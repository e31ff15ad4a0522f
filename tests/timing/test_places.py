"""Where layers stand in a network, and that the keys of their chains are read again as what they were."""
import pytest

from accnn import methods
from accnn.core.compat import mx
from accnn.graph.specs import layer_specs
from accnn.planning.accelerator import Accelerator
from accnn.ranks import Candidate
from accnn.timing.keys import Place, chain_key, key, layer_key, parse, places_of
from networks import chain_model, random_model, residual_net


def places(net, **shapes):
    model = random_model(net, **shapes)
    return places_of(model.graph, layer_specs(model, shapes))


def conv(data, name, **options):
    return mx.sym.Convolution(data, kernel=(3, 3), num_filter=6, name=name, **options)


def test_only_what_reads_the_pictures_themselves_is_plain():
    bench = Accelerator(chain_model(), {"data": (3, 12, 12)})
    assert places_of(bench.model.graph, bench.layers) == {
        "conv1": Place((3, 12, 12), 1, True), "conv2": Place((8, 12, 12)), "conv3": Place((12, 12, 12)),
        "fc1": Place((576,)), "fc2": Place((16,))}


@pytest.mark.parametrize("between", [
    lambda x: mx.sym.Activation(x, act_type="relu"), lambda x: mx.sym.BatchNorm(x, name="bn"), lambda x: x * 2,
    lambda x: mx.sym.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max"), mx.sym.identity,
    lambda x: mx.sym.Concat(x, x)])
def test_neither_activations_nor_pooling_change_how_pictures_lie(between):
    data = mx.sym.Variable("data")
    net = conv(between(conv(between(data), "first")), "second")
    found = places(net, data=(4, 16, 16))
    assert (found["first"].plain, found["second"].plain) == (True, False)


def test_what_meets_the_output_of_a_convolution_lies_as_that_does():
    data, other = mx.sym.Variable("data"), mx.sym.Variable("other")
    both = mx.sym.Concat(data, conv(data, "first", pad=(1, 1)))
    found = places(mx.sym.Group([conv(both, "both"), conv(other, "beside")]), data=(4, 16, 16), other=(2, 9, 9))
    assert {name: place.plain for name, place in found.items()} == {"first": True, "both": False, "beside": True}


def test_residual_blocks():
    model = random_model(residual_net(), data=(3, 8, 8))
    found = places_of(model.graph, layer_specs(model, {"data": (3, 8, 8)}))
    assert [name for name, place in found.items() if place.plain] == ["stem"] and found["fc"] == Place((8, 1, 1))


def test_deconvolutions_lay_pictures_out_as_convolutions_do():
    up = mx.sym.Deconvolution(mx.sym.Variable("data"), kernel=(2, 2), stride=(2, 2), num_filter=4, name="up")
    assert places(conv(up, "c"), data=(4, 8, 8)) == {"up": Place((4, 8, 8), plain=True), "c": Place((4, 16, 16))}


def test_time_that_is_folded_into_the_batch_is_repeated():
    frames = mx.sym.Reshape(mx.sym.Variable("data"), shape=(-3, -2))
    net = mx.sym.FullyConnected(conv(conv(frames, "c"), "d"), num_hidden=3, name="fc")
    assert places(net, data=(5, 4, 16, 16)) == {"c": Place((4, 16, 16), 5, True), "d": Place((6, 14, 14), 5),
                                                "fc": Place((6, 12, 12), 5)}


def test_layers_of_unknown_shape_have_no_place():
    model = random_model(conv(conv(mx.sym.Variable("data"), "first"), "second"), data=(4, 9, 9))
    specs = [spec for spec in layer_specs(model, {"data": (4, 9, 9)})]
    unknown = [type(spec)(spec.name, None, None, spec.weight, spec.bias, spec.op) for spec in specs[:1]]
    assert list(places_of(model.graph, unknown + specs[1:])) == ["second"]


@pytest.mark.parametrize("method", methods.names())
def test_keys_of_chains_are_read_again(method):
    """With strides, groups, feature maps and without biases, whatever the method makes of them."""
    bench = Accelerator(chain_model(widths=(8, 16)), {"data": (3, 12, 12)})
    where, read = places_of(bench.model.graph, bench.layers), 0
    for spec in bench.layers:
        if methods.get(method).refuse(spec):
            continue
        candidate, place = Candidate(spec, methods.get(method), None), where[spec.name]
        for rank in list(candidate.ranks())[:40]:
            text = chain_key(place, candidate, rank)
            found, chain = parse(text)
            assert found == place and key(found, chain) == text
            assert [vars(part) for part in chain] == [dict(vars(part), suffix="_%d" % number) for number, part
                                                      in enumerate(candidate.chain(rank))]
            read += 1
        assert parse(layer_key(place, spec))[1][0].outputs == spec.part.outputs
        assert layer_key(place, spec) != chain_key(place, candidate, candidate.ranks()[0])
    assert read
