"""Where get_model.py may write: the refusals that come before a long download."""
from accnn.cli.outputs import check_epochs, check_prefix
from accnn.cli.replacing import check_replaced
from accnn.core.files import recover
from accnn.graph.checkpoint import params_path, symbol_path


def paths(prefix, epoch):
    """Return the names of the two files of a checkpoint, symbol first."""
    return symbol_path(prefix), params_path(prefix, epoch)


def refuse_unless_writable(prefix, epoch, force=False):
    """Raise an :class:`AccnnError` when the checkpoint must not or cannot be written.

    Meant to be asked before a long download, which would otherwise be in vain.
    """
    check_prefix("--save-model", prefix)
    recover(prefix)
    check_replaced("--save-model", prefix, paths(prefix, epoch), force)
    check_epochs("--save-model", prefix, epoch, force)
