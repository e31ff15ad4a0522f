"""Command-line options that mean the same in every script, and reading what they say."""
import argparse
from dataclasses import fields
from math import prod

from accnn import costs, methods, ranks
from accnn.cli.data_options import images_of
from accnn.cli.measuring_options import measuring
from accnn.cli.replacing import add_force_option
from accnn.cli.types import positive, rank, summaries
from accnn.core.errors import AccnnError
from accnn.core.progress import Progress, say
from accnn.core.text import sizes
from accnn.data.choice import choose_shapes
from accnn.graph.checkpoint import load_with_remarks
from accnn.graph.precision import refuse_bfloat16
from accnn.graph.quantized import refuse_quantized
from accnn.methods import Effort
from accnn.planning.accelerator import Accelerator
from accnn.planning.plan import load_plan
from accnn.planning.request import Request, choosing_rules
from accnn.runtime import distributed
from accnn.runtime.devices import check_gpus

RATIO = 2.0  # where none is asked for


def add_checkpoint_options(parser, purpose, name="--model"):
    """Options that name a checkpoint; `name` is what the script calls it beside ``-m``."""
    parser.add_argument("-m", name, dest="model", required=True, metavar="PREFIX",
                        help=purpose + ": the path before '-symbol.json'")
    parser.add_argument("--load-epoch", type=_epoch, default=None, metavar="N",
                        help="its epoch (default: 1, or the newest where there is no 1)")


def add_model_options(parser, purpose="checkpoint to speed up", name="--model"):
    """Options that say which checkpoint is read, where and for which input."""
    add_checkpoint_options(parser, purpose, name)
    add_device_options(parser)
    add_input_option(parser)


def add_device_options(parser):
    """Options that say where a network runs."""
    parser.add_argument("-g", "--gpus", default=None, metavar="IDS",
                        help="GPUs, as '0,1' (default: CPU; decompositions run on the CPU in any case)")


def add_input_option(parser):
    """The option that says for which input a network is."""
    parser.add_argument("--input-shape", "--image-shape", type=_input_shape, action="append", default=[],
                        metavar="[NAME:]C,H,W",
                        help="shape of an input without the batch, once for every input; NAME: is a label of one "
                             "number an image (default: read from the checkpoint where a fully connected layer pins "
                             "it, else 3,224,224)")


def add_output_options(parser):
    """Options that say what is written and how results are told."""
    parser.add_argument("--save-model", default="new-model", metavar="PREFIX",
                        help="checkpoint to write, as epoch 1 (default: %(default)s)")
    add_force_option(parser)
    parser.add_argument("--json", action="store_true", help="print results as JSON")


def add_job_options(parser):
    """Options of a job that may have several workers."""
    parser.add_argument("--kv-store", choices=distributed.STORES, default="local",
                        help="dist_sync: one of several workers started by launch.py (default: %(default)s)")
    parser.add_argument("--worker-timeout", type=float, default=None, metavar="SECONDS",
                        help="a worker that waits longer for the others ends the job (default: five times its longest "
                             "step, at least 60)")


def add_planning_options(parser):
    """Options that say which layers are split, by which method, at which ranks: the attributes of a Request.

    They have no defaults here, so that :func:`planning` can tell which were given.
    """
    def add(name, **how):
        parser.add_argument(name, default=argparse.SUPPRESS, **how)

    add("--ratio", type=float, help="theoretical speed-up, cost before / after, over all convolutions; with --fc over "
                                    "all fully connected layers too; with --cost latency the measured one of the whole "
                                    "network (default: %g)" % RATIO)
    add("--rank-selection", choices=ranks.names(),
        help="rank rule: %s (default: the first of %s that can weigh the method; with --cost latency: latency)"
             % (summaries(ranks), ", ".join(ranks.DEFAULTS)))
    add("--cost", choices=costs.names(),
        help="what the ratio is counted in: %s (default: the rank rule's own)" % summaries(costs))
    add("--method", type=_methods, metavar="NAME[,NAME]",
        help="decomposition, one for convolutions, one for fully connected layers, or both; several of each, or 'all', "
             "where --rank-selection chooses among methods (%s): %s (default: %s; of the rank rule latency %s)"
             % (", ".join(choosing_rules()), summaries(methods), ",".join(methods.DEFAULT.values()),
                ",".join(ranks.get("latency").methods)))
    add("--layers", action="append", metavar="PATTERN",
        help="plan these layers only, a name or a shell pattern such as 'conv3_*'; may be repeated")
    add("--exclude", action="append", metavar="PATTERN", help="leave these layers alone; may be repeated")
    add("--fixed", type=_pin, action="append", metavar="NAME=RANK",
        help="split this layer at this rank, whatever the rule, as in conv1=32, or conv1=16,32 where a method has "
             "several ranks; may be repeated")
    add("--fc", action="store_true", help="plan fully connected layers too")
    add("--align", type=int, metavar="N",
        help="choose ranks that are multiples of N: 16 runs best on AVX-512, 8 on AVX2 (default: any; with --cost "
             "latency what runs best here)")
    add("--margin", type=float, metavar="S",
        help="how far above --ratio --rank-selection profit may end (default: %g)" % ranks.MARGIN)
    add("--initial-ranks", metavar="FILE",
        help="ranks that --rank-selection profit starts at, a plan or config as for --config (default: the same "
             "speed-up for every layer)")
    add("--seed", type=int, help="for methods that draw random numbers, and for drawing images (default: 0)")


def add_effort_options(parser):
    """Options that say how hard iterative methods try: the attributes of an Effort; its seed is ``--seed``."""
    parser.add_argument("--restarts", type=positive, default=Effort.restarts, metavar="N",
                        help="starts of an iterative method, the best counts (default: %(default)s)")
    parser.add_argument("--iterations", type=positive, default=Effort.iterations, metavar="N",
                        help="most iterations of each (default: %(default)s)")


def effort(args):
    """Effort: what :func:`add_effort_options` and ``--seed`` said."""
    return Effort(getattr(args, "seed", 0), args.restarts, args.iterations)


def planning(args):
    """dict: the attributes of a Request that were given on the command line."""
    return {field.name: getattr(args, field.name) for field in fields(Request) if hasattr(args, field.name)}


def request(args, how=None):
    """Request: what is asked of a plan, twice as fast where nothing else is said; `how` is a TimingConfig."""
    asked = Request(**dict({"ratio": RATIO}, **planning(args)), measuring=how or measuring(args))
    if costs.get(asked.cost).is_analytic:
        _tell_unused(args, "the cost %s measures nothing" % asked.cost)
    return asked


def _tell_unused(args, why):
    """Say which options for a cost that measures are given in vain."""
    unused = ["--" + name.replace("_", "-") for name in ("import_latencies", "export_latencies", "best_effort")
              if getattr(args, name, None)]
    if unused:
        say("%s: ignoring %s" % (why, ", ".join(unused)))


def given_plan(args):
    """Plan: that of ``--config``, or None; says on stderr which options of planning it makes useless."""
    if args.config is None:
        return None
    unused = ["--" + name.replace("_", "-") for name in planning(args) if name != "seed"]
    if unused:
        say("the ranks come from --config: ignoring %s" % ", ".join(unused))
    _tell_unused(args, "the ranks come from --config")
    return load_plan(args.config)


def open_accelerator(args):
    """Return a Accelerator for the checkpoint and input shapes the options describe; say on stderr what was assumed."""
    model = open_float_model(args)
    shapes, assumed = choose_shapes(model, input_shapes(args), images_of(args, "data_val", "data_train", "data_calib"))
    accelerator = Accelerator(model, shapes, Progress, effort(args))
    for name in assumed:
        say("nothing says the size of the input %r: %s is assumed; MACs and ranks depend on it, give --input-shape"
            % (name, sizes(accelerator.input_shapes[name])))
    return accelerator


def open_model(args):
    """Load the checkpoint that :func:`add_model_options` describes; say on stderr what was not asked for."""
    check_gpus(args.gpus)
    # Who gives the shape of a weight says that it is an input.
    return load_with_remarks(args.model, args.load_epoch, dict(getattr(args, "input_shape", ())))


def open_float_model(args):
    """The same for a network that is to be changed or trained, which one in INT8 or bfloat16 cannot be."""
    model = open_model(args)
    refuse_quantized(model)
    refuse_bfloat16(model)
    return model


def input_shapes(args):
    """dict: what ``--input-shape`` said; the name None stands for the only input."""
    shapes = dict(args.input_shape)
    if len(shapes) < len(args.input_shape):
        raise AccnnError("--input-shape names an input twice")
    return shapes


def _methods(text):
    """Names of methods, joined by commas."""
    for name in text.split(","):
        if name.strip() not in methods.names() and text.strip() != "all":
            raise argparse.ArgumentTypeError("invalid choice: %r (choose from %s; or 'all', alone)" % (
                name.strip(), ", ".join(methods.names())))
    return text


def _epoch(text):
    number = int(text)
    if not 0 <= number <= 9999:
        raise ValueError
    return number


def _input_shape(text):
    name, _, sizes = text.rpartition(":")
    shape = tuple(int(size) for size in sizes.strip("()").split(",") if size.strip())
    if not (shape or name) or min(shape, default=1) < 1 or prod(shape) >= 1 << 31:
        raise ValueError
    return name or None, shape


def _pin(text):
    name, _, given = text.rpartition("=")
    if not name:
        raise ValueError
    return name, rank(given)


# What argparse calls them:
_epoch.__name__, _input_shape.__name__, _pin.__name__ = "epoch", "shape", "NAME=RANK"
positive.__name__ = "positive number"
