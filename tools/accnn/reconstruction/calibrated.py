"""What calibration images say about the layers of a model, and the chains that are fitted to it."""
import contextlib
import tempfile
from dataclasses import dataclass

from scipy import linalg

from accnn.cli import say
from accnn.graph.following import following
from accnn.graph.rewrite import replace_layers
from accnn.reconstruction.behind import Behind
from accnn.reconstruction.levels import levels
from accnn.reconstruction.moments import Accumulator
from accnn.reconstruction.rebuilding import LINEAR, rebuild
from accnn.responses.reader import INPUT, RESPONSE, Tap, sample


@dataclass(frozen=True)
class Wish:
    """How chains are to be rebuilt.

    Attributes
    ----------
    solver : {'linear', 'nonlinear'} or None
        None: images choose ranks, chains stay as they are without them.
    symmetric : bool
        Fit to what layers read in the original network, not in the accelerated one.
    positions : int
        Places sampled of every image.
    seed : int
    """

    solver: object = LINEAR
    symmetric: bool = False
    positions: int = 10
    seed: int = 0


class Calibrated:
    """A workbench's model seen through calibration images.

    Parameters
    ----------
    bench : Workbench
    images : ArrayImages or RecordImages
    wish : Wish
    progress : callable, optional

    Attributes
    ----------
    outcomes : dict of str to Outcome
        Of the layers that were rebuilt last.
    """

    def __init__(self, bench, images, wish, progress=None):
        self.images, self.wish, self.outcomes = images, wish, {}
        self._bench, self._progress = bench, progress
        self._energies = {}

    def energies(self, spec):
        """Eigenvalues of the covariance of a layer's responses, largest first: ndarray of shape (N,)."""
        if spec.name not in self._energies:
            wanted = [one for one in self._bench.layers if one.op == spec.op and not one.refusal]
            with _folder() as folder:
                samples = self._sample(self._bench.model, [Tap(one, RESPONSE) for one in wanted], folder)
                self._energies.update((one.name, _eigenvalues(found)) for one, found in zip(wanted, samples))
        return self._energies[spec.name]

    def replacements(self, picks):
        """Fit chains to the true responses, layer by layer in topological order.

        Parameters
        ----------
        picks : list of (Candidate, rank)

        Returns
        -------
        list of Replacement
        """
        model, picks = self._bench.model, {candidate.name: (candidate, rank) for candidate, rank in picks}
        self.outcomes, done = {}, {}
        with _folder() as folder:
            taps = [Tap(candidate.spec, RESPONSE) for candidate, _ in picks.values()]
            truths = dict(zip(picks, self._sample(model, taps, folder)))
            for level in levels(model.graph, picks):
                # Earlier layers are chains by now: what this one reads is what it will read.
                now = model if self.wish.symmetric else replace_layers(model, done.values())
                taps = [Tap(picks[name][0].spec, INPUT) for name in level]
                for name, inputs in zip(level, self._sample(now, taps, folder)):
                    done[name] = self._rebuilt(*picks[name], inputs, truths.pop(name))
        self._warn()
        return [done[name] for name in picks]

    def _rebuilt(self, candidate, rank, inputs, responses):
        bench, spec = self._bench, candidate.spec
        behind = Behind.of(following(bench.model, spec.name), spec.part.outputs)
        replacement, self.outcomes[spec.name] = rebuild(candidate, rank, bench.bias(spec), behind, inputs, responses,
                                                        self.images.count, self.wish.solver)
        inputs.remove()
        responses.remove()
        return replacement

    def _sample(self, model, taps, folder):
        return sample(model, self.images, self._bench.input_shapes, taps, self.wish.positions, self.wish.seed, folder,
                      self._progress)

    def _warn(self):
        few = {name: outcome for name, outcome in self.outcomes.items() if outcome.samples < outcome.unknowns}
        if few:
            name, outcome = max(few.items(), key=lambda item: item[1].unknowns - item[1].samples)
            say("%d layers were fitted to fewer places than they have unknowns, such as %s to %d for %d: there the "
                "solution stays close to the one without images; more --calib-images would help"
                % (len(few), name, outcome.samples, outcome.unknowns))


@contextlib.contextmanager
def _folder():
    with tempfile.TemporaryDirectory(prefix="accnn-") as folder:
        yield folder


def _eigenvalues(samples):
    sums = Accumulator(samples.shape[0], 0)
    for block in samples.blocks():
        sums.add(block, block[:, :0])
    return linalg.eigvalsh(sums.moments().xx)[::-1]
