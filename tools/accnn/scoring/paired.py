"""How sure a difference between two networks is that answered the same images."""
from math import sqrt

NORMAL_95 = 1.959963984540054  # the 97.5% point of the normal distribution


def drop_interval(only_before, only_after, images):
    """The 95% interval of a drop in accuracy, from paired answers.

    Wald's interval for the difference of paired proportions with half an image added to each of the four cells
    (both right, only the first, only the second, none), which keeps its coverage where few answers differ.

    Parameters
    ----------
    only_before, only_after : int
        Images that only the first or only the second network has right.
    images : int

    Returns
    -------
    low, high : float
        Of the share of images, first minus second.

    References
    ----------
    A. Agresti, Y. Min. Simple improved confidence intervals for comparing matched proportions. Statistics in Medicine
    24 (2005).
    """
    lost, gained, total = only_before + 0.5, only_after + 0.5, images + 2
    centre = (lost - gained) / total
    width = NORMAL_95 * sqrt((lost + gained) - (lost - gained) ** 2 / total) / total
    return max(centre - width, -1.0), min(centre + width, 1.0)
