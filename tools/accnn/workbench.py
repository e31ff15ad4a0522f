"""A model on the workbench: its layers described once, every SVD made once, ranks chosen, chains put in place."""
import difflib
import fnmatch
import math
from numbers import Real

from accnn import costs, methods, ranks
from accnn.errors import AccnnError, TargetError
from accnn.graph.inputs import resolve_input_shapes
from accnn.graph.rewrite import Replacement, new_names, replace_layers
from accnn.graph.specs import layer_specs
from accnn.methods import with_biases
from accnn.plan import Plan, Row


class Workbench:
    """Plan and accelerate one model.

    Parameters
    ----------
    model : Model
        Never changed.
    input_shapes : dict of str to tuple of int, optional
        Without the batch; inputs that are left out are read from the checkpoint where it pins them, else 224 x 224.
    progress : callable, optional
        ``progress(title, total)`` returns an object that is called with (done, what) and closed; see
        :class:`accnn.cli.Progress`. Default: silence.

    Attributes
    ----------
    model : Model
    input_shapes : dict
    layers : list of LayerSpec
        Convolutions and fully connected layers in topological order.
    specs : dict of str to LayerSpec
        The same by name.
    """

    def __init__(self, model, input_shapes=None, progress=None):
        self.model = model
        self.input_shapes = resolve_input_shapes(model, input_shapes)
        self.layers = layer_specs(model, self.input_shapes)
        self.specs = {spec.name: spec for spec in self.layers}
        self._names = {node.name for node in model.graph.nodes} | set(model.arg_params) | set(model.aux_params)
        self._candidates = {}
        self._progress = progress or _Silence

    def candidate(self, name, method):
        """Return the Candidate of a layer and a method, the same object whenever asked again."""
        key = name, method.name
        if key not in self._candidates:
            spec = self.specs[name]
            self._candidates[key] = ranks.Candidate(spec, method, lambda: self.model.weight(spec.weight))
        return self._candidates[key]

    def select_ranks(self, ratio, rank_selection=ranks.DEFAULT, cost=None, method=None, layers=("*",), exclude=(),
                     fc=False, align=1, seed=0):
        """Choose ranks for a theoretical speed-up.

        Parameters
        ----------
        ratio : float
            Cost before / after, over all convolutions; with `fc` over all fully connected layers too. Layers
            that stay as they are count on both sides.
        rank_selection : str
            A name of :func:`accnn.ranks.names`.
        cost : str, optional
            A name of :func:`accnn.costs.names`; default: the rule's own.
        method : str, optional
            A name of :func:`accnn.methods.names`, for the operators it splits; others take their default.
        layers, exclude : sequence of str
            Shell patterns of layers to plan and to leave alone.
        fc : bool
        align : int
            Ranks are multiples of this; 8 or 16 fit the CPU's kernels much better than others.
        seed : int
            Written into the plan.

        Returns
        -------
        Plan
            A row for every convolution and fully connected layer.

        Raises
        ------
        TargetError
            The ratio cannot be reached; says which can.
        AccnnError
            `ratio` is below 1 or no number; a pattern matches nothing; no layer can be split.
        """
        _checked(ratio)
        if isinstance(align, bool) or not isinstance(align, int) or align < 1:
            raise AccnnError("--align %s makes no sense: ranks are multiples of it, so 1 or more" % align)
        rule = ranks.get(rank_selection)
        counting = costs.get(cost or rule.cost)
        candidates, left = self._choose(method, layers, exclude, fc)
        self._decompose(candidates.values())
        candidates = {name: candidate.aligned(align) for name, candidate in candidates.items()}
        selection = self._select(rule.select, candidates, ratio, counting, fc)
        rows = [self._row(spec, selection.ranks, candidates, left) for spec in self.layers]
        return Plan(tuple(rows), {"ratio": ratio, "rank_selection": rule.name, "cost": counting.name, "fc": fc,
                                  "align": align, "objective": selection.objective, "bound": selection.bound,
                                  "seed": seed})

    def original_ranks(self, ratio):
        """Ranks as the original chose them for `ratio`: see :func:`accnn.rank_selection.get_ranksel`."""
        candidates, _ = self._choose("vh", ("*",), (), False)
        self._decompose(candidates.values())
        return self._select(ranks.original_ranks, candidates, _checked(ratio), costs.get("original"), False).ranks

    def check(self, plan):
        """Return the plan with a row for every layer of the model.

        Raises
        ------
        AccnnError
            A row names a layer that is unknown, of another kind or not to be split, or a rank it does not have.
        """
        named = {}
        for row in plan.chosen():
            spec, method = self._spec(row.layer), methods.get(row.method)
            if spec.op != row.op:
                raise AccnnError("the layer %r is a %s, no %s" % (row.layer, spec.op, row.op))
            refusal = self._refusal(spec, method)
            if refusal:
                raise AccnnError("the layer %r cannot be split: %s" % (row.layer, refusal))
            method.check_rank(spec, row.rank)
            named[row.layer] = row
        rows = [named.get(spec.name) or Row(spec.name, spec.op, reason=spec.refusal or "not in the plan")
                for spec in self.layers]
        return Plan(tuple(rows), plan.made_by)

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
        chosen = self.check(plan).chosen()
        progress = self._progress("splitting layers", len(chosen))
        replacements = []
        for done, row in enumerate(chosen):
            progress(done, row.layer)
            replacements.append(self._replacement(row))
        progress.close()
        return replace_layers(self.model, replacements)

    def _replacement(self, row):
        candidate = self.candidate(row.layer, methods.get(row.method))
        chain, spec = candidate.chain(row.rank), candidate.spec
        bias = self.model.weight(spec.bias) if spec.bias else None
        return Replacement(spec, chain, with_biases(chain, candidate.factors(row.rank), bias))

    def _spec(self, name):
        if name in self.specs:
            return self.specs[name]
        ops = {node.name: node.op for node in self.model.graph.nodes if not node.is_variable}
        if name in ops:
            raise AccnnError("the layer %r of %s is a %s: only Convolution and FullyConnected layers are split"
                             % (name, self.model.prefix, ops[name]))
        near = difflib.get_close_matches(str(name), list(self.specs), n=3, cutoff=0.4)
        raise AccnnError("%s has no layer %r%s" % (self.model.prefix, name,
                                                   ": did you mean %s?" % ", ".join(near) if near else
                                                   "; its layers are %s" % ", ".join(list(self.specs)[:8])))

    def _choose(self, method, layers, exclude, fc):
        """(candidates, reasons why the other layers are left alone)."""
        self._check_patterns(tuple(layers) + tuple(exclude))
        asked = methods.get(method) if method else None
        candidates, left = {}, {}
        for name, spec in self.specs.items():
            tool = asked if asked and asked.op == spec.op else methods.get(methods.DEFAULT[spec.op])
            reason = (("not asked for (--layers)" if not _matches(name, layers) else
                                       "excluded" if _matches(name, exclude) else
                                       "fully connected (--fc plans these too)"
                                       if spec.op == "FullyConnected" and not fc else None)
                      or self._refusal(spec, tool))
            if reason:
                left[name] = reason
            else:
                candidates[name] = self.candidate(name, tool)
        if not candidates:
            raise AccnnError("no layer of %s can be split: %s" % (self.model.prefix, "; ".join(
                "%s: %s" % item for item in list(left.items())[:4]) or "it has no convolution"))
        return candidates, left

    def _refusal(self, spec, method):
        """Why the graph, the method or the names in the network forbid to split a layer; None when nothing does."""
        return spec.refusal or method.refuse(spec) or self._taken_name(spec, method)

    def _taken_name(self, spec, method):
        taken = [name for name in new_names(spec, method.chain(spec, method.ranks(spec)[0])) if name in self._names]
        return "the network already has something called %s" % taken[0] if taken else None

    def _check_patterns(self, patterns):
        for pattern in patterns:
            if pattern != "*" and not any(_matches(name, [pattern]) for name in self.specs):
                raise AccnnError("%s has no convolution or fully connected layer that matches %r: its layers are %s"
                                 % (self.model.prefix, pattern, ", ".join(list(self.specs)[:8])))

    def _select(self, select, candidates, ratio, cost, fc):
        counted = [spec for spec in self.layers
                   if spec.part is not None and (fc or spec.op == "Convolution" or spec.name in candidates)]
        total = sum(cost.layer(spec) for spec in counted)
        fixed = sum(cost.layer(spec) for spec in counted if spec.name not in candidates)
        try:
            return select(list(candidates.values()), total / ratio - fixed, cost)
        except ranks.Unreachable as error:
            best = total / (fixed + error.least)
            over = "all convolutions and fully connected layers" if fc else "all convolutions"
            raise TargetError("%gx (%s, over %s) cannot be reached: the best is %.2fx, with the least rank "
                              "everywhere%s; ask for less"
                              % (ratio, cost.name, over, best, _share(fixed, total))) from None

    def _decompose(self, candidates):
        progress = self._progress("decomposing layers", len(candidates))
        for done, candidate in enumerate(candidates):
            progress(done, candidate.name)
            candidate.decomposition  # noqa: B018  (made here, so that progress can be told)
        progress.close()

    def _row(self, spec, chosen, candidates, left):
        rank = chosen.get(spec.name)
        if rank is None:
            return Row(spec.name, spec.op, reason=left.get(spec.name, "no cheaper chain is worth it"))
        return Row(spec.name, spec.op, candidates[spec.name].method.name, rank)


class _Silence:
    def __init__(self, title, total):
        pass

    def __call__(self, done, what=""):
        pass

    def close(self):
        pass


def _checked(ratio):
    if isinstance(ratio, bool) or not isinstance(ratio, Real) or not math.isfinite(ratio) or ratio < 1:
        raise AccnnError("--ratio %s makes no sense: it is cost before / cost after, 1 or more" % ratio)
    return ratio


def _matches(name, patterns):
    return any(name == pattern or fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _share(fixed, total):
    return " (%.0f%% of the cost is in layers that stay)" % (100 * fixed / total) if fixed else ""
