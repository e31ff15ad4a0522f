"""Scripts in forked children, killed at one of their operations on files; and what is found afterwards."""
import contextlib
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import Callable, Dict, Optional, Tuple

PATIENCE = 120  # seconds for one run
_EVENTS = {"os.rename", "os.remove", "os.link", "os.symlink", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate",
           "fcntl.flock"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Operations:
    """Counts the operations on files of this process; at the one with the number `fatal` it ends, killed."""

    def __init__(self, folder, fatal=None):
        self.count, self._folder, self._fatal = 0, folder, fatal
        self._flush = os.fsync
        os.fsync = self._flushed
        sys.addaudithook(self._heard)

    def _flushed(self, handle):
        self._one()
        return self._flush(handle)

    def _heard(self, event, arguments):
        if event in _EVENTS or event == "open" and self._is_writing(*arguments):
            self._one()

    def _is_writing(self, path, _mode, flags):
        return isinstance(path, str) and os.path.abspath(path).startswith(self._folder) and flags & _WRITES

    def _one(self):
        self.count += 1
        if self.count == self._fatal:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class Scenario:
    """A command, and what may be found after it was killed.

    Attributes
    ----------
    name : str
    prepare : callable
        ``prepare(folder)`` writes what is there before.
    command : callable
        Runs it in the current folder; returns the exit code.
    following : tuple of callable
        Commands that may come next, each by itself.
    mark : str
        A file that tells the old state from the new one.
    sets : dict of str to tuple of str
        Names of files that are all of the old state, or all of the new one.
    prefixes : tuple of str
        Of checkpoints that are written more than once: beside the old symbol all epochs are old, beside another none.
    again : callable, optional
        Goes on where it was killed, after the next command; then all is as if it had not been.
    """

    name: str
    prepare: Callable
    command: Callable
    following: Tuple[Callable, ...]
    mark: str
    sets: Dict[str, Tuple[str, ...]] = field(default_factory=dict)
    prefixes: Tuple[str, ...] = ()
    again: Optional[Callable] = None


def forked(body, folder, fatal=None):
    """Run ``body()`` in a forked child in `folder`; return (exit code, or minus a signal; operations; what it said)."""
    reading, writing = os.pipe()
    log = folder + ".log"
    child = os.fork()
    if not child:
        _in_child(body, folder, fatal, writing, log)
    os.close(writing)
    end = time.monotonic() + PATIENCE
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            end = float("inf")
        time.sleep(0.002)
    with os.fdopen(reading) as handle, open(log, errors="replace") as said:
        count = handle.read()
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
        return code, int(count or 0), said.read()


def _in_child(body, folder, fatal, writing, log):
    code = 99
    try:
        os.chdir(folder)
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        tempfile.tempdir = os.path.join(folder, "tmp")
        counted = Operations(folder, fatal)
        code = body() or 0
        os.write(writing, str(counted.count).encode())
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(code)


def contents(folder):
    """dict of str to bytes: all files of a folder but the inputs, by their relative names."""
    found = {}
    for root, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(root, name)
            with open(path, "rb") as handle:
                found[os.path.relpath(path, folder)] = handle.read()
    return {name: content for name, content in found.items() if not name.startswith("in" + os.sep)}


def stray(folder):
    """list of str: what should not outlast the next command."""
    found = [name for name in contents(folder) if os.path.basename(name).startswith(".")]
    return found + [os.path.join("tmp", name) for name in os.listdir(os.path.join(folder, "tmp"))]


def fresh(work, scenario):
    """A folder as it is before the command."""
    folder = os.path.join(work, scenario.name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(os.path.join(folder, "tmp"))
    os.symlink(os.path.join(work, "in"), os.path.join(folder, "in"))
    scenario.prepare(folder)
    return folder


@dataclass
class Tally:
    """What became of the kills of one scenario."""

    operations: int = 0
    kills: int = 0
    old: int = 0
    new: int = 0
    torn: int = 0
    stray: int = 0
    lost: int = 0
    failed: int = 0


def examine(scenario, work, kills):
    """Kill a scenario's command at `kills` of its operations, all where that is None; return (Tally, complaints)."""
    folder = fresh(work, scenario)
    before = contents(folder)
    code, operations, said = forked(scenario.command, folder)
    assert code == 0, "%s ends with %d: %s" % (scenario.name, code, said)
    after = contents(folder)
    places = range(1, operations + 1)
    if kills and kills < operations:
        places = sorted({1 + round(i * (operations - 1) / (kills - 1)) for i in range(kills)})
    tally, complaints = Tally(operations), []
    for place in places:
        complaints += ["%s, killed at %d: %s" % (scenario.name, place, complaint)
                       for complaint in _one_kill(scenario, work, place, before, after, tally)]
    return tally, complaints


def _one_kill(scenario, work, place, before, after, tally):
    folder = fresh(work, scenario)
    code, _, said = forked(scenario.command, folder, place)
    if code != -signal.SIGKILL:
        tally.failed += 1
        return ["it was not killed but ended with %d: %s" % (code, said[-300:])]
    tally.kills += 1
    follower = scenario.following[place % len(scenario.following)]
    code, _, said = forked(follower, folder)
    complaints = []
    if code:
        tally.failed += 1
        complaints.append("the next command ends with %d: %s" % (code, said[-300:]))
    complaints += _judged(scenario, folder, before, after, tally)
    if scenario.again:
        code, _, said = forked(scenario.again, folder)
        found = contents(folder)
        differing = [name for name in after if not _is_like(name, found.get(name), after[name])]
        if code or differing:
            tally.failed += 1
            complaints.append("going on ends with %d, other bytes in %s: %s" % (code, differing, said[-300:]))
    return complaints


def _judged(scenario, folder, before, after, tally):
    """Complaints about what the next command left."""
    found = contents(folder)
    is_old = found.get(scenario.mark) == before.get(scenario.mark)
    tally.old, tally.new = tally.old + is_old, tally.new + (not is_old)
    torn = [title for title, names in scenario.sets.items() if not any(
        all(_is_like(name, found.get(name), state.get(name)) for name in names) for state in (before, after))]
    torn += [prefix for prefix in scenario.prefixes if _is_torn(prefix, found, before)]
    lost = [name for name in before if name not in found] if is_old else []
    complaints = []
    for kind, names in (("torn", torn), ("stray", stray(folder)), ("lost", lost)):
        if names:
            setattr(tally, kind, getattr(tally, kind) + 1)
            complaints.append("%s: %s" % (kind, ", ".join(names)))
    return complaints


def _is_torn(prefix, found, before):
    """bool: whether a symbol stands beside parameters of another network."""
    symbol = prefix + "-symbol.json"
    is_old = found.get(symbol) == before.get(symbol)
    old = set(before.values())
    return any((content in old) != is_old for name, content in found.items()
               if re.fullmatch(re.escape(prefix) + r"-\d{4}\.params", name))


def _is_like(name, one, other):
    """bool: whether two files are the same but for the times of a run."""
    timed = name.endswith(("-log.csv", "-resume.params", "-two-pass.json"))
    return one == other or timed and one is not None and other is not None
