"""The file from which a run goes on exactly where it was: parameters, optimizer and place in the data, in one piece."""
import json
import os

import numpy as np

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.core.files import recover, regular_file, written_whole
from accnn.core.text import sizes
from accnn.graph.checkpoint import read_arrays, write_arrays

_NOTE = "note"
DRAWING = "drawing"  # setting: the number of the rule by which a seed draws batches
_KINDS = ("arg", "aux", "state", "mean")


def resume_path(prefix):
    """Return ``PREFIX-resume.params``."""
    return prefix + "-resume.params"


def save(prefix, arrays, note):
    """Write the resume file of a run, whole or not at all.

    Parameters
    ----------
    prefix : str
        Of the checkpoints of the run.
    arrays : dict of str to dict of str to mx.nd.NDArray
        By kind: 'arg', 'aux', 'state', 'mean'.
    note : dict
        Whatever else is to be known, as far as JSON says it.
    """
    path = resume_path(prefix)
    flat = {"%s:%s" % (kind, name): array for kind in _KINDS for name, array in arrays[kind].items()}
    text = np.frombuffer(json.dumps(note).encode("utf-8"), np.uint8)
    # One file and one renaming, so that a run killed at any moment leaves the old one or the new one.
    with written_whole(path) as temporary:
        write_arrays(temporary, dict(flat, **{_NOTE: mx.nd.array(text, dtype="uint8")}), path)


def load(prefix):
    """Read a resume file.

    Returns
    -------
    arrays : dict of str to dict of str to mx.nd.NDArray
    note : dict

    Raises
    ------
    AccnnError
        The file is damaged or of another kind.
    """
    path = resume_path(prefix)
    flat = read_arrays(regular_file(path))
    if not isinstance(flat, dict) or _NOTE not in flat:
        raise AccnnError("%s holds no fine-tuning to resume: remove it and start again" % path)
    try:
        note = json.loads(flat.pop(_NOTE).asnumpy().tobytes().decode("utf-8"))
    except ValueError as error:
        raise AccnnError("%s is damaged (%s): remove it and start again" % (path, error)) from error
    if not _is_complete(note):
        raise AccnnError("%s holds no fine-tuning of this version to resume: remove it and start again" % path)
    arrays = {kind: {key[len(kind) + 1:]: array for key, array in flat.items() if key.startswith(kind + ":")}
              for kind in _KINDS}
    return arrays, note


def _is_complete(note):
    """Whether a note says all that a run wants to know."""
    return isinstance(note, dict) and isinstance(note.get("stale", []), list) and all(
        isinstance(note.get(key), kind) for key, kind in (
        ("place", list), ("unfinished", list), ("updates", int), ("entries", list), ("settings", dict)))


def exists(prefix):
    """Whether there is something to resume."""
    recover(prefix)
    return os.path.lexists(resume_path(prefix))


def check_fits(prefix, arrays, note, model, settings):
    """Refuse a resume file of another network or of a run with other settings.

    Parameters
    ----------
    prefix : str
    arrays, note
        As :func:`load` returns them.
    model : Model
        The network to go on with.
    settings : dict
        What must be as it was, by the name of its option.

    Raises
    ------
    AccnnError
        Names the first difference.
    """
    path = resume_path(prefix)
    for kind, mine in (("arg", model.arg_params), ("aux", model.aux_params)):
        if {name: array.shape for name, array in arrays[kind].items()} != {
                name: array.shape for name, array in mine.items()}:
            odd = sorted(name for name in set(arrays[kind]) | set(mine) if name not in arrays[kind] or name not in mine
                         or arrays[kind][name].shape != mine[name].shape)
            raise AccnnError("%s belongs to another network than %s (%s differs): choose another `model_prefix`, or "
                             "say `force` instead of `resume`" % (path, model.prefix, odd[0]))
    check_settings(path, note["settings"], settings)


def check_settings(path, begun, settings):
    """Refuse a run that `path` tells of when it was begun with other settings, by option; names the first difference.

    Raises
    ------
    AccnnError
    """
    if begun.get(DRAWING) != settings.get(DRAWING):
        raise AccnnError("%s was begun by another version of accnn, which draws other batches by the same seed: say "
                         "`force` instead of `resume`" % path)
    for option, value in settings.items():
        if begun.get(option) != value:
            raise AccnnError("%s was begun with `%s` %s, not %s: resume with the same, or say `force` instead"
                             % (path, option.replace("-", "_"), _said(begun.get(option)), _said(value)))


def _said(value):
    if value is None or value == []:
        return "(none)"
    return sizes(value)
