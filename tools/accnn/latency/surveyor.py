"""Asking the measuring process, and keeping what it answers."""
import contextlib
import os
import tempfile

from accnn.cli import say
from accnn.timing import parent
from accnn.timing.questions import NetworksJob

_ROUNDS = 5
_WIDE = 0.35  # interquartile range over median
_SHARE = 0.005  # of the whole network's time: what spreads by less does no harm
_DOUBTFUL = 0.6, 0.2  # spread, and milliseconds, above which a later run measures again


class Surveyor:
    """Fills a table with what planning wants to know of one model.

    Parameters
    ----------
    bench : Workbench
    measuring : Measuring
    table : LatencyTable

    Attributes
    ----------
    table : LatencyTable
    refused : dict of str to str
        Chains that MXNet refuses to run, and what it says. Not kept: another time there may be more memory.
    """

    def __init__(self, bench, measuring, table):
        self._bench, self._measuring, self.table = bench, measuring, table
        self.refused, self._asked = {}, set()

    @property
    def here(self):
        """bool: whether what the table holds can be measured on this machine."""
        return not self.table.foreign

    def survey(self, keys, title):
        """Measure the chains that the table does not know yet; what is measured is kept even when interrupted."""
        setting = self.table.setting
        unknown = [key for key in dict.fromkeys(keys) if self.here and self._is_unknown(key)]
        if not unknown:
            return
        self._asked.update(unknown)
        progress, done = self._bench.progress(title, len(unknown)), 0
        try:
            with contextlib.closing(progress), contextlib.closing(
                    parent.survey(_mixed(unknown), setting.threads, setting.batch_size, _ROUNDS)) as groups:
                for group in groups:
                    self._keep(group)
                    done += len(group)
                    progress(done)
        finally:
            self.save()

    def save(self):
        """Write the table, where it is to be kept."""
        if self._measuring.keep:
            self.table.save()

    def networks(self, plans):
        """Time the whole network and what plans make of it.

        Parameters
        ----------
        plans : list of dict of str to str
            See :class:`accnn.timing.questions.NetworksJob`.

        Returns
        -------
        dict
            See :func:`accnn.timing.parent.time_networks`.
        """
        bench, setting = self._bench, self.table.setting
        with contextlib.ExitStack() as stack:
            prefix, epoch = bench.model.prefix, bench.model.epoch
            if epoch is None:  # it was made in this process, and the measuring one reads files
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="accnn-"))
                prefix, epoch = os.path.join(folder, "model"), 1
                bench.model.save(prefix, epoch)
            return parent.time_networks(NetworksJob(prefix, epoch, tuple(bench.input_shapes.items()), tuple(plans),
                                                    setting.threads, setting.batch_size, self._measuring.repeats))

    def tell_noise(self, keys, whole_ms):
        """Say how many of some chains could not be measured well, of those that are worth a word."""
        keys = {key for key in keys if self.table.ms(key) is not None}
        found = [(self.table.entry(key)["spread"], key) for key in keys if self._spreads(key, whole_ms)]
        if found:
            say("noisy: %d of %d chains; the worst, %s, has an interquartile range of %.0f%% of its median; the whole "
                "network is measured in the end" % (len(found), len(keys), max(found)[1], 100 * max(found)[0]))

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


def _mixed(keys):
    """Keys in an order in which neighbours stand at different places, as in a network."""
    places = {}
    for key in keys:
        places.setdefault(key.split("|")[0], []).append(key)
    mixed = []
    while places:
        for place in list(places):
            mixed.append(places[place].pop())
            if not places[place]:
                del places[place]
    return mixed
