"""The process that measures: reads a Job from stdin, answers with JSON on stdout. Started by ``parent.py``.

MXNet reads the number of threads once, when it is imported, so that each number needs a process of its own.
"""
import os
import sys

if not __package__:  # started by its path: then no module in the folder of the caller can stand in the way of accnn
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import json
import threading

from accnn.errors import AccnnError
from accnn.timing.job import from_text


def main():
    """Measure, answer, and end; a refusal is an answer too."""
    answers = _answers()
    job = from_text(_line(0))
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    json.dump(_answer(job), answers)
    answers.close()


def _answer(job):
    try:
        from accnn.timing.networks import measure

        return measure(job)
    except AccnnError as error:
        return {"error": str(error)}
    except ModuleNotFoundError as error:
        return {"error": "%s is missing: pip install accnn's folder, the one with setup.py" % error.name}
    except MemoryError:
        return {"error": "out of memory: try a smaller --batch-size"}


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
