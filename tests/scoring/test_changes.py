"""Answers that changed, and the images whose probabilities changed the most, beside plain NumPy."""
import numpy as np
import pytest

from accnn.scoring.changes import ChangeTally, log_probabilities
from accnn.scoring.forms import LOG_PROBABILITY, PROBABILITY, SCORE
from accnn.scoring.heads import Head


def softmax(scores):
    """ndarray of shape (n, classes): probabilities."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("form, total, of", [
    (SCORE, 1.0, lambda scores: scores + 1000), (PROBABILITY, 1.0, softmax),
    (PROBABILITY, 100.0, lambda one: 100 * softmax(one)),
    (LOG_PROBABILITY, 1.0, lambda one: np.log(softmax(one)))])
def test_every_form_gives_the_same_logarithms(form, total, of):
    scores = np.random.RandomState(0).standard_normal((5, 4))
    found = log_probabilities(of(scores)[:, :, None, None], Head("out", form, 4, total=total))
    np.testing.assert_allclose(found, np.log(softmax(scores)), rtol=1e-9)


def test_batches_are_counted_and_the_largest_kept():
    rng = np.random.RandomState(1)
    before, after = rng.standard_normal((2, 30, 4))
    labels = rng.randint(0, 4, 30)
    tally = ChangeTally(Head("new", SCORE, 4), Head("old", SCORE, 4), most=3)
    for first in (0, 10, 20):
        part = slice(first, first + 10)
        tally.add(first, (after[part], before[part]), (after[part].argmax(1), before[part].argmax(1)), labels[part])
    divergences = (softmax(before) * np.log(softmax(before) / softmax(after))).sum(axis=1)
    largest = np.argsort(-divergences)[:3]
    assert [one.position for one in tally.largest] == largest.tolist()
    np.testing.assert_allclose([one.divergence for one in tally.largest], divergences[largest], rtol=1e-9)
    assert [(one.label, one.before, one.after) for one in tally.largest] == [
        (labels[place], before[place].argmax(), after[place].argmax()) for place in largest]
    assert tally.images == 30 == sum(tally.pairs.values())
    for pair, count in tally.pairs.items():
        assert count == ((before.argmax(1) == pair[0]) & (after.argmax(1) == pair[1])).sum()


def test_networks_that_answer_alike_have_no_changes():
    same = np.eye(4)
    tally = ChangeTally(Head("new", PROBABILITY, 4), Head("old", PROBABILITY, 4))
    tally.add(0, (same, same), (same.argmax(1), same.argmax(1)), np.zeros(4, int))
    assert tally.largest == []
