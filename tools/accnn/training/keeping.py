"""What a run writes beside its resume file: checkpoints of epochs, the best one apart, and the log."""
from dataclasses import dataclass, field

from accnn.files import written_whole
from accnn.graph.checkpoint import params_path, save_model
from accnn.training import diary

BEST_EPOCH = 0  # what the best checkpoint is saved as: no epoch of a run, which count from 1


@dataclass
class Keeper:
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
    """

    prefix: str
    settings: dict = field(default_factory=dict)
    period: int = 1
    writes: bool = True
    kept: list = field(default_factory=list)

    @property
    def best_prefix(self):
        """str: prefix of the best checkpoint."""
        return self.prefix + "-best"

    @property
    def log_path(self):
        """str: the log."""
        return self.prefix + "-log.csv"

    def keep_epoch(self, entries, model, last):
        """Write what is due after an epoch, the last of `entries`."""
        epoch = entries[-1].epoch
        if self.writes and (last or epoch % self.period == 0):
            save_model(model, self.prefix, epoch)
            self.kept.append(params_path(self.prefix, epoch))
        self.keep_best(entries, model)
        if self.writes:
            with written_whole(self.log_path) as temporary, open(temporary, "w", encoding="utf-8") as handle:
                handle.write(diary.csv_text(entries))

    def keep_best(self, entries, model):
        """Write `model`, of the last of `entries`, where it is the best so far."""
        if self.writes and entries and diary.best(entries) is entries[-1]:
            save_model(model, self.best_prefix, BEST_EPOCH)

    def told(self):
        """A few words on what is there to go back to."""
        if self.kept:
            return "%s is the last good epoch" % self.kept[-1]
        return "no epoch was finished, the model that was given is unchanged"
