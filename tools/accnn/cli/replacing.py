"""What may be replaced: results of this tool that it can make again, and nothing else unless --force says so."""
import json
import os

from accnn.core.errors import AccnnError

FORCE = "replace files that are there, whoever made them; without it only results of the same script are"


def add_force_option(parser):
    """The option ``--force``, which means the same in every script."""
    parser.add_argument("--force", action="store_true", help=FORCE)


def check_replaced(option, target, paths, force, is_ours=None, instead=""):
    """Refuse files that would take the place of something that this tool did not make, and of what is no file.

    Parameters
    ----------
    option : str
        What named the target, such as ``--output``.
    target : str
    paths : list of str
        What will be written.
    force : bool
    is_ours : callable, optional
        Tells of a path whether what is there may be replaced; by default nothing may.
    instead : str
        What else the person may say, as in ``"say --resume to go on with that run, "``.

    Raises
    ------
    AccnnError
        Names the first such file.
    """
    for path in filter(os.path.lexists, paths):
        if is_special(path):
            raise AccnnError("%s %s: %s is no regular file: choose another name" % (option, target, path))
        if not force and not (is_ours and is_ours(path)):
            raise AccnnError("%s is there already%s: %s--force to replace it, or choose another %s"
                             % (path, ", and is no result of this script" if is_ours else "", instead or "say ",
                                option))


def is_special(path):
    """bool: whether something is there that must not be replaced by a file: a pipe, a device, or /dev/stdout."""
    is_open_file = os.path.islink(path) and os.readlink(path).startswith("/proc/")
    return is_open_file or os.path.exists(path) and not os.path.isfile(path)


def is_plan(path):
    """bool: whether a file is a plan that a rank rule made, in the form that is written."""
    document = _json(path)
    return (isinstance(document, dict)
            and set(document) - {"precision"} == {"conv_params", "fc_params", "left_alone", "made_by"}
            and all(isinstance(section, dict) for section in document.values()) and bool(document["made_by"]))


def int8_plan_path(prefix):
    """Where quantize.py writes how an INT8 network was made, and by which its results are told from others."""
    return prefix + "-plan.json"


def is_int8_plan(path):
    """bool: whether a file says how an INT8 network was made, in the form that is written."""
    document = _json(path)
    return (isinstance(document, dict) and set(document) == {"layers", "thresholds", "steps", "made_by"}
            and all(isinstance(document[key], list) for key in ("layers", "steps"))
            and all(map(_is_int8_layer, document["layers"])) and all(map(_is_int8_step, document["steps"])))


def _is_int8_layer(row):
    if not (isinstance(row, dict) and {"layer", "precision", "thresholds", "range", "reason"} <= set(row)):
        return False
    bounds = row["range"]
    return not bounds or isinstance(bounds, list) and len(bounds) == 2 and all(map(_is_number, bounds))


def _is_int8_step(row):
    return (isinstance(row, dict) and {"step", "before", "after", "kept"} <= set(row)
            and all(row[key] is None or _is_number(row[key]) for key in ("before", "after")))


def _is_number(value):
    return isinstance(value, (int, float))


def is_counts(path):
    """bool: whether a file is a confusion matrix: as many rows as columns, of whole numbers, joined by commas."""
    try:
        with open(path, encoding="ascii") as handle:
            rows = [line.rstrip("\n").split(",") for line in handle]
    except (OSError, UnicodeDecodeError):
        return False
    return bool(rows) and all(len(row) == len(rows) and all(cell.isdigit() for cell in row) for row in rows)


def _json(path):
    try:
        with open(path, encoding="utf-8") as handle:
            return json.load(handle)
    except (OSError, ValueError, RecursionError):
        return None
