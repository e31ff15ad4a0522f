"""Chains fitted from what their last part reads alone: against moments of samples, and plain least squares."""
import numpy as np
import pytest
from layers_for_tests import layer
from test_moments import check

from accnn import methods
from accnn.core.layers import SubConv, SubFC
from accnn.ranks.base import Candidate
from accnn.reconstruction import quick_fits
from accnn.reconstruction.quick_fits import FeatureSplit, answers_of
from accnn.reconstruction.rebuilding import rebuild
from accnn.reconstruction.samples import CalibrationSplit
from reference import run_chain

PARTS = {"plain": SubConv("", 6, 8, (3, 3), pad=(1, 1)), "groups": SubConv("", 6, 9, (3, 3), pad=(1, 1), groups=3),
         "fc": SubFC("", 30, 12)}


@pytest.fixture
def read(monkeypatch):
    """list: one entry for every time that samples are read."""
    seen, real = [], CalibrationSplit.moments

    def moments(self, matrix=None, ample=None):
        seen.append(matrix)
        return real(self, matrix, ample)

    monkeypatch.setattr(CalibrationSplit, "moments", moments)
    return seen


def test_moments_of_combinations_are_told_without_the_samples(tmp_path, read):
    evidence, = layer(PARTS["plain"]).evidence(tmp_path)
    split, rng = FeatureSplit(evidence), np.random.RandomState(0)
    large, alone = rng.standard_normal((12, 54)), rng.standard_normal((3, 54))
    asked = [large, -large[[3, 1]], rng.standard_normal((5, 12)) @ large, alone, large]
    for matrix in asked:
        for moments, some in zip(split.moments(matrix), (~evidence.held, evidence.held)):
            check(moments, (evidence.features(np.eye(54)) @ matrix.T)[some], evidence.responses()[some], 1e-3)
    assert [matrix is one for one, matrix in zip((large, alone, large), read)] == [True] * 3 == [True] * len(read)
    assert (split.width, split.fitted, split.available, split.enough, split.root) == (
        54, evidence.fitted, evidence.fitted, True, None)


@pytest.mark.parametrize("name, method", [("plain", "vh"), ("plain", "tucker"), ("groups", "vh"), ("fc", "fc-svd")])
def test_the_last_part_is_that_of_least_squares(tmp_path, name, method, monkeypatch):
    """As many samples as these leave no room for a ridge."""
    monkeypatch.setattr(quick_fits, "_AMPLE", 10000)
    one = layer(PARTS[name], images=200, noise=0.05)
    candidate = Candidate(one.spec, methods.get(method), lambda: one.weight)
    rank = candidate.ranks()[len(candidate.ranks()) // 3]
    evidence = one.evidence(tmp_path)
    made, outcome = rebuild(candidate, rank, one.bias, one.post_ops(), [FeatureSplit(some) for some in evidence])
    best = 0.0
    for group, answer in enumerate(answers_of(candidate, made)):
        split = evidence[group]
        kernel = answer.left if answer.features is None else answer.left @ answer.features
        x, y = split.features(np.eye(split.width)).astype(np.float64), split.responses().astype(np.float64)
        basis = np.linalg.svd(kernel)[2][:np.linalg.matrix_rank(kernel, 1e-4)]
        train, held = ~split.held, split.held
        ones = np.ones((len(x), 1))
        seen = np.concatenate([x @ basis.T, ones], 1)
        solution = np.linalg.lstsq(seen[train], y[train], rcond=None)[0]
        best += np.square(y - seen @ solution)[held].sum() / np.square(y[held] - y[held].mean(0)).sum()
    assert outcome.after == pytest.approx(best / len(evidence), rel=0.05) and outcome.after < outcome.before


def test_ample_samples_are_read_and_no_more(tmp_path):
    one = layer(PARTS["plain"], images=200)
    split, = one.evidence(tmp_path)
    rng = np.random.RandomState(0)
    assert sum(some.count for some in FeatureSplit(split).moments(rng.standard_normal((3, 54)))) == 4096
    assert sum(some.count for some in FeatureSplit(split).moments(rng.standard_normal((350, 54)))) == 8192
    assert sum(some.count for some in split.moments(rng.standard_normal((3, 54)))) == 9800


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_responses_are_reduced_by_reduced_rank_regression(tmp_path, rank):
    one = layer(PARTS["plain"], images=60)
    candidate = Candidate(one.spec, methods.get("channel"), lambda: one.weight)
    split, = one.evidence(tmp_path)
    outcome = rebuild(candidate, rank, one.bias, one.post_ops(), [FeatureSplit(split)])[1]
    z = split.features(one.weight.reshape(8, -1).astype(np.float64)).astype(np.float64).T
    y = split.responses().astype(np.float64).T
    train, held = ~split.held, split.held
    z, y = z - z[:, train].mean(1, keepdims=True), y - y[:, train].mean(1, keepdims=True)
    regression = y[:, train] @ np.linalg.pinv(z[:, train])
    basis = np.linalg.svd(regression @ z[:, train], full_matrices=False)[0][:, :rank]
    missed = np.square((y - basis @ (basis.T @ regression @ z))[:, held]).sum()
    assert outcome.after == pytest.approx(
        missed / np.square(y[:, held] - y[:, held].mean(1, keepdims=True)).sum(), rel=0.01)


@pytest.mark.parametrize("name, method", [("plain", "3d"), ("groups", "vh"), ("fc", "fc-svd")])
def test_answers_are_those_of_the_chain(tmp_path, name, method):
    one = layer(PARTS[name], images=3)
    candidate = Candidate(one.spec, methods.get(method), lambda: one.weight)
    rank = candidate.ranks()[0]
    made, _ = rebuild(candidate, rank, one.bias, one.post_ops(), one.evidence(tmp_path))
    answers = answers_of(candidate, made)
    dense = [one.left if one.features is None else one.left @ one.features for one in answers]
    weight, bias = np.concatenate(dense), np.concatenate([one.bias for one in answers])
    expected = run_chain(one.read, made.chain, made.arrays)
    found = run_chain(one.read, (one.spec.part,), [(weight.reshape(one.weight.shape), bias.astype(np.float32))])
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
