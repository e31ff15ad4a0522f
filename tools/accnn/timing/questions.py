"""What else than a Job a measuring process may be asked: chains in isolation, and networks that are only planned."""
import json
from dataclasses import asdict, dataclass, fields
from typing import Dict, Optional, Tuple

from accnn.timing import job as jobs
from accnn.timing.job import Job, refuse_numbers

# What everything is timed beside, always with batch 1: a second of it is a second of the machine as it was just then.
REFERENCE = "128,28,28|conv 128-128 3x3 p1x1"


@dataclass(frozen=True)
class Timed:
    """What a survey found out of one chain.

    Attributes
    ----------
    key : str
        See :mod:`accnn.spelling`.
    relative : float or None
        Median over rounds of its seconds over those of `REFERENCE` in the same round.
    spread : float or None
        Interquartile range of these ratios over their median.
    rounds : int
    reference_ms : float or None
        Median of the reference, beside it.
    refused : str or None
        Why MXNet does not run it; then there is nothing else.
    """

    key: str
    relative: Optional[float]
    spread: Optional[float]
    rounds: int
    reference_ms: Optional[float]
    refused: Optional[str] = None


@dataclass(frozen=True)
class SurveyJob:
    """Chains to be timed in isolation, each beside the reference.

    Attributes
    ----------
    questions : tuple of str
        Keys of :mod:`accnn.spelling`.
    threads, batch_size, rounds : int
    seed : int
        Of weights and inputs.
    """

    questions: Tuple[str, ...]
    threads: int = 1
    batch_size: int = 1
    rounds: int = 5
    seed: int = 0

    def __post_init__(self):
        _refuse(self)

    def text(self):
        """str: one line of JSON."""
        return _text(self)


@dataclass(frozen=True)
class NetworksJob:
    """A network, and what would become of it by several plans, to be timed in turns.

    Attributes
    ----------
    prefix : str
    epoch : int or None
    input_shapes : tuple of (str or None, tuple of int)
        Without the batch.
    plans : tuple of dict of str to str
        Layer -> key of the chain in its place. What a plan does not name stays as it is.
    threads, batch_size : int
    rounds : int
        To begin with: fewer where they take long, up to three times as many where they take no time; then up to five
        times as many again until all ratios are known.
    roughly : bool
        Ratios need not be known to better than some percent: as few rounds as tell that.
    seed : int
        Of the weights of chains and of the input.
    """

    prefix: str
    epoch: Optional[int] = None
    input_shapes: Tuple[Tuple[Optional[str], Tuple[int, ...]], ...] = ()
    plans: Tuple[Dict[str, str], ...] = ()
    threads: int = 1
    batch_size: int = 1
    rounds: int = 10
    roughly: bool = False
    seed: int = 0

    def __post_init__(self):
        _refuse(self)

    def text(self):
        """str: one line of JSON."""
        return _text(self)


_KINDS = {kind.__name__: kind for kind in (SurveyJob, NetworksJob)}


def _refuse(question):
    refuse_numbers((("--batch-size", (question.batch_size,), 1), ("--threads", (question.threads,), 1),
                    ("rounds", (question.rounds,), 1)), question.seed)


def _text(question):
    return json.dumps(dict(asdict(question), kind=type(question).__name__))


def from_text(text):
    """Job, SurveyJob or NetworksJob: what was said by its method ``text``."""
    said = json.loads(text)
    kind = _KINDS.get(said.pop("kind", Job.__name__))
    if kind is None:
        return jobs.from_text(text)
    if "input_shapes" in said:
        said["input_shapes"] = tuple((name, tuple(shape)) for name, shape in said["input_shapes"])
    return kind(**{field.name: tuple(value) if isinstance(value, list) else value
                   for field, value in ((field, said[field.name]) for field in fields(kind))})
