"""Command-line options of the flow itself, beside those of planning, calibration and training."""
from accnn.cli.training_options import MOST_EPOCHS, check_rule
from accnn.cli.types import positive
from accnn.core.errors import AccnnError
from accnn.iterative.stages import IN_ORDER, ONE_PASS, ORDERS, PER_GROUP

_LEARNING_RATE = 1e-3  # the paper's, section 3.1


def add_flow_options(parser):
    """Options that say which layers come together, in which order, and how long the network is trained between."""
    add = parser.add_argument_group("flow", "of Fig. 6 of the paper: iterations of five steps").add_argument
    add("--groups", type=positive, default=3, metavar="N",
        help="groups of layers, one after the other (default: %(default)s)")
    add("--order", choices=ORDERS, default=IN_ORDER,
        help="of the layers: as in the network, or from the smallest fitness to the largest (default: %(default)s)")
    add("--optimise-epochs", type=int, default=1, metavar="N",
        help="epochs with a group restored to dense kernels (default: %(default)s)")
    add("--fine-tune-epochs", type=int, default=1, metavar="N",
        help="epochs after its second decomposition (default: %(default)s)")
    add("--unfreeze", action="store_true",
        help="train the chains too; without it they are held fixed once made, as in the paper, because training a CP "
             "chain at a usual rate may diverge")
    add("--one-pass", choices=ONE_PASS, nargs="?", const=PER_GROUP, default=None, metavar="groups|together",
        help="to compare with: decompose once, group by group or all together, and train as many epochs in all")


def set_defaults(parser):
    """Put the defaults of the flow for options that other scripts have too."""
    # Planning has a seed without a default.
    parser.set_defaults(lr=_LEARNING_RATE, seed=0)


def check(args):
    """Refuse values that make no sense.

    Raises
    ------
    AccnnError
    """
    epochs = {"--optimise-epochs": args.optimise_epochs, "--fine-tune-epochs": args.fine_tune_epochs}
    for option, number in epochs.items():
        if not 0 <= number <= MOST_EPOCHS:
            raise AccnnError("%s must be from 0 to %d" % (option, MOST_EPOCHS))
    if not any(epochs.values()):
        raise AccnnError("--optimise-epochs 0 --fine-tune-epochs 0 leaves nothing to train: accnn.py splits without")
    option, least = min(((option, number) for option, number in epochs.items() if number), key=lambda item: item[1])
    check_rule(args, least, option)
