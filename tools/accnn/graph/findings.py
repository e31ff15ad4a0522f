"""What a look at a checkpoint finds: errors, what a person must know, and what is worth knowing."""
from dataclasses import dataclass

from accnn.core.errors import AccnnError

ERROR, WARNING, NOTE = "error", "warning", "note"


@dataclass(frozen=True)
class Finding:
    """One thing found in a checkpoint.

    Attributes
    ----------
    severity : str
        ``'error'``: the checkpoint cannot be used. ``'warning'``: it can, but a person must know; scripts say it on
        stderr. ``'note'``: worth knowing where somebody asks.
    source : str
        The file.
    where : str
        The layer, parameter or output.
    what : str
        What is found there, and the remedy where one is needed: goes on after "FILE: ".
    """

    severity: str
    source: str
    where: str
    what: str

    def __str__(self):
        return "%s: %s" % (self.source, self.what)


def refuse_errors(findings):
    """Raise the first error among `findings`, and count the others.

    Parameters
    ----------
    findings : iterable of Finding

    Raises
    ------
    AccnnError
    """
    errors = [finding for finding in findings if finding.severity == ERROR]
    if errors:
        others = len(errors) - 1
        raise AccnnError("%s%s" % (errors[0], " (and %d more: accnn check lists them)" % others if others else ""))
