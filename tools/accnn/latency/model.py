"""The milliseconds of one network: the rest, and what the chains at its layers' places take."""
import os
import zlib
from dataclasses import replace

import numpy as np

from accnn.core.errors import AccnnError
from accnn.core.progress import say
from accnn.core.text import some
from accnn.costs.base import Cost, register
from accnn.graph.fingerprint import mark_of_shapes
from accnn.latency import context, search
from accnn.latency.candidates import RankGrid, known, preferred_multiple, probes
from accnn.latency.context import Remembered
from accnn.latency.survey import LatencyProfiler
from accnn.latency.table import LatencyTable, Setting
from accnn.timing.keys import chain_key, layer_key, places_of
from accnn.timing.keys import key as key_of
from accnn.timing.machine import bytes_of, cores, refuse_size


def refuse_measuring(measuring):
    """Refuse GPUs; say where more threads are wanted than there are cores."""
    if measuring.gpus is not None:
        raise AccnnError("--cost latency measures on the CPU: leave out --gpus %s" % measuring.gpus)
    if measuring.imported is None and (measuring.threads or 0) > cores():
        say("%d threads are wanted, but this machine has %d cores for this process: they will wait for each other"
            % (measuring.threads, cores()))


def refuse_kinds(model, specs):
    """Refuse layers in another precision than that of the chains that are timed."""
    for spec in specs:
        kind = spec.precision or np.dtype(model.arg_params[spec.weight].dtype).name
        if kind != "float32":
            raise AccnnError("--cost latency times chains in float32, but the weight of the layer %r is %s: cast the "
                             "checkpoint, or count in another --cost" % (spec.name, kind))


def refuse_batch(layers, batch_size):
    """Refuse a batch of which a layer alone does not fit; `layers` is a dict of names to keys."""
    for name, key in layers.items():
        try:
            refuse_size(bytes_of(key, batch_size))
        except MemoryError as error:
            raise AccnnError("--batch-size %d is too large to time the layer %r: %s"
                             % (batch_size, name, error)) from error


@register
class Latency(Cost):
    """What the clock says of one pass of the whole network: see :class:`accnn.latency.model.Measured`."""

    name = "latency"
    unit = "ms"
    summary = "milliseconds of the whole network, measured"
    rule = "latency"
    whole_network, knows_all = True, False

    def of(self, accelerator, request):
        """Return the Measured of a model."""

        return Measured(accelerator, request)

    def chain(self, spec, chain):
        """Refuse: only within a network, with so many threads, a chain takes some time."""
        raise AccnnError("milliseconds are those of a network on a machine: ask the cost's of(accelerator, request)")


TABLE = "latencies.json"  # in the folder of the cache
_LAYER_ROUNDS = 10  # of the layers themselves: all that is saved is counted from them
_ABOUT = 0.06  # uncertainty of the untouched network beside the reference: trials say what chains take, over it
_WORK_MS = 5.0  # of a layer, from which its kernels tell which multiples they like; larger ones only take longer


class Measured(Cost):
    """What the clock says of a network, and of chains in the place of its layers.

    Parameters
    ----------
    accelerator : Accelerator
    request : Request

    Attributes
    ----------
    table : LatencyTable
    inside : InNetworkFactors
        What times of layers and chains, each alone, become in the network.
    """

    name = "latency"
    unit = "ms"
    whole_network, knows_all = True, False

    def __init__(self, accelerator, request):
        refuse_measuring(request.measuring)
        self._model, self._align, self._measuring = accelerator.model, request.align, request.measuring
        self.table = _table(request.measuring)
        self._surveyor = LatencyProfiler(accelerator, request.measuring, self.table)
        self._places = places_of(accelerator.model.graph, accelerator.layers)
        self._mark = mark_of_shapes(accelerator.model, accelerator.input_shapes)
        self._ratio, self._specs = request.ratio, accelerator.specs
        self._remembered = Remembered(self.table, self._mark, _wish(request))
        self.inside = context.InNetworkFactors(0.0, 1.0)
        self._offers, self._planned, self._probed = {}, [], []
        # By key: what layers and chains take alone, that of chains with its standard error, and what both count.
        self._alone, self._wary, self._times = {}, {}, {}

    def look_at(self, candidates, pinned):
        """Measure: the layers themselves, which ranks kernels like, and then these."""
        asked = candidates + [candidate for candidate, _ in pinned.values()]
        self._planned = list({candidate.name: candidate.spec for candidate in asked}.values())
        refuse_kinds(self._model, self._planned)
        layers = [self._layer_key(spec) for spec in self._planned]
        if self._surveyor.here:
            refuse_batch({spec.name: key for spec, key in zip(self._planned, layers)}, self._measuring.batch_size)
        fixed = [chain_key(self._places[name], candidate, rank) for name, (candidate, rank) in pinned.items()]
        self._surveyor.survey(layers + fixed, "timing layers", _LAYER_ROUNDS)
        self._refuse_unknown(layers, "leave the layer out with --exclude")
        self._refuse_unknown(fixed, "give the layer another --fixed rank")
        self._alone.update((key, self.table.ms(key)) for key in layers + fixed)
        self._wary.update((key, self.table.ms_plus_stderr(key)) for key in fixed)
        self._surveyor.use_partial_batch(layers)
        if self._surveyor.here:
            self._survey(candidates)
        else:
            self._read(candidates)
        self._look_inside(candidates, layers, pinned)
        if self._surveyor.here:
            self._surveyor.tell_noise(self._alone, self.whole_ms)

    def _survey(self, candidates):
        grains = self._grains(candidates)
        families = [RankGrid(one, self._places[one.name], grains[one.method.name], self._align) for one in candidates]
        self._surveyor.survey([key for family in families for key in family.first()], "timing chains")
        self._surveyor.survey([key for family in families for key in family.then(self.table.ms)],
                              "timing more chains")
        for family in families:
            times = family.times(self.table.ms, self._surveyor.refused)
            self._alone.update(times)
            # Errors may hide a line on which times lie: what was interpolated then has no wary time of its own.
            self._wary.update({**times, **family.times(self.table.ms_plus_stderr, self._surveyor.refused)})
            self._offers[family.candidate] = family.ranks(times)

    def _read(self, candidates):
        """Take what another machine measured, whatever it was asked there."""
        for one in candidates:
            ranks = self._offers[one] = known(one, self._places[one.name], self.table.ms, self._align)
            for rank in ranks:
                key = chain_key(self._places[one.name], one, rank)
                self._alone[key], self._wary[key] = self.table.ms(key), self.table.ms_plus_stderr(key)
        lacking = ["%s by %s" % (one.name, one.method.name) for one in candidates if not self._offers[one]]
        if lacking:
            say("%s knows no chain of %s" % (self._measuring.imported, some(lacking)))

    def ranks(self, candidate, align):
        """list: the ranks whose chains were measured, or interpolated where that is sound."""
        return self._offers.get(candidate, [])

    def chain(self, spec, chain):
        """float: milliseconds that a pass of the whole batch through `chain` counts in the place of the layer.

        These are with their standard error, and times what they become inside the network: see
        :meth:`accnn.latency.table.LatencyTable.ms_plus_stderr` and :mod:`inside`.
        """
        key = key_of(self._places[spec.name], chain)
        if key not in self._times:
            self._surveyor.survey([key], "timing a chain")
            self._refuse_unknown([key], "leave the layer out with --exclude")
            self._times[key] = self.inside.typical * self.table.ms_plus_stderr(key)
        return self._times[key]

    def layer(self, spec):
        """float: milliseconds of the layer; 0 for one that is not planned and so is a part of the rest."""
        return self._times[self._layer_key(spec)] if spec in self._planned else 0.0

    def rest(self, accelerator):
        """float: milliseconds of what is not planned, the whole network less the layers that are."""
        return self.whole_ms - sum(map(self.layer, self._planned))

    def settle(self, sharing):
        """Choose, measure the whole network, correct, and choose again: see :mod:`accnn.latency.search`."""
        return search.settle(sharing, self, self._surveyor, self._measuring)

    @property
    def whole_ms(self):
        """float: milliseconds of a pass of the whole network as it is."""
        return self._network()["relative"] * self.table.reference_ms

    def plan_keys(self, picks):
        """dict of str to str: layer -> key of its chain, for picks of layer -> (Candidate, rank) or None."""
        return {name: chain_key(self._places[name], *pick) for name, pick in picks.items() if pick}

    def told(self, picks, scale=1.0):
        """dict of str to dict: milliseconds of every planned layer, before and after, each measured alone.

        `scale`: what the table's milliseconds are times, for today's.
        """
        keys = self.plan_keys(picks)
        self._surveyor.survey(keys.values(), "timing what was chosen")  # some were interpolated
        for key in keys.values():
            self._alone[key] = self.table.ms(key) or self._alone[key]
        before = {spec.name: scale * self._layer_alone_ms(spec) for spec in self._planned}
        after = {name: scale * self._alone[key] for name, key in keys.items()}
        return {name: {"before_ms": ms, "after_ms": after.get(name, ms)} for name, ms in before.items()}

    def predicted_ms(self, picks, alone=False):
        """float: milliseconds of the whole network with these chains; `alone`: as if no network had been timed."""
        usual = context.expected(self._share())
        saved = sum(self.layer(self._specs[name]) -
                    (usual if alone else self.inside.of(pick[0].method.name)) * self._alone_ms(*pick)
                    for name, pick in picks.items() if pick)
        return self.whole_ms - saved

    def together(self, plans):
        """Yield lists of plans, so few that their networks fit into the memory beside each other."""
        held = sum(bytes_of(self._layer_key(spec), self._measuring.batch_size) for spec in self._specs.values()
                   if spec.part is not None and spec.name in self._places)
        return context.together(plans, held)

    def correction(self, ratio):
        """float: by how much more than the ratio like plans had to be asked for, lately and nearest to it."""
        return self._remembered.correction(ratio)

    def remember(self, ratio, correction):
        """Keep by how much more than the ratio had to be asked for, for later plans."""
        self._remembered.keep_correction(ratio, correction)
        self._surveyor.save()

    def export(self, path):
        """Write what was looked at into a file of latencies, for another machine or for this one."""
        self.table.export(path, [*self._times, *self._alone, *self._probed], [self._mark])

    def _look_inside(self, candidates, layers, pinned):
        """Learn how long layers and chains take in the network, and let them count that."""
        methods = sorted({one.method.name for one in candidates})
        known = self._remembered.inside()
        if self._surveyor.here and (known is None or set(methods) - set(known.methods)):
            known = self._tried(candidates, methods)
        self.inside = known or context.fit([], self._share(), methods)
        counted = [(one, rank) for one in candidates for rank in self._offers[one]] + list(pinned.values())
        for one, rank in counted:
            key = chain_key(self._places[one.name], one, rank)
            self._times[key] = self.inside.of(one.method.name) * self._wary[key]
        least = self._least_ms(counted)
        if self.inside.rest * self.whole_ms < -least / 2:  # no plan may seem to take no time
            self.inside = replace(self.inside, rest=-least / 2 / self.whole_ms)
        factor = self.inside.layers(self._share())
        self._times.update((key, factor * self._alone[key]) for key in layers)

    def _least_ms(self, counted):
        """float: of the cheapest choice everywhere, without the rest."""
        times = {spec.name: [self._layer_alone_ms(spec)] for spec in self._planned}
        for one, rank in counted:
            times[one.name].append(self._times[chain_key(self._places[one.name], one, rank)])
        return sum(map(min, times.values()))

    def _tried(self, candidates, methods):
        """InNetworkFactors: what trial networks tell, kept where all of them could be timed."""
        plans = context.trial_plans(candidates, self._offers.get, self._alone_ms,
                                    lambda one: self._layer_alone_ms(one.spec), self._ratio)
        timed = []
        for some_plans in self.together(plans):
            try:
                answer = self._surveyor.networks([self.plan_keys(plan) for plan in some_plans], roughly=True)
            except AccnnError as error:  # as where the memory does not hold them: trials help, and are no must
                say("what chains take inside the network is only estimated: %s" % error)
                continue
            self._keep_network(answer["baseline"])
            timed += zip(some_plans, answer["plans"])
        found = context.fit([self._trial(plan, one["measured"]) for plan, one in timed], self._share(), methods)
        if len(timed) < len(plans):
            return found
        self._remembered.keep_inside(found)
        self._surveyor.save()
        return self._remembered.inside()  # rounded, so that a run that remembers plans as this one does

    def _trial(self, plan, measured):
        chains = {}
        for one, rank in plan.values():
            chains[one.method.name] = chains.get(one.method.name, 0) + self._alone_ms(one, rank) / self.whole_ms
        left = sum(self._layer_alone_ms(spec) for spec in self._planned if spec.name not in plan) / self.whole_ms
        return context.Trial(left, chains, 1 / measured["median"], measured["uncertainty"])

    def _share(self):
        """float: what the planned layers take, each alone, of the untouched network's time."""
        return sum(map(self._layer_alone_ms, self._planned)) / self.whole_ms

    def _alone_ms(self, candidate, rank):
        return self._alone[chain_key(self._places[candidate.name], candidate, rank)]

    def _layer_alone_ms(self, spec):
        return self._alone[self._layer_key(spec)]

    def _network(self):
        known = self.table.network(self._mark)
        if not known or not known.get("relative"):
            if not self._surveyor.here:
                raise AccnnError("%s knows nothing of the network %s: measure it there, with --export-latencies"
                                 % (self._measuring.imported, self._model.prefix))
            self._keep_network(self._surveyor.networks([])["baseline"])
            known = self.table.network(self._mark)
        return known

    def _keep_network(self, found):
        """Keep what the untouched network takes, unless that is known."""
        known = self.table.network(self._mark)
        if not known or not known.get("relative"):
            search.refuse_noise(found, "the untouched network", _ABOUT)
            self.table.set_network(self._mark, dict(known or {}, relative=found["relative"]))
            self._surveyor.save()

    def _grains(self, candidates):
        """dict of str to int: for every method the multiples that kernels like, found at one layer that has work."""
        methods = {}
        for candidate in sorted(candidates, key=lambda one: self._layer_alone_ms(one.spec)):
            smaller = methods.get(candidate.method.name)
            if smaller is None or self._layer_alone_ms(smaller.spec) < _WORK_MS:
                methods[candidate.method.name] = candidate
        if self._align > 1:
            return dict.fromkeys(methods, self._align)
        probed = {name: probes(one) for name, one in methods.items()}
        keys = {name: {rank: chain_key(self._places[methods[name].name], methods[name], rank)
                       for ranks in found.values() for rank in ranks} for name, found in probed.items()}
        self._probed = [key for some in keys.values() for key in some.values()]
        self._surveyor.survey(self._probed, "finding ranks kernels like")
        return {name: preferred_multiple(one, probed[name], lambda rank, name=name: self.table.ms(keys[name][rank]))
                for name, one in methods.items()}

    def _layer_key(self, spec):
        return layer_key(self._places[spec.name], spec)

    def _refuse_unknown(self, keys, remedy):
        for key in keys:
            if self.table.ms(key) is None:
                why = self._surveyor.refused.get(key) or "%s does not know it" % self._measuring.imported
                raise AccnnError("no time for %s: %s; %s" % (key, why, remedy))


def _wish(request):
    """str: what requests share whose plans the clock says are off by about as much."""
    said = dict(request.as_json(), ratio=None, seed=None, margin=None)
    return "%08x" % zlib.crc32(repr(sorted(said.items())).encode())


def _table(measuring):
    setting_numbers = measuring.threads or cores(), measuring.batch_size
    if measuring.imported is not None:
        table = LatencyTable.imported(measuring.imported, *setting_numbers)
        if table.foreign:
            say("planning for %s: nothing is measured here" % table.setting)
        return table
    path = None if measuring.cache is None else os.path.join(measuring.cache, TABLE)
    return LatencyTable(Setting.here(*setting_numbers), path)
