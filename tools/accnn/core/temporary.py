"""Temporary files beside the ones they are to become, and temporary folders; their names tell whose they are."""
import os
import tempfile

from accnn.core import locks

END = ".tmp"


class Temporary:
    """A file beside another, locked as long as this process means to use it.

    Parameters
    ----------
    path : str
        What it is to become.

    Attributes
    ----------
    path : str
    name : str
        Its own path.
    is_wanted : bool
        It outlives :meth:`close`.
    """

    def __init__(self, path):
        self.path, self.is_wanted = path, False
        self.name, self._handle = _owned(lambda: _new_file(path))

    def flush(self):
        """Let what was written reach the disk, readable by whom the person lets read."""
        os.chmod(self.name, 0o666 & ~_umask())
        flush(self.name)

    def close(self):
        """Give it up; remove it where it has not been renamed."""
        try:
            if not self.is_wanted and locks.is_same(self._handle, self.name):
                os.unlink(self.name)
        finally:
            os.close(self._handle)


def flush(path):
    """Let a file, or the names in a folder, reach the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def aside(path):
    """str: a name not in use, of the form that temporary files have, for the file that is at `path`."""
    folder, name = os.path.split(os.path.abspath(path))
    return os.path.join(folder, "%s%s%s" % (_beginning(name), os.urandom(4).hex(), END))


def new_folder():
    """Make a folder among the temporary ones of the system; return its path and the descriptor that owns it."""
    return _owned(_new_folder)


def parents():
    """list of str: folders that temporary ones may be in, the preferred one first."""
    named = [os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")] + ["/tmp"]
    found = [tempfile.tempdir] if tempfile.tempdir else [folder for folder in named if folder]
    return [os.path.abspath(folder) for folder in dict.fromkeys(found) if os.path.isdir(folder)]


def _parent():
    # tempfile.gettempdir tries by writing a file, which a killed process leaves: it is the last resort.
    for folder in parents():
        if os.access(folder, os.W_OK | os.X_OK) and _has_room(folder):
            return folder
    return tempfile.gettempdir()


def _has_room(folder):
    if not hasattr(os, "statvfs"):
        return True
    found = os.statvfs(folder)
    return found.f_bavail > 0 and (found.f_favail > 0 or not found.f_files)  # some file systems count no files


def _owned(make):
    while True:
        path, handle = make()
        if locks.own(handle, path):
            return path, handle
        os.close(handle)


def _new_file(path):
    folder, name = os.path.split(os.path.abspath(path))
    handle, temporary = tempfile.mkstemp(prefix=_beginning(name), suffix=END, dir=folder)
    return temporary, handle


def _new_folder():
    folder = tempfile.mkdtemp(prefix="accnn-%s-" % locks.owner(), dir=_parent())
    try:
        return folder, os.open(folder, os.O_RDONLY)
    except OSError:
        os.rmdir(folder)
        raise


def _beginning(name):
    return ".%s.%s-" % (locks.cut(name), locks.owner())


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
