"""Checkpoints in prefix-epoch form: ``PREFIX-symbol.json`` and ``PREFIX-%04d.params``, read checked, saved whole."""
import contextlib
import difflib
import functools
import glob
import os
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Dict, Optional, Tuple

from accnn.core.errors import AccnnError
from accnn.core.files import locked, recover, regular_file, written_together
from accnn.core.html import html_table
from accnn.core.progress import say
from accnn.core.text import exact
from accnn.graph.check import check_model, put_right
from accnn.graph.document import as_text, document_findings, read_document
from accnn.graph.findings import WARNING, Finding, refuse_errors
from accnn.graph.ir import Graph, symbol_from_json
from accnn.graph.mark import marked as with_mark
from accnn.graph.params_file import read_arrays, write_arrays
from accnn.graph.quantized import float_graph, is_quantized

_READINGS = 3


@dataclass(frozen=True)
class Model:
    """A network and its parameters.

    Attributes
    ----------
    graph : Graph
    arg_params, aux_params : dict of str to mx.nd.NDArray
        Arrays are shared between models and never written to.
    prefix : str
        What error messages call it: where it was loaded from.
    epoch : int or None
        Where it was loaded from.
    remarks : tuple of Finding
        What a person must know about the files: what was put right, what is in them and not read.
    """

    graph: Graph
    arg_params: Dict[str, object]
    aux_params: Dict[str, object] = field(default_factory=dict)
    prefix: str = "the model"
    epoch: Optional[int] = None
    remarks: Tuple[Finding, ...] = ()

    @property
    def symbol(self):
        """mx.sym.Symbol: the network, made anew from the graph."""
        return self.graph.to_symbol()

    @functools.cached_property
    def float_view(self):
        """Model: the float network that an INT8 one stands for, see :func:`accnn.graph.quantized.float_graph`."""
        return replace(self, graph=float_graph(self.graph)) if is_quantized(self.graph) else self

    def _repr_html_(self):
        """str: what is in it as a table, for notebooks."""
        kinds = Counter(node.op for node in self.graph.nodes if not node.is_variable)
        stored = sum(array.size for array in list(self.arg_params.values()) + list(self.aux_params.values()))
        return html_table("%s, %s parameters" % (self.prefix, exact(stored)), ("operator", "how many"),
                          kinds.most_common())

    def save(self, prefix, epoch=1):
        """Write the checkpoint; the same as :func:`save_model`."""
        save_model(self, prefix, epoch)

    def weight(self, name):
        """Return the parameter `name` as a NumPy copy."""
        return self.arg_params[name].asnumpy()


def symbol_path(prefix):
    """Return ``PREFIX-symbol.json``."""
    return prefix + "-symbol.json"


def params_path(prefix, epoch):
    """Return ``PREFIX-%04d.params``."""
    return "%s-%04d.params" % (prefix, epoch)


def epochs(prefix):
    """list of int: the epochs saved under `prefix`, ascending; what a killed process left is put in place first."""
    recover(prefix)
    pattern = re.compile(re.escape(os.path.basename(prefix)) + r"-(\d{4,})\.params$")
    found = (pattern.match(os.path.basename(path)) for path in glob.glob(glob.escape(prefix) + "-*.params"))
    return sorted(int(match.group(1)) for match in found if match and os.path.isfile(params_path(prefix, int(
        match.group(1)))))


def _read_at_rest(load):
    """Let a checkpoint be read again where it was replaced meanwhile: else symbol and parameters may not be of one."""
    @functools.wraps(load)
    def loaded(prefix, epoch=None, inputs=()):
        prefix, before = os.fspath(prefix), None
        for _ in range(_READINGS):
            recover(prefix)
            before, found = _bytes(symbol_path(prefix)), load(prefix, epoch, inputs)
            recover(prefix)
            if _bytes(symbol_path(prefix)) == before:
                return found
        raise AccnnError("%s is replaced again and again while it is read: wait until that is done" % prefix)
    return loaded


def _bytes(path):
    with contextlib.suppress(OSError):
        if os.path.isfile(path):
            with open(path, "rb") as handle:
                return handle.read()
    return None


def load_model(prefix, epoch=None, inputs=()):
    """Read a checkpoint written by any MXNet since 0.8.

    Parameters
    ----------
    prefix : str
        Path before ``-symbol.json``.
    epoch : int, optional
        Default: 1 where it exists, else the newest.
    inputs : iterable of str
        Variables that are inputs although they have the place of a parameter.

    Returns
    -------
    Model

    Raises
    ------
    AccnnError
        A file is missing, cut short or of another kind; what :func:`examine` finds is an error.
    """
    model, findings = examine(prefix, epoch, inputs)
    refuse_errors(findings)
    return model


def load_with_remarks(prefix, epoch=None, inputs=()):
    """What :func:`load_model` returns; says on stderr what a person must know about it, and which epoch was taken."""
    model = load_model(prefix, epoch, inputs)
    if epoch is None and model.epoch != 1:
        say("%s has no epoch 1: took epoch %d" % (prefix, model.epoch))
    tell_remarks(model)
    return model


def tell_remarks(model):
    """Say on stderr what a person must know about a checkpoint that was loaded."""
    for remark in model.remarks:
        say(str(remark))


@_read_at_rest
def examine(prefix, epoch=None, inputs=()):
    """Read a checkpoint and say all that is found in it, where :func:`load_model` stops at the first error.

    Parameters
    ----------
    prefix, epoch, inputs
        As for :func:`load_model`.

    Returns
    -------
    model : Model or None
        None where the form of the symbol does not allow to read it.
    findings : list of Finding

    Raises
    ------
    AccnnError
        A file is missing, cut short or of another kind.
    """
    prefix = os.fspath(prefix)
    _refuse_name(prefix)
    path = symbol_path(prefix)
    if not os.path.lexists(path):
        raise AccnnError("%s does not exist: give `prefix` the path before '-symbol.json'%s" % (path, _nearby(prefix)))
    document = read_document(regular_file(path))
    found = document_findings(document, path)
    if found:
        return None, found
    symbol = symbol_from_json(as_text(document), path)
    graph = Graph.from_symbol(symbol, path)
    epoch = choose_epoch(prefix, epoch)
    stored = params_path(prefix, epoch)
    arg_params, aux_params, found = put_right(symbol, *_read_params(stored), stored)
    model = Model(graph, arg_params, aux_params, prefix, epoch)
    found += check_model(model, inputs, (path, stored), symbol)
    return replace(model, remarks=tuple(one for one in found if one.severity == WARNING)), found


def choose_epoch(prefix, asked=None):
    """Return the epoch to load: `asked`, else 1 where saved, else the newest.

    Raises
    ------
    AccnnError
        When no such file exists; names the epochs that do.
    """
    saved = epochs(prefix)
    if asked is None and saved:
        return 1 if 1 in saved else saved[-1]
    if asked in saved:
        return asked
    wanted = params_path(prefix, 1 if asked is None else asked)
    if os.path.lexists(wanted):
        regular_file(wanted)  # says what it is
    there = "saved are the epochs %s: choose one with `epoch`" % ", ".join(map(str, saved)) if saved else \
        "there is no %s-*.params" % prefix
    raise AccnnError("%s does not exist; %s" % (wanted, there))


def save_model(model, prefix, epoch=1, also=None, removed=(), marked=False, beside=None):
    """Write ``PREFIX-symbol.json`` and ``PREFIX-%04d.params``, both or neither.

    Parameters
    ----------
    model : Model
    prefix : str or path
    epoch : int
        0 to 9999.
    also : dict of str to (str or callable), optional
        Paths, and texts of files, or what writes one to a given path: written with the checkpoint, or not at all.
    removed : sequence of str, optional
        Files that do not go with it, such as epochs of another network: removed in the same step.
    marked : bool
        Bear the mark of what the same command can make again, see :mod:`accnn.graph.mark`.
    beside : dict of str to Model, optional
        By prefix: models that are written with it, or not at all.

    Raises
    ------
    AccnnError
        The folder is missing, read-only or full; `epoch` or `prefix` makes no file name; another process is writing
        files of that prefix.
    """
    others = {os.fspath(name): (one.symbol, one.arg_params, one.aux_params) for name, one in (beside or {}).items()}
    own = {os.fspath(prefix): (model.symbol, model.arg_params, model.aux_params)}
    _save({**own, **others}, epoch, also, removed, marked)


def save_checkpoint(prefix, epoch, symbol, arg_params, aux_params, also=None, removed=(), marked=False):
    """Write the two files of a checkpoint as :func:`save_model` does, for a symbol and its parameters."""
    _save({os.fspath(prefix): (symbol, arg_params, aux_params)}, epoch, also, removed, marked)


def _save(checkpoints, epoch, also, removed, marked):
    for prefix in checkpoints:
        _refuse_name(prefix)
        if not os.path.basename(prefix) or not 0 <= epoch <= 9999:
            raise AccnnError("a checkpoint cannot be called %r, epoch %s: it needs a name and an epoch from 0 to 9999"
                             % (prefix, epoch))
    paths = [path for prefix in checkpoints for path in (params_path(prefix, epoch), symbol_path(prefix))]
    with contextlib.ExitStack() as locks:
        for prefix in checkpoints:
            locks.enter_context(locked(prefix))
        with written_together(paths + list(also or ()), removed) as files:
            for prefix, parts in checkpoints.items():
                _write_parts(*files[:2], params_path(prefix, epoch), *parts, marked)
                files = files[2:]
            for path, content in zip(files, (also or {}).values()):
                _write_text(path, content)


def _write_parts(params_file, symbol_file, named, symbol, arg_params, aux_params, marked):
    text = symbol.tojson(remove_amp_cast=False)
    arrays = {"arg:" + name: array for name, array in arg_params.items()}
    arrays.update({"aux:" + name: array for name, array in aux_params.items()})
    write_arrays(params_file, arrays, named)
    _write_text(symbol_file, with_mark(text, params_file) if marked else text)


def _write_text(path, content):
    if callable(content):
        content(path)
        return
    with open(path, "w", encoding="utf-8") as handle:
        handle.write(content)


def _refuse_name(prefix):
    try:
        prefix.encode("utf-8")
    except UnicodeEncodeError as error:
        raise AccnnError("%r is no UTF-8 name, which MXNet needs: rename the file" % prefix) from error


def _read_params(path):
    arrays = read_arrays(path)
    if arrays == []:  # what MXNet makes of a file without parameters
        return {}, {}
    if not isinstance(arrays, dict) or not all(key.startswith(("arg:", "aux:")) for key in arrays):
        raise AccnnError("%s holds no 'arg:' and 'aux:' parameters, so no checkpoint wrote it: a Gluon network must "
                         "be saved with export(), not save_parameters()" % path)
    return tuple({key[4:]: array for key, array in arrays.items() if key.startswith(kind)} for kind in ("arg:", "aux:"))


def _nearby(prefix):
    name = re.match(r"(.+)(-symbol\.json|-\d{4}\.params)$", prefix)
    if name:
        return ": `prefix=%s`" % name.group(1)
    folder = os.path.dirname(prefix)
    suffix = "-symbol.json"
    here = [path[:-len(suffix)] for path in glob.glob(os.path.join(glob.escape(folder), "*" + suffix))]
    close = difflib.get_close_matches(prefix, here, n=3, cutoff=0.5)
    return " (there is %s)" % ", ".join(close) if close else ""
