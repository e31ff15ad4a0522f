"""Split one convolution into a vertical and a horizontal one.

    python acc_conv.py -m vgg16 --layer conv1_2 --K 40 --save-model new-vgg16
"""
if not __package__:
    import _inplace  # noqa: F401

import sys

from accnn.cli.main import Script

script = Script("accnn.cli.one_layer", __doc__, name="acc-conv", op="Convolution",
                rank_help="filters between the two halves (per group); for 3d two numbers, as in 16,32")
main, parser = script.main, script.parser


def conv_vh_decomposition(model, args):
    """Return `model` with the convolution ``args.layer`` split at rank ``args.K``, as the original did.

    Parameters
    ----------
    model : Model
        Of ``utils.load_model``; not changed.
    args : object with the attributes layer and K

    Returns
    -------
    Model
    """
    return script.steps.split(model, args.layer, "vh", args.K)


if __name__ == "__main__":
    sys.exit(main())
