"""Who owns a file: locks that end with the process, and names that tell which process it was."""
import contextlib
import functools
import os
import re
import socket
import sys
import threading
import time
import zlib

from accnn.core.errors import AccnnError
from accnn.core.interrupts import interrupts_wait

try:
    import fcntl
except ImportError:  # no Unix: what the names tell has to do
    fcntl = None

OWNER = r"[0-9a-f]{4}-[0-9a-f]+-[0-9a-f]+"  # machine, process, when it started
RANDOM = r"[0-9a-z_]{8}"
LOCK_END = ".accnn-lock"
_START = 1 << 24
_LOOKS, _BETWEEN = 5, 0.02
_FRESH = 10.0  # seconds
_held, _guard = {}, threading.RLock()  # by path: [times it was taken, file descriptor]


def owner():
    """str: this process, as names tell it; another process on the machine never has the same."""
    return "%s-%x-%x" % (_machine(), os.getpid(), _started(os.getpid()) or 0)


def is_alive(text):
    """bool or None: whether the process that :func:`owner` called so runs; None where it is another machine's."""
    machine, number, started = text.split("-")
    if machine != _machine():
        return None
    known = _started(int(number, 16))
    if known is not None:
        return known == int(started, 16)
    try:
        os.kill(int(number, 16), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # there is one, of another person
        return True
    return not os.path.isdir("/proc/self")  # where /proc shows this process but not that one, it has just ended


def try_lock(handle, shared=False):
    """Lock an open file without waiting.

    Returns
    -------
    bool or None
        False where another process, or another descriptor of this one, has it; None where there are no locks.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems have none
        return None
    return True


def own(handle, path):
    """Lock a file just made; False where somebody took it for a leftover and removed it before that."""
    if fcntl is not None:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)  # held by others for no longer than a look takes
    return is_same(handle, path)


def is_same(handle, path):
    """bool: whether a path still leads to the file that is open."""
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except OSError:
        return False


@contextlib.contextmanager
def abandoned(path, text=None):
    """Yield whether a file or folder belongs to nobody; as long as the block lasts nobody can take it up again.

    Parameters
    ----------
    path : str
    text : str, optional
        Its owner, as :func:`owner` tells it. Who is alive keeps what he has not locked, too.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        yield False
        return
    try:
        free, living = try_lock(handle, shared=True), is_alive(text) if text else None
        yield is_same(handle, path) and (not living if free else free is None and living is False)
    finally:
        os.close(handle)


class Busy(AccnnError):
    """Another process writes the files."""


@contextlib.contextmanager
def locked(path, waiting=None):
    """Keep other processes from writing what begins with `path`, as long as the block lasts.

    The same process may take it again. The lock is a hidden file beside `path`, which is removed in the end; one that a
    killed process left counts for nothing.

    Parameters
    ----------
    path : str
        A file, or the prefix of several.
    waiting : callable, optional
        Called without arguments where another process has it, which is waited for then. Default: refuse.

    Raises
    ------
    Busy
        Another process has it, which is named.
    AccnnError
        The folder cannot be written to.
    """
    lock = os.path.realpath(lock_path(path))
    with contextlib.ExitStack() as ending:
        while not _taken(lock, path, waiting, ending):
            waiting = waiting and _nothing
            time.sleep(_BETWEEN)
        yield


def lock_path(path):
    """str: the file that :func:`locked` makes."""
    folder, name = os.path.split(os.path.abspath(path))
    return os.path.join(folder, "." + cut(name) + LOCK_END)


def cut(name, longest=200):
    """str: a name that leaves room for what is added to it."""
    while len(os.fsencode(name)) > longest:
        name = name[:-1]
    return name


def _nothing():
    """Say that it is waited for no more than once."""


def _taken(lock, path, waiting, ending):
    try:
        with interrupts_wait():  # one that waited is raised at the end of this block
            _take(lock, path)
            ending.callback(_give_back, lock)
    except Busy:
        if waiting is None:
            raise
        waiting()
        return False
    return True


def _take(lock, path):
    with _guard:
        if lock in _held:
            _held[lock][0] += 1
            return
        handle = None
        while handle is None:
            handle = _opened(lock, path)
        _held[lock] = [1, handle]


def _give_back(lock):
    with interrupts_wait(), _guard:
        _held[lock][0] -= 1
        if _held[lock][0]:
            return
        _, handle = _held.pop(lock)
        with contextlib.suppress(OSError):
            if is_same(handle, lock):
                os.unlink(lock)  # while it is held: who waits for it finds that it is another file now
        os.close(handle)


def _opened(lock, path):
    """The descriptor of the lock file, taken by this process; None where it vanished meanwhile."""
    handle = taken = None
    try:
        handle, made = _create_or_open(lock)
        taken = handle is not None and _is_taken(handle, lock, made, path)
    except OSError as error:
        raise AccnnError("%s cannot be written: %s: %s" % (path, lock, error.strerror or error)) from error
    finally:
        if handle is not None and not taken:
            os.close(handle)
    return handle if taken else None


def _create_or_open(lock):
    """(descriptor, whether the file was made here); no descriptor where it has just been removed."""
    with contextlib.suppress(FileExistsError):
        return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), True
    with contextlib.suppress(FileNotFoundError):
        return os.open(lock, os.O_RDWR), False
    return None, False


def _is_taken(handle, lock, made, path):
    """Lock the file, or refuse; False where that is to be tried again with another file."""
    free = _try_lock_patiently(handle)
    if free is False or free is None and not made and _holder_lives(handle):
        raise Busy("%s is being written by another process%s: wait until it is done, or choose another name"
                         % (path, _holder(_said(handle))))
    if not is_same(handle, lock):
        return False
    if free is None and not made:  # where there are no locks, who makes the file has it
        os.unlink(lock)
        return False
    try:
        _say(handle)
    except OSError:
        if not free:  # else it only tells who has it
            os.unlink(lock)
            raise
    return True


def _try_lock_patiently(handle):
    for _ in range(_LOOKS):
        free = try_lock(handle)
        if free is not False:
            return free
        time.sleep(_BETWEEN)  # it may only be looked at
    return free


def _holder_lives(handle):
    said = _said(handle)
    if said:
        return is_alive(said[0]) is not False
    return time.time() - os.fstat(handle).st_mtime < _FRESH  # it is being written


def _say(handle):
    text = "%s %s\n" % (owner(), " ".join([os.path.basename(word) for word in sys.argv[:1]]) or "python")
    os.ftruncate(handle, 0)
    os.pwrite(handle, text.encode("utf-8", "replace"), 0)


def _said(handle):
    """(owner, program) that a lock file names, or None."""
    words = os.pread(handle, 1000, 0).decode("utf-8", "replace").split(None, 1)
    return words if words and re.fullmatch(OWNER, words[0]) else None


def _holder(said):
    if not said:
        return ""
    machine, number, _ = said[0].split("-")
    return " (%d%s%s)" % (int(number, 16), ", " + said[1].strip() if said[1:] else "",
                          "" if machine == _machine() else ", on another machine")


@functools.lru_cache(maxsize=None)
def _machine():
    return "%04x" % (zlib.crc32(socket.gethostname().encode("utf-8", "replace")) & 0xffff)


def _started(number):
    """int or None: when a process started, in ticks of the system; None where /proc does not tell."""
    try:
        with open("/proc/%d/stat" % number, "rb") as handle:
            fields = handle.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19]) % _START
