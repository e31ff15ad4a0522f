"""A model to be accelerated: its layers described once, every SVD made once, ranks chosen, chains put in place."""
import contextlib
import difflib
import os
from math import prod

from accnn import costs, methods, ranks
from accnn.core.errors import AccnnError
from accnn.core.html import html_table
from accnn.core.layers import FP32
from accnn.core.progress import Silence, say
from accnn.core.text import count, sizes, some
from accnn.core.threads import one_blas_thread, side_by_side
from accnn.graph.inputs import resolve_input_shapes
from accnn.graph.rewrite import Replacement, new_names, replace_layers
from accnn.graph.specs import kernel, layer_specs
from accnn.methods.svd import bases_kept
from accnn.planning import planner
from accnn.planning.budget import BudgetAllocator
from accnn.planning.plan import NOT_IN_PLAN, Plan, Row
from accnn.ranks.basis_cache import Bases
from accnn.ranks.energy_cache import FILE, Energies


class Accelerator:
    """Plan and accelerate one model.

    Parameters
    ----------
    model : Model
        Never changed.
    input_shapes : dict of str to tuple of int, optional
        Without the batch; inputs that are left out are read from the checkpoint where it pins them, else 224 x 224.
    progress : callable, optional
        ``progress(title, total)`` returns an object that is called with (done, what) and closed; see
        :class:`accnn.core.progress.Progress`. Default: silence.
    effort : Effort, optional
        How hard iterative methods try.

    Attributes
    ----------
    model : Model
    input_shapes : dict
    assumed : list of str
        Inputs that neither the caller nor the checkpoint pins: taken to be 224 x 224.
    layers : list of LayerSpec
        Convolutions and fully connected layers in topological order.
    specs : dict of str to LayerSpec
        The same by name.
    progress : callable
    """

    responses = None  # what calibration images say, see accnn.ranks.Problem
    energies = _energies_path = _bases = None  # what earlier runs learnt, see accnn.ranks.Candidate

    def __init__(self, model, input_shapes=None, progress=None, effort=None):
        self.model, self.effort = model, effort or methods.Effort()
        self.input_shapes, self.assumed = resolve_input_shapes(model, input_shapes)
        self.layers = layer_specs(model, self.input_shapes)
        self.specs = {spec.name: spec for spec in self.layers}
        self._names = {node.name for node in model.graph.nodes} | set(model.arg_params) | set(model.aux_params)
        self._candidates = {}
        self.progress = progress or Silence

    def _repr_html_(self):
        """str: the layers as a table, for notebooks."""
        inputs = ", ".join("%s %s" % (name, sizes(shape)) for name, shape in self.input_shapes.items())
        macs = costs.get("macs")
        return html_table("%s: %d layers, input %s" % (self.model.prefix, len(self.layers), inputs),
                          ("layer", "operator", "weight", "multiply-adds", "not to be split"),
                          [(spec.name, spec.op, spec.part and sizes(spec.part.weight_shape),
                            count(macs.layer(spec)) if spec.part else None, spec.refusal) for spec in self.layers])

    def candidate(self, name, method):
        """Return the Candidate of a layer and a method, the same object whenever asked again."""
        key = name, method.name
        if key not in self._candidates:
            spec = self.specs[name]
            self._candidates[key] = ranks.Candidate(spec, method, lambda: kernel(self.model, spec), self.effort,
                                                    lambda: self.energies)
        return self._candidates[key]

    def remember(self, folder, keep=True):
        """Use what earlier runs learnt in files of `folder`, and `keep` bases there, and energies by :meth:`keep`."""
        path = os.path.join(folder, FILE)
        if path != self._energies_path:
            self.energies, self._energies_path, self._bases = Energies(path), path, Bases(folder, keep)

    def keep(self):
        """Write what was learnt of energies, where :meth:`remember` was called."""
        if self.energies is not None:
            self.energies.save()

    def decompose(self, candidates):
        """Make the decompositions of `candidates`, telling progress."""
        progress = self.progress("decomposing layers", len(candidates))
        with one_blas_thread(), bases_kept(self._bases):
            for done, candidate in enumerate(candidates):
                progress(done, candidate.name)
                candidate.decomposition  # noqa: B018  (made here, so that progress can be told)
        progress.close()

    def refusal(self, spec, method):
        """Why the graph, the method or the names in the network forbid to split a layer; None when nothing does."""
        return spec.refusal or method.refuse(spec) or self._taken_name(spec, method)

    def select_ranks(self, ratio, **options):
        """Choose ranks for a theoretical speed-up.

        Parameters
        ----------
        ratio : float
        **options
            The other attributes of :class:`accnn.planning.planner.Request`.

        Returns
        -------
        Plan
            A row for every convolution and fully connected layer.

        Raises
        ------
        TargetError, AccnnError
            See :func:`accnn.planning.planner.select_ranks`.
        """
        return planner.select_ranks(self, planner.Request(ratio, **options))

    def original_ranks(self, ratio):
        """Ranks as the original chose them for `ratio`: see :func:`accnn.rank_selection.get_ranksel`."""
        request, rule = planner.Request(ratio, rank_selection="dp", method="vh"), ranks.get("dp")
        candidates, _ = planner.choose_layers(self, request, rule)
        self.decompose(candidates)
        allocator = BudgetAllocator(self, candidates, request, costs.get(request.cost), rule.select_to_the_letter)
        return {name: rank for name, (_, rank) in allocator.solve().picks.items()}

    def check(self, plan):
        """Return the plan with a row for every layer of the model.

        Raises
        ------
        AccnnError
            A row names a layer that is unknown, of another kind, not to be split or named twice, or a rank that does
            not fit.
        """
        named = {}
        reasons = {row.layer: row.reason for row in plan.rows if row.method is None}
        for row in plan.chosen():
            spec, method = self._spec(row.layer), methods.get(row.method)
            if spec.kind != row.op:
                raise AccnnError("the layer %r is a %s, no %s" % (row.layer, spec.op, row.op))
            refusal = self.refusal(spec, method)
            if refusal:
                raise AccnnError("the layer %r cannot be split: %s" % (row.layer, refusal))
            method.check_rank(spec, row.rank)
            if row.layer in named:
                raise AccnnError("the plan names the layer %r twice" % row.layer)
            named[row.layer] = row
        precisions = {self._spec(row.layer).name: row.precision for row in plan.rows if row.precision != FP32}
        why = {row.layer: row.why_fp32 for row in plan.rows}
        rows = [named.get(spec.name) or Row(spec.name, spec.kind, reason=spec.refusal or reasons.get(
                spec.name, NOT_IN_PLAN), precision=precisions.get(spec.name, FP32), why_fp32=why.get(spec.name))
                for spec in self.layers]
        return Plan(tuple(rows), plan.made_by, plan.evidence)

    def accelerate(self, plan):
        """Return the model with every chosen layer of `plan` replaced by its chain.

        Parameters
        ----------
        plan : Plan

        Returns
        -------
        Model

        Raises
        ------
        AccnnError
            See :meth:`check`.
        """
        return replace_layers(self.model, self.replacements(plan))

    def replacements(self, plan):
        """list of Replacement: chain and arrays for every chosen layer of `plan`, in topological order.

        With calibration images (:attr:`responses`) that are to rebuild the chains, fitted to these.
        """
        chosen = self.check(plan).chosen()
        self.iterate([(self.candidate(row.layer, methods.get(row.method)), row.rank) for row in chosen])
        if self.responses is not None and self.responses.wish.solver:
            with one_blas_thread(), bases_kept(self._bases):
                return self.responses.replacements([(self.candidate(row.layer, methods.get(row.method)), row.rank)
                                                    for row in chosen])
        made = self._split(chosen)
        for row in chosen:
            remark = self.candidate(row.layer, methods.get(row.method)).decomposition.remark(row.rank)
            if remark:
                say("%s: %s" % (row.layer, remark))
        return made

    def _split(self, rows):
        """list of Replacement: chains and arrays of their own for some rows of a plan."""
        largest = sorted(rows, key=lambda row: -prod(self.specs[row.layer].part.weight_shape))  # others run beside it
        with one_blas_thread(), bases_kept(self._bases), contextlib.closing(
                self.progress("splitting layers", len(rows))) as progress:
            made = side_by_side(self._replacement, largest, lambda done, row: progress(done, row.layer))
        found = {row.layer: one for row, one in zip(largest, made)}
        return [found[row.layer] for row in rows]

    def iterate(self, picks):
        """Let iterative methods find their factors, which they keep: several layers at a time.

        Parameters
        ----------
        picks : list of (Candidate, rank)
        """
        iterative = [pick for pick in picks if pick[0].method.iterative]
        if not iterative:
            return
        with one_blas_thread(), contextlib.closing(self.progress("fitting kernels", len(iterative))) as progress:
            side_by_side(lambda pick: pick[0].iterate(pick[1]), iterative,
                         lambda done, pick: progress(done, pick[0].name))

    def _replacement(self, row):
        candidate = self.candidate(row.layer, methods.get(row.method))
        spec = candidate.spec
        return Replacement(spec, candidate.chain(row.rank), candidate.arrays(row.rank, self.bias(spec)))

    def bias(self, spec):
        """ndarray of shape (N,): the bias of a layer, or None where it has none."""
        return self.model.weight(spec.bias) if spec.bias else None

    def _spec(self, name):
        if name in self.specs:
            return self.specs[name]
        ops = {node.name: node.op for node in self.model.graph.nodes if not node.is_variable}
        if name in ops:
            raise AccnnError("the layer %r of %s is a %s: only convolutions and fully connected layers are split"
                             % (name, self.model.prefix, ops[name]))
        near = difflib.get_close_matches(str(name), list(self.specs), n=3, cutoff=0.4)
        raise AccnnError("%s has no layer %r%s" % (self.model.prefix, name,
                                                   ": did you mean %s?" % ", ".join(near) if near else
                                                   "; its layers are %s" % some(self.specs)))

    def _taken_name(self, spec, method):
        taken = [name for name in new_names(spec, method.chain(spec, method.ranks(spec)[0])) if name in self._names]
        return "the network already has something called %s" % taken[0] if taken else None
