"""What a report shows: values that were measured, computed or read, each of which may be missing."""
from dataclasses import dataclass, field
from typing import Mapping, Optional, Tuple

from accnn.core.layers import FP32

# Where values of a section come from, as the page says it.
THIS_RUN = "computed in this run"
MEASURED = "measured in this run"


@dataclass(frozen=True)
class RankCurve:
    """A quantity of one layer and method by rank: energy kept, or divergence of the network's outputs in nats.

    Attributes
    ----------
    layer, method : str
    points : tuple of (rank, float)
        Cheapest rank first.
    chosen : int or tuple of int, optional
        The rank of the plan; None where the plan leaves the layer alone, or splits it by another method.
    at_chosen : float, optional
        The quantity there.
    measured : tuple of rank, optional
        Ranks of `points` at which a divergence was measured, the others being predicted. None: nothing is predicted.
    plans : tuple of (str, rank, float or None)
        In place of `chosen`, where the page is about several plans: what each is called, its rank, the quantity there.
    """

    layer: str
    method: str
    points: Tuple[Tuple[object, float], ...]
    chosen: Optional[object] = None
    at_chosen: Optional[float] = None
    measured: Optional[Tuple[object, ...]] = None
    plans: Tuple[Tuple[str, object, Optional[float]], ...] = ()

    @property
    def marked(self):
        """tuple of (str, rank, float or None): the ranks of plans, each under a name."""
        return self.plans if self.chosen is None else (("chosen", self.chosen, self.at_chosen),)

    def source(self, rank):
        """str: 'measured', 'predicted', or '' where the curve has no such point or does not tell them apart."""
        if self.measured is None or rank not in [one for one, _ in self.points]:
            return ""
        return "measured" if rank in self.measured else "predicted"


@dataclass(frozen=True)
class PlanPoint:
    """One network of a Pareto front: how fast it is, and what that costs.

    Attributes
    ----------
    name : str
        What people call it: a checkpoint, or the ratio that was asked for.
    speed_up : float
        Over the original network.
    divergence : float, optional
        Of the outputs from the original's, in nats.
    lost : float, optional
        Share of top-1 that is lost: 0.01 is one point.
    interval : (float, float), optional
        The 95% interval of `lost`.
    precision, engine : str
    is_measured : bool
        Whether `speed_up` is of milliseconds; else of multiply-adds.
    is_chosen : bool
        Whether the report is about this one.
    energy : float, optional
        Product over the split layers of what their ranks keep: says what is lost where there are no images.
    """

    name: str
    speed_up: float
    divergence: Optional[float] = None
    lost: Optional[float] = None
    interval: Optional[Tuple[float, float]] = None
    precision: str = FP32
    engine: str = "mxnet"
    is_measured: bool = True
    is_chosen: bool = False
    energy: Optional[float] = None


@dataclass(frozen=True)
class ChainPart:
    """One operator in the place of a layer.

    Attributes
    ----------
    name : str
    inputs, outputs : int
        Channels.
    kernel : tuple of int
        Empty for a fully connected part.
    groups : int
    """

    name: str
    inputs: int
    outputs: int
    kernel: Tuple[int, ...] = ()
    groups: int = 1


@dataclass(frozen=True)
class Change:
    """An image that two networks answer differently.

    Attributes
    ----------
    record : int
        Position in the file, from 0.
    label, before, after : int
        The true class, and the answers of the original and of the new network.
    divergence : float
        Of the new network's probabilities from the original's, in nats.
    picture : str, optional
        ``data:`` address of a thumbnail.
    """

    record: int
    label: int
    before: int
    after: int
    divergence: float
    picture: Optional[str] = None


@dataclass(frozen=True)
class Disagreement:
    """Answers of two networks to the same images.

    Attributes
    ----------
    images : int
    pairs : dict of (int, int) to int
        How many images got the class `before` from the original and `after` from the new network, where both differ.
    same : dict of int to int
        How many got this class from both.
    changes : tuple of Change
        Those that changed the most, largest first.
    """

    images: int
    pairs: Mapping[Tuple[int, int], int]
    same: Mapping[int, int]
    changes: Tuple[Change, ...] = ()


@dataclass(frozen=True)
class ReportEvidence:
    """All that a report may show; a section whose attribute is missing is left out.

    Attributes
    ----------
    name, baseline : str
        Prefixes of the new network and of the one that it was made from.
    summary : dict, optional
        Of :func:`accnn.report.plan.summary`, or the same keys as far as they are known: ``layers``, ``convolutions``,
        ``network``, ``parameters``, ``made_by``, ``file_bytes``.
    chains : dict of str to tuple of ChainPart
        By layer.
    plan_text : str, optional
        The plan's JSON.
    timings : dict, optional
        Of :func:`accnn.timing.client.measure`, with a baseline.
    int8 : dict, optional
        Of :func:`accnn.report.int8.summary`, or of the file that is kept beside an INT8 network.
    scores : dict, optional
        What ``score.py`` prints as JSON.
    disagreement : Disagreement, optional
    energies, sensitivities : tuple of RankCurve
    front : tuple of PlanPoint
    history : tuple of dict
        Epochs of fine-tuning, see :class:`accnn.training.history.EpochRecord`.
    stages : dict, optional
        Of :func:`accnn.iterative.report.summary`.
    unknown : tuple of str
        Sentences on what is not known, and how it would be.
    command : str
        What was typed.
    machine : dict, optional
        Of :func:`accnn.timing.machine.environment`.
    sources : dict of str to str
        By attribute, where its values come from; default: this run.
    plans : tuple of ReportEvidence
        Of each point of the front behind the first, where the page is about several plans: what each of them is.
    """

    name: str
    baseline: str
    summary: Optional[dict] = None
    chains: Mapping[str, Tuple[ChainPart, ...]] = field(default_factory=dict)
    plan_text: Optional[str] = None
    timings: Optional[dict] = None
    int8: Optional[dict] = None
    scores: Optional[dict] = None
    disagreement: Optional[Disagreement] = None
    energies: Tuple[RankCurve, ...] = ()
    sensitivities: Tuple[RankCurve, ...] = ()
    front: Tuple[PlanPoint, ...] = ()
    history: Tuple[dict, ...] = ()
    stages: Optional[dict] = None
    unknown: Tuple[str, ...] = ()
    command: str = ""
    machine: Optional[dict] = None
    sources: Mapping[str, str] = field(default_factory=dict)
    plans: Tuple["ReportEvidence", ...] = ()
