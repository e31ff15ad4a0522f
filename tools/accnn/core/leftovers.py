"""What killed processes left: their journals are carried out, their temporary files removed."""
import contextlib
import os
import re
import shutil
import time

from accnn.core import journal, locks
from accnn.core.interrupts import interrupts_wait
from accnn.core.temporary import new_folder, parents

_FOLDER = re.compile(r"accnn-(?P<owner>%s)-%s$" % (locks.OWNER, locks.RANDOM))
# As versions before this one named them; nothing in the name tells whose they are.
_HIDDEN = re.compile(r"\..+\.(tmp|%s)$" % locks.LOCK_END[1:], re.DOTALL)
_OLD = re.compile(r"\.(?P<name>.+)\.[0-9a-z_]{8}\.tmp$", re.DOTALL)
_STARTED = time.time()


def recover(path):
    """See to it that files belong together before they are read or written, and remove what killed processes left.

    A set of files whose process was killed while it renamed them is put in place. Where nothing is pending, a folder
    that is read-only does no harm.

    Parameters
    ----------
    path : str
        A file, the prefix of several, or a folder with a separator behind it.

    Raises
    ------
    AccnnError
        A set of files that begin with `path` cannot be put in place, or nobody knows what a journal says.
    """
    folder, begins = os.path.split(os.path.abspath(path) + (os.sep if path.endswith(os.sep) else ""))
    with interrupts_wait():
        if journal.settle(folder, begins):  # else temporary files are still wanted
            _sweep(folder, begins)


@contextlib.contextmanager
def temporary_folder():
    """Yield a folder among the temporary ones of the system, removed in the end, or by the next run."""
    with contextlib.ExitStack() as ending:
        with interrupts_wait():  # one that waited is raised at the end of this block
            folder, handle = new_folder()
            ending.callback(_remove_folder, folder, handle)
        yield folder


def _remove_folder(folder, handle):
    with interrupts_wait():
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def sweep_temporary_folders():
    """Remove the temporary folders of runs that were killed."""
    for folder in parents():
        for name, match in list(_matching(folder, _FOLDER)):
            path = os.path.join(folder, name)
            with locks.abandoned(path, match.group("owner")) as is_stale:
                if is_stale:
                    shutil.rmtree(path, ignore_errors=True)


def _matching(folder, pattern):
    """Yield (name, match) of what is in a folder, as far as it can be listed."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = pattern.match(entry.name)
            if match:
                yield entry.name, match


def _sweep(folder, begins):
    for name, _ in list(_matching(folder, _HIDDEN)):
        path, ours, old = os.path.join(folder, name), journal.TEMPORARY.match(name), _OLD.match(name)
        if ours:
            _remove_abandoned(path, ours.group("owner"))
        elif name.endswith(locks.LOCK_END):
            _remove_abandoned(path)
        elif old and begins and old.group("name").startswith(begins):
            _remove_old(path)


def _remove_abandoned(path, owner=None):
    with locks.abandoned(path, owner) as is_stale, contextlib.suppress(OSError):
        if is_stale:
            os.unlink(path)


def _remove_old(path):
    with contextlib.suppress(OSError):
        if os.lstat(path).st_mtime < _STARTED:
            _remove_abandoned(path)
