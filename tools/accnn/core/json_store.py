"""JSON files that several runs keep together: checked when they are read, merged when they are written."""
import contextlib
import json
import os
import time

from accnn.core.errors import AccnnError
from accnn.core.files import open_input, recover, written_whole
from accnn.core.progress import say

try:
    import fcntl
except ImportError:  # no Unix: the last of two runs that write in the same moment wins
    fcntl = None

_PATIENCE = 10.0  # seconds that another run may take to write; it takes milliseconds, unless it was stopped meanwhile
_BETWEEN = 0.02
_BEGINNING = 1000  # bytes, in which a file says what it holds
_MOST = 1e9  # of any number
_SHORTEST, _LONGEST = 1e-6, 1e6  # of times; between wider limits the shorter is lost in a sum with the longer


class Damaged(Exception):
    """A file holds something else than it should; the sentence names both."""


class OtherVersion(Exception):
    """A file was written by a version that measured otherwise."""


class JsonStore:
    """A JSON object in a file, which need not be there.

    Parameters
    ----------
    path : str or None
        None: nothing is ever read or written.
    what : str
        What it holds, for people; also the mark that the file itself bears.
    parse : callable
        Makes of the object in the file what is kept in memory; KeyError, TypeError, AttributeError or ValueError where
        it is not sound.
    loose : bool
        As files were before they bore a mark: those without one are read too, keys stay in their order, and NaN and
        infinite numbers are no damage.
    """

    def __init__(self, path, what, parse, loose=False):
        self.path, self.what, self._parse, self._loose = path, what, parse, loose
        self._told = False

    def read(self):
        """Return what `parse` made of the file, or None where there is none.

        Raises
        ------
        Damaged
            It holds something else.
        AccnnError
            It cannot be read.
        """
        if self.path is None:
            return None
        recover(self.path)
        try:
            os.lstat(self.path)  # a link that leads nowhere is not nothing
            with open_input(self.path, encoding="utf-8") as handle:
                document = json.load(handle, parse_constant=None if self._loose else _refused)
            marked = document.pop("holds", self.what if self._loose else None)
            if marked != self.what:
                raise ValueError
            return self._parse(document)
        except FileNotFoundError:
            return None
        except AccnnError:  # is a ValueError too
            raise
        except OtherVersion as error:
            raise Damaged("%s is a %s of another version of accnn" % (self.path, self.what)) from error
        except OSError as error:
            raise AccnnError("%s cannot be read: %s" % (self.path, error.strerror or error)) from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Damaged("%s is no %s" % (self.path, self.what)) from error

    def update(self, combine, replace=False):
        """Write the object ``combine(what the file holds now, or None)``; no other run writes in between.

        Makes the folder where it is missing. `replace`: what is damaged, and was once such a file, counts as nothing.

        Raises
        ------
        Damaged
        AccnnError
            It cannot be read or written.
        """
        folder = os.path.dirname(os.path.abspath(self.path))
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise AccnnError("%s cannot be written: %s" % (self.path, error.strerror or error)) from error
        with _locked(folder):
            try:
                before = self.read()
            except Damaged:
                if not replace or not self._is_ours():
                    raise
                before = None
            text = self.text(combine(before))
            with written_whole(self.path) as temporary, open(temporary, "w", encoding="utf-8") as handle:
                handle.write(text)

    def text(self, document):
        """str: what :meth:`read` reads, for those who write the file together with others."""
        return json.dumps(dict(document, holds=self.what), indent=1, sort_keys=not self._loose,
                          allow_nan=self._loose) + "\n"

    def _is_ours(self):
        """bool: whether a damaged file began as one of these, of whatever version, or holds nothing at all."""
        with open(self.path, "rb") as handle:
            beginning = handle.read(_BEGINNING)
        return not beginning or b'"holds":' in beginning

    def save(self, combine, replace=False):
        """As :meth:`update`, for what can be made anew: where that fails it is said, once. bool: whether it is written.

        Nothing is written where there is no path.
        """
        if self.path is None:
            return False
        try:
            self.update(combine, replace)
        except (AccnnError, Damaged) as error:
            self.warn_once("%s: what this run finds out is not kept for the next one" % error)
            return False
        return True

    def warn_once(self, sentence):
        """Say a sentence on what is wrong with the file, unless one was said before."""
        if not self._told:
            say(sentence)
        self._told = True


def rounded(value):
    """A copy of what JSON can hold: numbers with 6 significant digits, lists for tuples, text for keys.

    Raises
    ------
    ValueError
        A number is NaN or absurdly large.
    """
    if isinstance(value, dict):
        return {str(key): rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return finite(float("%.6g" % value))


def finite(number):
    """The number; ValueError where it is none, NaN, or larger than anything that is kept."""
    if type(number) not in (int, float) or not abs(number) <= _MOST:
        raise ValueError("%r is no number to be kept" % (number,))
    return number


def positive(number):
    """The number, a time above 0 of a length that can be measured, or a ValueError."""
    if not _SHORTEST <= finite(number) <= _LONGEST:
        raise ValueError("%r is no time" % (number,))
    return number


def _refused(constant):
    raise ValueError(constant)  # NaN and Infinity are no JSON, though Python reads them


@contextlib.contextmanager
def _locked(folder):
    """Keep other runs out of a folder, as far as its file system can, and for as long as they have patience."""
    handle = None
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
    try:
        if fcntl is not None and handle is not None:
            _lock(handle)
        yield
    finally:
        if handle is not None:
            os.close(handle)  # and with it goes the lock


def _lock(handle):
    # The folder itself is locked: no lock file is left behind, and none can be removed under somebody's feet.
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_BETWEEN)
        except OSError:  # a network's file system may have no locks
            return None
    return None
