"""Chains as dense kernels again: what the first pass puts in the place of the original ones."""
from dataclasses import replace

import numpy as np

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.reconstruction.fitting import flat_kernel, to_spatial_first


def restored_kernel(spec, chain, arrays):
    """The dense kernel of a chain.

    Parameters
    ----------
    spec : LayerSpec
        The layer that the chain stands for.
    chain : sequence of SubConv or SubFC
    arrays : sequence of (ndarray, ndarray or None)
        Weight and bias of every part.

    Returns
    -------
    ndarray of float32, of the shape ``spec.part.weight_shape``
        With it the layer answers what the chain answers.

    Raises
    ------
    AccnnError
        See :func:`check_restorable`.
    """
    check_restorable(spec, chain)
    groups = spec.part.groups
    kernels = []
    for group in range(groups):
        lifts = []
        for part, (weight, _) in zip(chain, arrays):
            share = len(weight) // groups
            lifts.append(to_spatial_first(weight[group * share:(group + 1) * share], part.groups // groups))
        kernels.append(flat_kernel(lifts))
    return np.concatenate(kernels).reshape(spec.part.weight_shape).astype(np.float32)


def check_restorable(spec, chain):
    """Refuse a chain that no kernel of the layer's shape is equal to: one that joins the layer's groups."""
    if any(part.groups % spec.part.groups for part in chain):
        raise AccnnError("the layer %r cannot be restored: its chain joins its groups; say `exclude='%s'`"
                         % (spec.name, spec.name))


def with_restored(model, replacements):
    """Return the model with the kernels that chains are equal to, and their biases.

    Parameters
    ----------
    model : Model
    replacements : iterable of Replacement
        A bias that calibration gave to a chain is left out where the layer itself has none.
    """
    new = {item.spec.weight: item.spec.part.stored(restored_kernel(item.spec, item.chain, item.arrays))
           for item in replacements}
    new.update((item.spec.bias, item.arrays[-1][1]) for item in replacements if item.spec.bias)
    return replace(model, arg_params=dict(model.arg_params, **{
        name: mx.nd.array(array.reshape(model.arg_params[name].shape), dtype=model.arg_params[name].dtype)
        for name, array in new.items()}))


def fitness(candidate, rank):
    """1 - ||W - W'|| / ||W|| of a layer's kernel W and the kernel W' of its chain, eq. (12) of the paper.

    Parameters
    ----------
    candidate : Candidate
    rank : int or tuple of int

    Returns
    -------
    float
    """
    known = candidate.decomposition.fitness(rank)
    if known is not None:
        return float(known)
    weight = np.asarray(candidate.weight(), np.float64)
    kernel = restored_kernel(candidate.spec, candidate.chain(rank), candidate.arrays(rank, None))
    norm = np.linalg.norm(weight)
    return float(1 - np.linalg.norm(weight - kernel) / norm) if norm else 1.0
