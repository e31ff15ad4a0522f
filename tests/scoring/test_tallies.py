"""Answers counted as mx.metric and plain loops count them."""
import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.runtime.distributed import Job
from accnn.scoring.fidelity import FidelityTally
from accnn.scoring.heads import LOG_PROBABILITY, PROBABILITY, SCORE, Head
from accnn.scoring.tally import PairTally, Tally, drop_interval
from reference import relative_error

CLASSES, IMAGES = 9, 200


def softmax(scores):
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.fixture
def drawn():
    rng = np.random.RandomState(0)
    scores = rng.standard_normal((IMAGES, CLASSES)).astype(np.float32) * 3
    return scores, rng.randint(0, CLASSES, IMAGES)


def counted(output, labels, form, batch=17, **how):
    tally = Tally(Head("out", form, CLASSES, None, None), **how)
    best = [tally.add(output[i:i + batch], labels[i:i + batch]) for i in range(0, len(labels), batch)]
    return tally.summed(Job()), np.concatenate(best)


def metric(which, probabilities, labels):
    which.update([mx.nd.array(labels)], [mx.nd.array(probabilities)])
    return which.get()[1]


def test_the_same_as_mxnets_metrics(drawn):
    scores, labels = drawn
    probabilities = softmax(scores)
    tally, best = counted(probabilities, labels, PROBABILITY, top_k=(1, 2, 5, CLASSES), confusion=True)
    assert tally.images == IMAGES and (best == probabilities.argmax(axis=1)).all()
    assert tally.right[1] == round(metric(mx.metric.Accuracy(), probabilities, labels) * IMAGES)
    for k in (2, 5):
        assert tally.right[k] == round(metric(mx.metric.TopKAccuracy(k), probabilities, labels) * IMAGES)
    assert tally.right[CLASSES] == IMAGES
    assert tally.loss / IMAGES == pytest.approx(metric(mx.metric.CrossEntropy(), probabilities, labels), rel=1e-5)
    by_hand = np.zeros((CLASSES, CLASSES), int)
    for true, answer in zip(labels, best):
        by_hand[true, answer] += 1
    assert (tally.confusion == by_hand).all()
    assert (tally.of_class == by_hand.sum(axis=1)).all() and (tally.right_of_class == np.diag(by_hand)).all()


@pytest.mark.parametrize("form, change", [(SCORE, lambda s: s + 1000), (SCORE, lambda s: np.log(softmax(s))),
                                          (PROBABILITY, softmax), (LOG_PROBABILITY, lambda s: np.log(softmax(s))),
                                          (PROBABILITY, lambda s: softmax(s)[:, :, None, None])])
def test_all_forms_have_one_cross_entropy(drawn, form, change):
    scores, labels = drawn
    wanted = -np.log(softmax(scores.astype(np.float64)))[np.arange(IMAGES), labels].sum()
    tally, _ = counted(change(scores), labels, form)
    assert tally.loss == pytest.approx(wanted, rel=1e-4)


def test_of_equal_answers_the_lowest_class_counts():
    tally, best = counted(np.zeros((3, CLASSES)), np.array([0, 1, 4]), SCORE, top_k=(1, 2, 5))
    assert (best == 0).all() and tally.right == {1: 1, 2: 2, 5: 3}


def test_certainty_is_a_finite_loss():
    sure = np.eye(CLASSES, dtype=np.float32)[[0, 0]]
    tally, _ = counted(sure, np.array([0, 1]), PROBABILITY)
    assert tally.loss == pytest.approx(-np.log(1e-12), rel=1e-6)


def test_pairs_by_brute_force():
    rng = np.random.RandomState(1)
    first, second, labels = rng.randint(0, 3, (3, 100))
    pair = PairTally()
    for start in range(0, 100, 33):
        pair.add(*(some[start:start + 33] for some in (first, second, labels)))
    pair = pair.summed(Job())
    rows = list(zip(first, second, labels))
    assert pair.images == 100 and pair.agree == sum(a == b for a, b, _ in rows)
    assert pair.only_first == sum(a == t != b for a, b, t in rows)
    assert pair.only_second == sum(b == t != a for a, b, t in rows)


@pytest.mark.parametrize("images, lost, gained", [(200, 0.05, 0.02), (1000, 0.01, 0.01), (5000, 0.1, 0.02),
                                                  (600, 0.005, 0.0), (100, 0.3, 0.1)])
def test_the_interval_covers_the_true_drop(images, lost, gained):
    draws = np.random.RandomState(0).multinomial(images, [lost, gained, 1 - lost - gained], 4000)
    inside = [low <= lost - gained <= high for low, high in (drop_interval(b, a, images) for b, a, _ in draws)]
    assert 0.935 <= np.mean(inside) <= (1 if min(lost, gained) * images < 5 else 0.975)


def test_the_interval_by_hand():
    low, high = drop_interval(30, 10, 998)   # 30.5 and 10.5 of 1000
    width = 1.96 * np.sqrt(41 / 1000 - 0.02 ** 2) / np.sqrt(1000)
    assert (low, high) == pytest.approx((0.02 - width, 0.02 + width), abs=1e-6)
    assert drop_interval(1, 0, 1)[1] <= 1 and drop_interval(0, 1, 1)[0] >= -1


def test_fidelity():
    rng = np.random.RandomState(0)
    before = [rng.standard_normal((20, 3, 2)).astype(np.float32), np.zeros((20, 4), np.float32)]
    after = [before[0] + 1e-3 * rng.standard_normal((20, 3, 2)).astype(np.float32), before[1] + 1]
    tally = FidelityTally(["a", "b"])
    for rows in (slice(0, 13), slice(13, 20)):
        tally.add([x[rows] for x in after], [x[rows] for x in before], len(before[0][rows]))
    found = tally.summed(Job()).relative_errors()
    assert found["a"] == pytest.approx(relative_error(after[0], before[0]), rel=1e-6) and found["b"] is None
    assert tally.images == 20
