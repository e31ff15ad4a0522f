"""Journals of pending renames, by which a set of files appears as one even where the process is killed in between.

Files that belong together are written under temporary names and flushed. Then a journal in their folder says which is
to become what; it appears whole, and with it the set counts as written. Then come the renames, and the journal goes.
One that is found later, and whose process is dead, is carried out by whoever finds it.
"""
import contextlib
import json
import os
import re
import stat
import time

from accnn.core import locks
from accnn.core.errors import AccnnError
from accnn.core.temporary import END, Temporary, flush

TEMPORARY = re.compile(r"\.(?P<name>.+)\.(?P<owner>%s)-%s\.tmp$" % (locks.OWNER, locks.RANDOM), re.DOTALL)
JOURNAL = re.compile(r"\.accnn\.(?P<owner>%s)-%s\.journal$" % (locks.OWNER, locks.RANDOM))
_NAME, _END, _VERSION = "accnn", ".journal", 1
_FIELDS = {"accnn_journal", "renames", "removed", "asides", "set"}
_PATIENCE, _BETWEEN = 10.0, 0.02  # seconds that a living process is given for its renames


def announce(renames, removed, asides):
    """Write the journal of a set, one in each of its folders, and let it reach the disk: now the set counts as written.

    Parameters
    ----------
    renames : list of (str, str)
        Temporary files, flushed, and what they become.
    removed : list of str
        Files that do not belong to the set.
    asides : list of str
        Names of temporary form, under which old files are kept until the set is in place.

    Returns
    -------
    list of Temporary
        The journals, owned until they are closed; the last one decides: without it the set does not count.

    Raises
    ------
    OSError
        No journal is left.
    """
    folders = _by_folder(renames, removed, asides)
    written = []
    try:
        for folder in folders:
            written.append(Temporary(os.path.join(folder, _NAME)))
        names = [one.name[:-len(END)] + _END for one in written]
        for one, (folder, parts) in zip(written, folders.items()):
            _write(one, folder, parts, names if len(names) > 1 else [])
        for one, name in zip(written, names):
            os.replace(one.name, name)
            one.name = name
            flush_folder(os.path.dirname(name))
    except BaseException:
        for one in reversed(written):
            with contextlib.suppress(OSError):
                one.close()
        raise
    for one in written:
        one.is_wanted = True
    return written


def end(journals):
    """Remove the journals of a set that is in place, the deciding one last."""
    for one in journals:
        flush_folder(os.path.dirname(one.name))
        with contextlib.suppress(OSError):  # whoever finds it finds nothing to do
            os.unlink(one.name)


def withdrawn(journals):
    """Remove the journals of a set that was taken back, the deciding one first; bool: whether that was possible."""
    try:
        for one in reversed(journals):
            os.unlink(one.name)
    except OSError:
        return False
    return True


def _by_folder(renames, removed, asides):
    folders = {}
    for temporary, final in renames:
        part = folders.setdefault(os.path.dirname(os.path.abspath(final)), ([], [], []))
        part[0].append([os.path.basename(temporary), os.path.basename(final)])
    for number, paths in ((1, removed), (2, asides)):
        for path in paths:
            part = folders.setdefault(os.path.dirname(os.path.abspath(path)), ([], [], []))
            part[number].append(os.path.basename(path))
    return folders


def _write(one, folder, parts, journals):
    document = dict(zip(("renames", "removed", "asides"), parts), accnn_journal=_VERSION,
                    set=[os.path.relpath(journal, folder) for journal in journals])
    with open(one.name, "w", encoding="utf-8") as handle:
        json.dump(document, handle, indent=1)
    one.flush()


def settle(folder, begins=""):
    """Carry out what journals in a folder say whose processes are dead; wait for those of living ones.

    Parameters
    ----------
    folder : str
    begins : str
        What the names in question begin with: a set of other files that cannot be put in place is not theirs.

    Returns
    -------
    bool
        Whether nothing is pending.

    Raises
    ------
    AccnnError
        A journal is damaged, or cannot be carried out, or another process takes too long.
    """
    done = [_settle(os.path.join(folder, name), begins) for name in _listed(folder) if JOURNAL.match(name)]
    return all(done)


def flush_folder(folder):
    """Let the names in a folder reach the disk, where its file system knows how."""
    with contextlib.suppress(OSError):
        flush(folder)


def _listed(folder):
    try:
        return sorted(os.listdir(folder or os.curdir))
    except OSError:  # whoever reads a file by its name needs no list
        return []


def _settle(path, begins):
    owner = JOURNAL.match(os.path.basename(path)).group("owner")
    end = time.monotonic() + _PATIENCE
    while True:
        handle = _opened(path)
        if handle is None:
            return True
        try:
            free = locks.try_lock(handle)
            if free or free is None and locks.is_alive(owner) is False:
                return not locks.is_same(handle, path) or _carried_out(path, begins)
        finally:
            os.close(handle)
        if time.monotonic() > end:
            raise AccnnError("%s: another process is writing these files: wait until it is done" % path)
        time.sleep(_BETWEEN)


def _opened(path):
    """The descriptor of a journal, which may be another person's, or None where it has gone."""
    for how in (os.O_RDWR, os.O_RDONLY):
        try:
            return os.open(path, how | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        except FileNotFoundError:
            return None
        except OSError as error:
            refused = error
    raise AccnnError("%s cannot be read (%s), so nobody knows whether the files here belong together"
                     % (path, refused.strerror)) from refused


def _carried_out(path, begins):
    """Carry out a journal and those that belong to it; bool: whether that was possible."""
    folder = os.path.dirname(path)
    journals = [os.path.normpath(os.path.join(folder, other)) for other in _read(path)["set"]] or [path]
    try:
        if not os.path.lexists(journals[-1]):
            _give_up(path)
            return True
        there = [journal for journal in journals if os.path.lexists(journal)]
        for journal in there:
            _rename_all(os.path.dirname(journal), _read(journal))
    except OSError as error:
        return _refuse_unfinished(path, begins, error)
    for journal in there:  # the last one decides, until the others are gone
        flush_folder(os.path.dirname(journal))
        with contextlib.suppress(OSError):  # all is in place, and whoever finds it again finds nothing to do
            os.unlink(journal)
    return True


def _rename_all(folder, document):
    for temporary, final in document["renames"]:
        source, target = os.path.join(folder, temporary), os.path.join(folder, final)
        if os.path.lexists(source):
            if not stat.S_ISREG(os.lstat(source).st_mode):
                raise OSError(None, "%s is no regular file" % source)
            os.replace(source, target)
        elif not os.path.lexists(target):
            raise OSError(None, "%s is missing" % source)
    for name in document["removed"]:
        _unlink(os.path.join(folder, name))
    for name in document["asides"]:
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(folder, name))


def _give_up(path):
    """Remove what was made ready for a set that never counted as written."""
    for temporary, _ in _read(path)["renames"]:
        _unlink(os.path.join(os.path.dirname(path), temporary))
    _unlink(path)


def _unlink(path):
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _refuse_unfinished(path, begins, error):
    document = _read(path)
    names = [final for _, final in document["renames"]] + document["removed"]
    if not any(name.startswith(begins) for name in names):
        return False
    raise AccnnError("a process was killed while it replaced %s in %s, and that cannot be finished (%s), so they do "
                     "not fit together: make the folder writable and run this again, or remove %s and write them anew"
                     % (", ".join(names), os.path.dirname(path) or os.curdir, error.strerror or error, path)) from error


def _read(path):
    """The journal as a dict, of which nothing leads out of its folder."""
    try:
        with open(path, encoding="utf-8") as handle:
            document = json.load(handle)
        _check(document)
    except OSError as error:
        raise AccnnError("%s cannot be read: %s" % (path, error.strerror)) from error
    except (ValueError, RecursionError) as error:
        raise AccnnError("%s is damaged or not of accnn (%s), so nobody knows whether the files here belong together: "
                         "look at them, and remove it" % (path, error)) from error
    return document


def _check(document):
    if not isinstance(document, dict) or set(document) != _FIELDS or document["accnn_journal"] != _VERSION:
        raise ValueError("it has other fields")
    if not all(isinstance(document[key], list) for key in _FIELDS - {"accnn_journal"}):
        raise ValueError("it holds no lists")
    for pair in document["renames"]:
        if not isinstance(pair, list) or len(pair) != 2 or not all(map(_is_name, pair)) or not _belongs(*pair):
            raise ValueError("it would rename %.80r" % (pair,))
    for name in document["removed"] + document["asides"]:
        if not _is_name(name) or name in document["asides"] and not TEMPORARY.match(name):
            raise ValueError("it would remove %.80r" % (name,))
    for other in document["set"]:
        if not isinstance(other, str) or "\0" in other or not JOURNAL.match(os.path.basename(other)):
            raise ValueError("it names %.80r" % (other,))


def _is_name(name):
    return (isinstance(name, str) and "\0" not in name and os.path.basename(name) == name
            and name not in ("", os.curdir, os.pardir))


def _belongs(temporary, final):
    match = TEMPORARY.match(temporary)
    return bool(match) and match.group("name") == locks.cut(final)
