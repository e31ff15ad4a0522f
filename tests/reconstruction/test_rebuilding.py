"""Chains of every method, rebuilt from samples: their errors counted anew by plain convolutions of whole images."""
from dataclasses import replace

import numpy as np
import pytest
from layers_for_tests import DepthwiseLast, InnerGroups, layer

from accnn import methods
from accnn.core.errors import AccnnError
from accnn.core.layers import SubConv, SubFC
from accnn.ranks.base import Candidate
from accnn.reconstruction import layer as solving
from accnn.reconstruction.patches import patches, responses
from accnn.reconstruction.rebuilding import Settling, rebuild
from accnn.reconstruction.streams import MomentSums
from reference import relative_error

CONVOLUTIONS = {
    "plain": SubConv("", 6, 8, (3, 3), pad=(1, 1)),
    "stride, dilate and pad": SubConv("", 5, 7, (3, 3), (2, 1), (1, 2), (1, 2)),
    "no bias": SubConv("", 6, 8, (3, 3), bias=False),
    "groups": SubConv("", 6, 9, (3, 3), (1, 1), (1, 1), groups=3),
    "depthwise": SubConv("", 6, 6, (3, 3), pad=(1, 1), groups=6, bias=False),
    "one by one": SubConv("", 9, 7, (1, 1), pad=(1, 1)),
    "rectangular": SubConv("", 4, 6, (5, 2), (2, 1), (2, 1)),
}
FULLY_CONNECTED = {"bias": SubFC("", 30, 12), "no bias": SubFC("", 20, 20, bias=False)}
OWN = {method.name: method for method in (InnerGroups(), DepthwiseLast())}


def cases():
    for name in methods.names() + list(OWN):
        method = OWN.get(name) or methods.get(name)
        for title, part in (CONVOLUTIONS if method.op == "Convolution" else FULLY_CONNECTED).items():
            if method.refuse(layer(part, images=1).spec) is None:
                yield pytest.param(method, part, id="%s-%s" % (name, title.replace(" ", "_")))


contract = pytest.mark.parametrize("method, part", list(cases()))


def relu(y):
    return np.maximum(y, 0)


def made(one, method, rank, folder, solver="linear", **post_ops):
    candidate = Candidate(one.spec, method, lambda: one.weight)
    replacement, outcome = rebuild(candidate, rank, one.bias, one.post_ops(**post_ops), one.evidence(folder), solver)
    return candidate, replacement, outcome


def few(part):
    return layer(part, images=200, side=7) if part.op == "FullyConnected" else layer(part)


def middle(method, spec):
    ranks = method.ranks(spec)
    return ranks[len(ranks) // 3]


@contract
def test_the_errors_are_those_of_whole_images_and_never_grow(tmp_path, method, part):
    one = few(part)
    rank = middle(method, one.spec)
    candidate, replacement, outcome = made(one, method, rank, tmp_path)
    assert outcome.after <= outcome.before
    if part.op != "Convolution" or part.groups == 1:  # else it is a mean of shares
        before = one.error(candidate.chain(rank), candidate.arrays(rank, one.bias))
        after = one.error(replacement.chain, replacement.arrays)
        assert outcome.before == pytest.approx(before, rel=1e-3) and outcome.after == pytest.approx(after, rel=1e-3)
    # Inputs are not exact, so that the layer's own factors cannot be the best.
    if method.name != DepthwiseLast.name:  # of which only the bias can be fitted
        assert outcome.solver == "linear" and outcome.after < outcome.before
        assert replacement.chain[-1].bias and replacement.arrays[-1][1].shape == (part.outputs,)
    assert [one.weight_shape for one in replacement.chain] == [w.shape for w, _ in replacement.arrays]


@contract
def test_full_rank_is_the_layer(tmp_path, method, part):
    one = few(part)
    if method.name in OWN:
        return
    one.read = one.exact
    _, replacement, outcome = made(one, method, method.full_rank(one.spec), tmp_path)
    assert outcome.after <= outcome.before < 1e-5
    assert one.error(replacement.chain, replacement.arrays, held=slice(None)) < 1e-5


@contract
def test_nonlinear_is_never_worse_behind_the_activation(tmp_path, method, part):
    one = few(part)
    rank, rng = middle(method, one.spec), np.random.RandomState(5)
    how = {"scale": rng.uniform(0.5, 1.5, part.outputs), "shift": rng.standard_normal(part.outputs) * 0.1,
           "nonlinearity": ("relu", {})}
    errors = {}
    for solver in ("linear", "nonlinear"):
        (tmp_path / solver).mkdir()
        candidate, replacement, outcome = made(one, method, rank, tmp_path / solver, solver, **how)
        errors[solver] = one.error(replacement.chain, replacement.arrays, how["scale"], lambda y: relu(
            y + how["shift"]))
    assert errors["nonlinear"] <= errors["linear"] * (1 + 1e-4)
    assert outcome.after <= outcome.before
    if method.name != DepthwiseLast.name and (part.op != "Convolution" or part.groups == 1):
        assert outcome.after == pytest.approx(errors["nonlinear"], rel=1e-3)


def test_a_chain_that_joins_groups_is_refused(tmp_path):
    one = layer(CONVOLUTIONS["groups"], images=2)
    with pytest.raises(AccnnError, match="joins the groups of the layer 'layer'.*`exclude='layer'`"):
        made(one, DepthwiseLast(), 1, tmp_path)


def test_one_part_alone_is_lstsq(tmp_path, monkeypatch):
    """The last part of a fully connected chain, with almost no ridge, on what the first makes of what is read."""
    monkeypatch.setattr(solving, "SWEEPS", 0)
    monkeypatch.setattr(solving, "RIDGES", (1e-9,))
    one = few(SubFC("", 30, 12))
    _, replacement, outcome = made(one, methods.get("fc-svd"), 5, tmp_path)
    first = replacement.arrays[0][0]
    fitted = np.arange(one.images) % 8 != 7
    seen = np.concatenate([one.read @ first.T, np.ones((one.images, 1))], 1)[fitted]
    wanted = np.linalg.lstsq(seen, one.answers[fitted], rcond=None)[0]
    assert relative_error(replacement.arrays[1][0], wanted[:-1].T) < 1e-3
    assert relative_error(replacement.arrays[1][1], wanted[-1]) < 1e-3
    assert outcome.samples == 175 and outcome.unknowns == 30


def test_channel_is_the_closed_form_of_the_paper(tmp_path, monkeypatch):
    """Without sweeps: M = U_d' S_d' V_d'^T of the responses to what is read, eq. (12) with a linear r."""
    monkeypatch.setattr(solving, "SWEEPS", 0)
    one = layer(CONVOLUTIONS["plain"], images=40)
    _, replacement, _ = made(one, methods.get("channel"), 3, tmp_path)
    fitted = np.arange(one.images) % 8 != 7
    y = _responses(one.read, one)[fitted].reshape(-1, 8).T
    z = one.answers.transpose(0, 2, 3, 1)[fitted].reshape(-1, 8).T
    y, z = y - y.mean(1, keepdims=True), z - z.mean(1, keepdims=True)
    u, s, v = np.linalg.svd(z @ y.T @ np.linalg.inv(y @ y.T) @ _root(y @ y.T))
    projector = u[:, :3] @ u[:, :3].T @ z @ y.T @ np.linalg.inv(y @ y.T)
    kernel = projector @ one.weight.reshape(8, -1)
    (first, _), (second, _) = replacement.arrays
    assert relative_error(second[:, :, 0, 0] @ first.reshape(3, -1), kernel) < 1e-2


def _responses(x, one):
    from reference import convolve

    return convolve(x, one.weight, one.bias, pad=one.spec.part.pad).transpose(0, 2, 3, 1)


def _root(gram):
    values, vectors = np.linalg.eigh(gram)
    return vectors * np.sqrt(values) @ vectors.T


@pytest.mark.parametrize("scale", [np.array([1.0, -1, 0, 2, 0, -0.5, 1, 1]), 0.0, -1.0])
@pytest.mark.parametrize("solver", ["linear", "nonlinear"])
@pytest.mark.parametrize("name", ["vh", "channel", "3d"])
def test_any_scale_of_batch_norm(tmp_path, name, scale, solver):
    one = few(CONVOLUTIONS["plain"])
    rank = middle(methods.get(name), one.spec)
    candidate, replacement, outcome = made(one, methods.get(name), rank, tmp_path, solver, scale=scale,
                                           nonlinearity=("relu", {}))
    assert all(np.isfinite(array).all() for arrays in replacement.arrays for array in arrays if array is not None)
    after = relu if solver == "nonlinear" else (lambda y: y)
    before, now = (one.error(chain, arrays, scale or 1.0 if np.isscalar(scale) else scale, after) for chain, arrays in (
        (candidate.chain(rank), candidate.arrays(rank, one.bias)), (replacement.chain, replacement.arrays)))
    assert outcome.after <= outcome.before
    assert now <= before * (1 + 1e-3) or (np.isscalar(scale) and scale == 0)


@pytest.mark.parametrize("name", ["vh", "channel", "3d", "fc-svd"])
def test_patches_too_wide_for_their_gram_matrix(tmp_path, monkeypatch, name):
    monkeypatch.setattr(solving, "WIDEST_PATCH", 5)
    method = methods.get(name)
    one = few(FULLY_CONNECTED["bias"] if name == "fc-svd" else CONVOLUTIONS["plain"])
    _, replacement, outcome = made(one, method, middle(method, one.spec), tmp_path)
    assert outcome.solver == "linear" and outcome.after < outcome.before
    assert outcome.after == pytest.approx(one.error(replacement.chain, replacement.arrays), rel=1e-3)


@pytest.mark.parametrize("images", [1, 2, 5, 70])
@pytest.mark.parametrize("solver", ["linear", "nonlinear"])
def test_fewer_samples_than_unknowns_never_make_it_worse(tmp_path, images, solver):
    """On images that nobody saw."""
    part, method = SubFC("", 100, 30), methods.get("fc-svd")
    new = layer(part, images=500)
    one = replace(new, exact=new.exact[:images], read=new.read[:images], answers=new.answers[:images])
    candidate, replacement, outcome = made(one, method, 10, tmp_path, solver, nonlinearity=("relu", {}))
    before = new.error(candidate.chain(10), candidate.arrays(10, new.bias), after=relu, held=slice(100, None))
    after = new.error(replacement.chain, replacement.arrays, after=relu, held=slice(100, None))
    assert after <= before * 1.02 and np.isfinite([outcome.before, outcome.after]).all()
    if images < 64:
        assert outcome.solver == "data-free" and outcome.before == outcome.after


@pytest.mark.parametrize("solver", ["linear", "nonlinear"])
@pytest.mark.parametrize("name", ["vh", "channel", "3d"])
@pytest.mark.parametrize("what", ["black", "constant", "dead inputs", "dead outputs", "dead layer"])
def test_degenerate_samples(tmp_path, name, what, solver):
    part = CONVOLUTIONS["plain"]
    one = few(part)
    if what in ("black", "constant"):
        one.read = one.exact = np.full_like(one.read, 0.0 if what == "black" else 0.7)
    elif what == "dead inputs":
        one.read[:, :4] = one.exact[:, :4] = 0
    else:
        one.weight[:4 if what == "dead outputs" else None] = 0
        one.bias[:4] = 0
    one.answers = _responses(one.exact, one).transpose(0, 3, 1, 2)
    rank = middle(methods.get(name), one.spec)
    candidate, replacement, outcome = made(one, methods.get(name), rank, tmp_path, solver, nonlinearity=("relu", {}))
    assert np.isfinite([outcome.before, outcome.after]).all() and outcome.after <= outcome.before
    assert all(np.isfinite(array).all() for arrays in replacement.arrays for array in arrays if array is not None)
    from reference import run_chain

    before, after = (np.square(run_chain(one.read, *chain) - one.answers).sum() for chain in (
        (candidate.chain(rank), candidate.arrays(rank, one.bias)), (replacement.chain, replacement.arrays)))
    assert after <= before * 1.01 + 1e-6


def test_same_samples_same_bytes(tmp_path):
    one = few(CONVOLUTIONS["plain"])
    results = []
    for run in "ab":
        (tmp_path / run).mkdir()
        results.append(made(one, methods.get("vh"), 5, tmp_path / run, "nonlinear", nonlinearity=("relu", {}))[1])
    for (a, b), (c, d) in zip(*(result.arrays for result in results)):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)
    assert results[0].chain == tuple(replace(part) for part in results[1].chain)


def test_a_fit_has_settled_when_half_of_the_images_tell_the_same():
    """Few samples of a layer with as many unknowns tell something else than twice as many; many tell the same."""
    made = layer(SubConv("", 4, 6, (3, 3), pad=(1, 1)), images=6000)
    method = methods.get("vh")
    candidate = Candidate(made.spec, method, lambda: made.weight, methods.Effort())
    at = np.arange(6000)[:, None] % 49
    read, answered = patches(made.read, made.spec, at), responses(made.answers, made.spec, at)
    settling = Settling(candidate, 2, made.bias, made.post_ops(), [None])
    found, sums = [], MomentSums(read.shape[1:], answered.shape[1:], 1, 6000)
    for first, last in ((0, 12), (12, 24), (24, 3000), (3000, 6000)):
        rows = slice(first, last)
        sums.responses.append(answered[rows])
        sums.append(read[rows])
        found.append(settling(sums))
    assert found == [False, False, False, True]
