"""What splitting a layer costs the network, by method and rank: known from a table, or found and kept in it."""
import contextlib
from collections import namedtuple
from functools import partial
from math import prod

from accnn.core.files import temporary_folder
from accnn.core.progress import say
from accnn.core.threads import one_blas_thread
from accnn.graph.cut import count_macs
from accnn.graph.fingerprint import fingerprint
from accnn.graph.rewrite import Replacement
from accnn.ranks.curve import Noise, measured_ranks
from accnn.reconstruction import DATA_FREE
from accnn.reconstruction.estimation import MOST, Estimation
from accnn.reconstruction.images import few
from accnn.reconstruction.portions import portions
from accnn.reconstruction.samples import evidence_of
from accnn.reconstruction.sampling import INPUT, RESPONSE, Tap
from accnn.reconstruction.sensitivity import Comparison

_INT8 = " int8"  # behind a method's name in the table: what INT8 adds; alone: what it costs the layer itself
_DISK = 2e9  # bytes that samples for the table of sensitivities may take at a time
_FITTED_ON, _MEASURED_ON, _FEWEST = 1000, 128, 16  # images
_POOL = 4  # images for every one that is measured on, of which these are chosen
_MEASURED_MACS = 5e11  # of a pass over those that are measured on
_MOST_BYTES = 3e8  # that they may take

# How chains are fitted: sampled(folder, model, images, input_shapes, taps), importance(spec), and
# fitted(candidate, rank, evidence), whose first result is the Replacement.
Fitting = namedtuple("Fitting", "sampled importance fitted")


class SplitCosts:
    """Divergences of the outputs when one layer is split, or computed in INT8, and nothing else is.

    Parameters
    ----------
    accelerator : Accelerator
    model : Model
        Its network, as images are run through it.
    images : ArrayImages or RecordImages
    wish : ReconstructionConfig
    fitting : Fitting
    progress : callable
    opened : callable
        ``opened(made_for)`` returns the table, a :class:`accnn.reconstruction.sensitivity.Sensitivity`.
    """

    def __init__(self, accelerator, model, images, wish, fitting, progress, opened):
        self._accelerator, self._model, self._images, self._wish = accelerator, model, images, wish
        self._fitting, self._progress, self._opened = fitting, progress, opened
        self._sensitivities = self._looked_at = None

    def curves(self, candidates):
        """What every layer's chain costs the network, by rank: found where the table does not know it yet.

        Parameters
        ----------
        candidates : list of Candidate

        Returns
        -------
        dict of (str, str) to Curve
            By names of layer and method; those without a rank that makes the layer cheaper are absent.
        """
        table = self._table()
        missing = [one for one in table.missing(candidates) if measured_ranks(one)]
        try:
            self._measure(table, missing)
        finally:  # also when interrupted: the next run goes on from there
            table.save()
        unknown = {(one.name, one.method.name) for one in table.missing(candidates)}
        return {(one.name, one.method.name): table.curve(one) for one in candidates
                if (one.name, one.method.name) not in unknown}

    def points(self, layer, method):
        """list of (rank, float): what is known of a layer's divergence by rank, or None where nothing is."""
        return self._table().points(layer, method)

    def measured_at(self, layer, method):
        """See :meth:`accnn.reconstruction.sensitivity.Sensitivity.measured_at`."""
        return self._table().measured_at(layer, method)

    def measured_splits(self):
        """dict: by layer and method, a list of [rank, predicted or None, measured] divergences of splits run."""
        return self._table().measured()

    def int8_noise(self, candidates):
        """What INT8 adds to the divergence: of layers, and of chains at a large rank, each alone.

        Parameters
        ----------
        candidates : list of Candidate
            Of layers that are computed in INT8.

        Returns
        -------
        dict
            By name of the layer a float; by names of layer and method a Noise, where a rank makes the layer cheaper.
        """
        table = self._table()
        missing = [one for one in table.missing(candidates, _INT8) if measured_ranks(one)]
        try:
            self._measure_noise(table, missing)
        finally:
            table.save()
        found = {name: table.points(name, _INT8)[0][1] for name in {one.name for one in candidates}
                 if table.points(name, _INT8)}
        found.update(((one.name, one.method.name), Noise(one, table.points(one.name, one.method.name + _INT8)))
                     for one in candidates if table.points(one.name, one.method.name + _INT8))
        return found

    def _measure_noise(self, table, candidates):
        if not candidates:
            return
        compare = self._comparison()
        progress = self._progress("measuring what INT8 costs", len(candidates))
        with one_blas_thread(), contextlib.closing(progress):
            for done, candidate in enumerate(candidates):
                progress(done, candidate.name)
                if table.points(candidate.name, _INT8) is None:
                    table.add_row(candidate.name, _INT8, [(1, compare.of_int8(candidate.name))])
                # At small ranks the split drowns what INT8 adds, which hardly depends on how the chain was fitted.
                hasty, rank = candidate.hasty(), measured_ranks(candidate)[-1]
                made = self._data_free(hasty, rank)
                added = compare.of_int8(candidate.name, made) - compare.of_replaced(made)
                table.add(candidate, [(rank, max(added, 0.0))], _INT8)
                hasty.forget()

    def _comparison(self):
        most = max(_FEWEST, min(_MEASURED_ON, int(_MEASURED_MACS // max(count_macs(self._accelerator.layers), 1))))
        return Comparison(self._model, self._few(_POOL * most), self._accelerator.input_shapes, most, _POOL * most)

    def _table(self):
        if self._sensitivities is None:
            self._sensitivities = self._read_table()
        return self._sensitivities

    def _read_table(self):
        all_measured = {"measured": MOST} if self._wish.measured >= MOST else {}
        return self._opened({
            **all_measured, "network": fingerprint(self._accelerator.model), "images": self._images.fingerprint(),
            "positions": self._wish.positions, "solver": self._wish.solver or DATA_FREE, "metric": self._wish.metric,
            "seed": self._wish.seed})

    def _measure(self, table, candidates):
        if not candidates:
            return
        accelerator, images = self._accelerator, self._few(_FITTED_ON)
        layers = {}
        for candidate in candidates:
            layers.setdefault(candidate.name, []).append(candidate)
        with one_blas_thread():
            find = Estimation(self._model, accelerator.input_shapes, self._comparison(), accelerator.bias, self._alone,
                              self._wish.measured, self._wish.seed, self._progress).find
            specs, rows = {one.name: one.spec for one in candidates}, images.count * self._wish.positions
            for some in portions(specs.values(), _sample_numbers, _DISK / (4 * rows)):
                with temporary_folder() as folder:
                    find(table, [(layers[spec.name], evidence)
                                 for spec, evidence in zip(some, self._evidence_of(some, images, folder))])
        _tell_measured(table, candidates)

    def _few(self, most):
        """The images that sensitivities are looked at, decoded once."""
        if self._looked_at is None:
            each = 4 * sum(prod(shape) for shape in self._accelerator.input_shapes.values())
            self._looked_at = few(self._images, int(max(1, min(_FITTED_ON, _MOST_BYTES // each))))
        return few(self._looked_at, most)

    def _alone(self, candidate, rank, evidence):
        """The replacement of one layer in the original network."""
        if not self._wish.solver:
            return self._data_free(candidate, rank)
        return self._fitting.fitted(candidate, rank, evidence)[0]

    def _data_free(self, candidate, rank):
        return Replacement(candidate.spec, candidate.chain(rank),
                           candidate.arrays(rank, self._accelerator.bias(candidate.spec)))

    def _evidence_of(self, specs, images, folder):
        """list of callable: for every layer, what makes a list of CalibrationSplit, or None."""
        if not self._wish.solver:
            return [lambda: None] * len(specs)
        taps = [Tap(spec, kind) for spec in specs for kind in (INPUT, RESPONSE)]
        samples = self._fitting.sampled(folder, self._model, images, self._accelerator.input_shapes, taps)
        return [partial(evidence_of, inputs, responses, images.count, self._fitting.importance(spec))
                for spec, inputs, responses in zip(specs, samples[::2], samples[1::2])]


def _tell_measured(table, candidates):
    """Say how far predictions were from what was measured."""
    rows = [(one, table.measured().get(one.name, {}).get(one.method.name, ())) for one in candidates]
    off = sorted((measured / predicted, one.name, one.method.name)
                 for one, splits in rows for _, predicted, measured in splits if predicted is not None)
    total = sum(len(table.points(one.name, one.method.name)) for one in candidates)
    if off and len(off) < total:
        said = ["%.2f (%s, %s)" % off[0], "%.2f" % off[len(off) // 2][0], "%.2f (%s, %s)" % off[-1]]
        say("sensitivities: %d of %d splits were measured, %s times what was predicted, the middle %s, the most %s"
            % (len(off), total, *said))


def _sample_numbers(spec):
    """int: how many numbers a sample of a layer has: what it reads, and what it answers."""
    groups, width = spec.part.patch_shape
    return groups * width + spec.part.outputs
