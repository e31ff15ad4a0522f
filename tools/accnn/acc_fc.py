"""Split one fully connected layer into two thinner ones.

    python acc_fc.py -m vgg16 --layer fc6 --K 512 --save-model new-vgg16
"""
if not __package__:
    import _inplace  # noqa: F401

import sys

from accnn.cli.main import Script

script = Script("accnn.cli.one_layer", __doc__, name="acc-fc", op="FullyConnected",
                rank_help="units between the two halves")
main, parser = script.main, script.parser


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
    return script.steps.split(model, args.layer, "fc-svd", args.K)


if __name__ == "__main__":
    sys.exit(main())
