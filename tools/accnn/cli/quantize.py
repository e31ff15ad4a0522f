"""quantize.py: its options, an INT8 network, the checkpoint, its timing."""
import contextlib
import gc
import json
import os
import time
from dataclasses import replace

from accnn.cli import calibration, cards, measuring_options, next_step, options, outputs, reporting, verify
from accnn.cli.data_options import images_of
from accnn.cli.replacing import int8_plan_path, is_int8_plan
from accnn.cli.types import Parser
from accnn.core import amx
from accnn.core.errors import AccnnError
from accnn.core.layers import INT8
from accnn.core.progress import Progress
from accnn.core.settings import renamed
from accnn.core.text import before_after
from accnn.data.images import image_input
from accnn.graph.checkpoint import load_model, params_path, save_model, symbol_path
from accnn.graph.shapes import chosen_batch
from accnn.latency.config import TimingConfig
from accnn.planning.request import check_pattern, matches
from accnn.quantization import thresholds
from accnn.quantization.fusing import split_layers
from accnn.quantization.supported import LAYERS
from accnn.reconstruction.int8 import LIMIT, make_int8
from accnn.reconstruction.int8_config import Int8Config
from accnn.reconstruction.int8_input import refuse_all_float
from accnn.report import int8 as report

_IMAGES = 1000
_AUTO = "auto"
_ROWS = set(LAYERS) | {"Deconvolution"}  # what has a row in the table


def parser(description):
    """Parser: the options."""
    arguments = Parser("accnn-quantize", description)
    options.add_checkpoint_options(arguments, "float32 checkpoint to quantize, accelerated or not")
    options.add_input_option(arguments)
    options.add_output_options(arguments)
    _add_int8_options(arguments)
    calibration.add_image_options(arguments, _IMAGES, required=True)
    arguments.add_argument("--seed", type=int, default=0, help="for drawing images (default: %(default)s)")
    timing = arguments.add_argument_group("measuring", "of what is timed in the end")
    measuring_options.add_clock_options(timing.add_argument)
    measuring_options.add_amx_options(arguments)
    arguments.add_argument("--dry-run", action="store_true", help="print the table, write nothing")
    arguments.add_argument("--no-timing", action="store_true", help="do not time what was written")
    reporting.add_report_option(arguments)
    cards.add_card_option(arguments)
    arguments.set_defaults(gpus=None)
    return arguments


def _add_int8_options(parser):
    add = parser.add_argument_group("INT8").add_argument
    add("--layers", action="append", default=[], metavar="PATTERN",
        help="only these layers become INT8, a name or a shell pattern such as 'conv3_*'; the name of a layer that "
             "was split stands for all parts of its chain; may be repeated")
    add("--exclude", action="append", default=[], metavar="PATTERN",
        help="leave these layers in float32; may be repeated")
    add("--thresholds", choices=[_AUTO] + thresholds.names(), default=_AUTO,
        help="up to which value INT8 tells numbers apart: %s; auto = for every tensor what brings the outputs nearest "
             "to the float32 network's, on images held aside (default: %%(default)s)" % "; ".join(
                 "%s = %s" % (name, _summary(thresholds.get(name))) for name in thresholds.names()))
    add("--limit", type=float, default=None, metavar="ERROR",
        help="relative error of every output, up to which layers stay in INT8, on images held aside (default: %g; none "
             "where the output scores classes)" % LIMIT)
    add("--keep-weights", action="store_true",
        help="leave the float32 weights as they are: no scales between layers, no matrices inside chains, no layers "
             "solved anew for what the INT8 layers before them give")
    add("--original", metavar="PREFIX",
        help="the checkpoint that --model was accelerated from: layers are solved for what that one answers")
    add("--original-epoch", type=int, metavar="N", help="its epoch")


def _summary(kind):
    return kind.__doc__.split("\n")[0].rstrip(".").replace("%", "%%")


def run(args):
    """Do what the options say.

    Raises
    ------
    AccnnError
    """
    _check(args)
    with contextlib.nullcontext() if args.dry_run else outputs.claimed("--save-model", args.save_model):
        _quantized(args)


def _check(args):
    if args.limit is not None and not args.limit > 0:
        raise AccnnError("--limit %g: a relative error is above 0" % args.limit)
    if args.original_epoch is not None and args.original is None:
        raise AccnnError("--original-epoch without --original: give both")


def _quantized(args):
    if not args.dry_run:
        outputs.check_checkpoint(args.model, args.save_model, args.force, int8_plan_path(args.save_model), is_int8_plan)
    reporting.check(args)
    cards.check(args)
    timed = not args.dry_run and not args.no_timing
    measuring = TimingConfig(threads=args.threads, repeats=args.repeats, amx=amx.chosen(args.amx, [INT8]))
    with verify.clock(measuring) if timed else contextlib.nullcontext():
        source, shapes, result, card = _made(args)
        measuring = replace(measuring, batch_size=chosen_batch(source, shapes, args.batch_size, 1))
        source = replace(source, arg_params={}, aux_params={})
        gc.collect()
        try:
            if timed:
                result["measured"] = verify.timed(measuring, source, args.save_model, shapes, layers=False)
        finally:  # whatever became of the clock, the files are there
            cards.finish(card, result)
            reporting.add_written(args, reporting.of_int8(args, result), result)
            outputs.show(dict(result, seconds=time.monotonic() - args.started), args.json, report.table)
        next_step.tell(args, next_step.after_quantizing(args))


def _made(args):
    """Quantize and write; return the float32 network, its input shapes, the report and the card."""
    model = options.open_float_model(args)
    shapes = image_input(model, options.input_shapes(args), images_of(args, "data_calib"))
    config = _config(args, model)
    original = _original(args)
    with calibration.opened_images(args, model, shapes) as images:
        made = make_int8(model, images, shapes, original, config, Progress)
        refuse_all_float(made)
        result = report.summary(made, shapes, images, _made_by(args, model, images))
    card = cards.begun(args, model, shapes, INT8)
    if not args.dry_run:
        result.update(_written(args, model, made, result, card))
    return model, shapes, result, card


def _config(args, model):
    steps = not args.keep_weights
    return Int8Config(steps, steps, steps, () if args.thresholds == _AUTO else (args.thresholds,), args.limit,
                      tuple(_excluded(args, model)), seed=args.seed)


def _excluded(args, model):
    """list of str: the layers that stay in float32 because the options say so."""
    layers = [node.name for node in model.graph.nodes if node.op in _ROWS]
    chains = {name: set(parts) & set(layers) for name, parts in split_layers(model.graph).items()}
    chains = {name: parts for name, parts in chains.items() if parts}
    for pattern in args.layers + args.exclude:
        check_pattern(model.prefix, layers + list(chains), pattern)

    def named(patterns):
        whole = [parts for name, parts in chains.items() if matches(name, patterns)]
        return {name for name in layers if matches(name, patterns)}.union(*whole)

    kept = named(args.exclude) | (set(layers) - named(args.layers) if args.layers else set())
    return [name for name in layers if name in kept]


def _original(args):
    if args.original is None:
        return None
    with renamed(prefix="original", epoch="original_epoch"):
        return load_model(args.original, args.original_epoch)


def _made_by(args, model, images):
    """dict: what a reader of the file may want to know."""
    names = ("thresholds", "limit", "keep_weights", "layers", "exclude", "seed", "rgb_mean", "rgb_std", "resize")
    return dict({"model": model.prefix, "epoch": model.epoch, "original": args.original, "data-calib": images.source,
                 "calib-images": images.count}, **{name.replace("_", "-"): getattr(args, name) for name in names})


def _written(args, model, made, result, card):
    """Write the checkpoint, how it was made and its card: all files, or none; return what the report says of them."""
    prefix, config = args.save_model, int8_plan_path(args.save_model)
    before = os.path.getsize(params_path(model.prefix, model.epoch))
    written = {"symbol": symbol_path(prefix), "params": params_path(prefix, 1), "plan": config}
    outputs.say_replaced(written.values())
    texts = {config: json.dumps(report.plan(result), indent=2) + "\n"}
    if card:
        texts[cards.card_path(prefix)] = card.text()
    save_model(made.model, prefix, 1, texts, marked=True)
    return {"written": written, "file_bytes": before_after(before, os.path.getsize(written["params"]))}
