"""One network in training: steps that repeat exactly, and everything needed to go on after any of them."""
import itertools
from collections import namedtuple
from dataclasses import dataclass, replace
from typing import Optional

import numpy as np

from accnn.core.compat import mx
from accnn.graph.ir import Graph
from accnn.runtime.predictor import bind_errors_as_sentences, compute_errors_as_sentences
from accnn.training import objective, optimizer
from accnn.training.averaging import BATCHES, WeightAverage, estimated_statistics
from accnn.training.clipping import Clipper
from accnn.training.frozen import held_statistics, hold_statistics
from accnn.training.mixup import mixed


def with_dropout(model, probability):
    """Return the model with another probability in all its Dropout layers.

    A network that was trained with much dropout is soon repaired with little: half of the units missing drowns the
    small errors of a decomposition.
    """
    nodes = tuple(replace(node, attrs=dict(node.attrs, p=str(float(probability)))) if node.op == "Dropout" else node
                  for node in model.graph.nodes)
    return replace(model, graph=Graph(nodes, model.graph.heads))


Answer = namedtuple("Answer", "probabilities labels")
Answer.__doc__ = """What the network said to one batch before its update; arrays that MXNet may still be computing.

Where a teacher has the whole loss `labels` are its probabilities, of shape (batch, classes), both at its temperature.
"""


@dataclass(frozen=True)
class Steps:
    """What is done to the images, the gradients and the weights of every step, beside the optimizer's rule.

    Attributes
    ----------
    mixup : float
        Strength of :func:`accnn.training.mixup.mixed`; 0 blends nothing. Only where a teacher has the whole loss.
    longest : float
        Length to which the gradient of the mean loss is held, see :class:`accnn.training.clipping.Clipper`; 0 leaves
        it. Devices and workers hold their own shares.
    horizon : int or None
        Of the :class:`accnn.training.averaging.WeightAverage` that is the model; None keeps the weights themselves.
    """

    mixup: float = 0.0
    longest: float = 0.0
    horizon: Optional[int] = None


class Trainer:
    """A model, its loss and its optimizer.

    Parameters
    ----------
    model : Model
        Not changed.
    head : Head
        The output to train.
    input_shapes : dict of str to tuple of int
    batch_size : int
        Of this worker.
    job : Job
    contexts : list of mx.Context
    optimizer_name : str
    optimizer_parameters : dict
        See :func:`accnn.training.optimizer.parameters`.
    frozen : list of str
        Parameters that stay as they are.
    teacher : Teacher, optional
    seed : int
        Of whatever the network draws while training, such as dropout.
    dropout : float, optional
        Probability of all Dropout layers. Default: the network's own.
    steps : Steps

    Attributes
    ----------
    network : str
        What error messages call the model.
    """

    def __init__(self, model, head, input_shapes, batch_size, job, contexts, optimizer_name, optimizer_parameters,
                 frozen=(), teacher=None, seed=0, dropout=None, steps=Steps()):
        self._steps, self._average = steps, steps.horizon and WeightAverage(steps.horizon)
        self._shapes, self._context, self._batch_size = dict(input_shapes), contexts[0], batch_size
        self._model, self._job, self._teacher, self._seed = model, job, teacher, seed
        self.network = model.prefix
        trained = hold_statistics(model, frozen)
        if dropout is not None:
            trained = with_dropout(trained, dropout)
        symbol = objective.training_symbol(trained, head, teacher and teacher.distillation)
        labels = {objective.LABEL: (batch_size,), objective.TEACHER: (batch_size, head.classes)}
        used = [name for name in labels if name in symbol.list_arguments()]
        self._frozen, self._held = set(frozen), held_statistics(trained)
        self._module = mx.mod.Module(symbol, list(input_shapes), used, context=contexts,
                                     fixed_param_names=[name for name in frozen if name in symbol.list_arguments()])
        with bind_errors_as_sentences(
                lambda said: "%s cannot be trained on batches of %d (%s): choose another `batch_size`"
                % (model.prefix, batch_size, said)):
            self._module.bind([(name, (batch_size,) + tuple(shape)) for name, shape in input_shapes.items()],
                              [(name, labels[name]) for name in used], for_training=True)
            self._module.set_params(model.arg_params, model.aux_params, allow_extra=True)
            self._module.init_optimizer(job.store, optimizer_name, optimizer_parameters)
        self._clippers = self._clipping() if steps.longest else []

    def step(self, images, labels, epoch, number):
        """Start one update.

        Parameters
        ----------
        images, labels : mx.nd.NDArray
        epoch, number : int
            The place in the run, from which random numbers follow: a step is the same whenever it is made.

        Returns
        -------
        Answer
        """
        place = self._seed, epoch, number, self._job.rank
        mx.random.seed(_seed(*place))
        if self._steps.mixup:
            images = mixed(images, self._steps.mixup, np.random.RandomState(_seed(*place, 1)))
        targets = [labels] + ([self._teacher.answers(images)] if self._teacher else [])
        self._module.forward_backward(mx.io.DataBatch([images], targets))
        # Of the losses the teacher's comes last.
        answer = Answer(self._module.get_outputs()[-1 if self.is_matching else 0].copy(),
                        targets[-1 if self.is_matching else 0].copy())
        self._update()
        return answer

    @property
    def is_matching(self):
        """bool: whether the answers of the teacher are all that is learnt; labels are then not looked at."""
        return bool(self._teacher) and self._teacher.distillation.weight == 1

    def _clipping(self):
        """list of Clipper: of every device, between its gradients and the optimizer, which reads what they clip."""
        group = self._module._exec_group
        trained = [place for place, arrays in enumerate(group.grad_arrays) if arrays[0] is not None]
        size = self._batch_size / len(group.execs)  # gradients are sums over the images of a device
        clippers = [Clipper([group.grad_arrays[place][device] for place in trained], self._steps.longest * size)
                    for device in range(len(group.execs))] if trained else []
        group.grad_arrays = list(group.grad_arrays)
        for order, place in enumerate(trained):
            group.grad_arrays[place] = [clipper.clipped[order] for clipper in clippers]
        return clippers

    def _update(self):
        group = self._module._exec_group
        for clipper in self._clippers:
            clipper.clip()
        self._module.update()
        if self._average:
            weights = {name: arrays[0] for name, arrays in zip(group.param_names, group.param_arrays)
                       if name not in self._frozen}
            self._average.add(weights, self.updates())

    def rehearse(self):
        """Let MXNet compute the passes of one step, on zeros, and change nothing.

        Raises
        ------
        AccnnError
            It cannot compute them here, which it says only now.
        """
        zeros = [[mx.nd.zeros(entry.shape) for entry in entries or ()]
                 for entries in (self._module.data_shapes, self._module.label_shapes)]
        with compute_errors_as_sentences("the training of %s" % self.network):
            self._module.forward_backward(mx.io.DataBatch(*zeros))
            mx.nd.waitall()
        self._module.set_params(self._model.arg_params, self._model.aux_params, allow_extra=True)

    def rate(self):
        """float: the learning rate of the last update."""
        made = self._module._optimizer
        return float(made.lr_scheduler(max(made.num_update, 1)))

    def follow(self, schedule):
        """Go on by another mx.lr_scheduler."""
        self._module._optimizer.lr_scheduler = schedule

    def mean_statistics(self):
        """dict of str to mx.nd.NDArray: BatchNorm statistics, which every worker gathered on its own images.

        All workers must ask for them at the same step.
        """
        _, states = self._settled_params()
        return {name: mx.nd.array(self._job.sum(array.asnumpy()) / self._job.workers)
                for name, array in sorted(states.items()) if name not in self._held}

    def share_statistics(self):
        """Give all workers the mean of their BatchNorm statistics."""
        if self._job.workers > 1:
            args, states = self._settled_params()
            self._module.set_params(args, dict(states, **self.mean_statistics()))

    def model(self):
        """Return the model as it is now."""
        args, states = self._settled_params()
        kept, held = self._model.arg_params, self._model.aux_params
        trained = {name: args[name].copy() if name in args and name not in self._frozen else array
                   for name, array in kept.items()}
        return replace(self._model, arg_params=trained, aux_params={
            name: states[name].copy() if name in states and name not in self._held else array
            for name, array in held.items()})

    def result(self, batches):
        """Return the model to keep: with averaged weights, if so, and with statistics that fit plain images.

        All workers must ask for it at the same step.

        Parameters
        ----------
        batches : iterable of mx.nd.NDArray
            Of training images, of which the first are looked at where weights are averaged or images blended.
        """
        model = self.model()
        if not self._average and not self._steps.mixup:
            return model
        if self._average and self._average.arrays:
            model = replace(model, arg_params=dict(model.arg_params, **{
                name: array.copy() for name, array in self._average.arrays.items()}))
        found = estimated_statistics(hold_statistics(model, self._frozen), self._shapes,
                                     itertools.islice(batches, BATCHES), self._job, self._context)
        return replace(model, aux_params=dict(model.aux_params, **found))

    def arrays(self):
        """dict of str to dict: parameters ('arg', 'aux'), what the optimizer remembers ('state'), averages ('mean')."""
        model = self.model()
        return {"arg": model.arg_params, "aux": model.aux_params, "state": optimizer.state_arrays(self._module),
                "mean": dict(self._average.arrays) if self._average else {}}

    def _settled_params(self):
        """(parameters, statistics) after the last update.

        MXNet updates BatchNorm statistics in the backward pass but tells its engine only that the pass reads them
        (apache/mxnet#18610): whoever writes them waits for the pass, whoever reads them does not.
        """
        mx.nd.waitall()
        return self._module.get_params()

    def updates(self):
        """int: updates made, those of the runs before this was resumed included."""
        return optimizer.updates(self._module)

    def restore(self, arrays, updates):
        """Go on from what :meth:`arrays` and :meth:`updates` gave."""
        self._module.set_params(arrays["arg"], arrays["aux"], allow_extra=True)
        optimizer.restore(self._module, arrays["state"], updates)
        if self._average:
            self._average.arrays = {name: array.as_in_context(self._context)
                                    for name, array in arrays["mean"].items()}


def _seed(*place):
    return int(np.random.SeedSequence(place).generate_state(1)[0]) % (2 ** 31 - 1)
