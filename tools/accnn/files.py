"""Files appear whole or not at all: written beside their target, flushed, then renamed."""
import contextlib
import os
import tempfile

from accnn.errors import AccnnError


@contextlib.contextmanager
def written_whole(path):
    """Yield a temporary path in the folder of `path`; rename it onto `path` when the block succeeds.

    The block writes the temporary file by name. When it raises, or the process is interrupted,
    the temporary file is removed and whatever was at `path` before is untouched; a process
    that is killed outright leaves the old file and at worst a stray ``.<name>.*.tmp``.

    Parameters
    ----------
    path : str

    Raises
    ------
    AccnnError
        When the folder is missing, read-only or full; names `path`.
    """
    temporary = _create_beside(path)
    try:
        with _os_errors_named(path):
            yield temporary
            _flush(temporary)
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _create_beside(path):
    folder, name = os.path.split(os.path.abspath(path))
    with _os_errors_named(path):
        handle, temporary = tempfile.mkstemp(prefix="." + name + ".", suffix=".tmp", dir=folder)
        os.close(handle)
    return temporary


@contextlib.contextmanager
def _os_errors_named(path):
    try:
        yield
    except OSError as error:
        raise AccnnError("%s cannot be written: %s" % (path, error.strerror or error)) from error


def _flush(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
