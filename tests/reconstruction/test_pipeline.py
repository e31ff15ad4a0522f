"""What the relay samples is what a whole pass over the accelerated network gives."""
import os
from functools import partial

import numpy as np
import pytest

from accnn import methods
from accnn.core.compat import mx
from accnn.graph.rewrite import replace_layers
from accnn.planning.accelerator import Accelerator
from accnn.planning.plan import Plan, Row
from accnn.reconstruction import pipeline
from accnn.reconstruction.images import ArrayImages
from accnn.reconstruction.pipeline import levels
from accnn.reconstruction.sampling import INPUT, Tap, sample
from networks import chain_model, random_model, residual_net


def branched_model():
    """Two branches of unequal depth, joined, and an addition that skips a layer."""
    data = mx.sym.var("data")

    def conv(source, name, width, kernel=(3, 3), pad=(1, 1)):
        layer = mx.sym.Convolution(source, name=name, num_filter=width, kernel=kernel, pad=pad)
        return mx.sym.Activation(layer, act_type="relu")

    stem = conv(data, "stem", 8)
    left, right = conv(conv(stem, "left_1", 8), "left_2", 8), conv(stem, "right", 8)
    joined = conv(mx.sym.concat(left, right, dim=1), "joined", 8)
    out = conv(joined + stem, "last", 8)
    pooled = mx.sym.Pooling(out, global_pool=True, pool_type="avg", kernel=(1, 1))
    return random_model(mx.sym.FullyConnected(mx.sym.flatten(pooled), num_hidden=3, name="fc"), data=(3, 9, 9))


MODELS = {"chain": lambda: chain_model(), "branched": branched_model,
          "residual": lambda: random_model(residual_net(), data=(3, 12, 12))}


def relayed(model, folder, positions=5, seed=3):
    """(from the relay, from whole passes): the samples of every split convolution, by name."""
    shape = {"data": infer_side(model)}
    bench = Accelerator(model, shape)
    images = ArrayImages({"data": np.random.RandomState(0).rand(11, *shape["data"]).astype(np.float32)}, 4)
    convs = [spec for spec in bench.layers if spec.op == "Convolution" and not bench.refusal(spec, methods.get("vh"))]
    plan = Plan(tuple(Row(spec.name, spec.op, "vh", 2) for spec in convs))
    replacements = {item.spec.name: item for item in bench.replacements(plan)}
    specs, done, found, direct = {spec.name: spec for spec in convs}, {}, {}, {}

    def sampled(model, images, shapes, taps, kept=(), sinks=None):
        return sample(model, images, shapes, taps, positions, seed, str(folder), None, kept, sinks)

    stages = pipeline.PrefixRunner(model, images, shape, sampled)
    for level in levels(model.graph, specs):
        some = [specs[name] for name in level]
        now = replace_layers(model, done.values())
        for spec, a, b in zip(some, stages.inputs(some, done, [name for name in specs if name not in done]),
                              sampled(now, images, shape, [Tap(spec, INPUT) for spec in some])):
            found[spec.name], direct[spec.name] = a.array(), b.array()
        done.update((name, replacements[name]) for name in level)
    return found, direct


def infer_side(model):
    return (3, 9, 9) if any(node.name == "joined" for node in model.graph.nodes) else (3, 12, 12)


@pytest.mark.parametrize("kind", MODELS)
def test_relay_samples_what_a_whole_pass_does(kind, tmp_path):
    found, direct = relayed(MODELS[kind](), tmp_path)
    assert len(found) >= 3
    for name in found:
        np.testing.assert_allclose(found[name], direct[name], rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("kind", MODELS)
def test_relay_runs_from_the_images_where_the_disk_is_small(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "DISK", 0)
    found, direct = relayed(MODELS[kind](), tmp_path)
    for name in found:
        np.testing.assert_array_equal(found[name], direct[name], err_msg=name)


def test_relay_keeps_the_maps_of_one_stage_only(tmp_path):
    relayed(chain_model(), tmp_path)
    kept = [name for name in os.listdir(tmp_path) if os.path.getsize(tmp_path / name) > 0]
    # Both kinds of samples of three layers, and what lies before the last stage.
    assert len(kept) <= 2 * 3 + 1


def test_later_stages_do_not_read_the_images(tmp_path):
    model, reads = chain_model(), []

    class Counted(ArrayImages):
        def batches(self, batch_size=None):
            reads.append(1)
            return super().batches(batch_size)

    images = Counted({"data": np.random.RandomState(0).rand(9, 3, 12, 12).astype(np.float32)}, 4)
    bench = Accelerator(model, {"data": (3, 12, 12)})
    specs = [spec for spec in bench.layers if spec.op == "Convolution"]
    sampled = partial(sample, positions=3, seed=0, folder=str(tmp_path))
    stages = pipeline.PrefixRunner(model, images, {"data": (3, 12, 12)},
                                   lambda model, images, shapes, taps, kept, sinks: sampled(
                                       model, images, shapes, taps, kept=kept, sinks=sinks))
    for place, spec in enumerate(specs):
        stages.inputs([spec], {}, [one.name for one in specs[place:]])
    assert len(reads) == 1
