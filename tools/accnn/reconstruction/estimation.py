"""Curves of divergences: predicted for all ranks of all layers, measured at a few, and corrected by these."""
import contextlib
from concurrent.futures import ThreadPoolExecutor
from math import prod

import numpy as np

from accnn.core.errors import AccnnError
from accnn.core.layers import CONVOLUTION
from accnn.core.progress import say
from accnn.core.threads import side_by_side
from accnn.ranks.curve import measured_ranks
from accnn.reconstruction.correction import Corrected
from accnn.reconstruction.fast_fits import FastFits, answers_of
from accnn.reconstruction.layer import WIDEST_PATCH
from accnn.reconstruction.portions import portions
from accnn.reconstruction.second_order import Change, divergences

MOST = 10       # ranks of a layer and method; as many are looked at where all are measured
_POINTS = 6     # that are looked at where they are predicted,
_ITERATIVE_POINTS = 4  # and of methods whose factors at every rank take long
_NARROW_PATCH = 600  # values of a patch up to which a whole fit takes no longer than a fast one
_MOST_BYTES = 1e9  # of changed kernels in one pass, and of moments of all layers


class Estimation:
    """Finds what splits cost the network, layer by layer, running it for a few of them only.

    Parameters
    ----------
    model : Model
    images : ArrayImages or RecordImages
    input_shapes : dict
    compare : Comparison
    bias : callable
        ``bias(spec)`` is the bias of a layer, or None.
    fit : callable
        ``fit(candidate, rank, evidence)`` is the Replacement that a plan would hold.
    measured : int
        Ranks of a layer and method that are measured at least.
    seed : int
    progress : callable
    """

    def __init__(self, model, images, input_shapes, compare, bias, fit, measured, seed, progress):
        self._model, self._images, self._shapes, self._compare = model, images, input_shapes, compare
        self._bias, self._fit, self._measured, self._seed, self._progress = bias, fit, measured, seed, progress

    def find(self, table, layers):
        """Add the divergences of some layers to a table.

        Parameters
        ----------
        table : Sensitivity
        layers : list of (list of Candidate, callable)
            The candidates of each layer, and what makes a list of CalibrationSplit of what it reads and answers, or
            None. It is called again where moments of all layers together would take too much memory.
        """
        widths = [some[0].spec.part.patch_shape[1] for some, _ in layers]
        keep = sum(16 * width ** 2 for width in widths if width <= WIDEST_PATCH) <= _MOST_BYTES
        evidence = [_Evidence(make, keep) for _, make in layers]
        splits = self._predicted([(candidate, one) for (some, _), one in zip(layers, evidence) for candidate in some])
        total, done = sum(len(split.curve.first()) for split in splits), 0
        with contextlib.closing(self._progress("measuring what splitting costs", total)) as tell, _Ahead() as ahead:
            for split in splits:  # the next chains are fitted while MXNet runs these
                split.made = {place: ahead.begin(self._made, split, place) for place in split.curve.first()}
                ahead.begin(split.evidence.leave)
            for split in splits:
                for place, made in split.made.items():
                    tell(done, split.candidate.name)
                    split.curve.add(place, self._compare.of_replaced(made.result()))
                    done += 1
                self._refined(split)
                split.evidence.leave()
                table.add(split.candidate, list(zip(split.ranks, split.curve.values())))
                table.tell_measured(split.candidate, split.told())
                split.candidate.hasty().forget()

    def _made(self, split, place):
        if split.fitted is not None:
            return split.fitted[place]
        return self._fit(split.candidate.hasty(), split.ranks[place], split.evidence.get())

    def _refined(self, split):
        place = split.curve.further()
        while place is not None:
            split.curve.add(place, self._compare.of_replaced(self._made(split, place)))
            place = split.curve.further()

    def _predicted(self, jobs):
        """list of _Split: with the divergences that are predicted, or all ranks to be measured where none can be."""
        splits, firsts = [], {}
        for candidate, evidence in jobs:
            splits.append(_Split(candidate, evidence, measured_ranks(candidate, self._points(candidate.method))))
        found = self._second_order(splits) if self._measured < MOST else {}
        for split in splits:
            values = found.get(split)
            known = firsts.get(split.candidate.name)
            count = self._measured if values is not None else MOST
            split.curve = Corrected(np.ones(len(split.ranks)) if values is None else values, count, known)
            if values is not None:
                split.is_predicted = True
                firsts.setdefault(split.candidate.name, split.curve)
        return splits

    def _points(self, method):
        if self._measured >= MOST:
            return MOST
        return _ITERATIVE_POINTS if method.iterative else _POINTS

    def _second_order(self, splits):
        """dict of _Split to ndarray: of those whose rows are images, and whose chains have one kernel a group."""
        answered = {}
        layers = {}
        for split in splits:
            spec = split.candidate.spec
            if spec.repeats == 1 and spec.part.patch_shape[1] <= WIDEST_PATCH:
                layers.setdefault(split.candidate.name, []).append(split)
        with contextlib.closing(self._progress("fitting chains", len(layers))) as tell:
            side_by_side(lambda some: answered.update(self._answers(some)),
                         list(layers.values()), lambda done, some: tell(done, some[0].candidate.name))
        answered = {split: answers for split, answers in answered.items() if None not in answers}
        found = {}
        for portion in portions([split for split in splits if split in answered], _kernel_bytes, _MOST_BYTES,
                                lambda split: split.candidate.name):
            found.update(self._looked_up(portion, answered))
        return {split: values for split, values in found.items() if np.isfinite(values).all()}

    def _answers(self, splits):
        """dict of _Split to list of (list of Answer or None): of the candidates of one layer."""
        bias, found = self._bias(splits[0].candidate.spec), {}
        for split in splits:
            if self._fits_quickly(split.candidate):
                split.fitted = [self._fit(split.candidate.hasty(), rank, split.evidence.get()) for rank in split.ranks]
                found[split] = [answers_of(split.candidate, made) for made in split.fitted]
            else:
                fits = FastFits(split.candidate.hasty(), bias, split.evidence.get())
                found[split] = [fits.answers(rank) for rank in split.ranks]
        splits[0].evidence.leave()
        return found

    @staticmethod
    def _fits_quickly(candidate):
        part = candidate.spec.part
        return (part.kind == CONVOLUTION and part.patch_shape[1] <= _NARROW_PATCH and
                not any(one.groups % part.patch_shape[0] for one in candidate.chain(candidate.ranks()[0])))

    def _looked_up(self, splits, answered):
        layers = {}
        for split in splits:
            layers.setdefault(split.candidate.name, []).append(split)
        changes = [Change(some[0].candidate.spec, some[0].candidate.weight(), self._bias(some[0].candidate.spec),
                          [answer for split in some for answer in answered[split]]) for some in layers.values()]
        try:
            values = divergences(self._model, self._images, self._shapes, changes, self._seed, self._progress)
        except AccnnError as error:  # what cannot be differentiated can be run, or the same is told of it then
            say("%s: all ranks are measured" % error)
            return {}
        return {split: part for name, some in layers.items()
                for split, part in zip(some, np.split(values[name], np.cumsum([len(one.ranks) for one in some])[:-1]))}


class _Evidence:
    """What a layer reads and answers, made when it is asked for."""

    def __init__(self, make, keep):
        self._make, self._keep, self._made = make, keep, None

    def get(self):
        """list of CalibrationSplit or None: the same, with the moments it has summed up, until it is left."""
        made = self._made
        if made is None:
            made = self._made = self._make()
        return made

    def leave(self):
        """Free the memory, unless there is enough."""
        if not self._keep:
            self._made = None


class _Split:
    """A candidate with the ranks that are looked at."""

    def __init__(self, candidate, evidence, ranks):
        self.candidate, self.evidence, self.ranks = candidate, evidence, ranks
        self.curve = self.made = self.fitted = None
        self.is_predicted = False

    def told(self):
        """list of (rank, predicted, measured); None for predicted where nothing could be, or all was to be measured."""
        return [(self.ranks[place], self.curve.predicted[place] if self.is_predicted else None, value)
                for place, value in sorted(self.curve.measured.items())]


class _Ahead:
    """Does pieces of work in the background, in the order in which they were begun."""

    def __enter__(self):
        self._pool, self._begun = ThreadPoolExecutor(1), []
        return self

    def begin(self, work, *arguments):
        """Return the Future of ``work(*arguments)``."""
        self._begun.append(self._pool.submit(work, *arguments))
        return self._begun[-1]

    def __exit__(self, *error):
        for future in self._begun:  # at an error or an interrupt, what has not begun is not to begin
            future.cancel()
        self._pool.shutdown()


def _kernel_bytes(split):
    """int: of the dense kernels at all ranks that are looked at."""
    return 4 * len(split.ranks) * prod(split.candidate.spec.part.weight_shape)
