"""A process for each number of threads, asked, heard and ended; this side never imports MXNet."""
import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

from accnn.core.amx import environment_for as environment
from accnn.core.errors import AccnnError
from accnn.core.files import interrupts_wait
from accnn.core.machine import cores
from accnn.core.progress import say
from accnn.engines import DEFAULT
from accnn.timing import keys
from accnn.timing.job import SurveyJob, Timed
from accnn.timing.machine import settings

_CHILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "__main__.py")
_END = b"{}"  # the line behind all answers to a job
_running = []  # of :func:`started`, the first one first
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


def environment_for(threads, amx=False):
    """dict: this process's environment, with the number of threads MXNet is to use, and whether AMX units."""
    # One arena keeps what its threads give back for the next to take: 56 MB less for VGG-16.
    return dict({"MALLOC_ARENA_MAX": "1"}, **dict(environment(amx), **{name: str(threads) for name in _THREADS}))


def _settled(job, answer):
    """The job with the epochs and shapes that the first process found, so that the next need not say them again."""
    networks = answer["networks"]
    return replace(job, load_epoch=networks["model"]["epoch"],
                   baseline_epoch=networks["baseline"]["epoch"] if "baseline" in networks else None,
                   input_shapes=tuple(answer["input_shapes"].items()))


def survey(questions, threads, batch_size, rounds=5, seed=0, amx=False, engine=DEFAULT):
    """Time chains in isolation, each beside a reference that always is the same.

    Parameters
    ----------
    questions : sequence of str
        Keys of :mod:`accnn.timing.keys`. Neighbours are timed in turns: those of different places make caches as cold
        as they are in a network.
    threads, batch_size, rounds : int
        Rounds of each; up to three times as many where the times are noisy.
    seed : int
        Of weights and inputs.
    amx : bool
        With the AMX units.
    engine : str
        That they run in.

    Yields
    ------
    list of Timed
        In the order of `questions`, a group as soon as it is finished. Closing the generator ends the process.

    Raises
    ------
    AccnnError
        How the process ended.
    ValueError
        A question is no key.
    """
    job = SurveyJob(tuple(questions), threads, batch_size, rounds, seed, amx, engine)
    for text in job.questions:
        keys.parse(text)
    if job.questions:
        for answer in _answers(job, threads):
            yield [Timed(**item) for item in answer["timed"]]


def time_networks(job):
    """Time a network, and what plans would make of it, in turns.

    Parameters
    ----------
    job : NetworksJob

    Returns
    -------
    dict
        ``reference_ms``; ``baseline``, and for each of the ``plans``: ``median_ms``, ``quartiles_ms``, ``spread`` and
        ``rounds`` of its milliseconds, ``relative``, the median over rounds of its time over that of the reference,
        and the ``uncertainty`` of that. Plans have also ``measured``: ``median``, ``quartiles``, ``spread``,
        ``rounds`` and ``uncertainty`` of the baseline's time over theirs, round by round.

    Raises
    ------
    AccnnError
        What the process refused, or how it ended.
    """
    return _only(_answers(job, job.threads))


def _ask(job):
    """The one answer to a job."""
    return _only(_answers(job, job.threads[0]))


def _only(answers):
    found = list(answers)
    if len(found) != 1:
        raise AccnnError("the measuring process gave %d answers instead of one" % len(found))
    return found[0]


@contextlib.contextmanager
def started(threads, amx=False):
    """Context of a process that imports what it needs and waits; no end of this process leaves it behind.

    All that is asked for in the context, with as many threads and with AMX or without as here, is asked of it: what it
    holds for one job is there for the next.

    Parameters
    ----------
    threads : int
        That it is to compute in.
    amx : bool
        Whether with the AMX units; only a job that says the same can be done there.
    """
    with contextlib.ExitStack() as ending:
        with interrupts_wait():  # Python drops one that falls into what it does around a fork
            process = MeasuringProcess(threads, amx)
            ending.enter_context(process.child)
            ending.callback(process.child.kill)
        _running.append(process)
        ending.callback(_running.remove, process)
        yield process


def kept(threads, amx=False):
    """:func:`started`, unless such a process is waiting already."""
    process = _waiting(threads, amx)  # once: it may end at any moment
    return started(threads, amx) if process is None else contextlib.nullcontext(process)


def _waiting(threads, amx):
    wanted = environment_for(threads, amx)
    return next((process for process in _running if process.waits_in(wanted)), None)


def _answers(job, threads):
    """Hand `job` to a process, started here unless one is waiting, and yield its answers."""
    with kept(threads, job.amx) as process:
        yield from process.answers(job)


class MeasuringProcess:
    """A process that measures, one job after another; see :func:`started`.

    Attributes
    ----------
    child : Popen
    """

    def __init__(self, threads, amx):
        self._environment, self._unheard, self._rest = environment_for(threads, amx), 0, b""
        self._lines = self._read()
        self.child = subprocess.Popen([sys.executable, _CHILD], env=self._environment, stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, bufsize=0, preexec_fn=_leave_interrupts)
        self._is_asked = False

    def waits_in(self, environment):
        """bool: whether it runs with the settings of an environment, and nobody waits for an answer of it."""
        is_idle = not self._is_asked and self.child.poll() is None
        return is_idle and settings(self._environment) == settings(environment)

    def prepare(self, job):
        """Let it begin with what a later job needs; whatever comes of that, nobody hears of it.

        Parameters
        ----------
        job : PrepareJob
        """
        self._send(job)
        self._unheard += 1

    def answers(self, job):
        """Yield the answers to a job; a generator that is closed before they are all there ends the process.

        Raises
        ------
        AccnnError
            What the process refused, or how it ended.
        """
        self._is_asked, lines = True, self._all_heard()
        try:
            self._send(job)
            yield from filter(None, map(_heard, lines))
            self._is_asked = False
        except AccnnError:  # a refusal, behind which comes the end of the answers, unless the process has ended
            with contextlib.suppress(AccnnError):
                self._is_asked = bool(list(lines))
            raise
        finally:
            if self._is_asked:
                self.child.kill()

    def _send(self, job):
        with contextlib.suppress(BrokenPipeError):
            _write(self.child.stdin, (job.text() + "\n").encode("utf-8"))

    def _all_heard(self):
        """Yield the lines that answer the last job, without its end."""
        for line in self._lines:
            if line == _END:
                if not self._unheard:
                    return
                self._unheard -= 1
            elif not self._unheard:
                yield line
        _heard(self._rest, self.child.wait())  # it ended without saying so

    def _read(self):
        for more in iter(lambda: self.child.stdout.read(1 << 16), b""):
            *lines, self._rest = (self._rest + more).split(b"\n")
            yield from lines


def _write(stream, data):
    while data:
        data = data[stream.write(data):]


def _leave_interrupts():
    # Ctrl-C at a terminal reaches both: the child leaves it to this process to tell, and to end it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _heard(text, code=0):
    """One answer, or how the process ended instead of giving it; None for what it only said, which is said here."""
    if code == -signal.SIGKILL:
        raise AccnnError("the measuring process was killed, as the system does when memory runs out: try a smaller "
                         "`batch_size`")
    if code < 0:
        raise AccnnError("the measuring process was ended by the signal %s" % signal.Signals(-code).name)
    try:
        answer = json.loads(text.decode("utf-8"))
    except ValueError:
        raise AccnnError("the measuring process ended without an answer (exit code %d)" % code) from None
    if "error" in answer:
        raise AccnnError(answer["error"])
    return say(answer["said"]) if "said" in answer else answer
