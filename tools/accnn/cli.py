"""What every script shares: how a run ends, how progress is told, options that mean the same everywhere."""
import contextlib
import json
import os
import signal
import sys
import time

from accnn.errors import AccnnError

INTERRUPTED = 130


def run(body, *arguments):
    """Call ``body(*arguments)`` and turn its end into an exit code.

    Returns
    -------
    int
        What `body` returned (None counts as 0); 2 for bad input, 1 for a target not met,
        130 when interrupted. An :class:`AccnnError` becomes one sentence on stderr.
    """
    try:
        with _sigterm_raises():
            return body(*arguments) or 0
    except AccnnError as error:
        say("error: %s" % error)
        return error.exit_code
    except KeyboardInterrupt:
        say("interrupted: nothing half-written was left behind")
        return INTERRUPTED
    except SystemExit as end:  # argparse ends --help with 0 and a wrong option with 2
        return end.code if isinstance(end.code, int) else 2
    except BrokenPipeError:
        # The reader of our stdout (head, less) is gone; that is its right, not an error.
        sys.stderr.close()
        return 0


@contextlib.contextmanager
def _sigterm_raises():
    """Let SIGTERM unwind like Ctrl-C, so that temporary files are removed."""
    def interrupt(_signal, _frame):
        raise KeyboardInterrupt

    try:
        previous = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # only the main thread may set handlers; elsewhere the caller's stay
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def say(sentence):
    """Print one line on stderr, at once."""
    print(sentence, file=sys.stderr, flush=True)


class Progress:
    """A counter line on stderr for a step that may take longer than a second.

    Silent until the step has run `patience` seconds; rewrites one line on a terminal, prints
    at most one line every `every` seconds elsewhere.
    """

    def __init__(self, title, total, patience=1.0, every=5.0):
        self.title, self.total = title, total
        self.started = time.monotonic()
        self.every = 0.1 if sys.stderr.isatty() else every
        self.next_report = self.started + patience
        self.shown = False

    def __call__(self, done, what=""):
        """Report that `done` of the steps are finished and `what` comes next."""
        now = time.monotonic()
        if now < self.next_report:
            return
        self.next_report = now + self.every
        self._show("%s: %d of %d %s" % (self.title, done, self.total, what))

    def close(self):
        """End the line, if one was shown."""
        if self.shown and sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def _show(self, line):
        self.shown = True
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K" + line)
            sys.stderr.flush()
        else:
            say(line)


def add_model_options(parser):
    """Options that say which checkpoint is read."""
    parser.add_argument("-m", "--model", required=True, metavar="PREFIX",
                        help="checkpoint to speed up: the path before '-symbol.json'")
    parser.add_argument("--load-epoch", type=_epoch, default=None, metavar="N",
                        help="its epoch (default: 1, or the newest where there is no 1)")
    parser.add_argument("-g", "--gpus", default=None, metavar="IDS",
                        help="GPUs, as '0,1' (default: CPU; decompositions run on the CPU in any case)")
    parser.add_argument("--input-shape", type=_input_shape, action="append", default=[], metavar="[NAME:]C,H,W",
                        help="shape of an input without the batch, once for every input (default: read from the "
                             "checkpoint where a fully connected layer pins it, else 3,224,224)")


def add_output_options(parser):
    """Options that say what is written and how results are told."""
    parser.add_argument("--save-model", default="new-model", metavar="PREFIX",
                        help="checkpoint to write, as epoch 1 (default: %(default)s)")
    parser.add_argument("--force", action="store_true", help="allow --save-model to be the prefix that is read")
    parser.add_argument("--json", action="store_true", help="print results as JSON")


def add_planning_options(parser):
    """Options that say which layers are split, by which method, at which ranks."""
    from accnn import costs, methods, ranks

    parser.add_argument("--ratio", type=float, default=2.0,
                        help="theoretical speed-up, cost before / after, over all convolutions; with --fc over all "
                             "fully connected layers too (default: %(default)s)")
    parser.add_argument("--rank-selection", choices=ranks.names(), default=ranks.DEFAULT,
                        help="rank rule: %s (default: %%(default)s)" % _choices(ranks))
    parser.add_argument("--cost", choices=costs.names(), default=None,
                        help="what the ratio is counted in: %s (default: the rank rule's own)" % _choices(costs))
    parser.add_argument("--method", choices=methods.names(), default=None,
                        help="decomposition: %s (default: %s)"
                             % (_choices(methods), ", ".join(methods.DEFAULT.values())))
    parser.add_argument("--layers", action="append", metavar="PATTERN",
                        help="plan these layers only, a shell pattern such as 'conv3_*'; may be repeated")
    parser.add_argument("--exclude", action="append", default=[], metavar="PATTERN",
                        help="leave these layers alone; may be repeated")
    parser.add_argument("--fc", action="store_true", help="plan fully connected layers too")
    parser.add_argument("--align", type=int, default=1, metavar="N",
                        help="choose ranks that are multiples of N: 16 runs best on AVX-512, 8 on AVX2 (default: any)")
    parser.add_argument("--seed", type=int, default=0,
                        help="for methods that draw random numbers (vh and fc-svd do not)")


def planning(args):
    """dict: arguments of ``Workbench.select_ranks``, from what :func:`add_planning_options` parsed."""
    return {"ratio": args.ratio, "rank_selection": args.rank_selection, "cost": args.cost, "method": args.method,
            "layers": args.layers or ["*"], "exclude": args.exclude, "fc": args.fc, "align": args.align,
            "seed": args.seed}


def config_path(prefix, ratio):
    """Where ranks chosen for `ratio` are written: beside the saved model, under the original's name."""
    return os.path.join(os.path.dirname(prefix), "config-rksel-%.1f.json" % ratio)


def open_model(args):
    """Load the checkpoint that :func:`add_model_options` describes; say on stderr which epoch when nobody asked."""
    from accnn.graph.checkpoint import choose_epoch, epochs, load_model

    _check_gpus(args.gpus)
    if args.load_epoch is None and epochs(args.model) and 1 not in epochs(args.model):
        say("%s has no epoch 1: taking epoch %d" % (args.model, choose_epoch(args.model)))
    return load_model(args.model, args.load_epoch)


def input_shapes(args):
    """dict: what ``--input-shape`` said; the name None stands for the only input."""
    shapes = dict(args.input_shape)
    if len(shapes) < len(args.input_shape):
        raise AccnnError("--input-shape names an input twice")
    return shapes


def check_output(source, target, force):
    """Refuse a target that would overwrite the source unasked, or that cannot be written; before any work is done.

    Parameters
    ----------
    source, target : str
        Prefixes.
    force : bool

    Raises
    ------
    AccnnError
    """
    check_output_folder(target)
    if not force and os.path.realpath(source) == os.path.realpath(target):
        raise AccnnError("--save-model %s is the model that is read: choose another prefix, or say --force" % target)


def accelerate_and_write(args, bench, plan, config=None):
    """Apply `plan`, write the checkpoint (and first the plan, to `config`), and return the report.

    Returns
    -------
    dict
        :func:`accnn.report.summary` with ``written`` (paths) and ``file_bytes``.
    """
    from accnn.graph.checkpoint import choose_epoch, params_path, save_model, symbol_path
    from accnn.report import before_after, summary

    source = os.path.getsize(params_path(args.model, choose_epoch(args.model, args.load_epoch)))
    faster = bench.accelerate(plan)
    if config:
        plan.save(config)
    save_model(faster, args.save_model, 1)
    written = {"symbol": symbol_path(args.save_model), "params": params_path(args.save_model, 1)}
    if config:
        written["config"] = config
    return dict(summary(bench, plan), written=written,
                file_bytes=before_after(source, os.path.getsize(written["params"])))


def show(report, as_json):
    """Print a report on stdout, as JSON or as the table with what was written."""
    from accnn.report import table

    if as_json:
        print(json.dumps(report, indent=2))
        return
    print("\n".join(table(report)))
    for kind, path in report.get("written", {}).items():
        print("%-8s %s" % (kind, path))
    print("%.1f seconds" % report["seconds"])


def _choices(room):
    return "; ".join("%s = %s" % (name, room.get(name).summary) for name in room.names())


def check_output_folder(target):
    """Refuse a ``--save-model`` prefix whose folder is missing or read-only, or that has no name of its own."""
    folder = os.path.dirname(os.path.abspath(target))
    if os.path.isdir(target) or not os.path.basename(target):
        raise AccnnError("--save-model %s names a folder: add the beginning of the file names, as in %s"
                         % (target, os.path.join(target, "new-model")))
    if not os.path.isdir(folder):
        raise AccnnError("--save-model %s: there is no folder %s, make it first" % (target, folder))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise AccnnError("--save-model %s: the folder %s cannot be written to, choose another" % (target, folder))


def _check_gpus(gpus):
    if gpus is None:
        return
    from accnn.compat import mx

    try:
        wanted = [int(number) for number in gpus.split(",")]
    except ValueError:
        raise AccnnError("--gpus %s is no list of numbers, as in 0,1" % gpus) from None
    there = mx.context.num_gpus()
    if any(not 0 <= number < there for number in wanted):
        raise AccnnError("--gpus %s: this MXNet sees %d GPUs; leave the option out to run on the CPU" % (gpus, there))


def _epoch(text):
    number = int(text)
    if not 0 <= number <= 9999:
        raise ValueError
    return number


def _input_shape(text):
    name, _, sizes = text.rpartition(":")
    shape = tuple(int(size) for size in sizes.strip("()").split(",") if size.strip())
    if not shape or min(shape) < 1:
        raise ValueError
    return name or None, shape


_epoch.__name__, _input_shape.__name__ = "epoch", "shape"
