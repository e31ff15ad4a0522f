"""Whole networks loaded, compared and timed in this process, with the threads it has."""
import numpy as np

from accnn.core.errors import AccnnError
from accnn.core.layers import FP32
from accnn.core.progress import Progress, say
from accnn.core.settings import renamed
from accnn.core.text import sizes
from accnn.data.choice import choose_shapes
from accnn.graph.checkpoint import load_with_remarks
from accnn.graph.cut import count_macs
from accnn.graph.inputs import input_names
from accnn.graph.quantized import is_quantized
from accnn.graph.shapes import chosen_batch, infer_arguments, infer_shapes, native_batch
from accnn.graph.specs import layer_specs
from accnn.quantization.conversion import converted
from accnn.runtime.bound import bound
from accnn.runtime.devices import check_gpus
from accnn.runtime.predictor import contexts
from accnn.timing import engines, held, layers, passes
from accnn.timing.clock import Enough, alternate, counted_threads, described_ratio, described_seconds, ratios
from accnn.timing.job import shapes_given
from accnn.timing.machine import environment
from accnn.timing.stored import StoredModel, released

_KNOWN = Enough(0.012, least=0.5, most=4.0, fewest=6)  # a ratio that is to be within 3%; seconds of timed passes
_BESIDE_OTHERS = Enough(0.015, least=1.0, most=8.0, fewest=8)  # the same beside other originals, which take their time
_LAYER_KNOWN = Enough(0.03, most=0.04, fewest=2)


def measure(job):
    """Do a job with the threads this process has.

    Parameters
    ----------
    job : Job
        Its one number of threads is written into the result.

    Returns
    -------
    dict
        ``runs`` has one dict for each batch size; the rest describes networks and machine.

    Raises
    ------
    AccnnError
        A checkpoint cannot be read, the networks have different inputs, or shapes or batch size do not fit.
    """
    stored = open_models(job)
    models = {side: one.model for side, one in stored.items()}
    shapes, assumed = all_shapes(models, job)
    specs = {side: _specs(model, shapes) for side, model in models.items()}
    rng = np.random.RandomState(job.seed)
    batches = [chosen_batch(models["model"], shapes, asked, 1) for asked in job.batch_sizes or (None,)]
    runs = [_run(job, stored, specs, shapes, batch, rng) for batch in batches]
    return {"networks": {side: {"prefix": model.prefix, "epoch": model.epoch} for side, model in models.items()},
            "input_shapes": {name: list(shape) for name, shape in shapes.items()}, "assumed": assumed,
            "theoretical": _theoretical(specs), "environment": environment(), "runs": runs}


def open_models(job):
    """dict of str to StoredModel: 'baseline', where there is one, and 'model'."""
    check_gpus(job.gpus)
    models = {}
    if job.baseline is not None:
        with renamed(prefix="baseline", epoch="baseline_epoch"):
            models["baseline"] = held.stored_model(job.baseline, job.baseline_epoch)
    models["model"] = StoredModel(load_with_remarks(job.model, job.load_epoch))
    return models


def all_shapes(models, job):
    """Return the shapes of all inputs, checked against every network, and the names of those that are assumed."""
    first = next(iter(models.values()))
    shapes, assumed = choose_shapes(first, shapes_given(job))
    names, _ = input_names(first, shapes)
    followed = infer_arguments(first, shapes, native_batch(first, shapes)) or {}
    shapes.update({name: followed[name][1:] for name in names if name not in shapes and name in followed})
    for name in names:
        if name not in shapes:
            raise AccnnError("nothing says the shape of the input %r of %s: give `input_shapes=%s:SIZES`"
                             % (name, first.prefix, name))
    infer_shapes(first, shapes)
    if job.baseline is not None:
        _refuse_other_inputs(first, models["model"], names, shapes)
    for name in assumed:
        say("nothing says the size of the input %r: %s is assumed; milliseconds and MACs depend on it, give "
            "`input_shapes`" % (name, sizes(shapes[name])))
    return shapes, assumed


def _refuse_other_inputs(baseline, model, names, shapes):
    there, _ = input_names(model, shapes)
    if set(there) != set(names):
        raise AccnnError("%s has the inputs %s, but %s has %s: networks with different inputs cannot be compared"
                         % (baseline.prefix, ", ".join(names) or "(none)", model.prefix, ", ".join(there) or "(none)"))
    try:
        infer_shapes(model, shapes)
    except AccnnError as error:
        raise AccnnError("%s does not take the input of the baseline %s: %s"
                         % (model.prefix, baseline.prefix, error)) from error


def _specs(model, shapes):
    """list of LayerSpec, or None where layers cannot be counted; says why."""
    try:
        return layer_specs(model.float_view, shapes)
    except AccnnError as error:
        say("no theoretical ratio: %s" % error)
        return None


def _theoretical(specs):
    """dict: MACs of one example over convolutions and fully connected layers, and their ratio."""
    macs = {side: None if counted is None else count_macs(counted) for side, counted in specs.items()}
    uncounted = sum(spec.part is None for counted in specs.values() for spec in counted or ())
    before, after = macs.get("baseline"), macs["model"]
    return {"macs_before": before, "macs_after": after, "ratio": before / after if before and after else None,
            "uncounted": uncounted}


def _run(job, stored, specs, shapes, batch_size, rng):
    """Time all networks at one batch size."""
    title = "batch %d, %s" % (batch_size, counted_threads(job.threads[0]))
    with passes.refusals(batch_size, shapes):
        arrays = {name: passes.random_array(rng, (batch_size,) + tuple(shape)) for name, shape in shapes.items()}
        run = _whole(job, stored, shapes, batch_size, arrays, title) if not job.rows else {
            "rows": engines.compare(job, stored, shapes, batch_size, arrays, teller(title),
                                    _BESIDE_OTHERS if job.quick else None)}
        if job.layers and specs["baseline"] is not None:
            run["layers"] = _layers(job, stored, specs["baseline"], shapes, batch_size, arrays, title)
    return dict({"threads": job.threads[0], "batch_size": batch_size}, **run)


def _whole(job, stored, shapes, batch_size, arrays, title):
    with released(stored.values()):  # all weights are read once here, and copied
        # The network that runs first stays some percent slower, wherever its memory lies: let that be no baseline.
        calls = {side: _pass(job, one, job.precision if side == "model" else FP32, shapes, batch_size, arrays)
                 for side, one in list(stored.items())[::-1]}
    ordered = [calls[side] for side in stored]
    is_low = job.precision != FP32 or any(is_quantized(one.model.graph) for one in stored.values())
    looked = is_low or job.quick  # at what each takes: a warm-up, too
    untimed = passes.own_passes(passes.seconds_of(ordered), is_low) if looked else 0
    samples = dict(zip(stored, alternate(ordered, job.repeats, max(0, job.warm_up - 1 - looked), tell=teller(title),
                                         enough=_KNOWN if job.quick else None, untimed=untimed, mirrored=job.quick)))
    run = {side: dict(described_seconds(sample, every_round=True), images_per_second=batch_size / sample.median)
           for side, sample in samples.items()}
    if "baseline" in samples:
        run["measured"] = described_ratio(ratios(samples["baseline"], samples["model"]))
    return run


def _pass(job, stored, precision, shapes, batch_size, arrays):
    """Callable: a pass of a whole network; the first has been run, unless no untimed rounds are wanted."""
    known = held.take(stored, shapes, batch_size) if job.gpus is None and precision == FP32 else None
    network = known or bound(converted(stored.model, precision, job.exclude), shapes, batch_size, contexts(job.gpus))
    once = passes.of_network(network, [arrays[name] for name in network.inputs])
    if job.warm_up and not known:
        once()
    return once


def _layers(job, stored, specs, shapes, batch_size, arrays, title):
    context = contexts(job.gpus)[0]
    baseline = stored["baseline"].model
    pairs = layers.find_pairs(baseline, stored["model"].model, specs)
    inputs = layers.layer_inputs(baseline, pairs, shapes, batch_size, arrays, context)
    how = {"rounds": job.repeats, "warm_up": 1 if job.quick else job.warm_up,
           "enough": _LAYER_KNOWN if job.quick else None}
    progress = Progress("layers, " + title, len(pairs))
    rows = layers.time_layers(pairs, inputs, batch_size, how, progress,
                              lambda: [one.release() for one in stored.values()])
    progress.close()
    return {"rows": rows, "sum": layers.totals(rows)}


def teller(title):
    """Return what tells rounds on stderr, as ``tell(done, total)``."""
    progress = Progress(title + ", rounds", 0)

    def tell(done, total):
        progress.bar.total = total
        progress(done)
        if done == total:
            progress.close()

    return tell
