"""Surveying one network: layers, chains and the network are timed, and a latency model made of the times."""
from dataclasses import replace

import numpy as np

from accnn.core.errors import AccnnError
from accnn.core.layers import FP32
from accnn.core.progress import say
from accnn.core.text import some
from accnn.latency import in_network
from accnn.latency.candidates import RankGrid, known_ranks, preferred_multiple, probes
from accnn.latency.model import LatencyModel
from accnn.latency.noise import report_noise
from accnn.timing.keys import chain_key, layer_key
from accnn.timing.machine import bytes_of, refuse_size

_LAYER_ROUNDS = 10  # of the layers themselves: all that is saved is counted from them
_GAIN = 2.0  # of INT8 over float32: of layers that gain more no chain in float32 is worth the time it takes to time it
_WORK_MS = 5.0  # of a layer, from which its kernels tell which multiples they like; larger ones only take longer


def survey(profiler, candidates, pinned, align=1, initial=(), in_fp32=()):
    """Time what a plan may be made of: the layers, chains at the ranks that kernels like, the network.

    What the latency table knows is not timed again, and on a table of another machine nothing is timed.

    Parameters
    ----------
    profiler : LatencyProfiler
        Of the model.
    candidates : list of Candidate
    pinned : dict of str to (Candidate, rank)
        Layers at fixed ranks.
    align : int
        Ranks are multiples of this.
    initial : sequence of (Candidate, rank)
        Chains of which the rank rule wants to know besides.
    in_fp32 : iterable of str
        Layers in a lower precision of which it wants to know what they take in float32, with their conversions.

    Returns
    -------
    LatencyModel

    Raises
    ------
    AccnnError
        A layer is not float32, or cannot be timed; an imported table lacks it; the machine is too noisy.
    """
    return _Survey(profiler, candidates, pinned).model(align, initial, in_fp32)


def refuse_kinds(model, specs):
    """Refuse layers in another precision than that of the chains that are timed."""
    for spec in specs:
        kind = spec.precision or np.dtype(model.arg_params[spec.weight].dtype).name
        if kind != "float32":
            raise AccnnError("`cost='latency'` times chains in float32, but the weight of the layer %r is %s: cast "
                             "the checkpoint, or count in another `cost`" % (spec.name, kind))


def refuse_batch(layers, batch_size):
    """Refuse a batch of which a layer alone does not fit; `layers` is a dict of names to keys."""
    for name, key in layers.items():
        try:
            refuse_size(bytes_of(key, batch_size))
        except MemoryError as error:
            raise AccnnError("`batch_size=%d` is too large to time the layer %r: %s"
                             % (batch_size, name, error)) from error


class _Survey:
    """The steps of :func:`survey`, and the times they find."""

    def __init__(self, profiler, candidates, pinned):
        self._profiler, self._table, self._places = profiler, profiler.table, profiler.places
        self._candidates, self._pinned = candidates, pinned
        self._planned = {one.name: one.spec for one in candidates + [candidate for candidate, _ in pinned.values()]}
        self._layers = {name: layer_key(self._places[name], spec) for name, spec in self._planned.items()}
        in_fp32 = profiler.converts and profiler.precision != FP32  # the original, in the same engine
        self._originals = {name: layer_key(profiler.original_places[name], spec)
                           for name, spec in self._planned.items()} if in_fp32 else {}
        self._grids, self._float_layers, self._probed = {}, {}, ()
        # By key: milliseconds alone, and those of chains with their standard error on top.
        self._alone, self._plus_stderr = {}, {}

    def model(self, align, initial, in_fp32):
        """LatencyModel: what all steps found."""
        self._time_layers()
        if self._profiler.can_measure:
            self._time_grids(align)
        else:
            self._read_grids(align)
        places = self._time_float32(in_fp32)
        model = self._counted(places)
        if self._profiler.can_measure:
            report_noise(self._table, self._alone, model.whole_ms)
        return self._with_initial(model, initial)

    def _time_layers(self):
        """Time the layers, and the chains of those whose rank is fixed."""
        refuse_kinds(self._profiler.accelerator.model, self._planned.values())
        if self._profiler.can_measure:
            refuse_batch(self._layers, self._profiler.config.batch_size)
        layers = [*self._layers.values(), *self._originals.values()]
        fixed = [self._key(candidate, rank) for candidate, rank in self._pinned.values()]
        self._profiler.time_chains(layers + fixed, "timing layers", _LAYER_ROUNDS)
        self._refuse_unknown(layers, "leave the layer out with `exclude`")
        self._refuse_unknown(fixed, "give the layer another `fixed` rank")
        self._alone.update((key, self._table.ms(key)) for key in layers + fixed)
        self._plus_stderr.update((key, self._table.ms_plus_stderr(key)) for key in fixed)
        self._profiler.use_partial_batch(list(self._layers.values()))

    def _time_grids(self, align):
        """Time a rank grid of every candidate."""
        multiples = self._preferred_multiples(align)
        grids = [RankGrid(one, self._places[one.name], multiples[one.method.name], align) for one in self._candidates]
        self._profiler.time_chains([key for grid in grids for key in grid.first()], "timing chains")
        self._profiler.time_chains([key for grid in grids for key in grid.refine(self._table.ms)],
                                   "timing more chains")
        for grid in grids:
            times = grid.times(self._table.ms, self._profiler.refused)
            self._alone.update(times)
            # Errors may hide a line on which times lie: what was interpolated then has no standard error of its own.
            self._plus_stderr.update({**times, **grid.times(self._table.ms_plus_stderr, self._profiler.refused)})
            self._grids[grid.candidate] = grid.ranks(times)

    def _time_float32(self, names):
        """dict of str to Place: of layers that are known in float32 too; chains only where INT8 gains little."""
        places = self._profiler.float_places([name for name in names if name in self._planned])
        keys = {name: layer_key(place, self._planned[name]) for name, place in places.items()}
        self._profiler.time_chains(keys.values(), "timing layers in float32", _LAYER_ROUNDS)
        known = {name: self._table.ms(key) for name, key in keys.items() if self._table.ms(key)}
        self._float_layers = {name: keys[name] for name in known}
        chains = [chain_key(places[one.name], one, rank) for one, ranks in self._grids.items() for rank in ranks
                  if one.name in known and known[one.name] < _GAIN * self._layer_ms(one.name)]
        self._profiler.time_chains(chains, "timing chains in float32")
        timed = [key for key in chains if self._table.ms(key)]
        self._alone.update((key, self._table.ms(key)) for key in timed + list(self._float_layers.values()))
        self._plus_stderr.update((key, self._table.ms_plus_stderr(key)) for key in timed)
        return {name: places[name] for name in known}

    def _read_grids(self, align):
        """Take the chains that another machine measured, whatever it was asked there."""
        for one in self._candidates:
            ranks = self._grids[one] = known_ranks(one, self._places[one.name], self._table.ms, align)
            for rank in ranks:
                key = self._key(one, rank)
                self._alone[key], self._plus_stderr[key] = self._table.ms(key), self._table.ms_plus_stderr(key)
        lacking = ["%s by %s" % (one.name, one.method.name) for one in self._candidates if not self._grids[one]]
        if lacking:
            say("%s knows no chain of %s" % (self._profiler.config.imported, some(lacking)))

    def _preferred_multiples(self, align):
        """dict of str to int: for every method the multiples that kernels like, found at one layer that has work."""
        methods = {}
        for candidate in sorted(self._candidates, key=lambda one: self._layer_ms(one.name)):
            smaller = methods.get(candidate.method.name)
            if smaller is None or self._layer_ms(smaller.name) < _WORK_MS:
                methods[candidate.method.name] = candidate
        if align > 1:
            return dict.fromkeys(methods, align)
        probed = {name: probes(one, self._places[one.name].numbers is not None) for name, one in methods.items()}
        keys = {name: {rank: self._key(methods[name], rank) for ranks in found.values() for rank in ranks}
                for name, found in probed.items()}
        self._probed = tuple(key for some_keys in keys.values() for key in some_keys.values())
        self._profiler.time_chains(self._probed, "finding ranks kernels like")
        return {name: preferred_multiple(one, probed[name], lambda rank, name=name: self._table.ms(keys[name][rank]))
                for name, one in methods.items()}

    def _counted(self, float_places):
        """LatencyModel: of what was found, where chains and layers count as much as they take in the network."""
        whole_ms, original = self._whole_ms(self._profiler.unsplit_key), None
        if self._profiler.converts:
            original = self._whole_ms(self._profiler.network_key)
        factors = in_network.factors(sum(map(self._layer_ms, self._planned)) / whole_ms)
        counted = {key: factors.chains * ms for key, ms in self._plus_stderr.items()}
        whole = [*self._layers.values(), *self._float_layers.values()]
        counted.update((key, factors.layers * self._alone[key]) for key in whole)
        return LatencyModel(whole_ms, self._planned, self._places, factors, self._alone, counted, self._grids,
                            self._probed, original, self._originals, float_places)

    def _with_initial(self, model, initial):
        """LatencyModel: with the chains of which the rank rule wants to know besides."""
        keys = [key for key in (self._key(*pick) for pick in initial) if key not in model.counted]
        self._profiler.time_chains(keys, "timing a chain")
        self._refuse_unknown(keys, "leave the layer out with `exclude`")
        more = {key: model.factors.chains * self._table.ms_plus_stderr(key) for key in keys}
        return replace(model, counted={**model.counted, **more})

    def _whole_ms(self, key):
        """float: milliseconds of the untouched network, timed where the table does not know them."""
        if self._table.ms(key) is None:
            if not self._profiler.can_measure:
                raise AccnnError("%s knows nothing of the network %s: measure it there, with `exported`"
                                 % (self._profiler.config.imported, self._profiler.accelerator.model.prefix))
            self._profiler.time_untouched()
        return self._table.ms(key)

    def _key(self, candidate, rank):
        return chain_key(self._places[candidate.name], candidate, rank)

    def _layer_ms(self, name):
        return self._alone[self._layers[name]]

    def _refuse_unknown(self, keys, remedy):
        for key in keys:
            if self._table.ms(key) is None:
                why = self._profiler.refused.get(key) or "%s does not know it" % self._profiler.config.imported
                raise AccnnError("no time for %s: %s; %s" % (key, why, remedy))
