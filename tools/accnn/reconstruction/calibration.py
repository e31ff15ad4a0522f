"""What calibration images say about the layers of a model, and the chains that are fitted to it."""
from dataclasses import dataclass
from functools import partial
from math import prod

from scipy import linalg

from accnn.core.files import temporary_folder
from accnn.core.progress import Silence, say
from accnn.graph.following import following
from accnn.graph.precision import in_full_precision
from accnn.graph.rewrite import new_names, replace_layers
from accnn.reconstruction import LINEAR, NETWORK
from accnn.reconstruction.importance import importances
from accnn.reconstruction.joint import check_mirrored, joint
from accnn.reconstruction.layer import WIDEST_PATCH
from accnn.reconstruction.moments import Accumulator
from accnn.reconstruction.pipeline import DISK, CachedFeatureMaps, PrefixRunner, levels
from accnn.reconstruction.rebuilding import Settling, rebuild
from accnn.reconstruction.samples import evidence_of, roots
from accnn.reconstruction.sampling import RESPONSE, Tap, sample
from accnn.reconstruction.sensitivity import Sensitivity
from accnn.reconstruction.split_costs import Fitting, SplitCosts
from accnn.reconstruction.streams import MomentSums


@dataclass(frozen=True)
class ReconstructionConfig:
    """How chains are to be rebuilt.

    Attributes
    ----------
    solver : {'linear', 'nonlinear'} or None
        None: images choose ranks, chains stay as they are without them.
    symmetric : bool
        Fit to what layers read in the original network, not in the accelerated one.
    metric : {'network', 'responses'}
        Whether an error of a response counts as much as it moves the network's outputs, or as its square, as in the
        paper.
    positions : int
        Places sampled of every image.
    seed : int
    measured : int
        Ranks of a layer and method that the network is run for at least to tell sensitivities; 10: all of them, and
        nothing is predicted.
    joint : bool
        Improve all chains together afterwards, see :func:`accnn.reconstruction.joint.joint`.
    joint_mirror : bool
        Towards the mean of the outputs for an image and for its mirror image.
    """

    solver: object = LINEAR
    symmetric: bool = False
    metric: str = NETWORK
    positions: int = 10
    seed: int = 0
    measured: int = 2
    joint: bool = False
    joint_mirror: bool = False


class Calibrated:
    """The model of an accelerator seen through calibration images.

    Parameters
    ----------
    accelerator : Accelerator
    images : ArrayImages or RecordImages
    wish : ReconstructionConfig
    progress : callable, optional
        See :class:`accnn.planning.accelerator.Accelerator`.
    table : str, optional
        File of the sensitivities, see :class:`accnn.reconstruction.sensitivity.Sensitivity`.
    read_only : bool
        Leave that file as it is.

    Attributes
    ----------
    outcomes : dict of str to Outcome
        Of the layers that were rebuilt last.
    joint : JointOutcome or None
        Of the chains that were improved together last.
    """

    joint = None

    def __init__(self, accelerator, images, wish, progress=None, table=None, read_only=False):
        self.images, self.wish, self.outcomes = images, wish, {}
        self._accelerator, self._progress = accelerator, progress or Silence
        # Which MXNet can differentiate, and whose responses can be read.
        self._model = in_full_precision(accelerator.model)
        if wish.joint_mirror:  # before anything is computed
            check_mirrored(self._model, images.input_names, accelerator.input_shapes)
        self._energies, self._importances = {}, {}
        self._costs = SplitCosts(accelerator, self._model, images, wish,
                                 Fitting(self._sampled, self._importance, self._fitted), self._progress,
                                 partial(Sensitivity, table, read_only=read_only))

    def energies(self, spec):
        """Eigenvalues of the covariance of a layer's responses, largest first: ndarray of shape (N,)."""
        if spec.name not in self._energies:
            wanted = [one for one in self._accelerator.layers if one.op == spec.op and not one.refusal]
            with temporary_folder() as folder:
                samples = self._sample(self._model, [Tap(one, RESPONSE) for one in wanted], folder)
                self._energies.update((one.name, _eigenvalues(found)) for one, found in zip(wanted, samples))
        return self._energies[spec.name]

    def curves(self, candidates):
        """See :meth:`accnn.reconstruction.split_costs.SplitCosts.curves`."""
        return self._costs.curves(candidates)

    def points(self, layer, method):
        """list of (rank, float): what is known of a layer's divergence by rank, or None where nothing is."""
        return self._costs.points(layer, method)

    def measured_at(self, layer, method):
        """tuple of ranks: those of :meth:`points` at which the network was run; None for all of them."""
        return self._costs.measured_at(layer, method)

    def measured_splits(self):
        """dict: by layer and method, a list of [rank, predicted or None, measured] divergences of splits run."""
        return self._costs.measured_splits()

    def int8_noise(self, candidates):
        """See :meth:`accnn.reconstruction.split_costs.SplitCosts.int8_noise`."""
        return self._costs.int8_noise(candidates)

    def replacements(self, picks):
        """Fit chains to the true responses, layer by layer in topological order.

        Parameters
        ----------
        picks : list of (Candidate, rank)

        Returns
        -------
        list of Replacement
        """
        model, picks = self._model, {candidate.name: (candidate, rank) for candidate, rank in picks}
        self.outcomes, done = {}, {}
        with temporary_folder() as folder:
            truths, images = self._truths(picks, folder)
            relay = PrefixRunner(model, images, self._accelerator.input_shapes, partial(self._sampled, folder))
            for level in levels(model.graph, picks):
                sinks = {name: self._sums(*picks[name], truths[name]) for name in level if self._is_summed(picks[name])}
                # Earlier layers are chains by now: what this one reads is what it will read.
                inputs = relay.inputs([picks[name][0].spec for name in level], {} if self.wish.symmetric else done,
                                      [name for name in picks if name not in done], sinks)
                for name, samples in zip(level, inputs):
                    done[name] = self._rebuilt(*picks[name], samples, truths.pop(name))
        self._warn()
        replacements = [done[name] for name in picks]
        return self._together(replacements) if self.wish.joint else replacements

    def _together(self, replacements):
        """The same chains, their numbers improved together."""
        made = replace_layers(self._model, replacements)
        names = [name for item in replacements for name in new_names(item.spec, item.chain) if name in made.arg_params]
        found, self.joint = joint(made, self._model, self.images, self._accelerator.input_shapes, names,
                                  self.wish.seed, self._progress, self.wish.joint_mirror)
        return [item.with_arrays(found) for item in replacements]

    def _truths(self, picks, folder):
        """What layers answer in the original network, and the images: decoded once, where the disk holds them."""
        model, shapes, images = self._model, self._accelerator.input_shapes, self.images
        names = [name for name in images.input_names if name in shapes]
        kept = [((place, 0, 0), tuple(shapes[node.name])) for place, node in enumerate(model.graph.nodes)
                if node.is_variable and node.name in names]
        if 4 * images.count * sum(prod(shape) for _, shape in kept) > DISK:
            kept = []
        found = self._sampled(folder, model, images, shapes, [Tap(one.spec, RESPONSE) for one, _ in picks.values()],
                              kept)
        if kept:
            images = CachedFeatureMaps(found[len(picks):], images,
                                       [model.graph.nodes[entry[0]].name for entry, _ in kept])
        return dict(zip(picks, found)), images

    def _is_summed(self, pick):
        """Whether a layer is fitted to sums over its samples, which then are not kept."""
        return (self.wish.solver == LINEAR and self.images.count >= MomentSums.FEWEST and
                pick[0].spec.part.patch_shape[1] <= WIDEST_PATCH)

    def _sums(self, candidate, rank, responses):
        spec, groups = candidate.spec, candidate.spec.part.patch_shape[0]
        settled = None
        if self.images.count > 2 * MomentSums.FIRST and not any(one.groups % groups for one in candidate.chain(rank)):
            settled = Settling(candidate, rank, self._accelerator.bias(spec), self._post_ops(spec),
                               roots(self._importance(spec), groups, responses.shape[0]))
        return MomentSums(spec.part.patch_shape, responses.shape, responses.rows // self.images.count,
                          self.images.count, responses.blocks(), settled)

    def _rebuilt(self, candidate, rank, inputs, responses):
        replacement, self.outcomes[candidate.name] = self._fitted(
            candidate, rank, self._evidence(candidate.spec, inputs, responses))
        for samples in (inputs, responses):
            samples.remove()
        return replacement

    def _evidence(self, spec, inputs, responses):
        importance = self._importance(spec)
        if isinstance(inputs, MomentSums):
            return inputs.splits(roots(importance, spec.part.patch_shape[0], responses.shape[0]))
        return evidence_of(inputs, responses, self.images.count, importance)

    def _importance(self, spec):
        if self.wish.metric != NETWORK or spec.repeats != 1:
            return None
        if spec.name not in self._importances:
            wanted = [one for one in self._accelerator.layers
                      if one.op == spec.op and not one.refusal and one.repeats == 1]
            self._importances.update(importances(self._model, self.images, self._accelerator.input_shapes, wanted,
                                                 self.wish.seed, self._progress))
        return self._importances[spec.name]

    def _fitted(self, candidate, rank, evidence):
        spec = candidate.spec
        return rebuild(candidate, rank, self._accelerator.bias(spec), self._post_ops(spec), evidence, self.wish.solver)

    def _post_ops(self, spec):
        return following(self._model, spec.name).filled(spec.part.outputs)

    def _sample(self, model, taps, folder):
        return self._sampled(folder, model, self.images, self._accelerator.input_shapes, taps)

    def _sampled(self, folder, model, images, input_shapes, taps, kept=(), sinks=None):
        return sample(model, images, input_shapes, taps, self.wish.positions, self.wish.seed, folder, self._progress,
                      kept, sinks)

    def _warn(self):
        few = {name: outcome for name, outcome in self.outcomes.items() if outcome.samples < outcome.unknowns}
        if few:
            name, outcome = max(few.items(), key=lambda item: item[1].unknowns - item[1].samples)
            say("%d layers were fitted to fewer places than they have unknowns, such as %s to %d for %d: there the "
                "solution stays close to the one without images; more `images` would help"
                % (len(few), name, outcome.samples, outcome.unknowns))


def _eigenvalues(samples):
    sums = Accumulator(samples.shape[0], 0)
    for block in samples.blocks():
        sums.add(block, block[:, :0])
    return linalg.eigvalsh(sums.moments().xx)[::-1]
