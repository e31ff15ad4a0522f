"""Options that say how milliseconds are measured, and reading what they say."""
from dataclasses import replace

from accnn import costs, engines
from accnn.cli.types import positive, summaries
from accnn.core import amx
from accnn.core.layers import FP32
from accnn.core.progress import say
from accnn.graph.shapes import chosen_batch
from accnn.latency.config import RATIO_OVER, TimingConfig, cache_folder


def add_measuring_options(parser):
    """Options that say how milliseconds are measured: the attributes of a TimingConfig."""
    add = parser.add_argument_group("measuring", "for --cost latency, and what is timed in the end").add_argument
    add_clock_options(add)
    add("--best-effort", action="store_true",
        help="where nothing is as fast as asked for, write the fastest; the exit code is 1 all the same")
    add("--cache", metavar="FOLDER", default=cache_folder(),
        help="where latencies and energies are kept for later runs; '' keeps nothing (default: %(default)s)")
    add("--import-latencies", metavar="FILE",
        help="plan with the times of this file, of this machine or another, on which --export-latencies wrote it")
    add("--export-latencies", metavar="FILE", help="write the times that the plan was made with")
    add_amx_options(parser)


def add_engine_options(parser):
    """Options that say what is to run the faster network: attributes of a TimingConfig."""
    add = parser.add_argument_group("engine").add_argument
    add("--engine", choices=engines.names(), default=engines.DEFAULT,
        help="with --cost latency: what is to run the network, and times what it is planned by: %s; NEW.onnx is "
             "written too for others than the first (default: %%(default)s)" % summaries(engines))
    add("--ratio-over", choices=RATIO_OVER, default=RATIO_OVER[0],
        help="with --engine: what --ratio is over: mxnet = the original in MXNet, in float32; engine = the original in "
             "the engine and precision of the plan (default: %(default)s)")


def add_amx_options(parser):
    """``--amx`` and ``--no-amx``; None where neither is given."""
    add = parser.add_mutually_exclusive_group().add_argument
    add("--amx", action="store_true", default=None,
        help="compute in AMX units, which serve INT8 and bfloat16 (default: for these, where processor and system let)")
    add("--no-amx", action="store_false", dest="amx", help="do not compute in them")


def add_clock_options(add):
    """Options that say how a network is timed, given to `add`, the method of a parser or of a group."""
    add("--threads", type=positive, default=None, metavar="N", help="threads MXNet computes in (default: all cores)")
    add("--repeats", type=positive, default=TimingConfig.repeats, metavar="N",
        help="timed rounds of a whole network; more while the times are noisy, fewer where they take long "
             "(default: %(default)s)")


def measuring(args, precision=None):
    """TimingConfig: what :func:`add_measuring_options` and ``--batch-size`` said.

    `precision`: of what is timed; default: what ``--precision`` said.
    """
    dry, exported = getattr(args, "dry_run", False), args.export_latencies
    if dry and exported is not None:
        say("--dry-run writes nothing: ignoring --export-latencies %s" % exported)
        exported = None
    engine = getattr(args, "engine", engines.DEFAULT)
    return TimingConfig(1 if args.batch_size is None else args.batch_size, args.threads, args.repeats,
                        args.cache or None,
                        args.import_latencies, exported, args.gpus, not dry, args.best_effort,
                        _uses_amx(args, engine, precision or getattr(args, "precision", FP32)), engine,
                        getattr(args, "ratio_over", RATIO_OVER[0]))


def _uses_amx(args, engine, precision):
    """bool: whether MXNet is to use AMX, which it does not need beside another engine."""
    if engine == engines.DEFAULT:
        return amx.chosen(args.amx, [precision])
    if args.amx is not None:
        say("the engine %s chooses its instructions itself: ignoring --amx and --no-amx" % engine)
    return False


def timing(args, measuring, request, accelerator):
    """TimingConfig: how to time what was written; one image at a time where ``--batch-size`` is that of calibration."""
    by_the_clock = request is not None and not costs.get(request.cost).is_analytic
    asked = args.batch_size if by_the_clock or args.data_calib is None else None
    return _at_its_batch(measuring, asked, accelerator)


def for_network(args, request, accelerator):
    """Request: one that is measured at the batch that ``--batch-size`` says, or else at one that the network takes.

    Raises
    ------
    AccnnError
        The network does not take what was said.
    """
    if request is None or costs.get(request.cost).is_analytic:
        return request
    return replace(request, measuring=_at_its_batch(request.measuring, args.batch_size, accelerator))


def _at_its_batch(measuring, asked, accelerator):
    return replace(measuring, batch_size=chosen_batch(accelerator.model, accelerator.input_shapes, asked, 1))
