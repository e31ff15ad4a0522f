"""What is told on stderr while a run works."""
import contextlib
import os
import shutil
import sys
import time

_BAR = 20  # characters of a progress bar


def _forget(stream):
    """Keep the interpreter from flushing, at its end, what cannot be written."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def say(sentence):
    """Print one line on stderr, at once."""
    _tell(sentence + "\n")


def _tell(text):
    """Write on stderr, where it takes that: a run is not worth less because nobody can read the remarks."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        _forget(sys.stderr)


class Progress:
    """A counter line on stderr for a step that may take longer than a second.

    Silent until the step has run `patience` seconds; on a terminal rewrites one line, with a bar and the time left,
    elsewhere prints at most one line every `every` seconds. Steps before `first` were made by an earlier run.
    """

    def __init__(self, title, total, patience=1.0, every=5.0, first=0):
        self.title, self.total, self.first = title, total, first
        self.started = time.monotonic()
        self.terminal = sys.stderr.isatty()
        self.every = 0.1 if self.terminal else every
        self.next_report = self.started + patience
        self.shown = False

    def __call__(self, done, what=""):
        """Report that `done` of the steps are finished and `what` comes next."""
        now = time.monotonic()
        if now < self.next_report:
            return
        self.next_report = now + self.every
        bar = "[%s] " % "".join("#" if i < _BAR * done // max(self.total, 1) else "-" for i in range(_BAR))
        line = "%s: %s%d of %d %s%s" % (self.title, bar if self.terminal else "", done, self.total, what,
                                        self._left(now, done))
        self._show(line.rstrip())

    def close(self):
        """End the line, if one was shown."""
        if self.shown and self.terminal:
            _tell("\r\x1b[K")

    def _left(self, now, done):
        """How long the rest takes at the pace so far."""
        if done <= self.first or now == self.started:
            return ""
        seconds = int((self.total - done) * (now - self.started) / (done - self.first))
        clock = "%d:%02d" % divmod(seconds, 60) if seconds < 3600 else "%d:%02d:%02d" % (
            seconds // 3600, seconds % 3600 // 60, seconds % 60)
        return ", %s left" % clock

    def _show(self, line):
        self.shown = True
        if self.terminal:
            # A line longer than the terminal would not be rewritten but repeated.
            width = shutil.get_terminal_size().columns - 1
            _tell("\r\x1b[K" + line[:width])
        else:
            say(line)


class Silence:
    """What takes reports of progress, as :class:`Progress` does, and tells nobody."""

    def __init__(self, title, total):
        pass

    def __call__(self, done, what=""):
        """Do nothing."""

    def close(self):
        """Do nothing."""
