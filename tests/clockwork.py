"""A machine made of arithmetic, in the place of the process that measures: its clock never says two things."""
import contextlib
import json
from itertools import zip_longest

from accnn.core.layers import macs as macs_of
from accnn.core.layers import walk
from accnn.graph.checkpoint import load_model
from accnn.graph.specs import layer_specs
from accnn.latency.in_network import InNetworkFactors
from accnn.timing import client, keys
from accnn.timing.job import Timed

REFERENCE_MS = 2.0
_QUICKER = {"u8": 4, "s8": 4, "bf16": 2}  # times, by what chains read
_OF_NETWORKS = {"fp32": 1, "int8": 4, "bf16": 2}
_GROUP = 24  # questions that are answered together


def as_alone(share):
    """InNetworkFactors: layers and chains take in the network what they take alone, or all less if that is too much."""
    factor = min(1.0, 1 / share)
    return InNetworkFactors(max(0.0, 1 - share), factor, factor)


class Clockwork:
    """Times chains and networks by a formula.

    Parameters
    ----------
    multiple : int
        Chains whose inner widths are multiples of it are fast.
    slow : float
        How many times slower the others are.
    rate : float
        MACs in a millisecond.
    launch : float
        Milliseconds that every part of a chain takes besides.
    rest : float
        Milliseconds of a network beside its layers.
    bias : float
        How many times longer chains take in a network than on their own.
    refused : callable
        ``refused(chain)``: whether MXNet does not run it.
    uncertainty, spread : float
        What is said of how noisy the machine is.

    Attributes
    ----------
    asked : list of str
        Keys that surveys were asked for.
    plans : list of dict
        That were timed as networks; an empty one for each baseline that was timed on its own.
    said : list of tuple
        Threads and batch of every call.
    engines : set of str
        In which chains and planned networks ran.
    """

    def __init__(self, multiple=16, slow=2.0, rate=1e7, launch=0.01, rest=0.3, bias=1.08, refused=None,
                 uncertainty=0.002, spread=0.0, stop=None):
        self.multiple, self.slow, self.rate = multiple, slow, rate
        self.launch, self.rest, self.bias = launch, rest, bias
        self.refused = refused or (lambda chain: False)
        self.uncertainty, self.spread, self.stop = uncertainty, spread, stop
        self.asked, self.plans, self.said, self.engines = [], [], [], set()

    def patched(self, monkeypatch):
        """Clockwork: itself, now in the place of the measuring process."""
        monkeypatch.setattr("accnn.planning.planner.measuring_process", lambda *_: contextlib.nullcontext())
        monkeypatch.setattr(client, "survey", self.survey)
        monkeypatch.setattr(client, "time_networks", self.time_networks)
        return self

    def ms(self, chain, in_shape, repeats=1, batch_size=1, quicker=1):
        """float: of one pass, whose work takes so many times less."""
        fits = all(part.outputs % self.multiple == 0 for part in chain[:-1])
        work = sum(macs_of((part,), shape) for part, shape in walk(chain, in_shape))
        return len(chain) * self.launch + work * repeats * batch_size / self.rate / quicker * (1 if fits else self.slow)

    def ms_of(self, key, batch_size=1):
        """float: of the chain that a key spells."""
        place, chain = keys.parse(key)
        quicker = 1 if place.as_float else _QUICKER.get(place.numbers, 1)
        return self.ms(chain, place.in_shape, place.repeats, batch_size, quicker)

    def survey(self, questions, threads, batch_size, rounds=5, seed=0, amx=False, engine="mxnet"):
        """See :func:`accnn.timing.client.survey`; a question number `stop` interrupts it."""
        self.said.append((threads, batch_size))
        self.engines.add(engine)
        for first in range(0, len(questions), _GROUP):
            group = questions[first:first + _GROUP]
            if self.stop is not None and len(self.asked) + len(group) > self.stop:
                raise KeyboardInterrupt
            self.asked += group
            yield [self._timed(key, batch_size, rounds) for key in group]

    def _timed(self, key, batch_size, rounds):
        if self.refused(keys.parse(key)[1]):
            return Timed(key, None, None, 0, None, "no such kernel")
        return Timed(key, self.ms_of(key, batch_size) / REFERENCE_MS, self.spread, rounds, REFERENCE_MS)

    def time_networks(self, job):
        """See :func:`accnn.timing.client.time_networks`."""
        job = type(job)(**{**vars(job), "plans": tuple(json.loads(json.dumps(job.plans)))})
        self.said.append((job.threads, job.batch_size))
        self.plans += list(job.plans) or [{}]
        self.engines.add(job.engine)
        specs = [spec for spec in layer_specs(load_model(job.prefix, job.epoch), dict(job.input_shapes)) if spec.part]

        def alone(quicker=1, in_fp32=()):
            return {spec.name: self.ms((spec.part,), spec.in_shape, spec.repeats, job.batch_size,
                                       1 if spec.name in in_fp32 else quicker) for spec in specs}

        before = self.rest + sum(alone(_OF_NETWORKS[job.baseline[1]]).values())
        return {"reference_ms": REFERENCE_MS, "baseline": self._sample(before, job.rounds), "plans": [
            dict(self._sample(after, job.rounds), measured=self._ratio(before / after, job.rounds))
            for after in (self._planned(alone(_OF_NETWORKS[job.precision], [*job.exclude, *in_fp32]), plan,
                                        job.batch_size)
                          for plan, in_fp32 in zip_longest(job.plans, job.in_fp32, fillvalue=()))]}

    def _planned(self, alone, plan, batch_size):
        return self.rest + sum(self.bias * self.ms_of(plan[name], batch_size) if name in plan else time
                               for name, time in alone.items())

    def _sample(self, ms, rounds):
        return {"median_ms": ms, "quartiles_ms": [ms, ms], "spread": self.spread, "rounds": rounds,
                "relative": ms / REFERENCE_MS, "uncertainty": self.uncertainty}

    def _ratio(self, ratio, rounds):
        return {"median": ratio, "quartiles": [ratio, ratio], "spread": self.spread, "rounds": rounds,
                "uncertainty": self.uncertainty}
