"""Block-term decomposition against a plain NumPy greedy one, its iteration, and the ranks that rules choose from."""
import re

import numpy as np
import pytest
from test_tucker import plain_hooi

from accnn import costs, methods
from accnn.core.errors import AccnnError
from accnn.core.layers import LayerSpec, SubConv
from accnn.methods.hooi import squared_norm
from accnn.methods.pci import PrincipalComponentIteration, starts
from reference import relative_error

BTD = methods.get("btd")


def _spec(part, side=20):
    return LayerSpec("conv", part, (part.in_channels, side, side), "w", "b", "Convolution")


def _weight(shape, seed=0):
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


def _structured(shape, rank, seed=1):
    """A kernel (N, C, 3, 3) that is a sum of such blocks."""
    draw, s, t = np.random.RandomState(seed).standard_normal, rank[0] // rank[2], rank[1] // rank[2]
    return sum(np.einsum("tsyx,nt,cs->ncyx", draw((t, s, 3, 3)), draw((shape[0], t)), draw((shape[1], s)))
               for _ in range(rank[2])).astype(np.float32)


def _made(weight, rank, effort=None):
    """The kernel of the chain, block by block."""
    part = SubConv("", weight.shape[1], weight.shape[0], weight.shape[2:])
    arrays = BTD.factor(weight, np.zeros(len(weight)), _spec(part), rank, effort or methods.Effort())
    reduced, cores, restored = (array for array, _ in arrays)
    inner, outer = rank[0] // rank[2], rank[1] // rank[2]
    return sum(np.einsum("sc,tsyx,nt->ncyx", reduced[r * inner:(r + 1) * inner, :, 0, 0],
                         cores[r * outer:(r + 1) * outer], restored[:, r * outer:(r + 1) * outer, 0, 0])
               for r in range(rank[2]))


def _greedy(weight, rank):
    """One Tucker-2 of what is left after the other: what the paper sets out from."""
    left = weight.astype(np.float64)
    for _ in range(rank[2]):
        left = left - plain_hooi(left, rank[0] // rank[2], rank[1] // rank[2], 50)
    return weight - left


def test_names_and_parts():
    parts = BTD.chain(_spec(SubConv("", 8, 6, (3, 5), (2, 3), (1, 2), (1, 2))), (4, 6, 2))
    assert parts == (SubConv("_r", 8, 4, (1, 1), bias=False),
                     SubConv("_g", 4, 6, (3, 5), (2, 3), (1, 2), (1, 2), groups=2, bias=False),
                     SubConv("_p", 6, 6, (1, 1), bias=True))


def test_the_ratio_is_that_of_equation_3():
    """conv2 of AlexNet at the rank of the paper's table 1, there without groups of the layer itself."""
    s, t, kernel, inner, outer, count = 96, 256, 5, 40, 120, 20
    spec = _spec(SubConv("", s, t, (kernel, kernel), pad=(2, 2)), side=27)
    counted = costs.get("macs").layer(spec) / costs.get("macs").chain(spec, BTD.chain(spec, (inner, outer, count)))
    assert counted == pytest.approx(
        s * t * kernel ** 2 / (s * inner + inner * outer * kernel ** 2 / count + t * outer), rel=1e-12)


@pytest.mark.parametrize("shape, rank", [((16, 12, 3, 3), (6, 8, 2)), ((24, 24, 3, 3), (12, 12, 4)),
                                         ((20, 30, 5, 1), (15, 10, 5))])
def test_it_is_better_than_greedy(shape, rank):
    weight = _weight(shape)
    assert relative_error(_made(weight, rank), weight) < relative_error(_greedy(weight, rank), weight)


def test_principal_component_iteration_alone_never_climbs_and_beats_greedy():
    weight, rank = _weight((24, 32, 3, 3)), (16, 12, 4)
    tensor = np.ascontiguousarray(weight.transpose(2, 3, 0, 1).reshape(9, 24, 32))
    iteration = PrincipalComponentIteration(tensor, rank, starts(tensor, rank))
    left = [squared_norm(tensor)] + [iteration.sweep() for _ in range(30)]
    assert all(after <= before * (1 + 1e-6) for before, after in zip(left, left[1:]))
    assert np.sqrt(left[-1] / left[0]) < relative_error(_greedy(weight, rank), weight)
    # The residual is carried on, never computed anew: what rounding adds up to.
    assert np.abs(iteration.residual - iteration.blocks.residual(tensor)).max() <= 1e-5 * np.abs(tensor).max()
    assert relative_error(_made(weight, rank), weight) <= np.sqrt(left[-1] / left[0])


@pytest.mark.parametrize("rank", [(6, 6, 3), (12, 9, 3)])
def test_a_sum_of_such_blocks_is_recovered(rank):
    """Where the blocks leave each other room, the decomposition is essentially unique; not every start finds it."""
    weight = _structured((30, 40), rank)
    effort = methods.Effort(restarts=4, iterations=1000, tolerance=1e-9)
    assert relative_error(_made(weight, rank, effort), weight) <= 1e-3


def test_one_block_is_tucker():
    weight = _weight((16, 12, 3, 3))
    part = SubConv("", 12, 16, (3, 3))
    one, tucker = (methods.get(name).decompose(weight, _spec(part)).energy(rank)
                   for name, rank in (("btd", (5, 6, 1)), ("tucker", (5, 6))))
    assert one == pytest.approx(tucker, abs=1e-3)


def test_blocks_are_better_than_tucker_that_costs_the_same():
    """A kernel with structure in both: the reason for the method."""
    weight = _structured((48, 48), (40, 40, 5)) + 10 * _weight((48, 48, 3, 3))
    part = SubConv("", 48, 48, (3, 3), pad=(1, 1))
    spec, macs = _spec(part), costs.get("macs")
    budget = macs.chain(spec, BTD.chain(spec, (40, 40, 5)))
    tucker = methods.get("tucker")
    pair = [pair for pair in tucker.ranks(spec) if macs.chain(spec, tucker.chain(spec, pair)) <= budget][-1]
    assert BTD.decompose(weight, spec).energy((40, 40, 5)) > tucker.decompose(weight, spec).energy(pair)


def test_the_same_seed_gives_the_same_bytes_and_restarts_are_no_worse():
    weight, part = _weight((24, 16, 3, 3)), SubConv("", 16, 24, (3, 3))
    efforts = [methods.Effort(seed=3, restarts=3), methods.Effort(seed=3, restarts=3), methods.Effort()]
    made = [BTD.decompose(weight, _spec(part), effort) for effort in efforts]
    first, second, _ = (one.factors(weight, (8, 12, 4)) for one in made)
    assert [a.tobytes() for a in first] == [a.tobytes() for a in second]
    assert made[0].energy((8, 12, 4)) >= made[2].energy((8, 12, 4))


def test_bases_of_every_block_are_orthonormal():
    weight = _weight((24, 16, 3, 3))
    (reduced, _), _, (restored, _) = BTD.factor(weight, np.zeros(24), _spec(SubConv("", 16, 24, (3, 3))), (8, 12, 4))
    for r in range(4):
        inputs, outputs = reduced[2 * r:2 * r + 2, :, 0, 0], restored[:, 3 * r:3 * r + 3, 0, 0]
        np.testing.assert_allclose(inputs @ inputs.T, np.eye(2), atol=1e-5)
        np.testing.assert_allclose(outputs.T @ outputs, np.eye(3), atol=1e-5)


def test_iterations_that_run_out_are_told():
    weight, part = _weight((24, 16, 3, 3)), SubConv("", 16, 24, (3, 3))
    for iterations, told in ((2, True), (500, False)):
        made = BTD.decompose(weight, _spec(part), methods.Effort(iterations=iterations))
        made.factors(weight, (8, 12, 4))
        assert bool(made.remark((8, 12, 4))) == told


@pytest.mark.parametrize("channels, filters, some", [
    (64, 64, [(8, 8, 1), (16, 16, 2), (64, 64, 8), (64, 64, 4), (64, 64, 2), (64, 64, 1)]),
    (64, 256, [(8, 8, 1), (64, 64, 8), (64, 128, 8), (64, 256, 8), (64, 256, 4), (64, 256, 1)]),
    (256, 64, [(8, 8, 1), (64, 64, 8), (128, 64, 8), (256, 64, 8), (256, 64, 1)]),
    (3, 64, [(3, 3, 1), (3, 16, 1), (3, 27, 1)]), (512, 512, [(8, 8, 1), (512, 512, 64), (512, 512, 32)])])
def test_ranks_are_one_path_on_which_every_chain_can_do_what_the_one_before_can(channels, filters, some):
    spec = _spec(SubConv("", channels, filters, (3, 3), pad=(1, 1)))
    path, macs = BTD.ranks(spec), costs.get("macs")
    assert set(some) <= set(path) and path[0] == some[0] and path[-1] == BTD.full_rank(spec)
    spent = [macs.chain(spec, BTD.chain(spec, rank)) for rank in path]
    for (small, larger), (less, more) in zip(zip(path, path[1:]), zip(spent, spent[1:])):
        BTD.check_rank(spec, larger)
        assert BTD.contains(spec, larger, small) and not BTD.contains(spec, small, larger) and less < more


@pytest.mark.parametrize("channels, filters", [(48, 192), (96, 256), (20, 24), (100, 7), (5, 384)])
def test_ranks_of_odd_sizes_are_dearer_step_by_step(channels, filters):
    spec, macs = _spec(SubConv("", channels, filters, (3, 3), pad=(1, 1))), costs.get("macs")
    path = BTD.ranks(spec)
    spent = [macs.chain(spec, BTD.chain(spec, rank)) for rank in path]
    assert path[-1] == BTD.full_rank(spec) and all(less < more for less, more in zip(spent, spent[1:]))
    for rank in path:
        BTD.check_rank(spec, rank)


@pytest.mark.parametrize("align", [8, 16])
def test_aligned_ranks_are_many(align):
    for part in (SubConv("", 64, 64, (3, 3)), SubConv("", 64, 256, (3, 3)), SubConv("", 512, 512, (3, 3))):
        assert len(BTD.aligned(_spec(part), align)) >= 6


@pytest.mark.parametrize("rank, why", [
    ((5, 8, 2), "divides both numbers in front of it, as in (4, 8, 2)"), ((8, 9, 4), "as in (8, 8, 4)"),
    ((2, 2, 4), "divides both"), ((0, 8, 2), "(1, 1, 1) to (16, 24, 1)"), ((8, 8, 0), "(1, 1, 1) to (16, 24, 1)"),
    ((18, 8, 2), "(1, 1, 1) to (16, 24, 1)"), ((8, 26, 2), "to (16, 24, R)"), ((8, 8), "(1, 1, 1) to"), (8, "(1, 1,")])
def test_ranks_that_do_not_fit(rank, why):
    spec = _spec(SubConv("", 16, 24, (3, 3)))
    with pytest.raises(AccnnError, match="'conv'.*" + re.escape(why)):
        BTD.check_rank(spec, rank)


def test_a_person_may_ask_for_any_groups():
    spec = _spec(SubConv("", 16, 24, (3, 3)))
    for rank in ((16, 24, 8), (15, 24, 3), (7, 7, 7), (1, 1, 1)):
        BTD.check_rank(spec, rank)


@pytest.mark.parametrize("part, why", [
    (SubConv("", 8, 8, (1, 1)), "1x1"), (SubConv("", 8, 8, (3, 3), groups=2), "grouped"),
    (SubConv("", 1, 1, (3, 3)), "no channels to reduce")])
def test_layers_in_which_there_is_nothing_to_split(part, why):
    assert why in BTD.refuse(_spec(part))
