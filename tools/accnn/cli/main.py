"""What every script shares: its options and steps found, and how a run ends."""
import atexit
import contextlib
import importlib
import math
import os
import signal
import sys
import time
import traceback

from accnn.cli import next_step
from accnn.cli.setting_names import options_named
from accnn.core.errors import AccnnError
from accnn.core.leftovers import sweep_temporary_folders
from accnn.core.progress import _forget, _tell, say
from accnn.core.versions import check_python

INTERRUPTED = 130
_LONGEST_COMPLAINT = 800
_UNWINDING = 1.0
_AGAIN = 0.05  # seconds until an interrupt that Python dropped is raised again
_LIBRARIES = ("mxnet", "numpy", "scipy", "threadpoolctl", "tqdm", "requests", "cv2", "sklearn")


class Script:
    """A script, of which this module only knows where its options and steps are.

    They are imported when the script runs: a library that is missing is told in one sentence then, and an interrupt
    during the imports as at any other time.

    Parameters
    ----------
    module : str
        A module of ``cli/``. Its ``parser(description, **more)`` returns an ArgumentParser; its ``run(args)`` does what
        the options say and returns the exit code, None for 0. ``args.started`` is the ``time.monotonic()`` at which the
        script began, ``args.words`` what was typed, ``args.typed`` the whole command.
    description : str
        For ``--help``: the script's docstring.
    **more
        What else the parser is told.
    """

    def __init__(self, module, description, **more):
        self._module, self._description, self._more = module, description, more

    @property
    def steps(self):
        """module: imported by now."""
        return importlib.import_module(self._module)

    def parser(self):
        """Return the argument parser."""
        return self.steps.parser(self._description, **self._more)

    def main(self, argv=None):
        """Run the command line; return the exit code."""
        return run(self._run, argv)

    def _run(self, argv):
        started = time.monotonic()
        parser = self.parser()
        args = parser.parse_args(argv)
        args.started, args.words = started, list(sys.argv[1:] if argv is None else argv)
        args.typed = next_step.command(self._module.rpartition(".")[2], args.words)
        with options_named(parser):
            return self.steps.run(args)


class JobScript(Script):
    """A script that a launcher may start as one of several workers; it starts it as their servers and scheduler too."""

    def _run(self, argv):
        importlib.import_module("accnn.runtime.distributed").serve_if_asked()
        return super()._run(argv)


def run(body, *arguments):
    """Call ``body(*arguments)`` and turn its end into an exit code.

    Returns
    -------
    int
        What `body` returned (None counts as 0); 2 for bad input, 1 for a target not met,
        130 when interrupted, even where that came too late. An :class:`AccnnError` becomes one sentence on stderr.
    """
    _mend_streams()
    interrupted = []
    try:
        check_python()
        sweep_temporary_folders()
        with _interrupts(interrupted):
            code = body(*arguments) or 0
            sys.stdout.flush()
        return _interrupted_too_late() if interrupted and code != INTERRUPTED else code
    except Exception as error:  # noqa: BLE001  (what is not foreseen is raised again)
        # NumPy and MXNet turn an interrupt that falls into their import into errors of their own.
        return _interrupted() if interrupted else _ended(error)
    except KeyboardInterrupt:
        return _interrupted()
    except SystemExit as end:  # argparse ends --help with 0 and a wrong option with 2, a kvstore server with None
        _tell("")  # what argparse said and could not be written would change the exit code in the end
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 2


def _interrupted():
    say("interrupted: nothing half-written was left behind")
    return INTERRUPTED


def _interrupted_too_late():
    """For an interrupt that something swallowed: who wanted the work to stop must not take its end for success."""
    say("interrupted, but the work came to its end before it could be stopped: all its files are written")
    return INTERRUPTED


def _ended(error):
    """Exit code for a foreseen error, told in one sentence; anything else is a bug and goes on as it came."""
    if isinstance(error, AccnnError):
        _complain(str(error))
        return error.exit_code
    if isinstance(error, BrokenPipeError):
        # The reader of our stdout (head, less) is gone; that is its right, not an error.
        _forget(sys.stdout)
        return 0
    if isinstance(error, OSError):
        _complain("%s%s" % (error.filename + ": " if error.filename else "", error.strerror or error))
        _forget(sys.stdout)
        return AccnnError.exit_code
    if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] in _LIBRARIES:
        _complain("%s is missing: pip install accnn's folder, the one with setup.py" % error.name)
        return AccnnError.exit_code
    raise error


def _complain(sentence):
    """One line, whatever names it quotes."""
    line = " ".join(sentence.split())
    say("error: " + (line if len(line) <= _LONGEST_COMPLAINT else line[:_LONGEST_COMPLAINT] + " ..."))


def _mend_streams():
    """Give a program that was started without stdout or stderr ones that nobody reads."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is no reason to stop


@contextlib.contextmanager
def _interrupts(seen):
    """Let SIGINT and SIGTERM raise KeyboardInterrupt, so that temporary files go.

    Another one within `_UNWINDING` seconds does nothing, so that cleaning up is not interrupted in its turn. Later ones
    count again. Python drops an exception that falls into an object's ``__del__`` or a callback: such a one is raised
    again a moment later, when that is over. In the end the handlers that were there come back; one more SIGINT while
    the interpreter ends does nothing.

    Parameters
    ----------
    seen : list of float
        Receives the time of each that counted, minus infinity for one that was dropped.
    """

    def interrupt(_number, _frame):
        now = time.monotonic()
        if not seen or now - seen[-1] > _UNWINDING:
            seen.append(now)
            raise KeyboardInterrupt

    def dropped(unraisable):
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            if not seen:  # an object that an interrupt left half made complains when it goes
                tell_dropped(unraisable)
            return
        # By a signal, since only that ends a wait for a process or a file; raised here it would be dropped once more.
        signal.setitimer(signal.ITIMER_REAL, _AGAIN)
        seen.append(-math.inf)

    handlers = {signal.SIGINT: interrupt, signal.SIGTERM: interrupt,
                signal.SIGALRM: lambda _number, _frame: signal.raise_signal(signal.SIGINT)}
    try:
        previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    except ValueError:  # only the main thread may set handlers; elsewhere the caller's stay
        yield
        return
    tell_dropped, sys.unraisablehook = sys.unraisablehook, dropped
    try:
        yield
    except BaseException as error:
        if seen:
            traceback.clear_frames(error.__traceback__)  # half-made objects go now, and their complaints with them
        raise
    finally:
        sys.unraisablehook = tell_dropped
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in previous.items():
            signal.signal(number, handler)
        atexit.unregister(_ignore_interrupts)
        atexit.register(_ignore_interrupts)  # the last to be registered is the first to be called


def _ignore_interrupts():
    """Let the interpreter end, which takes a second beside MXNet: a SIGINT would change the exit code and say nothing.

    SIGTERM still ends a process that does not end by itself.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
