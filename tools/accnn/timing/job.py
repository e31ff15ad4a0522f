"""What is to be measured: the words between the process that is asked and the processes that measure."""
import json
from dataclasses import asdict, dataclass, fields
from typing import Dict, Optional, Sequence, Tuple

from accnn import engines
from accnn.core.errors import AccnnError
from accnn.core.layers import FP32, PRECISIONS
from accnn.core.text import sizes

# What everything is timed beside, always with batch 1: a second of it is a second of the machine as it was just then.
REFERENCE = "128,28,28|conv 128-128 3x3 p1x1"


@dataclass(frozen=True)
class Timed:
    """What a survey found out of one chain.

    Attributes
    ----------
    key : str
        See :mod:`accnn.timing.keys`.
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
        Keys of :mod:`accnn.timing.keys`.
    threads, batch_size, rounds : int
    seed : int
        Of weights and inputs.
    amx : bool
        In a process that uses the AMX units.
    engine : str
        That they run in; the reference runs in MXNet.
    """

    questions: Tuple[str, ...]
    threads: int = 1
    batch_size: int = 1
    rounds: int = 5
    seed: int = 0
    amx: bool = False
    engine: str = engines.DEFAULT

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
    seed : int
        Of the weights of chains and of the input.
    amx : bool
        In a process that uses the AMX units.
    precision : {'fp32', 'int8', 'bf16'}
        Of the networks of `plans`.
    exclude : tuple of str
        Layers that stay in float32 there, or chains in the place of these.
    in_fp32 : tuple of (sequence of str)
        Of each plan further ones; empty: none of any.
    engine : str
        Of the networks of `plans`.
    baseline : (str, str), optional
        Engine and precision of the network itself; default: MXNet, as it is.
    asked : tuple of (float, float)
        Of each plan speed-ups between which its own should be: a plan of which it is plain that it is, or that it is
        not, is timed no more. Empty: all are timed until they are known well.
    """

    prefix: str
    epoch: Optional[int] = None
    input_shapes: Tuple[Tuple[Optional[str], Tuple[int, ...]], ...] = ()
    plans: Tuple[Dict[str, str], ...] = ()
    threads: int = 1
    batch_size: int = 1
    rounds: int = 10
    seed: int = 0
    amx: bool = False
    precision: str = FP32
    exclude: Tuple[str, ...] = ()
    in_fp32: Tuple[Sequence[str], ...] = ()
    engine: str = engines.DEFAULT
    baseline: Tuple[str, str] = (engines.DEFAULT, FP32)
    asked: Tuple[Tuple[float, float], ...] = ()

    def __post_init__(self):
        _refuse(self)

    def text(self):
        """str: one line of JSON."""
        return _text(self)


@dataclass(frozen=True)
class PrepareJob(NetworksJob):
    """A NetworksJob, of which the network itself is to be bound, and nothing to be timed."""


_KINDS = {kind.__name__: kind for kind in (SurveyJob, NetworksJob, PrepareJob)}


def _refuse(question):
    refuse_numbers((("batch_size", (question.batch_size,), 1), ("threads", (question.threads,), 1),
                    ("rounds", (question.rounds,), 1)), question.seed)


def _text(question):
    return json.dumps(dict(asdict(question), kind=type(question).__name__))


def question_from_text(text):
    """Job, SurveyJob or NetworksJob: what was said by its method ``text``."""
    said = json.loads(text)
    kind = _KINDS.get(said.pop("kind", Job.__name__))
    if kind is None:
        return from_text(text)
    if "input_shapes" in said:
        said["input_shapes"] = tuple((name, tuple(shape)) for name, shape in said["input_shapes"])
    return kind(**{field.name: tuple(value) if isinstance(value, list) else value
                   for field, value in ((field, said[field.name]) for field in fields(kind))})


@dataclass(frozen=True)
class Job:
    """Networks to be timed.

    Attributes
    ----------
    model, baseline : str
        Prefixes; the baseline may be None.
    load_epoch, baseline_epoch : int or None
    gpus : str or None
        As in '0,1'.
    input_shapes : tuple of (str or None, tuple of int)
        By name, without the batch; None is the only input.
    batch_sizes : tuple of int
        Empty: 1, or the batch that the network is made for.
    threads : tuple of int
    layers : bool
        Also layer by layer.
    repeats, warm_up : int
        Timed and untimed rounds.
    quick : bool
        Stop as soon as the ratio is known to some percent; and few rounds of layers.
    seed : int
        Of the random inputs.
    amx : bool
        In a process that uses the AMX units.
    engines, precisions : tuple of str
        Compare the networks in all of these, see :mod:`accnn.timing.engines`; both empty: as they are, in MXNet.
    random_thresholds : bool
        Make up the ranges of INT8 tensors.
    calibration : str or None
        Path of an .npz file of images, by name of the input, which tell these ranges instead.
    precision : {'fp32', 'int8', 'bf16'}
        To which the model is converted, the baseline not; ranges of INT8 are made up.
    exclude : tuple of str
        Layers that stay in float32 then.
    asked : tuple of (str, str, str)
        'model' or 'baseline', engine and precision: what is compared, instead of all networks in all of them.
    """

    model: str
    baseline: Optional[str] = None
    load_epoch: Optional[int] = None
    baseline_epoch: Optional[int] = None
    gpus: Optional[str] = None
    input_shapes: Tuple[Tuple[Optional[str], Tuple[int, ...]], ...] = ()
    batch_sizes: Tuple[int, ...] = ()
    threads: Tuple[int, ...] = (1,)
    layers: bool = False
    repeats: int = 20
    warm_up: int = 3
    seed: int = 0
    quick: bool = False
    amx: bool = False
    engines: Tuple[str, ...] = ()
    precisions: Tuple[str, ...] = ()
    random_thresholds: bool = False
    calibration: Optional[str] = None
    precision: str = FP32
    exclude: Tuple[str, ...] = ()
    asked: Tuple[Tuple[str, str, str], ...] = ()

    def __post_init__(self):
        refuse_numbers((("batch_sizes", self.batch_sizes or (1,), 1), ("threads", self.threads, 1),
                        ("repeats", (self.repeats,), 1), ("warm_up", (self.warm_up,), 0)), self.seed)
        if self.layers and self.baseline is None:
            raise AccnnError("`layers` compares with a baseline: give `baseline`")
        self._check_rows()
        if self.baseline_epoch is not None and self.baseline is None:
            raise AccnnError("`baseline_epoch` without `baseline`: give both")

    def _check_rows(self):
        known = {"engine": (self.engines, engines.names()), "precision": (self.precisions, PRECISIONS)}
        for name, (asked, there) in known.items():
            unknown = sorted(set(asked) - set(there))
            if unknown:
                raise AccnnError("`%s` %s: choose from %s" % (name, unknown[0], ", ".join(there)))
            for other, given in (("layers", self.layers), ("gpus", self.gpus)):
                if given and asked:
                    raise AccnnError("`%s` does not go with `%s`, which compares whole networks on the CPU"
                                     % (other, name))

    @property
    def rows(self):
        """list of (str, str): engines and precisions to compare each network in; empty: it is timed as it is."""
        if self.asked:
            return [row[1:] for row in self.asked]
        return [(engine, precision) for engine in self.engines or (engines.DEFAULT,)
                for precision in self.precisions or (FP32,)] if self.engines or self.precisions else []

    def text(self):
        """str: one line of JSON."""
        return json.dumps(asdict(self))


def from_text(text):
    """Job: read from :meth:`Job.text`."""
    said = json.loads(text)
    shapes = tuple((name, tuple(shape)) for name, shape in said.pop("input_shapes"))
    return Job(input_shapes=shapes, **{key: tuple(value) if isinstance(value, list) else value
                                       for key, value in said.items()})


def refuse_numbers(wanted, seed):
    """Refuse numbers that nobody can do: `wanted` are (setting, numbers, the least of them that makes sense)."""
    for setting, numbers, least in wanted:
        if not numbers or min(numbers) < least:
            raise AccnnError("`%s=%s`: must be at least %d" % (setting, sizes(numbers), least))
    if not 0 <= seed < 1 << 32:
        raise AccnnError("`seed=%d`: must be 0 to 2^32-1" % seed)


def shapes_given(job) -> Dict[Optional[str], Tuple[int, ...]]:
    """dict: :attr:`Job.input_shapes` by name; None is the only input.

    Raises
    ------
    AccnnError
        A name comes twice.
    """
    shapes = dict(job.input_shapes)
    if len(shapes) < len(job.input_shapes):
        raise AccnnError("`input_shapes` names an input twice")
    return shapes
