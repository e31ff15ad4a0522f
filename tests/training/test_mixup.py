"""Blended images against plain NumPy, and a teacher that sees the very same ones."""
import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.scoring.heads import class_head
from accnn.training.matching import MatchingTally
from accnn.training.mixup import mixed
from accnn.training.objective import Distillation, Teacher, training_head
from accnn.training.trainer import Steps, _seed
from trainers import BATCH, CLASSES, SHAPE, arrays, batch, small_model, trainer


def by_hand(images, strength, random):
    order = random.permutation(len(images))
    shares = random.beta(strength, strength, len(images))
    return np.stack([share * image + (1 - share) * images[other]
                     for share, image, other in zip(shares, images, order)])


@pytest.mark.parametrize("strength", [0.2, 1.0])
def test_against_numpy(strength):
    images, _ = batch(3)
    found = mixed(mx.nd.array(images), strength, np.random.RandomState(5)).asnumpy()
    np.testing.assert_allclose(found, by_hand(images, strength, np.random.RandomState(5)), atol=1e-6)


def taught(**steps):
    """Trainer of the seed 4, whose teacher has the whole loss."""
    teacher = small_model(seed=7)
    head = class_head(teacher, {"data": SHAPE})
    return trainer(small_model(), seed=4, steps=Steps(**steps),
                   teacher=Teacher(teacher, head, {"data": SHAPE}, BATCH, [mx.cpu()], Distillation(1.0, 2.0)))


def test_network_and_teacher_see_the_same_images():
    blended, plain = taught(mixup=1.0), taught()
    for step in range(3):
        images, labels = batch(step)
        same = by_hand(images, 1.0, np.random.RandomState(_seed(4, 1, step, 0, 1)))
        first = blended.step(mx.nd.array(images), mx.nd.array(labels), 1, step)
        second = plain.step(mx.nd.array(same), mx.nd.array(labels), 1, step)
        assert first.labels.shape == (BATCH, CLASSES)
        for one, other in zip(first, second):
            np.testing.assert_allclose(one.asnumpy(), other.asnumpy(), rtol=1e-4)
    for name, array in arrays(blended.model()).items():
        np.testing.assert_allclose(array, arrays(plain.model())[name], atol=1e-5, err_msg=name)


def test_the_mean_of_what_a_teacher_says_to_an_image_and_to_its_mirror_image():
    model, (images, _) = small_model(seed=7), batch(0)
    head = class_head(model, {"data": SHAPE})

    def answers(pictures, mirrored=False):
        made = Teacher(model, head, {"data": SHAPE}, BATCH, [mx.cpu()], Distillation(1.0, 2.0, mirrored))
        return made.answers(mx.nd.array(pictures)).asnumpy()

    one, other = answers(images), answers(images[..., ::-1])
    assert abs(one - other).max() > 1e-3
    np.testing.assert_allclose(answers(images, True), (one + other) / 2, atol=1e-6)


def test_labels_do_not_matter_to_a_teacher_alone():
    made = [taught(mixup=0.5) for _ in range(2)]
    images, labels = batch(0)
    for one, shift in zip(made, (0, 1)):
        one.step(mx.nd.array(images), mx.nd.array((labels + shift) % CLASSES), 1, 0)
    first, second = (arrays(one.model()) for one in made)
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_divergence_from_the_teacher():
    random = np.random.RandomState(0)
    mine, theirs = (random.dirichlet(np.ones(CLASSES), 30) for _ in range(2))
    tally = MatchingTally(training_head(CLASSES))
    tally.add(mine[:10], theirs[:10])
    tally.add(mine[10:], theirs[10:])
    assert tally.images == 30 and tally.right[1] == (mine.argmax(1) == theirs.argmax(1)).sum()
    assert abs(tally.loss - (theirs * np.log(theirs / mine)).sum()) < 1e-6
    tally.add(np.eye(CLASSES), np.eye(CLASSES))
    assert np.isfinite(tally.loss)
