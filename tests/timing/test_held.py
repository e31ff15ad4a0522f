"""What a measuring process holds from one job to the next, so that a network is read and bound once."""
import os

import numpy as np
import pytest

from accnn.core.errors import AccnnError
from accnn.timing import held, networks, planned
from accnn.timing.job import Job, NetworksJob, PrepareJob
from networks import chain_model, saved

SHAPES = {"data": (3, 12, 12)}
PLAN = {"conv2": "8,12,12|conv 8-4 3x1 p1x0|conv 4-12 1x3 p0x1 b"}


@pytest.fixture(autouse=True)
def nothing_is_held():
    held.forget()
    yield
    held.forget()


@pytest.fixture
def prefix(tmp_path):
    return saved(chain_model(), tmp_path / "net")


def test_a_checkpoint_is_read_again_where_its_files_are_others(prefix):
    first = held.stored_model(prefix, 1)
    assert held.stored_model(prefix) is first and held.stored_model(prefix + "") is first
    bound = held.network(first, SHAPES, 1)
    saved(chain_model(seed=3), prefix)
    again = held.stored_model(prefix, 1)
    assert again is not first and held.take(first, SHAPES, 1) is None and bound is not None
    assert (again.model.weight("conv1_weight") != first.model.weight("conv1_weight")).any()


def test_what_is_not_there_is_told_as_ever(prefix, tmp_path):
    with pytest.raises(AccnnError, match="nowhere"):
        held.stored_model(str(tmp_path / "nowhere"))
    with pytest.raises(AccnnError, match="-0007.params"):
        held.stored_model(prefix, 7)


def test_one_network_is_held_until_it_is_taken(prefix):
    stored = held.stored_model(prefix)
    first = held.network(stored, SHAPES, 1)
    assert held.network(stored, dict(SHAPES), 1) is first
    assert held.take(stored, SHAPES, 2) is None and held.take(stored, SHAPES, 1) is first
    assert held.take(stored, SHAPES, 1) is None
    assert held.network(stored, SHAPES, 2).batch_size == 2 and held.take(stored, SHAPES, 1) is None


def test_what_is_held_is_not_the_first_that_ran(prefix, monkeypatch):
    """The first stays some percent slower, and would make every plan look faster than it is."""
    made, real = [], held.BoundNetwork
    monkeypatch.setattr(held, "BoundNetwork", lambda *a: made.append(real(*a)) or made[-1])
    assert held.network(held.stored_model(prefix), SHAPES, 1) is made[1] and len(made) == 2


def test_norms_of_the_model_that_is_held_are_computed_once(prefix, monkeypatch):
    model, other = held.stored_model(prefix).model, chain_model(seed=5)
    for one in (model, other, model):
        assert held.norm(one, "conv1_weight") == pytest.approx(np.linalg.norm(one.weight("conv1_weight")))
    assert held.norm(model, "conv1_weight") != held.norm(other, "conv1_weight")
    monkeypatch.setattr(type(model), "weight", None)
    assert held.norm(model, "conv1_weight") > 0


def test_the_original_is_bound_once_for_a_search_and_for_what_is_written(prefix, tmp_path, monkeypatch):
    bound, real = [], held.BoundNetwork
    monkeypatch.setattr(held, "BoundNetwork", lambda *a: bound.append(a) or real(*a))
    planned.prepare(PrepareJob(prefix))
    job = NetworksJob(prefix, 1, tuple(SHAPES.items()), (PLAN,), rounds=1)
    first, second = planned.measure_plans(job), planned.measure_plans(job)
    assert len(bound) == 2 and first["plans"][0]["measured"]["median"] > 0 < second["baseline"]["median_ms"]
    faster = saved(planned.planned(chain_model(), SHAPES, PLAN, np.random.RandomState(0)),
                   tmp_path / "new")
    monkeypatch.setattr(networks, "bound", lambda model, *rest: bound.append(model) or real(model, *rest[:2]))
    found = networks.measure(Job(faster, prefix, input_shapes=tuple(SHAPES.items()), quick=True, repeats=2))
    assert len(bound) == 3 and "conv2_0_weight" in bound[2].arg_params
    assert found["runs"][0]["measured"]["median"] > 0 and os.path.isfile(faster + "-0001.params")
