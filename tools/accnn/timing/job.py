"""What is to be measured: the words between the process that is asked and the processes that measure."""
import json
from dataclasses import asdict, dataclass
from typing import Dict, Optional, Tuple

from accnn.errors import AccnnError


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
        As ``--input-shape`` says them, without the batch.
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

    def __post_init__(self):
        refuse_numbers((("--batch-size", self.batch_sizes or (1,), 1), ("--threads", self.threads, 1),
                        ("--repeats", (self.repeats,), 1), ("--warm-up", (self.warm_up,), 0)), self.seed)
        if self.layers and self.baseline is None:
            raise AccnnError("--layers compares with a baseline: give --baseline")
        if self.baseline_epoch is not None and self.baseline is None:
            raise AccnnError("--baseline-epoch without --baseline: give both")

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
    """Refuse numbers that nobody can do: `wanted` are (option, numbers, the least of them that makes sense)."""
    for option, numbers, least in wanted:
        if not numbers or min(numbers) < least:
            raise AccnnError("%s %s: must be at least %d" % (option, ",".join(map(str, numbers)), least))
    if not 0 <= seed < 1 << 32:
        raise AccnnError("--seed %d: must be 0 to 2^32-1" % seed)


def shapes_given(job) -> Dict[Optional[str], Tuple[int, ...]]:
    """dict: :attr:`Job.input_shapes` by name; None is the only input.

    Raises
    ------
    AccnnError
        A name comes twice.
    """
    shapes = dict(job.input_shapes)
    if len(shapes) < len(job.input_shapes):
        raise AccnnError("--input-shape names an input twice")
    return shapes
