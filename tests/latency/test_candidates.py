"""Rank grids, on machines on which multiples of something are faster, and on others."""
from dataclasses import replace

import numpy as np
import pytest

from accnn import methods
from accnn.core.layers import LayerSpec, SubConv, SubFC, macs
from accnn.latency import candidates
from accnn.latency.candidates import RankGrid, candidate_ranks, known_ranks, preferred_multiple, probes
from accnn.ranks import Candidate
from accnn.timing.keys import Place, chain_key
from clockwork import Clockwork

WIDE = LayerSpec("wide", SubConv("", 256, 256, (3, 3), pad=(1, 1)), (256, 28, 28), "w", "b", "Convolution")
SMALL = LayerSpec("small", SubConv("", 24, 40, (3, 3), pad=(1, 1)), (24, 14, 14), "w", "b", "Convolution")
FULL = LayerSpec("full", SubFC("", 4096, 1024), (4096,), "w", "b", "FullyConnected")
ONE = LayerSpec("one", SubConv("", 64, 1, (1, 1)), (64, 7, 7), "w", "b", "Convolution")
ALL = [(WIDE, "vh"), (WIDE, "channel"), (WIDE, "3d"), (WIDE, "tucker"), (SMALL, "vh"), (SMALL, "channel"),
       (FULL, "fc-svd")]


def candidate_of(spec, method):
    return Candidate(spec, methods.get(method), None)


def place_of(candidate):
    return Place(tuple(candidate.spec.in_shape))


def share(candidate, rank):
    """float: of the MACs of the layer."""
    spec = candidate.spec
    return macs(candidate.chain(rank), spec.in_shape) / macs((spec.part,), spec.in_shape)


def widths(candidate, rank):
    return [part.outputs for part in candidate.chain(rank)[:-1]]


def fits(candidate, rank, multiple):
    return all(width % multiple == 0 for width in widths(candidate, rank))


class Table:
    """What a clock said of the keys it was asked for; of others nothing is known."""

    def __init__(self, clock):
        self.clock, self.known = clock, {}

    def measure(self, keys):
        self.known.update((key, self.clock(key)) for key in keys)

    def ms(self, key):
        return self.known.get(key)


def measured(grid, clock):
    """Table: after all that the grid asks for."""
    table = Table(clock)
    table.measure(grid.first())
    table.measure([key for key in grid.refine(table.ms) if key not in table.known])
    return table


# ---- which multiples kernels like

@pytest.mark.parametrize("spec, method", ALL)
def test_probes_are_of_one_multiple_each(spec, method):
    candidate = candidate_of(spec, method)
    found = probes(candidate)
    assert set(found) <= {4, 8, 16, 32} and 4 in found and (spec is SMALL or len(found) == 4)
    for multiple, ranks in found.items():
        assert 1 <= len(ranks) == len(set(ranks)) <= 4 and all(fits(candidate, rank, multiple) for rank in ranks)
        assert multiple == 32 or not any(fits(candidate, rank, 2 * multiple) for rank in ranks)


@pytest.mark.parametrize("method", ["vh", "channel"])
def test_probes_of_all_multiples_are_of_about_the_same_size(method):
    candidate = candidate_of(WIDE, method)
    for multiple, ranks in probes(candidate).items():
        for wanted in (0.12, 0.2, 0.3, 0.45):
            assert min(abs(share(candidate, rank) - wanted) for rank in ranks) <= share(candidate, multiple) + 1e-9


@pytest.mark.parametrize("multiple", [32, 16, 8, 4])
@pytest.mark.parametrize("spec, method", [one for one in ALL if one[0] is not SMALL])
def test_the_preferred_multiple_of_a_machine_is_found(spec, method, multiple):
    candidate, clock = candidate_of(spec, method), Clockwork(multiple=multiple)
    assert preferred_multiple(candidate, probes(candidate), lambda rank: clock.ms(candidate.chain(rank),
                                                                                  spec.in_shape)) == multiple


def test_a_machine_whose_speed_hardly_depends_on_ranks_has_a_small_preferred_multiple():
    candidate = candidate_of(WIDE, "vh")
    for slow, multiple in (1.0, 4), (1.1, 4), (1.3, 16):
        clock = Clockwork(multiple=16, slow=slow)
        assert preferred_multiple(candidate, probes(candidate), lambda rank, clock=clock: clock.ms(
            candidate.chain(rank), WIDE.in_shape)) == multiple


def test_a_multiple_of_which_no_time_is_known_is_not_preferred():
    candidate, clock = candidate_of(WIDE, "vh"), Clockwork(multiple=8)
    some = probes(candidate)

    def ms(rank):
        return None if rank in some[32] or rank == some[8][0] else clock.ms(candidate.chain(rank), WIDE.in_shape)

    assert preferred_multiple(candidate, some, ms) == 8
    assert preferred_multiple(candidate, {}, ms) == 1  # a layer too small to be asked


# ---- which ranks are candidate_ranks

@pytest.mark.parametrize("multiple", [1, 4, 16, 32])
@pytest.mark.parametrize("spec, method", ALL)
def test_candidate_ranks_ascend_by_macs_and_save_something(spec, method, multiple):
    candidate = candidate_of(spec, method)
    ranks = candidate_ranks(candidate, multiple)
    shares = [share(candidate, rank) for rank in ranks]
    assert shares == sorted(shares) and len(set(ranks)) == len(ranks) >= 4 and max(shares) <= 0.9
    if spec is not SMALL:
        assert all(fits(candidate, rank, multiple) for rank in ranks)
    everything = [one for one in candidate.ranks(multiple) if fits(candidate, one, multiple)]
    assert len(ranks) <= 16 or min(np.diff(np.log(shares))) >= np.log(candidates._STEP) - 1e-9
    if len([one for one in everything if share(candidate, one) <= candidates._DEAREST]) >= 4:
        assert shares[0] == min(share(candidate, one) for one in everything)


@pytest.mark.parametrize("method", ["vh", "channel"])
def test_low_precisions_are_offered_ranks_below_a_large_multiple(method):
    candidate = candidate_of(WIDE, method)
    few, more = candidate_ranks(candidate, 64), candidate_ranks(candidate, 64, low=True)
    assert len(few) < 6 <= len(more) and set(few) < set(more) and more[0] < few[0]
    assert RankGrid(candidate, replace(place_of(candidate), numbers="u8"), 64).first()[0].split("|")[1:] == chain_key(
        place_of(candidate), candidate, more[0]).split("|")[1:]


def test_where_multiples_are_few_finer_ones_are_offered():
    candidate = candidate_of(SMALL, "channel")
    few = [rank for rank in candidate.ranks(8) if share(candidate, rank) <= candidates._DEAREST]
    assert 0 < len(few) < 4
    for multiple in (32, 16, 8, 4):
        assert candidate_ranks(candidate, multiple) == [rank for rank in candidate.ranks(4)
                                                     if share(candidate, rank) <= candidates._DEAREST]


@pytest.mark.parametrize("method", ["vh", "channel", "3d", "tucker"])
@pytest.mark.parametrize("least", [8, 12, 32])
def test_what_people_want_multiples_of_is_never_made_finer(method, least):
    for spec in WIDE, SMALL:
        candidate = candidate_of(spec, method)
        ranks = candidate_ranks(candidate, least, least)
        assert all(fits(candidate, rank, least) for rank in ranks)
        assert ranks or spec is SMALL
        place, clock = place_of(candidate), Clockwork()
        assert all(fits(candidate, rank, least) for rank in known_ranks(candidate, place, clock.ms_of, least))
        assert set(ranks) <= set(known_ranks(candidate, place, clock.ms_of, least))
        grid = RankGrid(candidate, place, least, least)
        assert grid.ranks(dict.fromkeys(grid.first())) == [rank for rank in ranks if chain_key(
            place, candidate, rank) in grid.first()]


def test_a_layer_that_nothing_makes_cheaper_has_no_ranks():
    candidate = candidate_of(ONE, "channel")
    assert candidate_ranks(candidate, 16) == [] and probes(candidate) == {}
    grid = RankGrid(candidate, place_of(candidate), 16)
    assert grid.first() == grid.refine({}.get) == grid.ranks({}) == [] and grid.times({}.get) == {}


def test_of_ranks_of_about_the_same_size_the_roundest_is_offered():
    """The next is a step dearer, or up to a step more than that where this makes it rounder."""
    candidate = candidate_of(FULL, "fc-svd")
    ranks = candidate_ranks(candidate, 4)
    fine = [rank for rank in candidate.ranks(4) if share(candidate, rank) <= candidates._DEAREST]
    for before, after in zip(ranks, ranks[1:]):
        near = [rank for rank in fine if candidates._STEP * before <= rank]
        near = [rank for rank in near if rank < candidates._STEP * near[0]]
        assert after in near
        for rounder in (16, 8):
            if any(rank % rounder == 0 for rank in near):
                assert after % rounder == 0
                break
    assert sum(rank % 16 == 0 for rank in ranks) > len(ranks) / 2


# ---- what is measured of a grid

@pytest.mark.parametrize("spec, method", [(WIDE, "vh"), (WIDE, "channel"), (FULL, "fc-svd")])
def test_linear_times_are_interpolated(spec, method):
    candidate, clock = candidate_of(spec, method), Clockwork(multiple=4)
    grid = RankGrid(candidate, place_of(candidate), 4)
    ranks = candidate_ranks(candidate, 4)
    table = measured(grid, clock.ms_of)
    times = grid.times(table.ms)
    assert grid.refine(table.ms) == [] and len(grid.first()) == len(set(grid.first())) < 16 < len(times)
    assert grid.ranks(times) == ranks
    for rank in ranks:
        key = chain_key(place_of(candidate), candidate, rank)
        assert times[key] == pytest.approx(clock.ms_of(key), rel=1e-9)
    shares = [macs(candidate.chain(rank), spec.in_shape) for rank in ranks
              if chain_key(place_of(candidate), candidate, rank) in grid.first()]
    assert shares[0] == macs(candidate.chain(ranks[0]), spec.in_shape)
    assert shares[-1] == macs(candidate.chain(ranks[-1]), spec.in_shape)  # nothing is extrapolated


def test_what_was_measured_is_not_smoothed():
    """Times a little off the line stay what the clock said."""
    candidate, clock = candidate_of(WIDE, "vh"), Clockwork(multiple=4)
    grid = RankGrid(candidate, place_of(candidate), 4)

    def nearly(key):
        return clock.ms_of(key) * (1 + 0.01 * (sum(map(ord, key)) % 3 - 1))

    table = measured(grid, nearly)
    times = grid.times(table.ms)
    assert len(times) == len(candidate_ranks(candidate, 4)) > len(table.known)
    assert all(times[key] == nearly(key) for key in table.known)
    assert all(abs(times[key] / clock.ms_of(key) - 1) < 0.025 for key in times)


def choosy(key):
    """A clock for kernels that like multiples of 64 much better, and of 32 a little."""
    return Clockwork(multiple=64, slow=1.6).ms_of(key) * (1 if "-32" in key else 1.05)


@pytest.mark.parametrize("spec, method", [(WIDE, "vh"), (WIDE, "channel")])
def test_grids_that_are_not_linear_are_measured_rank_by_rank(spec, method):
    candidate = candidate_of(spec, method)
    grid = RankGrid(candidate, place_of(candidate), 4)
    table = measured(grid, choosy)
    keys = [chain_key(place_of(candidate), candidate, rank) for rank in candidate_ranks(candidate, 4)]
    assert set(table.known) == set(keys) and len(keys) > 16
    assert grid.times(table.ms) == {key: choosy(key) for key in keys}


def test_small_grids_are_measured_whole_at_once():
    candidate = candidate_of(WIDE, "channel")
    grid = RankGrid(candidate, place_of(candidate), 32)
    assert grid.ranks(grid.first()) == candidate_ranks(candidate, 32) == [
        rank for rank in candidate.ranks(32) if share(candidate, rank) <= candidates._DEAREST]
    table = measured(grid, choosy)
    assert grid.times(table.ms) == {key: choosy(key) for key in grid.first()} == table.known


def test_a_rank_that_is_refused_is_not_offered_and_those_beside_it_are_measured():
    candidate, clock = candidate_of(WIDE, "vh"), Clockwork(multiple=4)
    grid = RankGrid(candidate, place_of(candidate), 4)
    keys = [chain_key(place_of(candidate), candidate, rank) for rank in candidate_ranks(candidate, 4)]
    for refused in grid.first()[:3]:
        table = measured(grid, lambda key, refused=refused: None if key == refused else clock.ms_of(key))
        times = grid.times(table.ms)
        assert set(times) == set(keys) - {refused} and len(grid.ranks(times)) == len(keys) - 1
        assert all(times[key] == clock.ms_of(key) for key in times)


def test_what_was_refused_is_not_interpolated():
    """As where a probe was refused that is not among the ranks that are measured of a grid."""
    candidate, clock = candidate_of(WIDE, "vh"), Clockwork(multiple=4)
    grid = RankGrid(candidate, place_of(candidate), 4)
    table = measured(grid, clock.ms_of)
    times = grid.times(table.ms)
    (refused, *_) = [key for key in times if key not in table.known]
    assert set(grid.times(table.ms, {refused: "no memory"})) == set(times) - {refused}


def test_of_another_machines_table_only_what_it_knows_is_offered():
    candidate, clock = candidate_of(WIDE, "vh"), Clockwork(multiple=4)
    place = place_of(candidate)
    some = {chain_key(place, candidate, rank): clock.ms((candidate.chain(rank)), WIDE.in_shape)
            for rank in (48, 7, 250, 24)}
    assert known_ranks(candidate, place, some.get) == [7, 24, 48, 250] and known_ranks(candidate, place, {}.get) == []
    assert known_ranks(candidate, place, some.get, 8) == [24, 48]
    grid = RankGrid(candidate, place, 4)
    assert grid.times(some.get).keys() <= some.keys() and grid.times({}.get) == {} and grid.ranks({}) == []
