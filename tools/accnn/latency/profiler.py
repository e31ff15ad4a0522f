"""Timing chains and networks in a process of their own, and keeping what it answers in the latency table."""
import contextlib
import os
import zlib
from dataclasses import replace
from functools import cached_property

from accnn import engines
from accnn.core.errors import AccnnError
from accnn.core.files import temporary_folder
from accnn.core.layers import FP32
from accnn.core.progress import say
from accnn.graph.fingerprint import mark_of_shapes
from accnn.latency.earlier import EarlierPlans
from accnn.latency.noise import refuse_noise
from accnn.latency.partial_batch import PartialBatch, partial_batch_size
from accnn.latency.table import network_key, open_table
from accnn.timing import client
from accnn.timing.job import NetworksJob, Timed
from accnn.timing.keys import places_of
from accnn.timing.machine import cores

_ROUNDS = 5  # timed passes of a chain; more where they spread, see accnn.timing.client.survey
ANY_RATIO = (0.0, 1e9)  # speed-ups between which every one is: a time is to be known, whatever comes of it
_ABOUT = 0.06  # uncertainty of the untouched network beside the reference, which no ratio that is measured depends on


def measuring_process(config):
    """Context in which all is timed in one process; none where a table is imported, of another machine most likely.

    Parameters
    ----------
    config : TimingConfig
    """
    return contextlib.nullcontext() if config.imported is not None else client.kept(
        config.threads or cores(), config.amx)


class LatencyProfiler:
    """Times chains and networks of one model, as far as its latency table does not know them.

    Parameters
    ----------
    accelerator : Accelerator
    config : TimingConfig
    table : LatencyTable, optional
        Default: that of `config`.
    precisions : dict of str to str, optional
        Of layers, or of the chains in their place, in planned networks: see :data:`accnn.core.layers.PRECISIONS`, of
        which a network has one beside float32. Default: all are float32.

    Attributes
    ----------
    config : TimingConfig
    accelerator : Accelerator
    table : LatencyTable
    precision : str
        Of planned networks.
    refused : dict of str to str
        Chains that the engine refuses to run, and what it says. Not kept: another time there may be more memory.
    """

    def __init__(self, accelerator, config, table=None, precisions=None):
        _refuse_config(config)
        self._precisions = precisions or {}
        self.precision = next((one for one in self._precisions.values() if one != FP32), FP32)
        self.accelerator, self.config = accelerator, config
        self.table = open_table(config) if table is None else table
        self.refused, self._asked, self._partial_batches = {}, set(), {}

    @property
    def can_measure(self):
        """bool: whether what the table holds can be measured on this machine."""
        return not self.table.foreign

    @cached_property
    def places(self):
        """dict of str to Place: by layer, in its precision; see :func:`accnn.timing.keys.places_of`."""
        return places_of(self.accelerator.model.graph, self.accelerator.layers, self._precisions)

    def float_places(self, names):
        """dict of str to Place: of layers in a precision below float32, where these alone stay in that."""
        return {name: replace(self.places[name], as_float=True) for name in names if self.places[name].numbers}

    @cached_property
    def original_places(self):
        """dict of str to Place: the same in float32."""
        return places_of(self.accelerator.model.graph, self.accelerator.layers)

    @cached_property
    def network_key(self):
        """str: what the table calls the original network, of which ratios are taken."""
        if not self.config.is_over_mxnet:
            return self.unsplit_key
        return self._mark + ("" if self.engine == engines.DEFAULT else " " + engines.DEFAULT)

    @cached_property
    def unsplit_key(self):
        """str: what the table calls the network in the precision of the plan, with no layer split."""
        if self.precision == FP32 and self.engine == engines.DEFAULT:
            return self._mark
        left = self._in_fp32()
        return "%s %s%s" % (self._mark, self.precision,
                            " but %08x" % zlib.crc32(" ".join(left).encode()) if left else "")

    @cached_property
    def earlier(self):
        """EarlierPlans: planned networks of this one that were timed, in earlier runs too."""
        return EarlierPlans(self.table, self.unsplit_key, self.network_key)

    @cached_property
    def _mark(self):
        return network_key(mark_of_shapes(self.accelerator.model, self.accelerator.input_shapes))

    @property
    def engine(self):
        """str: name of what runs chains and planned networks."""
        return self.config.engine

    @property
    def converts(self):
        """bool: whether a planned network with no layer split is another than the original."""
        return self.unsplit_key != self.network_key

    @property
    def baseline(self):
        """(str, str): engine and precision of the original network, of which ratios are taken."""
        return (engines.DEFAULT, FP32) if self.config.is_over_mxnet else (self.engine, self.precision)

    def _in_fp32(self):
        """tuple of str: layers that stay in float32 where others do not."""
        return tuple(name for name, precision in self._precisions.items()
                     if precision == FP32 and self.precision != FP32)

    def time_chains(self, keys, title, rounds=_ROUNDS):
        """Time the chains that the table does not know yet; what is measured is kept even when interrupted."""
        unknown = [key for key in dict.fromkeys(keys) if self.can_measure and self._is_unknown(key)]
        if not unknown:
            return
        self._asked.update(unknown)
        progress, done = self.accelerator.progress(title, len(unknown)), 0
        try:
            with contextlib.closing(progress), contextlib.closing(self._answers(unknown, rounds)) as groups:
                for group in groups:
                    self._keep(group)
                    done += len(group)
                    progress(min(done, len(unknown)))
        finally:
            self.save()

    def use_partial_batch(self, layers):
        """Let chains in the place of slow layers be timed with a part of the batch, where they are timed at all.

        Parameters
        ----------
        layers : list of str
            Keys of layers that were measured.
        """
        batch_size, fastest = self.table.setting.batch_size, {}
        for key in sorted(layers, key=self.table.ms):  # several may read the same, and chains of none be too short
            fastest.setdefault(_place(key), key)
        for place, key in fastest.items():
            images = partial_batch_size(self.table.ms(key), batch_size)
            if images < batch_size:
                self._partial_batches[place] = PartialBatch(key, self.table.entry(key)["relative"], images, batch_size)

    def _answers(self, keys, rounds):
        """Yield lists of Timed: of the whole batch, some timed with a part of it."""
        whole = [key for key in keys if _place(key) not in self._partial_batches]
        if whole:
            with contextlib.closing(self._groups(whole, self.table.setting.batch_size, rounds)) as groups:
                yield from groups
        if len(whole) < len(keys):
            yield from self._parts([key for key in keys if _place(key) in self._partial_batches], rounds)

    def _parts(self, keys, rounds):
        """Yield lists of Timed: of the whole batch, by chains timed with a part of it."""
        partial = [self._partial_batches[_place(key)] for key in keys]
        # The layers themselves come first of their places.
        texts = {one.partial_key(text): (one, text) for one, text in
                 [*zip(partial, keys)] + [(one, one.layer) for one in partial if one.factor is None]}
        with contextlib.closing(self._groups(list(texts), 1, rounds)) as groups:
            waiting = []
            for group in groups:
                for timed in group:
                    one, text = texts[timed.key]
                    if text == one.layer:
                        one.calibrate(timed)
                    else:
                        waiting.append((one, timed, text))
                known, waiting = _split(waiting)
                yield [one.scaled(timed, text) for one, timed, text in known]

    def _groups(self, questions, batch_size, rounds):
        return client.survey(_mixed(questions), self.table.setting.threads, batch_size, rounds,
                             amx=self.table.setting.amx, engine=self.engine)

    def save(self):
        """Write the table, where it is to be kept."""
        if self.config.keep:
            self.table.save()

    def time_untouched(self):
        """Time the network as it is, and in the precision of the plan, beside the reference.

        Raises
        ------
        AccnnError
            The machine is too noisy.
        """
        answer = self.time_networks([{}], asked=[ANY_RATIO]) if self.converts else self.time_networks([])
        for key, found in zip((self.network_key, self.unsplit_key), [answer["baseline"]] + answer["plans"]):
            refuse_noise(found, "the untouched network", _ABOUT, self.config.best_effort)
            self.table.add(Timed(key, found["relative"], found["spread"], found["rounds"], answer["reference_ms"]))
        self.save()

    def time_networks(self, plans, in_fp32=(), asked=()):
        """Time the whole network and what plans make of it.

        Parameters
        ----------
        plans : list of dict of str to str
        in_fp32 : sequence of (iterable of str), optional
            Of each plan the layers that stay in float32 beside those that have to.
        asked : sequence of (float, float), optional
            See :class:`accnn.timing.job.NetworksJob`.

        Returns
        -------
        dict
            See :func:`accnn.timing.client.time_networks`.
        """
        accelerator, setting = self.accelerator, self.table.setting
        with contextlib.ExitStack() as stack:
            prefix, epoch = accelerator.model.prefix, accelerator.model.epoch
            if epoch is None:  # it was made in this process, and the measuring one reads files
                folder = stack.enter_context(temporary_folder())
                prefix, epoch = os.path.join(folder, "model"), 1
                accelerator.model.save(prefix, epoch)
            return client.time_networks(NetworksJob(prefix, epoch, tuple(accelerator.input_shapes.items()),
                                                    tuple(plans),
                                                    setting.threads, setting.batch_size, self.config.repeats,
                                                    precision=self.precision, exclude=self._in_fp32(),
                                                    in_fp32=tuple(map(tuple, in_fp32)), asked=tuple(map(tuple, asked)),
                                                    amx=setting.amx, engine=self.engine, baseline=self.baseline))

    def _is_unknown(self, key):
        if key in self.refused or key in self._asked:
            return False
        entry = self.table.entry(key)
        return entry is None or entry["relative"] is None

    def _keep(self, group):
        for timed in group:
            if timed.relative is None:
                self.refused[timed.key] = timed.refused
            else:
                self.table.add(timed)


def _place(key):
    return key.split("|")[0]


def _split(waiting):
    """Return those whose place has been told from a part to the whole batch, and those that have to wait for that."""
    known = [item for item in waiting if item[0].factor is not None]
    return known, [item for item in waiting if item[0].factor is None]


def _mixed(keys):
    """Keys in an order in which neighbours stand at different places, as in a network."""
    places = {}
    for key in keys:
        places.setdefault(_place(key), []).append(key)
    mixed = []
    while places:
        for place in list(places):
            mixed.append(places[place].pop())
            if not places[place]:
                del places[place]
    return mixed


def _refuse_config(config):
    """Refuse GPUs; say where more threads are wanted than there are cores."""
    if config.gpus is not None:
        raise AccnnError("`cost='latency'` measures on the CPU: leave out `gpus=%s`" % config.gpus)
    if config.imported is None and (config.threads or 0) > cores():
        say("%d threads are wanted, but this machine has %d cores for this process: they will wait for each other"
            % (config.threads, cores()))
