"""The stages of a run, after each of which it can be resumed."""
from dataclasses import dataclass

IN_ORDER, FITNESS = "in-order", "fitness"
ORDERS = (IN_ORDER, FITNESS)


def ordered(layers, fitness=None):
    """Return layers in the order in which they are decomposed.

    Parameters
    ----------
    layers : list of str
        In the order of the network.
    fitness : dict of str to float, optional
        From the smallest to the largest of these, instead; equals stay in the order of the network.
    """
    return list(layers) if fitness is None else sorted(layers, key=lambda name: fitness[name])


def grouped(layers, count):
    """Cut a list into `count` pieces, or as many as there are layers; the first ones are longer by one, if any.

    Returns
    -------
    list of list
    """
    count = min(count, len(layers))
    size, more = divmod(len(layers), count)
    starts = [number * size + min(number, more) for number in range(count + 1)]
    return [layers[start:end] for start, end in zip(starts, starts[1:])]


RESTORE, OPTIMISE, DECOMPOSE, FINE_TUNE = "restore", "optimise", "decompose", "fine-tune"
PER_GROUP, TOGETHER = "groups", "together"
ONE_PASS = (PER_GROUP, TOGETHER)


@dataclass(frozen=True)
class Stage:
    """One step of the flow for one group of layers.

    Attributes
    ----------
    kind : {'restore', 'optimise', 'decompose', 'fine-tune'}
        The first pass is 'restore', which decomposes and makes the chains dense again; the second is 'decompose'.
    group : int
        From 1.
    epochs : int
        Of the stages that train.
    """

    kind: str
    group: int
    epochs: int = 0

    @property
    def trains(self):
        """bool: whether it is one of fine-tuning."""
        return self.kind in (OPTIMISE, FINE_TUNE)


def stages_of(groups, optimise, fine_tune, one_pass=None):
    """Return the stages of a run.

    Parameters
    ----------
    groups : int
    optimise, fine_tune : int
        Epochs of a group.
    one_pass : {'groups', 'together'}, optional
        Decompose once, and train for all the epochs after that: group by group, or all layers at once.

    Returns
    -------
    list of Stage
    """
    if one_pass == TOGETHER:
        return [Stage(DECOMPOSE, 1), Stage(FINE_TUNE, 1, groups * (optimise + fine_tune))]
    found = []
    for group in range(1, groups + 1):
        if one_pass is None:
            found += [Stage(RESTORE, group), Stage(OPTIMISE, group, optimise), Stage(DECOMPOSE, group),
                      Stage(FINE_TUNE, group, fine_tune)]
        else:
            found += [Stage(DECOMPOSE, group), Stage(FINE_TUNE, group, optimise + fine_tune)]
    return found
