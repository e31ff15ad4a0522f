"""What is told on stderr while a run works."""
import contextlib
import functools
import os
import sys
import threading
import weakref

_FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
_UP = "\x1b[A"  # how tqdm comes back from a bar below others
_bars = weakref.WeakSet()


def _forget(stream):
    """Keep the interpreter from flushing, at its end, what cannot be written."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def say(sentence):
    """Print one line on stderr, at once, or hand it to who :func:`said_to` names."""
    _listeners[-1](sentence)


def print_line(sentence):
    """Print one line on stderr, at once; a bar there makes room and comes back with its next report."""
    for bar in list(_bars):
        bar.clear()
    _tell(sentence + "\n")


_listeners = [print_line]  # the innermost last


@contextlib.contextmanager
def said_to(listener):
    """Hand all that is said, by whichever thread, to ``listener(sentence)`` as long as the block lasts."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.pop()


def _tell(text):
    """Write on stderr, where it takes that: a run is not worth less because nobody can read the remarks."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):  # a ValueError for one that is closed
        _forget(sys.stderr)


def _on_terminal():
    return sys.stderr is not None and not getattr(sys.stderr, "closed", False) and sys.stderr.isatty()


class _Stderr:
    """The file of a bar: today's stderr; on no terminal each report is a line, and the cursor is not moved."""

    def __getattr__(self, name):
        return getattr(sys.stderr, name)

    def write(self, text):
        line = text.replace(_UP, "").strip()
        _tell(text if _on_terminal() else line and line + "\n")

    def flush(self):
        """Do nothing: what is written is flushed."""


@functools.lru_cache(maxsize=None)
def _tqdm():
    """type: tqdm's bar without its thread, and with a lock that no other process can hold."""
    from tqdm.auto import tqdm  # here: help and a sentence on a missing library need no bar
    return type("Bar", (tqdm,), {"monitor_interval": 0, "_lock": threading.RLock()})


class Progress:
    """A bar of tqdm on stderr for a step that may take longer than a second.

    Silent until the step has run `patience` seconds; on no terminal at most one line every `every` seconds. Steps
    before `first` were made by an earlier run.

    Attributes
    ----------
    bar : tqdm.tqdm
        Its ``total`` can be set later.
    """

    def __init__(self, title, total, patience=1.0, every=5.0, first=0):
        # Steps differ in length, so the time left goes by the mean of all (smoothing=0).
        self.bar = _tqdm()(desc=title, total=total, initial=first, delay=patience, leave=False, file=_Stderr(),
                           mininterval=0.1 if _on_terminal() else every, miniters=0, smoothing=0, dynamic_ncols=True,
                           bar_format=_FORMAT)
        _bars.add(self.bar)

    def __call__(self, done, what=""):
        """Report that `done` of the steps are finished and `what` comes next."""
        self.bar.set_postfix_str(what, refresh=False)
        self.bar.update(done - self.bar.n)

    def close(self):
        """Remove the bar, if one was shown."""
        self.bar.close()


class Silence:
    """What takes reports of progress, as :class:`Progress` does, and tells nobody."""

    def __init__(self, title, total):
        pass

    def __call__(self, done, what=""):
        """Do nothing."""

    def close(self):
        """Do nothing."""
