"""Choose ranks for a speed-up and write them to a config; touch no checkpoint.

    python rank_selection.py -m vgg16 --ratio 2
"""
if not __package__:
    import _inplace  # noqa: F401

import sys

from accnn.cli.main import Script

script = Script("accnn.cli.rank_selection", __doc__)
main, parser = script.main, script.parser


def get_ranksel(model, ratio, input_shapes=None):
    """Choose ranks exactly as the original did: its objective, its complexity formula, every convolution split.

    Parameters
    ----------
    model : Model
        Of ``utils.load_model``.
    ratio : float
        Complexity before / after, by the original's formula.
    input_shapes : dict of str to tuple of int, optional
        Without the batch; default: see :class:`accnn.planning.accelerator.Accelerator`.

    Returns
    -------
    dict of str to int
        For every convolution that can be split.

    Raises
    ------
    TargetError
        The ratio cannot be reached.
    """
    return script.steps.original_ranks(model, ratio, input_shapes)


if __name__ == "__main__":
    sys.exit(main())
