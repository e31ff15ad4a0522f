"""Asking the measuring process, and keeping what it answers."""
import contextlib
import os
from dataclasses import dataclass, replace

from accnn.core.files import temporary_folder
from accnn.core.progress import say
from accnn.core.text import percent
from accnn.timing import client
from accnn.timing.job import NetworksJob
from accnn.timing.keys import key as chain_key
from accnn.timing.keys import parse

_BRISK = 15.0  # milliseconds of a layer's pass with which its chains are timed well
_SLOW = 30.0  # from which on it is worth while to take fewer images


def portion(ms, batch_size):
    """int: images with which the chains of a layer are timed that takes `ms` milliseconds for the whole batch."""
    return max(1, int(batch_size * _BRISK / ms)) if ms >= _SLOW else batch_size


@dataclass
class Portion:
    """How the chains at one place are timed.

    Attributes
    ----------
    layer : str
        Key of the layer itself.
    relative : float
        Its time with the whole batch, over that of the reference.
    images, batch_size : int
        Of a pass of its chains, and of the whole batch.
    factor : float or None
        What a chain's time with so many images is to be multiplied by; None until :meth:`learn`.
    """

    layer: str
    relative: float
    images: int
    batch_size: int
    factor: float = None

    def question(self, text):
        """str: the key of a chain at this place, with the images of a part as rows of one example."""
        place, chain = parse(text)
        return chain_key(replace(place, repeats=place.repeats * self.images), chain)

    def learn(self, timed):
        """Take what the layer itself takes with the part, a Timed; one that is refused says that batches are alike."""
        self.factor = self.batch_size / self.images if timed.relative is None else self.relative / timed.relative

    def whole(self, timed, text):
        """Timed: of the whole batch, for one of :meth:`question`; `text` is the key that was asked for."""
        return replace(timed, key=text, relative=None if timed.relative is None else self.factor * timed.relative)


_ROUNDS = 5
_WIDE = 0.35  # interquartile range over median
_SHARE = 0.005  # of the whole network's time: what spreads by less does no harm
_DOUBTFUL = 0.6, 0.2  # spread, and milliseconds, above which a later run measures again


class LatencyProfiler:
    """Fills a table with what planning wants to know of one model.

    Parameters
    ----------
    accelerator : Accelerator
    measuring : TimingConfig
    table : LatencyTable

    Attributes
    ----------
    table : LatencyTable
    refused : dict of str to str
        Chains that MXNet refuses to run, and what it says. Not kept: another time there may be more memory.
    """

    def __init__(self, accelerator, measuring, table):
        self._accelerator, self._measuring, self.table = accelerator, measuring, table
        self.refused, self._asked, self._portions = {}, set(), {}

    @property
    def here(self):
        """bool: whether what the table holds can be measured on this machine."""
        return not self.table.foreign

    def survey(self, keys, title, rounds=_ROUNDS):
        """Measure the chains that the table does not know yet; what is measured is kept even when interrupted."""
        unknown = [key for key in dict.fromkeys(keys) if self.here and self._is_unknown(key)]
        if not unknown:
            return
        self._asked.update(unknown)
        progress, done = self._accelerator.progress(title, len(unknown)), 0
        try:
            with contextlib.closing(progress), contextlib.closing(self._answers(unknown, rounds)) as groups:
                for group in groups:
                    self._keep(group)
                    done += len(group)
                    progress(min(done, len(unknown)))
        finally:
            self.save()

    def use_partial_batch(self, layers):
        """Let chains in the place of slow layers be timed with a part of the batch: see :mod:`portions`.

        Parameters
        ----------
        layers : list of str
            Keys of layers that were measured.
        """
        batch_size, fastest = self.table.setting.batch_size, {}
        for key in sorted(layers, key=self.table.ms):  # several may read the same, and chains of none be too short
            fastest.setdefault(_place(key), key)
        for place, key in fastest.items():
            images = portion(self.table.ms(key), batch_size)
            if images < batch_size:
                self._portions[place] = Portion(key, self.table.entry(key)["relative"], images, batch_size)

    def _answers(self, keys, rounds):
        """Yield lists of Timed: of the whole batch, some timed with a part of it."""
        whole = [key for key in keys if _place(key) not in self._portions]
        if whole:
            with contextlib.closing(self._groups(whole, self.table.setting.batch_size, rounds)) as groups:
                yield from groups
        if len(whole) < len(keys):
            yield from self._parts([key for key in keys if _place(key) in self._portions], rounds)

    def _parts(self, keys, rounds):
        """Yield lists of Timed: of the whole batch, by chains timed with a part of it."""
        portions = [self._portions[_place(key)] for key in keys]
        # The layers themselves come first of their places.
        texts = {one.question(text): (one, text) for one, text in
                 [*zip(portions, keys)] + [(one, one.layer) for one in portions if one.factor is None]}
        with contextlib.closing(self._groups(list(texts), 1, rounds)) as groups:
            waiting = []
            for group in groups:
                for timed in group:
                    one, text = texts[timed.key]
                    if text == one.layer:
                        one.learn(timed)
                    else:
                        waiting.append((one, timed, text))
                known, waiting = _split(waiting)
                yield [one.whole(timed, text) for one, timed, text in known]

    def _groups(self, questions, batch_size, rounds):
        return client.survey(_mixed(questions), self.table.setting.threads, batch_size, rounds)

    def save(self):
        """Write the table, where it is to be kept."""
        if self._measuring.keep:
            self.table.save()

    def networks(self, plans, roughly=False):
        """Time the whole network and what plans make of it.

        Parameters
        ----------
        plans : list of dict of str to str
        roughly : bool
            See :class:`accnn.timing.job.NetworksJob`.

        Returns
        -------
        dict
            See :func:`accnn.timing.client.time_networks`.
        """
        accelerator, setting = self._accelerator, self.table.setting
        with contextlib.ExitStack() as stack:
            prefix, epoch = accelerator.model.prefix, accelerator.model.epoch
            if epoch is None:  # it was made in this process, and the measuring one reads files
                folder = stack.enter_context(temporary_folder())
                prefix, epoch = os.path.join(folder, "model"), 1
                accelerator.model.save(prefix, epoch)
            return client.time_networks(NetworksJob(prefix, epoch, tuple(accelerator.input_shapes.items()),
                                                    tuple(plans),
                                                    setting.threads, setting.batch_size, self._measuring.repeats,
                                                    roughly))

    def tell_noise(self, keys, whole_ms):
        """Say how many of some chains could not be measured well, of those that are worth a word."""
        keys = {key for key in keys if self.table.ms(key) is not None}
        found = [(self.table.entry(key)["spread"], key) for key in keys if self._spreads(key, whole_ms)]
        if found:
            say("noisy: %d of %d chains; the worst, %s, has an interquartile range of %s of its median; the whole "
                "network is measured in the end" % (len(found), len(keys), max(found)[1], percent(max(found)[0], 0)))

    def _is_unknown(self, key):
        if key in self.refused or key in self._asked:
            return False
        entry = self.table.entry(key)
        return entry is None or entry["relative"] is None or (
            entry["spread"] > _DOUBTFUL[0] and self.table.ms(key) > _DOUBTFUL[1])

    def _keep(self, group):
        for timed in group:
            if timed.relative is None:
                self.refused[timed.key] = timed.refused
            else:
                self.table.add(timed)

    def _spreads(self, key, whole_ms):
        spread = self.table.entry(key)["spread"]
        return spread > _WIDE and spread * self.table.ms(key) > _SHARE * whole_ms


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
