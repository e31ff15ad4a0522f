"""What is asked of an INT8 network, and what is told of one that was made."""
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Tuple

from accnn.graph.checkpoint import Model
from accnn.quantization.exclusion import Exclusion


@dataclass(frozen=True)
class Int8Config:
    """What is done to make an INT8 network, and how long it may take.

    Attributes
    ----------
    equalise, rotate, resolve : bool
        Scales across nonlinearities, matrices inside chains, layers solved anew behind the INT8 prefix.
    kinds : tuple of str
        Thresholds that are tried, of :mod:`accnn.quantization.thresholds`; with one of them it is that for all tensors.
    limit : float or None
        Relative error of every output; layers stay in float32 until it is met. None: 0.02, but where the one output is
        a distribution over classes, or scores of classes, no limit.
    exclude : tuple of str
        Layers that stay in float32 in any case.
    multiply_adds : float
        That the choice of thresholds tensor by tensor may take, in passes over images held aside. Counted and not
        timed: the same call gives the same network on any machine. About a minute on one core with VNNI.
    positions : int
        Places of every image at which responses are sampled; more of few images.
    seed : int
    dense_channels : bool
        Try a step for every output of fully connected layers, where these are small enough to be stored as float32.
    """

    equalise: bool = True
    rotate: bool = True
    resolve: bool = True
    kinds: Tuple[str, ...] = ()
    limit: Optional[float] = None
    exclude: Tuple[str, ...] = ()
    multiply_adds: float = 5e12
    positions: int = 10
    seed: int = 0
    dense_channels: bool = True


@dataclass(frozen=True)
class Step:
    """One step: how far the outputs are on images held aside, without it and with it.

    Attributes
    ----------
    name : str
    before, after : float
        Mean of :meth:`accnn.reconstruction.judge.Judge.each`, from the float32 network as it was given; of the last
        steps from the original, and from the float32 network of that step.
    is_kept : bool
    """

    name: str
    before: float
    after: float
    is_kept: bool


@dataclass(frozen=True)
class Int8:
    """An INT8 network and how it was made.

    Attributes
    ----------
    model : Model
        INT8.
    source : Model
        The float32 network that it is the INT8 form of.
    thresholds : dict of str to (float, float)
        By name of the tensor.
    kinds : dict of str to str
        Which kind of threshold every tensor has.
    excluded : list of Exclusion
        Layers that stay in float32 because they would cost too much.
    precisions : list of LayerPrecision
    steps : list of Step
    errors : dict of str to float
        Relative error of every output on images held aside.
    divergence : float
        Of the outputs on these images from those of the original, see
        :class:`accnn.reconstruction.divergence.Divergence`.
    held : int
        How many images were held aside.
    """

    model: Model
    source: Model
    thresholds: Dict[str, Tuple[float, float]]
    kinds: Dict[str, str]
    excluded: List[Exclusion]
    precisions: list
    steps: List[Step]
    errors: Dict[str, float] = field(default_factory=dict)
    divergence: float = 0.0
    held: int = 0
