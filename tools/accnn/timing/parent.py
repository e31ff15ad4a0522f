"""A process for each number of threads, asked, heard and ended; this side never imports MXNet."""
import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

from accnn.cli import say
from accnn.errors import AccnnError
from accnn.timing.machine import cores

_CHILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "__main__.py")
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def measure(job):
    """Do a job, each number of threads in a process of its own, one after the other.

    Parameters
    ----------
    job : Job

    Returns
    -------
    dict
        See :func:`accnn.timing.networks.measure`; ``runs`` holds those of all numbers of threads.

    Raises
    ------
    AccnnError
        What the process refused, or how it ended.
    """
    if max(job.threads) > cores():
        say("%d threads are wanted, but this machine has %d cores for this process: they will wait for each other"
            % (max(job.threads), cores()))
    first = _ask(replace(job, threads=job.threads[:1]))
    settled = _settled(job, first)
    others = [_ask(replace(settled, threads=(number,))) for number in job.threads[1:]]
    return dict(first, runs=[run for result in [first] + others for run in result["runs"]])


def environment_for(threads):
    """dict: this process's environment, with the number of threads MXNet is to use."""
    return dict(os.environ, **{name: str(threads) for name in _THREADS})


def _settled(job, answer):
    """The job with the epochs and shapes that the first process found, so that the next need not say them again."""
    networks = answer["networks"]
    return replace(job, load_epoch=networks["model"]["epoch"],
                   baseline_epoch=networks["baseline"]["epoch"] if "baseline" in networks else None,
                   input_shapes=tuple(answer["input_shapes"].items()))


def _ask(job):
    """Start a process, hand it `job`, and return its answer; no end of this process leaves it behind."""
    # Ctrl-C at a terminal reaches both: the child leaves it to this process to tell, and to end it.
    with subprocess.Popen([sys.executable, _CHILD], env=environment_for(job.threads[0]), stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, bufsize=0, preexec_fn=_ignore_interrupt) as child:
        try:
            with contextlib.suppress(BrokenPipeError):
                child.stdin.write((job.text() + "\n").encode("utf-8"))
            text = _read_all(child.stdout)
            code = child.wait()
        finally:
            child.kill()
    return _heard(text, code)


def _ignore_interrupt():
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _read_all(stream):
    return b"".join(iter(lambda: stream.read(1 << 16), b""))


def _heard(text, code):
    if code == -signal.SIGKILL:
        raise AccnnError("the measuring process was killed, as the system does when memory runs out: try a smaller "
                         "--batch-size")
    if code < 0:
        raise AccnnError("the measuring process was ended by the signal %s" % signal.Signals(-code).name)
    try:
        answer = json.loads(text.decode("utf-8"))
    except ValueError:
        raise AccnnError("the measuring process ended without an answer (exit code %d)" % code) from None
    if "error" in answer:
        raise AccnnError(answer["error"])
    return answer
