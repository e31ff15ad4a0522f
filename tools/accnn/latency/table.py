"""The latency table: times of chains and networks, cached between runs in a JSON file that people can read."""
import os
from dataclasses import replace
from functools import cached_property

from accnn import engines
from accnn.core import amx
from accnn.core.errors import AccnnError
from accnn.core.json_store import Damaged, JsonStore, positive, rounded
from accnn.core.progress import say
from accnn.latency.table_format import (
    WHAT,
    Setting,
    checked_entry,
    document,
    empty,
    merged,
    network_key,
    parse,
    plan_entry,
    put,
)
from accnn.timing.clock import counted_threads, uncertainty
from accnn.timing.machine import cores

__all__ = ["LatencyTable", "Setting", "check_target", "network_key", "open_table"]
TABLE = "latencies.json"  # in the folder of the cache
_MOST_STDERR = 0.1  # relative; of chains that are timed worse no more is added


class LatencyTable:
    """Times of chains and of whole networks in one setting, relative to a fixed reference chain.

    Several runs may share the file, and it may hold several settings: nothing that is in it is lost.

    Parameters
    ----------
    setting : Setting
    path : str, optional
        The file, which need not be there. Default: nothing is kept.

    Raises
    ------
    AccnnError
        The file is no such table.
    """

    def __init__(self, setting, path=None):
        self.setting, self._file = setting, JsonStore(path, WHAT, parse)
        self._section, self._changed = empty(), empty()
        try:
            known = self._file.read() or {}
        except Damaged as error:
            raise AccnnError("%s: remove it, or name another folder with `cache`" % error) from error
        except AccnnError as error:
            self._file.warn_once("%s: measuring anew, and keeping nothing" % error)
            known = {}
        if setting in known:
            self._section = known[setting]
        elif known and setting.machine not in {other.machine for other in known}:
            say("%s was measured on %s: ignoring it, measuring here" % (path, _machines(known)))

    @property
    def reference_ms(self):
        """float: milliseconds of the reference when the table was begun, or None where it is empty."""
        return self._section["reference_ms"]

    @cached_property
    def foreign(self):
        """bool: whether it was measured on another processor, by another MXNet or engine, or with other settings."""
        measured = self.setting
        if measured.engine_name not in engines.names():
            return True
        here = Setting.here(measured.threads, measured.batch_size, measured.amx and amx.unusable() is None,
                            measured.engine_name)
        return replace(here, isa=here.isa if measured.isa else "").machine != measured.machine

    def ms(self, key):
        """float: milliseconds of a chain or network, or None where it was not measured, or refused."""
        relative = self._section["times"].get(key, {}).get("relative")
        return None if relative is None else relative * self.reference_ms

    def ms_plus_stderr(self, key):
        """float: milliseconds of a chain and their standard error on top, or None as :meth:`ms`.

        Of hundreds of chains some are timed too short by chance, and a plan that trusted them would be made of these.
        """
        found, entry = self.ms(key), self.entry(key)
        return None if found is None else found * (1 + min(uncertainty(entry["spread"], entry["rounds"]), _MOST_STDERR))

    def entry(self, key):
        """dict: relative, spread, rounds of a chain or network; relative None and ``refused`` where the engine does.

        None where it was never asked.
        """
        found = self._section["times"].get(key)
        if found is None:
            return None
        return dict({"relative": None, "spread": None, "rounds": 0} if "refused" in found else {}, **found)

    def add(self, timed):
        """Keep what was measured, a refusal too; the first reference there is counts from then on.

        Parameters
        ----------
        timed : Timed
            With key, relative, spread, rounds and reference_ms, and where relative is None with ``refused``.

        Raises
        ------
        ValueError
            These are no times; nothing is kept then that could not be read again.
        """
        if timed.relative is None:
            entry = checked_entry({"refused": str(timed.refused)})
        else:
            # Rounded already, so that a run that reads this from the file plans as this one does.
            entry = checked_entry({"relative": rounded(timed.relative), "spread": rounded(timed.spread),
                                    "rounds": int(timed.rounds)})
            if self.reference_ms is None:
                reference = positive(rounded(timed.reference_ms))
                self._section["reference_ms"] = self._changed["reference_ms"] = reference
        for section in (self._section, self._changed):
            put(section, timed.key, entry)

    def add_plan(self, network, original, chains, in_fp32, ratio):
        """Keep how much faster a planned network was measured to be; see :func:`.table_format.plan_entry`."""
        mark, entry = plan_entry(network, original, chains, in_fp32, rounded(ratio))
        for section in (self._section, self._changed):
            section["plans"][mark] = entry

    def plans(self, network, original):
        """list of dict: ``chains``, ``in_fp32`` and ``ratio`` of planned networks, of a network over an original."""
        return [entry for entry in self._section["plans"].values()
                if (entry["network"], entry["original"]) == (network, original)]

    def save(self):
        """Write what is new into the file, beside what other runs wrote meanwhile.

        Where it cannot be written that is said, once, and is no error: what was measured still serves this run.
        """
        if self._changed != empty() and self._file.save(self._into_cache):
            self._changed = empty()

    def export(self, path, keys=None):
        """Write what is known, or of that what is named by `keys`, into a file for other machines or people.

        What the file holds of other settings, or of this one beside it, is kept.

        Raises
        ------
        AccnnError
            There is a file that is no such table, or it cannot be written.
        """
        known_times = self._section["times"]
        wanted = set(known_times if keys is None else keys)
        given = dict(self._section, plans={}, times={
            key: entry for key, entry in known_times.items() if key in wanted})

        def combine(known):
            mine = merged(given, (known or {}).get(self.setting, empty()))
            return document({**(known or {}), self.setting: mine})

        try:
            JsonStore(path, WHAT, parse).update(combine)
        except Damaged as error:
            raise AccnnError("%s: remove it, or name another file" % error) from error

    @classmethod
    def imported(cls, path, threads, batch_size, engine=engines.DEFAULT):
        """LatencyTable: of the machine that a file was measured on, whichever it is; the file is never written.

        Raises
        ------
        AccnnError
            There is no such file, it is no table, or does not hold exactly one machine with these threads and batch.
        """
        try:
            known = JsonStore(path, WHAT, parse).read()
        except Damaged as error:
            raise AccnnError("%s: name a file that was written as one" % error) from error
        if known is None:
            raise AccnnError("there is no file %s" % path)
        fitting = [one for one in known
                   if (one.threads, one.batch_size, one.engine_name) == (threads, batch_size, engine)]
        if len(fitting) != 1:
            raise AccnnError("%s holds times of %s machine with %s%s and batch %d: name a table of one machine, "
                             "or ask for what this one holds, %s"
                             % (path, "more than one" if fitting else "no",
                                "" if engine == engines.DEFAULT else engine + ", ",
                                counted_threads(threads), batch_size,
                                "; ".join(map(str, sorted(known))) or "which is nothing"))
        table = cls(fitting[0])
        table._section = known[fitting[0]]
        return table

    def _into_cache(self, known):
        known = known or {}
        # What was loaded counts last: it is in the file, unless somebody removed that meanwhile.
        mine = merged(self._changed, known.get(self.setting, empty()), self._section)
        # The first reference stays, so that the milliseconds of a table do not change from run to run.
        mine["reference_ms"] = known.get(self.setting, mine)["reference_ms"] or mine["reference_ms"]
        return document({**known, self.setting: mine})


def open_table(config):
    """LatencyTable: the one that a TimingConfig names, of this machine or imported from another.

    Raises
    ------
    AccnnError
        See :meth:`LatencyTable.imported`.
    """
    numbers = config.threads or cores(), config.batch_size
    if config.imported is not None:
        table = LatencyTable.imported(config.imported, *numbers, config.engine)
        if table.foreign:
            say("planning for %s: nothing is measured here" % table.setting)
        return table
    path = None if config.cache is None else os.path.join(config.cache, TABLE)
    return LatencyTable(Setting.here(*numbers, config.amx, config.engine), path)


def check_target(path):
    """Refuse a file that is there and no table, before anything is measured.

    Raises
    ------
    AccnnError
    """
    try:
        JsonStore(path, WHAT, parse).read()
    except Damaged as error:
        raise AccnnError("%s: remove it, or name another file" % error) from error


def _machines(known):
    return " and ".join(sorted({setting.machine for setting in known}))
