"""The optimizer's state as plain arrays: MXNet's own way to save it is a pickle."""
from accnn.core.compat import mx


def scheduler(kind, rate, updates, step_updates=(), factor=0.1, warmup_updates=0, warmup="linear"):
    """Return an ``mx.lr_scheduler``.

    Parameters
    ----------
    kind : {'constant', 'step', 'cosine', 'poly'}
        'cosine' and 'poly' (to the power of 2) end at zero.
    rate : float
        After the warm-up.
    updates : int
        Of the whole run.
    step_updates : sequence of int
        After these 'step' multiplies the rate by `factor`.
    factor : float
    warmup_updates : int
        Of which `warmup` raises the rate from zero ('linear') or holds it at zero ('constant').
    warmup : {'linear', 'constant'}
    """
    schedulers = mx.lr_scheduler
    common = {"base_lr": rate, "warmup_steps": warmup_updates, "warmup_mode": warmup}
    if kind in ("cosine", "poly"):
        made = schedulers.CosineScheduler if kind == "cosine" else schedulers.PolyScheduler
        return made(max(updates, warmup_updates + 1), **common)
    # MXNet has no constant one with a warm-up: this steps after the end.
    steps = sorted(set(step_updates)) if kind == "step" else [updates + 1]
    return schedulers.MultiFactorScheduler(steps, factor, **common)


_WITH_MOMENTUM = ("sgd", "nag", "signum")


def parameters(name, schedule, momentum, weight_decay):
    """dict: what ``Module.init_optimizer(optimizer_params=...)`` takes.

    Parameters
    ----------
    name : str
        One of :data:`accnn.cli.training_options.OPTIMIZERS`.
    schedule : mx.lr_scheduler.LRScheduler
    momentum : float
        For the optimizers that have one.
    weight_decay : float
        Of weights and gammas; MXNet spares biases and betas.
    """
    said = {"learning_rate": schedule.base_lr, "wd": weight_decay, "lr_scheduler": schedule}
    if name in _WITH_MOMENTUM:
        said["momentum"] = momentum
    return said


def state_arrays(module):
    """dict of str to mx.nd.NDArray: what the optimizer of a module remembers of every parameter, by name and place.

    Only modules that update their parameters themselves have it, not those that leave it to a kvstore.
    """
    arrays = {}
    names = _names(module)
    for index, state in module._updater.states.items():
        for place, array in _leaves(state):
            # Several devices hold the same state.
            arrays.setdefault(":".join((names[index],) + place), array)
    return arrays


def updates(module):
    """int: updates made so far, those of earlier runs included."""
    return module._optimizer.num_update


def restore(module, arrays, done):
    """Put back what :func:`state_arrays` gave, after `done` updates.

    Parameters
    ----------
    module : mx.mod.Module
        Its optimizer is initialised and has made no update.
    arrays : dict of str to mx.nd.NDArray
    done : int

    Raises
    ------
    KeyError
        An array is missing.
    """
    optimizer, updater = module._optimizer, module._updater
    # Counts of single parameters begin here when they are first updated.
    optimizer.begin_num_update = optimizer.num_update = done
    if not done:
        return  # memory begins with the first update
    for index, name in _names(module).items():
        if name in module._fixed_param_names:
            continue
        weight = _weight(module, name, index)
        state = optimizer.create_state_multi_precision(index, weight)
        for place, array in _leaves(state):
            array[:] = arrays[":".join((name,) + place)].as_in_context(array.context)
        updater.states[index], updater.states_synced[index] = state, True


def _names(module):
    return dict(module._optimizer.idx2name)


def _weight(module, name, index):
    devices = module._exec_group.param_arrays[module._exec_group.param_names.index(name)]
    return devices[index % len(devices)]


def _leaves(state, place=()):
    """Yield (place, array) for the arrays in a state, which is one, None, or a tuple of states."""
    if isinstance(state, mx.nd.NDArray):
        yield place, state
    elif isinstance(state, (tuple, list)):
        for number, part in enumerate(state):
            yield from _leaves(part, place + (str(number),))
