"""MXNet's launcher in this process, its children watched: started by ``launch.py``, not by a person.

    python tracked_job.py local -n 2 -s 2 --launcher local -- 'python fine_tune.py'

Leads a process group of its own and ends all of it when a child ends badly, or when its stdin is closed.
"""
import os
import sys

if not __package__:  # started by its path: then no module in the folder of the caller can stand in the way of accnn
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import importlib.util
import re
import runpy
import select
import signal
import socket
import subprocess
import threading
import time

from accnn.cli import main as cli
from accnn.core.errors import TargetError

LOOPBACK = "127.0.0.1"
GRACE = 5.0      # seconds between SIGTERM and SIGKILL
_LINGER = 30.0   # seconds that servers may outlive the last worker
_TICK = 0.1
_SHELL_SIGNAL = 128


class JobError(TargetError):
    """A part of the job ended badly (exit code 1)."""


def wheel_launcher():
    """Return the path of the launcher in the installed wheel; ``import mxnet`` is not needed for that."""
    mxnet = importlib.util.find_spec("mxnet")
    if mxnet is None:
        raise ModuleNotFoundError("mxnet", name="mxnet")
    return os.path.join(os.path.dirname(mxnet.origin), "tools", "launch.py")


def ending(code):
    """How a process ended, in words, by its exit code as ``subprocess`` gives it."""
    number = -code if code < 0 else code - _SHELL_SIGNAL
    if number not in {int(known) for known in signal.Signals}:
        return "ended with exit code %d" % code
    hint = " (out of memory?)" if number == signal.SIGKILL else ""
    return "was ended by %s%s" % (signal.Signals(number).name, hint)


class Job:
    """The children of the wheel's launcher.

    Attributes
    ----------
    started : list of str
        Their names.
    running : dict of int to str
        Names by process id.
    failure : str or None
        What is said about the first that ended badly.
    """

    def __init__(self):
        self.started, self.running, self.failure = [], {}, None
        self.last_end = time.monotonic()

    def call(self, command, **options):
        """Stand in for ``subprocess.call``, which is all that the wheel's launcher starts processes with."""
        name = _name(command, options.get("env"))
        self.started.append(name)
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)
        self.running[child.pid] = name
        code = child.wait()
        if code:
            self.fail("%s %s: the cause stands above in its own output; mend it and start the job again"
                      % (name, ending(code)))
        self.last_end = time.monotonic()
        del self.running[child.pid]
        return code

    def fail(self, sentence):
        """Remember `sentence`, unless something failed before: the rest is what follows from that."""
        self.failure = self.failure or sentence

    def broke(self, thread):
        """Stand in for ``threading.excepthook``."""
        self.fail("the launcher failed with %s: %s" % (thread.exc_type.__name__, str(thread.exc_value)[:200]))

    def apart(self):
        """Whether the workers ended well but the others, which end with them, did not notice."""
        workers = [name for name in self.started if name.startswith("worker")]
        return (workers and self.running and not any(name.startswith("worker") for name in self.running.values())
                and time.monotonic() - self.last_end > _LINGER)


def _name(command, environment):
    """Say which part of the job a command is; only children on this machine are given an environment."""
    if environment is None:
        role, host = (re.search(r"DMLC_%s=([^;\s]+)" % name, command) for name in ("ROLE", "NODE_HOST"))
        return (role.group(1) if role else "process") + (" on " + host.group(1) if host else "")
    role = environment["DMLC_ROLE"]
    if role == "scheduler":
        return "the scheduler"
    # Servers are numbered after the workers.
    number = int(environment["DMLC_TASK_ID"]) - (int(environment["DMLC_NUM_WORKER"]) if role == "server" else 0)
    return "%s %d" % (role, number)


def main(argv=None):
    """Run a job; return 0 when all of it ended well, 1 when not."""
    return cli.run(_main, list(sys.argv[1:] if argv is None else argv))


def _main(argv):
    job = Job()
    # SIGTERM for the group is not meant for its leader. A handler, unlike SIG_IGN, is not inherited by the children.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    subprocess.call = job.call  # subprocess.check_call calls it, too
    threading.excepthook = job.broke
    threading.Thread.isAlive = threading.Thread.is_alive  # gone since Python 3.9
    launcher = threading.Thread(target=_wheel_main, args=(argv[0], argv[1:]), daemon=True)
    launcher.start()
    while launcher.is_alive() or job.running:
        orphaned = select.select([sys.stdin], [], [], _TICK)[0]
        if job.apart():
            job.fail("the workers ended but never asked for the servers, so each trained by itself: give the program "
                     "the option that makes a dist kvstore, --kv-store dist_sync")
        if orphaned or job.failure:
            _end_group(job)
        if orphaned:
            os.killpg(0, signal.SIGKILL)
        if job.failure:
            break
    if not job.failure and len(job.started) < 2:
        job.fail("the program ended before the workers were started: it must import mxnet, which makes it the "
                 "scheduler, a server or a worker")
    if job.failure:
        raise JobError(job.failure)


def _end_group(job):
    os.killpg(0, signal.SIGTERM)
    patience = time.monotonic() + GRACE
    while job.running and time.monotonic() < patience:
        time.sleep(_TICK)


def _wheel_main(launcher, arguments):
    wheel = runpy.run_path(wheel_launcher(), run_name="mxnet.tools.launch")
    from dmlc_tracker import tracker  # found only by now: the wheel puts its folder on the path

    if launcher == "local":
        tracker.get_host_ip = lambda hostIP=None: LOOPBACK
        # The tracker takes the first free port from 9091 on, and the scheduler opens it a second later: two jobs that
        # start together would meet on it.
        tracker.PSTracker.__init__.__defaults__ = _with_port(tracker.PSTracker, _free_port())
    sys.argv[1:] = arguments
    wheel["main"]()


def _with_port(tracker, port):
    # hostIP, cmd, port, port_end, envs: the last three have defaults.
    _, _, envs = tracker.__init__.__defaults__
    return port, port + 1, envs


def _free_port():
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    sys.exit(main())
