"""Curves of divergences: predicted for all ranks of all layers, measured at a few, and corrected by these."""
import contextlib
from math import prod

import numpy as np

from accnn.core.errors import AccnnError
from accnn.core.progress import say
from accnn.core.threads import side_by_side
from accnn.ranks.curve import measured_ranks
from accnn.reconstruction.correction import Corrected
from accnn.reconstruction.portions import portions
from accnn.reconstruction.quick_fits import FeatureSplit, answers_of
from accnn.reconstruction.second_order import Change, divergences

MOST = 10       # ranks of a layer and method; as many are looked at where all are measured
_POINTS = 6     # that are looked at where they are predicted,
_ITERATIVE_POINTS = 4  # and of methods whose factors at every rank take long
_NARROW_PATCH = 600  # values of a patch up to which all parts of a chain are fitted, by methods with a closed form
_MOST_BYTES = 1e9  # of changed kernels in one pass


class Estimation:
    """Finds what splits cost the network, layer by layer, running it for a few of them only.

    Parameters
    ----------
    model : Model
    input_shapes : dict
    compare : Comparison
        Its images are those that predictions are made on, too.
    bias : callable
        ``bias(spec)`` is the bias of a layer, or None.
    fit : callable
        ``fit(candidate, rank, evidence)`` is the Replacement that a plan would hold.
    measured : int
        Ranks of a layer and method that are measured at least.
    seed : int
    progress : callable
    """

    def __init__(self, model, input_shapes, compare, bias, fit, measured, seed, progress):
        self._model, self._shapes, self._compare = model, input_shapes, compare
        self._bias, self._fit, self._measured, self._seed, self._progress = bias, fit, measured, seed, progress

    def find(self, table, layers):
        """Add the divergences of some layers to a table.

        Parameters
        ----------
        table : Sensitivity
        layers : list of (list of Candidate, callable)
            The candidates of each layer, and what makes a list of CalibrationSplit of what it reads and answers, or
            None.
        """
        found = [[_Split(one, measured_ranks(one, self._points(one.method))) for one in some] for some, _ in layers]
        largest = sorted(zip(found, layers), key=lambda job: -_kernel_bytes(job[0][0]))  # others are fitted beside it
        with contextlib.closing(self._progress("fitting chains", len(layers))) as tell:
            side_by_side(lambda job: self._fit_all(job[0], job[1][1]), largest,
                         lambda done, job: tell(done, job[0][0].candidate.name))
        splits = [split for some in found for split in some]
        self._predict(splits)
        # Not while chains are fitted: OpenMP's threads would wait, spinning, for a core that another one has.
        total, done = sum(len(split.curve.first()) for split in splits), 0
        with contextlib.closing(self._progress("measuring what splitting costs", total)) as tell:
            for split in splits:
                for place in split.curve.first():
                    tell(done, split.candidate.name)
                    self._measure(split, place)
                    done += 1
                self._refine(split)
                table.add(split.candidate, list(zip(split.ranks, split.curve.values())))
                table.tell_measured(split.candidate, split.told())
                split.fitted = None

    def _fit_all(self, splits, make):
        """The chains of one layer at all ranks that are looked at."""
        evidence = make()
        for split in splits:
            seen = evidence if evidence is None or self._fits_wholly(split) else list(map(FeatureSplit, evidence))
            candidate = split.candidate.hasty()
            # The largest first, whose features the others are made of.
            split.fitted = [self._fit(candidate, rank, seen) for rank in split.ranks[::-1]][::-1]
            candidate.forget()

    def _fits_wholly(self, split):
        narrow = split.candidate.spec.part.patch_shape[1] <= _NARROW_PATCH and not split.candidate.method.iterative
        return self._measured >= MOST or narrow

    def _measure(self, split, place):
        split.curve.add(place, self._compare.of_replaced(split.fitted[place]))

    def _refine(self, split):
        place = split.curve.further()
        while place is not None:
            self._measure(split, place)
            place = split.curve.further()

    def _predict(self, splits):
        """Give every split its curve: of what is predicted, or of all ranks to be measured where nothing can be."""
        found, firsts = self._second_order(splits) if self._measured < MOST else {}, {}
        for split in splits:
            values, name = found.get(split), split.candidate.name
            split.is_predicted = values is not None
            split.curve = Corrected(values if split.is_predicted else np.ones(len(split.ranks)),
                                    self._measured if split.is_predicted else MOST, firsts.get(name))
            if split.is_predicted:
                firsts.setdefault(name, split.curve)

    def _points(self, method):
        if self._measured >= MOST:
            return MOST
        return _ITERATIVE_POINTS if method.iterative else _POINTS

    def _second_order(self, splits):
        """dict of _Split to ndarray: of those whose rows are images, and whose chains have one kernel a group."""
        found = {}
        for portion in portions([split for split in splits if split.candidate.spec.repeats == 1], _kernel_bytes,
                                _MOST_BYTES, lambda split: split.candidate.name):
            found.update(self._looked_up(portion))
        return {split: values for split, values in found.items() if np.isfinite(values).all()}

    def _looked_up(self, splits):
        layers, changes = {}, {}
        for split in splits:
            if split.is_one_kernel_a_group:
                layers.setdefault(split.candidate.name, []).append(split)
        side_by_side(lambda name: changes.update({name: self._change(layers[name])}), list(layers))
        try:
            values = divergences(self._model, self._compare.images, self._shapes, [changes[name] for name in layers],
                                 self._seed, self._progress, self._compare.weights) if layers else {}
        except AccnnError as error:  # what cannot be differentiated can be run, or the same is told of it then
            say("%s: all ranks are measured" % error)
            return {}
        return {split: part for name, some in layers.items()
                for split, part in zip(some, np.split(values[name], np.cumsum([len(one.ranks) for one in some])[:-1]))}

    def _change(self, splits):
        """Change: what all chains of a layer change of its kernel."""
        candidate = splits[0].candidate
        return Change(candidate.spec, candidate.weight(), self._bias(candidate.spec),
                      [answers_of(candidate, made) for split in splits for made in split.fitted])


class _Split:
    """A candidate with the ranks that are looked at, and its chains there."""

    def __init__(self, candidate, ranks):
        self.candidate, self.ranks = candidate, ranks
        self.curve = self.fitted = None
        self.is_predicted = False

    @property
    def is_one_kernel_a_group(self):
        """bool: whether no chain joins groups of the layer."""
        groups = self.candidate.spec.part.patch_shape[0]
        return not any(part.groups % groups for made in self.fitted for part in made.chain)

    def told(self):
        """list of (rank, predicted, measured); None for predicted where nothing could be, or all was to be measured."""
        return [(self.ranks[place], self.curve.predicted[place] if self.is_predicted else None, value)
                for place, value in sorted(self.curve.measured.items())]


def _kernel_bytes(split):
    """int: of the dense kernels at all ranks that are looked at."""
    return 4 * len(split.ranks) * prod(split.candidate.spec.part.weight_shape)
