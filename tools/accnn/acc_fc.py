"""Split one fully connected layer into two thinner ones.

    python acc_fc.py -m vgg16 --layer fc6 --K 512 --save-model new-vgg16
"""
if not __package__:
    import _inplace  # noqa: F401

import sys

from accnn.cli import one_layer


def fc_decomposition(model, args):
    """Return `model` with the fully connected layer ``args.layer`` split at rank ``args.K``, as the original did.

    Parameters
    ----------
    model : Model
        Of ``utils.load_model``; not changed.
    args : object with the attributes layer and K

    Returns
    -------
    Model
    """
    return one_layer.split(model, args.layer, "fc-svd", args.K)


def main(argv=None):
    """Run the command line; return the exit code."""
    return one_layer.main("acc-fc", __doc__, "FullyConnected", "units between the two halves", argv)


if __name__ == "__main__":
    sys.exit(main())
