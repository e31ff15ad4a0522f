"""One network in training: steps that repeat exactly, and everything needed to go on after any of them."""
from collections import namedtuple
from dataclasses import replace

import numpy as np

from accnn.core.compat import mx
from accnn.graph.ir import Graph
from accnn.runtime.predictor import bind_errors_as_sentences, compute_errors_as_sentences
from accnn.training import objective, optimizer
from accnn.training.frozen import held_statistics, hold_statistics


def with_dropout(model, probability):
    """Return the model with another probability in all its Dropout layers.

    A network that was trained with much dropout is soon repaired with little: half of the units missing drowns the
    small errors of a decomposition.
    """
    nodes = tuple(replace(node, attrs=dict(node.attrs, p=str(float(probability)))) if node.op == "Dropout" else node
                  for node in model.graph.nodes)
    return replace(model, graph=Graph(nodes, model.graph.heads))


Answer = namedtuple("Answer", "probabilities labels")
Answer.__doc__ = "What the network said to one batch before its update; arrays that MXNet may still be computing."


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

    Attributes
    ----------
    network : str
        What error messages call the model.
    """

    def __init__(self, model, head, input_shapes, batch_size, job, contexts, optimizer_name, optimizer_parameters,
                 frozen=(), teacher=None, seed=0, dropout=None):
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
        mx.random.seed(_seed(self._seed, epoch, number, self._job.rank))
        targets = [labels] + ([self._teacher.answers(images)] if self._teacher else [])
        self._module.forward_backward(mx.io.DataBatch([images], targets))
        answer = Answer(self._module.get_outputs()[0].copy(), labels.copy())
        self._module.update()
        return answer

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

    def arrays(self):
        """dict of str to dict: parameters ('arg', 'aux') and what the optimizer remembers ('state')."""
        model = self.model()
        return {"arg": model.arg_params, "aux": model.aux_params, "state": optimizer.state_arrays(self._module)}

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


def _seed(*place):
    return int(np.random.SeedSequence(place).generate_state(1)[0]) % (2 ** 31 - 1)
