"""In which order layers are decomposed, and which of them together."""

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
