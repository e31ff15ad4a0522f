"""Files appear whole or not at all, and those that belong together appear together."""
import contextlib
import errno
import os
import signal
import stat
import tempfile
import threading

from accnn.errors import AccnnError


@contextlib.contextmanager
def written_whole(path):
    """Yield a temporary path beside `path`, renamed onto it when the block succeeds; see :func:`written_together`."""
    with written_together([path]) as (temporary,):
        yield temporary


def regular_file(path):
    """Return `path`, of something to be read; anything but a regular file would be waited for, or never end.

    Raises
    ------
    AccnnError
        There is nothing, a folder, a pipe, a device, a socket, or a link that leads nowhere; says which.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise AccnnError("%s cannot be read: %s" % (path, _unreadable(path, error))) from error
    if not stat.S_ISREG(mode):
        kind = next((name for is_one, name in _KINDS if is_one(mode)), "something else")
        raise AccnnError("%s cannot be read: it is %s, no regular file" % (path, kind))
    return path


def open_input(path, mode="r", **how):
    """Open a regular file that a person named, as ``open`` does.

    Raises
    ------
    AccnnError
        See :func:`regular_file`.
    OSError
        The file may not be read.
    """
    return open(regular_file(path), mode, **how)


_KINDS = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"),
          (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"))


def _unreadable(path, error):
    if error.errno == errno.ELOOP:
        return "it is a link that leads back to itself"
    if error.errno == errno.ENOENT and os.path.islink(path):
        return "it is a link to %s, which does not exist" % os.readlink(path)
    return error.strerror or str(error)


@contextlib.contextmanager
def written_together(paths, removed=()):
    """Yield temporary paths in the folders of `paths`; when the block succeeds rename all of them, or none.

    The block writes the temporary files by name. When it raises, or the process is interrupted, they are removed and
    whatever was at `paths` before is untouched. They are flushed to the disk before the first is renamed, an interrupt
    waits until the last is, and when a rename is refused the earlier ones are taken back. A process that is killed
    outright leaves old files or new ones, and at worst a stray ``.<name>.*.tmp``.

    Parameters
    ----------
    paths : list of str
    removed : sequence of str, optional
        Files that do not go with the new ones: removed together with the renames. Those that are not there, or are
        among `paths`, count for nothing.

    Yields
    ------
    list of str

    Raises
    ------
    AccnnError
        A folder is missing, read-only or full; names the file.
    """
    temporaries = []
    try:
        for path in paths:
            with _os_errors_named(path), interrupts_wait():
                temporaries.append(_create_beside(path))
        with _os_errors_named(paths[0] if len(paths) == 1 else "one of " + ", ".join(paths)):
            yield temporaries
        for path, temporary in zip(paths, temporaries):
            with _os_errors_named(path):
                _flush(temporary)
                os.chmod(temporary, 0o666 & ~_umask())
        with interrupts_wait():
            _rename_all(temporaries, paths)
            for path in set(map(os.path.abspath, removed)) - set(map(os.path.abspath, paths)):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
    finally:
        for temporary in temporaries:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)


@contextlib.contextmanager
def interrupts_wait():
    """Let SIGINT and SIGTERM wait until the block is done.

    Handlers are exchanged, since a signal that is blocked in this thread would reach Python through another one.
    """
    waiting, previous = [], {}
    if threading.current_thread() is threading.main_thread():  # only it may; it is also the only one to be interrupted
        previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in previous:
            signal.signal(number, lambda number, frame: waiting.append(number))
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        if waiting:
            signal.raise_signal(waiting[0])


def _rename_all(temporaries, paths):
    """Rename in order; when one fails, put back what was there before."""
    kept = []
    try:
        for temporary, path in zip(temporaries, paths):
            with _os_errors_named(path):
                kept.append((path, _kept_aside(path)))
                os.replace(temporary, path)
    except AccnnError:
        for path, old in kept:
            if old is not None:
                os.replace(old, path)
            elif path != kept[-1][0]:
                os.unlink(path)
        raise
    for _, old in kept:
        if old is not None:
            os.unlink(old)


def _kept_aside(path):
    """A second name for the file at `path`, or None when there is none."""
    if not os.path.lexists(path) or os.path.isdir(path):
        return None
    aside = _create_beside(path)
    os.unlink(aside)
    os.link(path, aside, follow_symlinks=False)
    return aside


def _create_beside(path):
    folder, name = os.path.split(os.path.abspath(path))
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
