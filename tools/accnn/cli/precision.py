"""INT8 and bfloat16 on the command line: what they need, and the checkpoint in them beside the float32 one."""
import argparse

from accnn import engines, methods
from accnn.core.errors import AccnnError
from accnn.core.layers import BF16, FP32, INT8, PRECISIONS, operators_of
from accnn.core.progress import Progress, say
from accnn.quantization.bfloat16 import to_bfloat16
from accnn.reconstruction.int8 import make_int8
from accnn.reconstruction.int8_config import Int8Config
from accnn.reconstruction.int8_input import refuse_few


def add_precision_options(parser):
    """Options that say in which precision the faster network is computed: attributes of a Request."""
    add = parser.add_argument_group("precision").add_argument
    add("--precision", choices=PRECISIONS, default=argparse.SUPPRESS,
        help="in which the faster network is computed: int8 = oneDNN's INT8 operators, bf16 = bfloat16, which needs "
             "AMX to be fast; ratios are over the float32 original (default: %s)" % FP32)
    add("--keep-fp32", action="append", default=argparse.SUPPRESS, metavar="PATTERN",
        help="with --precision int8 or bf16: these layers stay in float32; may be repeated")


def add_threshold_option(parser):
    """What a script that writes an INT8 network needs besides."""
    parser.add_argument("--random-thresholds", action="store_true",
                        help="with --precision int8: plan and time with ranges that are made up, without images; no "
                             "INT8 checkpoint is written")


def check(args, precision):
    """Refuse, before any work, what does not go with a precision, and say what is not written."""
    asked = getattr(args, "precision", precision)
    if asked != precision:
        raise AccnnError("--config %s is a plan in %s, so --precision %s changes nothing: leave it out%s" % (
            args.config, precision, asked, ", and call quantize.py with what is written" if asked == INT8 else ""))
    if args.random_thresholds and precision != INT8 and args.config is not None:
        raise AccnnError("--random-thresholds makes up ranges of INT8 tensors, but --config %s is a plan in %s"
                         % (args.config, precision))
    if args.random_thresholds and precision != INT8:
        raise AccnnError("--random-thresholds makes up ranges of INT8 tensors: give --precision int8 with it")
    if precision == INT8 and args.data_calib is None and not args.random_thresholds:
        raise AccnnError("%s needs images that tell the range of every tensor: give --data-calib FILE.rec, or "
                         "--random-thresholds to plan and time without an INT8 checkpoint"
                         % ("--config %s is a plan in INT8, which" % args.config if args.config else
                            "--precision int8"))
    if args.random_thresholds:
        say("--random-thresholds: ranges are made up for the clock, %s" % (
            "%s-int8 is not written" % args.save_model if args.engine == engines.DEFAULT else
            "what is written is float32"))


def check_images(accelerator, precision):
    """Refuse, before planning, images that are too few for a network in that precision."""
    if precision == INT8:
        refuse_few(accelerator.responses.images)


def low_prefix(args, precision):
    """str or None: the prefix of the checkpoint in that precision, where one is written beside the float32 one."""
    is_written = (precision != FP32 and not args.random_thresholds and not args.dry_run
                  and args.engine == engines.DEFAULT)
    return "%s-%s" % (args.save_model, precision) if is_written else None


def in_fp32(accelerator, plan):
    """tuple of str: operators of the accelerated network that stay in float32 where others do not."""
    if plan.precision == FP32:
        return ()
    made = operators(accelerator, plan)
    return tuple(name for layer in plan.in_fp32() for name in made[layer])


def operators(accelerator, plan):
    """dict of str to list of str: by layer of the original network what computes it in the accelerated one."""
    chains = {row.layer: accelerator.candidate(row.layer, methods.get(row.method)).chain(row.rank)
              for row in plan.chosen()}
    return {row.layer: operators_of([row.layer], chains) for row in plan.rows}


def in_precision(accelerator, plan, model):
    """Return the form of the accelerated network in the precision of its plan, and how it was made.

    Parameters
    ----------
    accelerator : Accelerator
        With the images that calibrate INT8.
    plan : Plan
    model : Model
        In float32.

    Returns
    -------
    Model
    Int8 or None
        How it was made; None for bfloat16, which needs no images.

    Raises
    ------
    AccnnError
        The network cannot be converted.
    """
    if plan.precision == BF16:
        return to_bfloat16(model, in_fp32(accelerator, plan)), None
    responses = accelerator.responses
    made = make_int8(model, responses.images, accelerator.input_shapes, accelerator.model,
                     Int8Config(exclude=in_fp32(accelerator, plan), seed=responses.wish.seed), Progress)
    return made.model, made
