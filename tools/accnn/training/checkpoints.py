"""What a run writes beside its resume file: checkpoints of epochs, the best one apart, and the log."""
import contextlib
import os
from dataclasses import dataclass, field

from accnn.core.errors import AccnnError
from accnn.core.files import check_writable, written_whole
from accnn.graph.checkpoint import epochs, params_path, save_model, symbol_path
from accnn.training import history
from accnn.training.resume import resume_path


def check_names(option, prefix, paths, longest):
    """Refuse names that no file can have here.

    Parameters
    ----------
    option, prefix : str
        What the person said.
    paths : list of str
        Files to be written, as far as they are there.
    longest : str
        The path with the longest name of all that will be written.

    Raises
    ------
    AccnnError
    """
    for path in paths:
        if os.path.isdir(path):
            raise AccnnError("%s %s: %s is a folder, choose another prefix" % (option, prefix, path))
    try:
        prefix.encode("utf-8")
        check_writable(longest)
    except UnicodeEncodeError as error:
        raise AccnnError("%s %r is no UTF-8 name, which MXNet needs" % (option, prefix)) from error
    except OSError as error:
        raise AccnnError("%s %s cannot be written: %s" % (option, prefix, error.strerror)) from error


BEST_EPOCH = 0  # what the best checkpoint is saved as: no epoch of a run, which count from 1


@dataclass
class CheckpointManager:
    """Writes checkpoints.

    Attributes
    ----------
    prefix : str
        Epochs go to PREFIX-%04d.params, the best one to PREFIX-best-0000.params, the log to PREFIX-log.csv.
    settings : dict
        What must not change when the run is resumed.
    period : int
        Every so many epochs are kept, and the last.
    writes : bool
        False in all workers but the first.
    stale : list of str
        Files of an earlier run, removed with the writing of the first checkpoint of this one; the resume file tells
        of them until then.
    kept : list of str
        Checkpoints of epochs, in the order of writing.
    """

    prefix: str
    settings: dict = field(default_factory=dict)
    period: int = 1
    writes: bool = True
    stale: list = field(default_factory=list)
    kept: list = field(default_factory=list)
    _unsaved: tuple = ()
    _best_is_mine: bool = False

    @property
    def best_prefix(self):
        """str: prefix of the best checkpoint."""
        return self.prefix + "-best"

    def files(self):
        """list of str: what is there of all that a run writes."""
        paths = [resume_path(self.prefix), self.log_path] + [
            path for prefix in (self.prefix, self.best_prefix)
            for path in [symbol_path(prefix)] + [params_path(prefix, epoch) for epoch in epochs(prefix)]]
        return [path for path in paths if os.path.lexists(path)]

    @property
    def log_path(self):
        """str: the log."""
        return self.prefix + "-log.csv"

    def keep_epoch(self, entries, model, last):
        """Write what is due after an epoch, the last of `entries`."""
        epoch = entries[-1].epoch
        self._unsaved = model, epoch
        if last or epoch % self.period == 0:
            self._keep_unsaved()
        self.keep_best(entries, model)
        if self.writes:
            with written_whole(self.log_path) as temporary, open(temporary, "w", encoding="utf-8") as handle:
                handle.write(history.csv_text(entries))

    def _keep_unsaved(self):
        """Write the model of the epoch that was finished last, where that is not done."""
        if self._unsaved:
            model, epoch = self._unsaved
            if self.writes:
                save_model(model, self.prefix, epoch, removed=self._outdated())
                self.stale = []
            self.kept.append(params_path(self.prefix, epoch))
        self._unsaved = ()

    def keep_best(self, entries, model):
        """Write `model`, of the last of `entries`, where it is the best so far."""
        if self.writes and entries and history.best(entries) is entries[-1]:
            others = [params_path(self.best_prefix, epoch) for epoch in epochs(self.best_prefix)]
            save_model(model, self.best_prefix, BEST_EPOCH, removed=[path for path in others if path in self.stale])
            self._best_is_mine = True

    def resumed(self, entries, stale):
        """Go on with a run that wrote `entries`, and was to replace the files of the names `stale`, without folder."""
        self.stale = [path for path in self.files() if os.path.basename(path) in stale]
        self.kept = [path for path in (params_path(self.prefix, entry.epoch) for entry in entries)
                     if os.path.exists(path) and path not in self.stale]
        self._best_is_mine = history.best(entries) is not None

    def _outdated(self):
        """list of str: those of `stale` that this run does not write anew."""
        own = {symbol_path(self.prefix), self.log_path, resume_path(self.prefix)}
        if self._best_is_mine:
            own |= {symbol_path(self.best_prefix), params_path(self.best_prefix, BEST_EPOCH)}
        return [path for path in self.stale if path not in own]

    def forget(self):
        """Remove what a run wrote before it learnt anything, so that it can begin as if it had not."""
        best = [symbol_path(self.best_prefix), params_path(self.best_prefix, BEST_EPOCH)] if self._best_is_mine else []
        for path in [resume_path(self.prefix)] + best if self.writes else []:
            with contextlib.suppress(OSError):
                os.unlink(path)

    def keep_last_good(self):
        """Write the last epoch that was finished, whatever the period says; return a few words on what is kept."""
        self._keep_unsaved()
        if self.kept:
            return "%s is the last good epoch" % self.kept[-1]
        return "no epoch was finished, the model that was given is unchanged"
