"""Training images: the same again for the same epoch, none twice, and the same steps for any number of workers."""
import numpy as np
import pytest

from accnn.core.errors import AccnnError
from accnn.data.images import Preprocessing
from accnn.data.kept import MOST_BYTES
from accnn.data.records import Records, open_records
from accnn.data.stream import Augmentation, TrainingStream
from pictures import items, packed, read

SHAPE = (3, 12, 11)
PLAIN = Augmentation(rand_crop=False, rand_mirror=False)


@pytest.fixture(scope="module")
def rec(tmp_path_factory):
    return packed(tmp_path_factory.mktemp("pictures") / "a", items(43))


def stream(rec, batch_size=8, changes=PLAIN, threads=1, **how):
    return TrainingStream(open_records(rec), Preprocessing(SHAPE, threads=threads), changes, batch_size, **how)


@pytest.fixture(params=[0, MOST_BYTES], ids=["read", "kept"])
def most(request):
    """Pictures that are decoded for every epoch, and those that are kept."""
    return request.param


def steps(made, epoch=1, skip=0):
    """list of (images, labels) as ndarrays."""
    return [(images.asnumpy(), labels.asnumpy()) for images, labels in made.epoch(epoch, skip)]


def equal(first, second):
    return len(first) == len(second) and all(
        np.array_equal(a, b) for one, other in zip(first, second) for a, b in zip(one, other))


def numbers(rec, made):
    """list of list of int: which records the steps hold; pixels and label must be theirs."""
    images, labels = read(rec, SHAPE)
    found = []
    for some, said in made:
        rows = [int(np.argmin(np.abs(images - row).sum(axis=(1, 2, 3)))) for row in some]
        np.testing.assert_allclose(some, images[rows], atol=1e-4)
        assert [labels[row] for row in rows] == said.tolist()
        found.append(rows)
    return found


@pytest.mark.parametrize("batch_size", [1, 5, 8, 16, 43])
def test_every_record_once_and_other_epochs_in_another_order(rec, batch_size, most):
    made = stream(rec, batch_size, most=most)
    orders = [numbers(rec, steps(made, epoch)) for epoch in (1, 2)]
    for order in orders:
        assert len(order) == made.steps == 43 // batch_size
        flat = sum(order, [])
        assert len(set(flat)) == len(flat) == made.steps * batch_size
    assert orders[0] != orders[1] and sum(orders[0], []) != sorted(sum(orders[0], []))


@pytest.mark.parametrize("changes", [PLAIN, Augmentation(), Augmentation(
    pad=2, random_h=30, random_s=30, random_l=30, max_rotate_angle=20),
    Augmentation(random_resized_crop=True, min_random_area=0.3, max_aspect_ratio=0.3)])
def test_seed_and_epoch_decide(rec, changes, most):
    def made(seed):
        return stream(rec, changes=changes, seed=seed, most=most)

    first, again = steps(made(3), 2), made(3)
    assert not equal(first, steps(again, 3))
    assert equal(first, steps(again, 2)) and equal(first[2:], steps(made(3), 2, skip=2))
    assert not equal(first, steps(made(4), 2))


@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize("batch_size", [8, 16])
def test_workers_see_in_every_step_what_one_sees(tmp_path, workers, batch_size, most):
    rec = packed(tmp_path / "a", items(48))
    for changes in (PLAIN, Augmentation()):
        one = steps(stream(rec, batch_size, changes, threads=4, most=most))
        parts = [steps(stream(rec, batch_size // workers, changes, threads=4, rank=rank, workers=workers, most=most))
                 for rank in range(workers)]
        assert equal(one, [tuple(np.concatenate([part[step][place] for part in parts]) for place in (0, 1))
                           for step in range(len(one))])


@pytest.mark.parametrize("count", range(16, 30))
def test_two_workers_lose_no_step(tmp_path, count, most):
    rec = packed(tmp_path / "a", items(count))
    one = stream(rec, 8, most=most)
    assert one.steps == count // 8
    seen = [numbers(rec, steps(stream(rec, 4, rank=rank, workers=2, most=most))) for rank in (0, 1)]
    assert [a + b for a, b in zip(*seen)] == numbers(rec, steps(one))


def test_three_workers_share_the_records(rec, most):
    seen = [numbers(rec, steps(stream(rec, 4, rank=rank, workers=3, most=most))) for rank in range(3)]
    flat = sum((sum(part, []) for part in seen), [])
    assert len({len(part) for part in seen}) == 1 and len(flat) == len(set(flat)) == 36


def test_all_readers_of_an_epoch_share_one_index(tmp_path, monkeypatch):
    """Of 50,000 records, eight of them took most of the half second and more in which an epoch began."""
    plain, opened = Records.iterator_arguments, []
    monkeypatch.setattr(Records, "iterator_arguments", lambda self: opened.append(self) or plain(self))
    made = stream(packed(tmp_path / "a", items(48)), most=0)
    assert len(steps(made)) == 6 and len(made._mine) == 8 and len(opened) == 1


def test_a_limit(rec, most):
    whole = steps(stream(rec, most=most))
    assert equal(steps(stream(rec, limit=20, most=most)), whole[:2])
    assert equal(steps(stream(rec, limit=1000, most=most)), whole)
    few = steps(stream(rec, limit=3, most=most))  # not worth decoding all of them
    assert len(few) == 1 and equal(few, steps(stream(rec, most=0))[:1])


def test_random_crops_and_mirrors_are_pieces_of_the_picture(rec):
    images, _ = read(rec, (3, 14, 13))
    pieces = {}
    for some, _ in steps(stream(rec, changes=Augmentation(), seed=5, most=0)):
        for row in some:
            found = [(number, top, left, mirrored) for number, whole in enumerate(images) for top in range(3)
                     for left in range(3) for mirrored in (1, -1)
                     if np.allclose(whole[:, top:top + 12, left:left + 11][:, :, ::mirrored], row, atol=1e-4)]
            assert len(found) == 1
            pieces[found[0][1:]] = pieces.get(found[0][1:], 0) + 1
    assert len(pieces) > 6 and {mirrored for _, _, mirrored in pieces} == {1, -1}


def test_batches_of_an_epoch_are_changed_each_in_its_own_way(tmp_path, most):
    """64 times the same picture: crops are told by the pixels."""
    same = packed(tmp_path / "same", items(1) * 64)
    made = [some for some, _ in steps(stream(same, changes=Augmentation(pad=4), most=most))]
    assert len(made) == 8 and len({some.tobytes() for some in made}) == 8
    assert len({row.tobytes() for some in made for row in some}) > 32  # of 2 * 11 * 11


def test_fewer_images_than_a_batch(rec):
    with pytest.raises(AccnnError, match="holds 43 images, fewer than a batch of 44"):
        stream(rec, 44)
    with pytest.raises(AccnnError, match="fewer than a batch of 44"):
        stream(rec, 22, workers=2)
