"""The latency model of one network: milliseconds of its layers, of chains in their place, and of the rest."""
from dataclasses import dataclass, field, replace
from typing import Dict, List, Mapping, Optional, Tuple

from accnn.core.errors import AccnnError
from accnn.costs.base import Cost, register
from accnn.latency.in_network import InNetworkFactors
from accnn.timing.keys import chain_key, layer_key
from accnn.timing.keys import key as key_of


class _Milliseconds(Cost):
    name = "latency"
    unit = "ms"
    summary = "milliseconds of the whole network, measured"
    rule = "latency"
    whole_network, is_analytic = True, False


@register
class Latency(_Milliseconds):
    """What the registry says of the measured cost; the numbers are those of a :class:`LatencyModel`."""

    def chain(self, spec, chain):
        """Refuse: only within a network, with so many threads, a chain takes some time."""
        raise AccnnError("milliseconds are those of a network on a machine: ask the model that "
                         "accnn.latency.survey.survey() makes")


@dataclass(frozen=True, eq=False)
class LatencyModel(_Milliseconds):
    """Milliseconds of a pass of one network, at one number of threads and one batch size; asked like any cost.

    All numbers are those of the engine and the precision of the plan, but for the original.

    Attributes
    ----------
    whole_ms : float
        Of the whole network with no layer split, in the engine and the precision of the plan.
    planned : dict of str to LayerSpec
        The layers that may be split; all others are part of :attr:`rest`.
    places : dict of str to Place
        By layer; see :func:`accnn.timing.keys.places_of`.
    factors : InNetworkFactors
        What times of layers and chains, each alone, become in the network.
    alone : dict of str to float
        By key of :mod:`accnn.timing.keys`: milliseconds of layers and chains, each alone.
    counted : dict of str to float
        By key: milliseconds that count in the network. Times of chains have their standard error on top, see
        :meth:`accnn.latency.table.LatencyTable.ms_plus_stderr`.
    grids : dict of Candidate to list of rank
        The ranks whose chains were measured, or interpolated where that is sound.
    probed : tuple of str
        Keys of chains that told the preferred multiples of ranks.
    original : float or None
        Milliseconds of the original network, of which ratios are taken; None: it is :attr:`whole_ms`.
    originals : dict of str to str
        Keys of the layers in float32, in the same engine, by layer; empty: where these are those of the plan.
    float_places : dict of str to Place
        By layer that may stay in float32 among others in a low precision: its place then, conversions included.
    """

    whole_ms: float
    planned: Mapping[str, object]
    places: Mapping[str, object]
    factors: InNetworkFactors
    alone: Mapping[str, float]
    counted: Mapping[str, float]
    grids: Mapping[object, List[object]] = field(default_factory=dict)
    probed: Tuple[str, ...] = ()
    original: Optional[float] = None
    originals: Mapping[str, str] = field(default_factory=dict)
    float_places: Mapping[str, object] = field(default_factory=dict)

    def with_float32(self, names):
        """LatencyModel: of the network in which some of the layers of :attr:`float_places` stay in float32.

        Each is converted on its own, whatever its neighbours are: where these are float32 as well it counts too much.
        """
        made = replace(self, places={**self.places, **{name: self.float_places[name] for name in names}})
        more = sum(made.layer(self.planned[name]) - self.layer(self.planned[name]) for name in names)
        return replace(made, whole_ms=self.whole_ms + more)

    @property
    def original_ms(self):
        """float: milliseconds of the original network, of which ratios are taken."""
        return self.whole_ms if self.original is None else self.original

    def ranks(self, candidate, align):
        """list: the ranks whose chains were measured, or interpolated where that is sound."""
        ranks, place = self.grids.get(candidate, []), self.places[candidate.name]
        return [rank for rank in ranks if chain_key(place, candidate, rank) in self.counted]

    def chain(self, spec, chain):
        """float: milliseconds that a pass of the whole batch through `chain` counts in the place of the layer.

        Raises
        ------
        AccnnError
            The chain was not surveyed.
        """
        key = key_of(self.places[spec.name], chain)
        if key not in self.counted:
            raise AccnnError("no time for %s, which was not surveyed: choose a rank that was, or leave the layer %r "
                             "out with `exclude`" % (key, spec.name))
        return self.counted[key]

    def layer(self, spec):
        """float: milliseconds of the layer; 0 for one that is not planned and so is a part of the rest."""
        return self.counted[self._layer_key(spec)] if spec.name in self.planned else 0.0

    @property
    def rest(self):
        """float: milliseconds of what is not planned, the whole network less the layers that are."""
        return self.whole_ms - sum(map(self.layer, self.planned.values()))

    @property
    def keys(self):
        """list of str: of all layers and chains that were looked at."""
        return list(dict.fromkeys([*self.counted, *self.alone, *self.probed]))

    def plan_keys(self, picks):
        """dict of str to str: layer -> key of its chain, for picks of layer -> (Candidate, rank) or None."""
        return {name: chain_key(self.places[name], *pick) for name, pick in picks.items() if pick}

    def predicted_ms(self, picks):
        """float: milliseconds of the whole network with these chains, as far as their times alone tell."""
        saved = sum(self.layer(self.planned[name]) - self.factors.chains * self._chain_alone_ms(*pick)
                    for name, pick in picks.items() if pick)
        return self.whole_ms - saved

    def counted_ratio(self, chains, in_fp32):
        """float or None: the speed-up of a planned network by what its chains count; None where one is not known.

        Parameters
        ----------
        chains : dict of str to str
            Layer -> key of the chain in its place.
        in_fp32 : sequence of str
            Layers that stay in float32 beside those that have to.
        """
        if not (self.planned.keys() >= chains.keys() and set(chains.values()) <= self.counted.keys()
                and set(in_fp32) <= self.float_places.keys()):
            return None
        made = self.with_float32(in_fp32)
        saved = sum(made.layer(self.planned[name]) - self.counted[key] for name, key in chains.items())
        return self.original_ms / (made.whole_ms - saved) if saved < made.whole_ms else None

    def layer_times(self, picks, scale=1.0) -> Dict[str, Dict[str, float]]:
        """dict of str to dict: ``before_ms`` and ``after_ms`` of every planned layer, each alone, times `scale`."""
        unsplit = {name: scale * self._layer_alone_ms(spec) for name, spec in self.planned.items()}
        before = {name: scale * self.alone[key] for name, key in self.originals.items()}
        after = {name: scale * self._chain_alone_ms(*pick) for name, pick in picks.items() if pick}
        return {name: {"before_ms": before.get(name, ms), "after_ms": after.get(name, ms)}
                for name, ms in unsplit.items()}

    def with_alone(self, times):
        """LatencyModel: with other milliseconds of chains alone, a dict by key; what counts stays."""
        return replace(self, alone={**self.alone, **times})

    def _layer_key(self, spec):
        return layer_key(self.places[spec.name], spec)

    def _layer_alone_ms(self, spec):
        return self.alone[self._layer_key(spec)]

    def _chain_alone_ms(self, candidate, rank):
        return self.alone[chain_key(self.places[candidate.name], candidate, rank)]
