"""Files appear whole or not at all, and those that belong together appear together."""
import contextlib
import errno
import os
import stat
import threading

from accnn.core import journal
from accnn.core.errors import AccnnError
from accnn.core.interrupts import interrupts_wait
from accnn.core.leftovers import recover, temporary_folder
from accnn.core.locks import locked
from accnn.core.temporary import Temporary, aside

__all__ = ["check_writable", "interrupts_wait", "locked", "recover", "temporary_folder", "written_together",
           "written_whole"]
_one_at_a_time = threading.Lock()  # two threads that rename in turns would mix their sets


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


@contextlib.contextmanager
def full_disk_as_sentence(path):
    """Let an error of writing the temporary file `path` name its folder, and the way to another one."""
    try:
        yield
    except OSError as error:
        raise AccnnError("the temporary folder %s cannot be written to: %s; set TMPDIR to one with more room"
                         % (os.path.dirname(path), error.strerror or error)) from error


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
    leaves the old files, or new ones of which :func:`recover` renames the last; what else it leaves goes then, too.

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
    made = []
    try:
        for path in paths:
            recover(path)
            with _os_errors_named(path), interrupts_wait():
                made.append(Temporary(path))
        with _os_errors_named(paths[0] if len(paths) == 1 else "one of " + ", ".join(paths)):
            yield [one.name for one in made]
        for one in made:
            with _os_errors_named(one.path):
                one.flush()
        with interrupts_wait(), _one_at_a_time:
            _put_in_place(made, _there(removed, paths))
    finally:
        for one in made:
            with contextlib.suppress(OSError):
                one.close()


def check_writable(path):
    """Try whether a file can be made beside `path`, and may have that name.

    Raises
    ------
    OSError
    """
    recover(path)
    with contextlib.suppress(FileNotFoundError):
        os.lstat(path)  # the temporary name may be shorter
    with interrupts_wait():
        Temporary(path).close()


def _there(removed, paths):
    kept = {os.path.abspath(path) for path in paths}
    return [path for path in map(os.path.abspath, removed) if path not in kept and _is_file(path)]


def _is_file(path):
    return os.path.lexists(path) and not os.path.isdir(path)


def _put_in_place(made, removed):
    if len(made) == 1 and not removed:
        with _os_errors_named(made[0].path):
            os.replace(made[0].name, made[0].path)
        return
    steps = _Steps(made, removed)
    with _os_errors_named("one of " + ", ".join(one.path for one in made)):
        journals = journal.announce([(one.name, one.path) for one in made], removed, list(steps.asides.values()))
    try:
        steps.take()
        steps.drop_asides()
        journal.end(journals)
    except BaseException:
        if not (steps.taken_back() and journal.withdrawn(journals)):
            for one in made:  # the next run puts the rest in place
                one.is_wanted = True
        raise
    finally:
        for one in journals:
            one.close()


class _Steps:
    """The renames of a set, noted as they are made, so that just these can be taken back.

    Attributes
    ----------
    asides : dict of str to str
        Under which names old files are kept meanwhile. The last file to be replaced needs none: once that is done no
        step can fail.
    """

    def __init__(self, made, removed):
        self._made, self._removed, self._done = made, removed, []
        replaced = [one.path for one in made[:None if removed else -1] if _is_file(one.path)]
        self.asides = {path: aside(path) for path in replaced + removed}

    def take(self):
        """Make all renames, one after the other; AccnnError for the first that is refused."""
        for one in self._made:
            with _os_errors_named(one.path):
                if one.path in self.asides:
                    self._keep(one.path)
                self._rename(one.name, one.path)
        for path in self._removed:
            with _os_errors_named(path):
                self._rename(path, self.asides[path])

    def taken_back(self):
        """Undo what was done; bool: whether that was possible."""
        try:
            for source, target in reversed(self._done):
                os.rename(target, source)
        except OSError:
            return False
        self.drop_asides()
        return True

    def drop_asides(self):
        """Remove old files; where that fails, the next run does."""
        for path in self.asides.values():
            with contextlib.suppress(OSError):
                os.unlink(path)

    def _keep(self, path):
        """Give the old file a second name, or another one where the file system has no links."""
        try:
            os.link(path, self.asides[path], follow_symlinks=False)
        except (OSError, NotImplementedError):
            self._rename(path, self.asides[path])
        else:
            self._done.append((path, self.asides[path]))

    def _rename(self, source, target):
        os.replace(source, target)
        self._done.append((source, target))


@contextlib.contextmanager
def _os_errors_named(path):
    try:
        yield
    except OSError as error:
        raise AccnnError("%s cannot be written: %s" % (path, error.strerror or error)) from error
