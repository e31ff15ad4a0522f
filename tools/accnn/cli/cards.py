"""``--card``: a model card beside the checkpoint, written with it, and again when it was timed and scored."""
import os
from dataclasses import replace

from accnn.cli.outputs import check_folder
from accnn.cli.replacing import check_replaced
from accnn.core.files import written_whole
from accnn.core.progress import say
from accnn.core.text import sizes
from accnn.graph.checkpoint import params_path, symbol_path
from accnn.graph.shapes import chosen_batch
from accnn.report.card import ModelCard, measured_of, sums_of


def add_card_option(parser):
    """The option ``--card``."""
    parser.add_argument("--card", action="store_true",
                        help="write a model card, NEW-card.md, beside the checkpoint: what it was made from, what was "
                             "measured, how to load it")


def card_path(prefix):
    """str: where the card of a checkpoint lies."""
    return prefix + "-card.md"


def check(args):
    """Refuse, before any work, to replace a card that is there: a person may have written into it.

    Where no new one is asked for, it stays, and is said to be about what was there before.
    """
    path = card_path(args.save_model)
    if args.dry_run:
        return
    if not args.card and os.path.isfile(path):
        say("%s is about a checkpoint made before: give --card --force for a new one" % path)
    if args.card:
        check_folder("--card", path)
        check_replaced("--card", path, [path], args.force)


def begun(args, model, input_shapes, precision, low_prefix=None):
    """Return the card of a checkpoint that is about to be written, or None where none is asked for.

    Parameters
    ----------
    args : Namespace
    model : Model
        That it is made from.
    input_shapes : dict of str to tuple of int
        Without the batch.
    precision : str
    low_prefix : str, optional
        Of its form in that precision.
    """
    if not args.card or args.dry_run:
        return None
    shapes = dict(input_shapes)
    labels = [name for name in model.symbol.list_arguments() if name not in model.arg_params and name not in shapes]
    sums = sums_of([symbol_path(model.prefix), params_path(model.prefix, model.epoch)])
    return ModelCard(args.save_model, model.prefix, model.epoch, sums, args.typed, shapes, tuple(labels),
                     chosen_batch(model, shapes, None, 1), precision, images=_images(args), low_prefix=low_prefix)


def _images(args):
    said = []
    if any(args.rgb_mean):
        said.append("minus %s" % sizes(["%g" % one for one in args.rgb_mean]))
    if any(one != 1 for one in args.rgb_std):
        said.append("divided by %s" % sizes(["%g" % one for one in args.rgb_std]))
    return "RGB, 0 to 255, " + ", ".join(said) if said else ""


def written_with(card):
    """Callable or None: makes of a summary the card's path and text, for the step that writes the checkpoint."""
    return card and (lambda summary: {card_path(card.prefix): replace(card, summary=summary).text()})


def finish(card, result):
    """Write a card again, with what a result says beside the checkpoint: ``measured`` and ``scores``.

    Parameters
    ----------
    card : ModelCard or None
    result : dict
        Its ``written`` gets the card's path.
    """
    if card is None:
        return
    path = card_path(card.prefix)
    measured = card.measured or measured_of(result.get("measured"))
    summary = result if "network" in result else None
    card = replace(card, measured=measured, scores=result.get("scores"), summary=summary)
    with written_whole(path) as temporary, open(temporary, "w", encoding="utf-8") as handle:
        handle.write(card.text())
    result["written"]["card"] = path
