"""Child processes that can be interrupted wherever the tests run."""
import functools
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from multiprocessing import forkserver

_TEMPORARY = tempfile.gettempdir()  # whatever folder a test sets later: the server's socket stays while tests go on


def interruptible():
    """For ``preexec_fn``: a shell starts background jobs with SIGINT ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Forked:
    """A function in a process of its own that is there at once, where a new one takes 1.5 s to import MXNet.

    It is a copy of a process that has imported MXNet and done nothing else: a copy of this one would wait for ever for
    the threads of OpenMP, which are not copied along.

    Parameters
    ----------
    function : callable
        Of a module; its process ends with the exit code that it returns.
    *arguments
    log : str or path, optional
        File for what the process says.
    """

    def __init__(self, function, *arguments, log=os.devnull):
        self._log = str(log)
        self._process = _server().Process(target=_run, daemon=True, args=(
            function, arguments, self._log, dict(os.environ), os.getcwd()))
        self._process.start()

    @property
    def returncode(self):
        """int or None: as that of a Popen."""
        return self._process.exitcode

    def send_signal(self, number):
        """As that of a Popen."""
        if self.returncode is None:
            os.kill(self._process.pid, number)

    def kill(self):
        """As that of a Popen, but it waits for the end."""
        self.send_signal(signal.SIGKILL)
        self._process.join()

    def poll(self):
        """As that of a Popen."""
        return self.returncode

    def wait(self, timeout):
        """As that of a Popen."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout)
        return self.returncode

    def said(self, timeout):
        """str: all that was said, once it has ended."""
        self.wait(timeout)
        with open(self._log, errors="replace") as handle:
            return handle.read()


@functools.lru_cache(maxsize=None)
def _server():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", "preloaded"])
    before, tempfile.tempdir, kept = os.environ.get("PYTHONPATH"), _TEMPORARY, tempfile.tempdir
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)  # Python before 3.13 does not tell it to the server
    try:
        forkserver.ensure_running()
    finally:
        tempfile.tempdir = kept
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    return context


def _run(function, arguments, log, environment, folder):
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in 1, 2:
        os.dup2(handle, stream)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    os.chdir(folder)
    interruptible()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(function(*arguments) or 0)  # Python 3.8 takes None for a failure


def ended_once(child, number, is_due, seconds, patience):
    """End a Forked by a signal, `seconds` after ``is_due()``; return what it said, but for Python's own ``__del__``.

    An interrupt inside the making of an NDArray lets Python speak of that.
    """
    try:
        end = time.monotonic() + patience
        while child.poll() is None and time.monotonic() < end and not is_due():
            time.sleep(0.002)
        time.sleep(seconds)
        if number == signal.SIGKILL:
            child.kill()
        elif child.poll() is None:
            stop(child, number)
        said = child.said(patience)
    finally:
        child.kill()
    return re.sub(r"Exception ignored in.*\n(Traceback.*\n( .*\n)*\S.*\n)?", "", said)


def stop(child, number, attempts=4):
    """Send a signal until `child` is gone: Python loses a KeyboardInterrupt that falls into an object's __del__.

    Not often: a second SIGTERM ends a process that has told its end and is about to leave, with another exit code.
    """
    for _ in range(attempts):
        child.send_signal(number)
        try:
            return child.wait(15)
        except subprocess.TimeoutExpired:
            continue
    child.kill()
    raise AssertionError("signal %d did not end the process" % number)
