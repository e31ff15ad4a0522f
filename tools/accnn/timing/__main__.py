"""The process that measures: reads a job from stdin, answers with lines of JSON on stdout. Started by ``client.py``.

MXNet reads the number of threads once, when it is imported, so that each number needs a process of its own.
"""
import os
import sys

if not __package__:  # started by its path: then no module in the folder of the caller can stand in the way of accnn
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import contextlib
import json
import threading
from dataclasses import asdict
from functools import partial

from accnn.core.compat import import_mxnet
from accnn.core.errors import AccnnError
from accnn.core.progress import said_to
from accnn.timing.chains import survey
from accnn.timing.job import Job, NetworksJob, SurveyJob, question_from_text
from accnn.timing.networks import measure
from accnn.timing.planned import measure_plans


def main():
    """Measure, answer, and end; a refusal is an answer too."""
    answers = _answers()
    with contextlib.suppress(Exception):  # what is wrong comes back, and is told, when the job needs it
        import_mxnet()  # while the parent may still be at work on what is to be timed
    job = question_from_text(_line(0))
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    write = partial(_write, answers)
    with said_to(lambda sentence: write({"said": sentence})):  # who asked knows what the settings are called there
        for answer in _answered(job):
            write(answer)
    answers.close()


def _write(answers, answer):
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def _answered(job):
    try:
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


_WORK = {Job: _compare, SurveyJob: _survey, NetworksJob: _plan}


def _answers():
    """The pipe to the parent, with stdout turned to stderr, so that nothing a library prints gets into an answer."""
    if sys.stderr is None:  # the parent was started without one
        sys.stderr = open(os.devnull, "w")
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), 1)
    return pipe


def _line(descriptor):
    read = b""
    while not read.endswith(b"\n"):
        more = os.read(descriptor, 1 << 16)
        if not more:
            sys.exit(1)
        read += more
    return read.decode("utf-8")


def _end_with_the_parent():
    """Wait for the parent's end of stdin to close, whatever ended it, and go too."""
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
