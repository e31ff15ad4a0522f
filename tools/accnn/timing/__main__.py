"""The process that measures: reads jobs from stdin, answers with lines of JSON on stdout. Started by ``client.py``.

MXNet reads the number of threads once, when it is imported, so that each number needs a process of its own.
"""
import os
import sys

if not __package__:  # started by its path: then no module in the folder of the caller can stand in the way of accnn
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import contextlib
import json
import queue
import threading
from dataclasses import asdict
from functools import partial

from accnn.core import amx
from accnn.core.compat import import_mxnet
from accnn.core.errors import AccnnError
from accnn.core.progress import said_to
from accnn.timing.chains import survey
from accnn.timing.job import Job, NetworksJob, PrepareJob, SurveyJob, question_from_text
from accnn.timing.networks import measure
from accnn.timing.planned import measure_plans, prepare


def main():
    """Measure what is asked for, until the one who asks is gone; a refusal is an answer too."""
    answers, jobs = _answers(), queue.SimpleQueue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    with contextlib.suppress(Exception):  # what is wrong comes back, and is told, when the job needs it
        import_mxnet()  # while the parent may still be at work on what is to be timed
    write = partial(_write, answers)
    with said_to(lambda sentence: write({"said": sentence})):  # who asked knows what the settings are called there
        while True:
            for answer in _answered(question_from_text(jobs.get())):
                write(answer)
            write({})


def _write(answers, answer):
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def _answered(job):
    try:
        import_mxnet()
        if job.amx != amx.enabled():
            raise AccnnError("the measuring process was started %s AMX: this is a bug of accnn, report it"
                             % ("without" if job.amx else "with"))
        yield from _WORK[type(job)](job)
    except AccnnError as error:
        yield {"error": str(error)}
    except ModuleNotFoundError as error:
        yield {"error": "%s is missing: pip install accnn's folder, the one with setup.py" % error.name}
    except MemoryError:
        yield {"error": "out of memory: try a smaller `batch_size`"}


def _compare(job):
    yield measure(job)


def _survey(job):
    for timed in survey(job):
        yield {"timed": [asdict(item) for item in timed]}


def _plan(job):
    yield measure_plans(job)


def _prepare(job):
    prepare(job)
    yield from ()


_WORK = {Job: _compare, SurveyJob: _survey, NetworksJob: _plan, PrepareJob: _prepare}


def _answers():
    """The pipe to the parent, with stdout turned to stderr, so that nothing a library prints gets into an answer."""
    if sys.stderr is None:  # the parent was started without one
        sys.stderr = open(os.devnull, "w")
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), 1)
    return pipe


def _listen(jobs):
    """Put lines of stdin into a queue; when the parent's end of it closes, whatever ended that, go too."""
    rest = b""
    for more in iter(lambda: os.read(0, 1 << 16), b""):
        *lines, rest = (rest + more).split(b"\n")
        for line in lines:
            jobs.put(line.decode("utf-8"))
    os._exit(1)


if __name__ == "__main__":
    main()
