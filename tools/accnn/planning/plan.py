"""The plan: which layer becomes which chain, and why the others stay. A JSON file that a person can read and edit."""
import difflib
import json
from dataclasses import dataclass, field, replace
from typing import Dict, Optional, Tuple

import numpy as np

from accnn import methods
from accnn.core.errors import AccnnError
from accnn.core.files import open_input, recover, written_whole
from accnn.core.html import html_table
from accnn.core.layers import FP32, PRECISIONS

NOT_IN_PLAN = "not in the plan"
_PRECISION, _WHY_FP32 = "precision", "in_float32"
_CONFIG = "config"  # in made_by: the file that the plan was read from
_SECTIONS = {"conv_params": "Convolution", "fc_params": "FullyConnected"}
# What a bare number in a file means, for ever: the original's two methods.
_PLAIN = {"Convolution": "vh", "FullyConnected": "fc-svd"}


@dataclass(frozen=True)
class Row:
    """One layer of a plan.

    Attributes
    ----------
    layer : str
    op : str or None
        The kind of the layer: ``'Convolution'``, whatever operator convolves, or ``'FullyConnected'``. None where a
        file does not say.
    method, rank : str and int or tuple of int, or None
        None: the layer is left alone.
    reason : str or None
        Why it is left alone.
    precision : {'fp32', 'int8', 'bf16'}
        In which the layer, or the chain in its place, is computed.
    why_fp32 : str or None
        Why that is float32, where the network is in another precision.
    """

    layer: str
    op: Optional[str]
    method: Optional[str] = None
    rank: Optional[object] = None
    reason: Optional[str] = None
    precision: str = FP32
    why_fp32: Optional[str] = None

    def __post_init__(self):
        object.__setattr__(self, "rank", _plain(self.rank))


@dataclass(frozen=True)
class Plan:
    """Rows for layers, and how they came about.

    Attributes
    ----------
    rows : tuple of Row
        In topological order when a rank rule made them, in the file's order when loaded.
    made_by : dict
        What a reader of the file may want to know: ratio, rank rule, cost, objective, seed; see :func:`of_this_run`.
    evidence : PlanEvidence or None
        What was known of the network when the plan was made, for plots; not a part of the file.
    """

    rows: Tuple[Row, ...]
    made_by: Dict[str, object] = field(default_factory=dict)
    evidence: Optional[object] = field(default=None, compare=False, repr=False)

    @property
    def precision(self):
        """str: that of the network: 'fp32' where all layers are, else the other one that there is."""
        return next((row.precision for row in self.rows if row.precision != FP32), FP32)

    def in_fp32(self):
        """list of str: layers that stay in float32."""
        return [row.layer for row in self.rows if row.precision == FP32]

    def chosen(self):
        """list of Row: the layers to be split."""
        return [row for row in self.rows if row.method is not None]

    def _repr_html_(self):
        """str: the rows as a table, for notebooks."""
        asked = ", ".join("%s %s" % (name, self.made_by[name]) for name in ("ratio", "rank_selection", "cost")
                          if self.made_by.get(name) is not None)
        caption = "Plan: %d of %d layers split" % (len(self.chosen()), len(self.rows))
        return html_table("; ".join(filter(None, (caption, asked))),
                          ("layer", "method", "rank", "precision", "left alone"),
                          [(row.layer, row.method, row.rank, row.precision, row.reason) for row in self.rows])

    def save(self, path):
        """Write the plan; a plan of ``vh`` and ``fc-svd`` alone is what the original's config was, and some more."""
        with written_whole(path) as temporary, open(temporary, "w", encoding="utf-8") as handle:
            handle.write(self.text())

    def text(self):
        """str: what :meth:`save` writes."""
        return json.dumps(self.document(), indent=2) + "\n"

    def document(self):
        """dict: the JSON form."""
        sections = {name: {row.layer: _written(row) for row in self.chosen() if row.op == op}
                    for name, op in _SECTIONS.items()}
        left = {row.layer: row.reason for row in self.rows if row.method is None}
        others = {row.layer: row.precision for row in self.rows if row.precision != FP32}
        why = {row.layer: row.why_fp32 for row in self.rows if row.why_fp32}
        return dict(sections, left_alone=left, **({_PRECISION: others} if others else {}),
                    **({_WHY_FP32: why} if why else {}), made_by=self.made_by)


def of_this_run(made_by):
    """bool: whether what a plan says of how it was made is of this run; a file's is of another, or of an editor."""
    return _CONFIG not in made_by


def load_plan(path):
    """Read a plan, or a config of the original.

    Parameters
    ----------
    path : str
        ``{"conv_params": {"conv1_1": 5}, "fc_params": {"fc6": 512}}``; a value is a rank, for ``vh`` and ``fc-svd``,
        or ``{"method": "vh", "rank": 5}``. ``left_alone`` and ``made_by`` of a written plan are kept; one that has the
        latter may leave the network as it is. ``precision`` names that of layers which are not in float32,
        ``in_float32`` says why others are.

    Returns
    -------
    Plan

    Raises
    ------
    AccnnError
        The file is missing, no JSON, of another form, or names no layer though no rank rule made it.
    """
    recover(path)
    document = _read(path)
    _refuse_misspelt(path, document)
    rows = [_row(path, layer, op, value) for section, op in _SECTIONS.items()
            for layer, value in _section(path, document, section).items()]
    made_by, precisions = _section(path, document, "made_by"), _precisions(path, document)
    why = _section(path, document, _WHY_FP32)
    if not rows and not made_by:  # a rank rule may find that the network is best as it is; who writes a file does not
        raise AccnnError("%s names no layer: fill conv_params or fc_params, as in {\"conv_params\": {\"conv1_1\": 5}}"
                         % path)
    left = [Row(layer, None, reason=str(reason)) for layer, reason in _section(path, document, "left_alone").items()]
    rows = [replace(row, precision=precisions.pop(row.layer, FP32), why_fp32=_text(why.get(row.layer)))
            for row in rows + left]
    rows += [Row(layer, None, reason=NOT_IN_PLAN, precision=precision) for layer, precision in precisions.items()]
    return Plan(tuple(rows), dict(made_by, **{_CONFIG: path}))


def _text(value):
    return None if value is None else str(value)


def _precisions(path, document):
    """dict of str to str: what the section on precisions says, of one precision beside float32."""
    found = _section(path, document, _PRECISION)
    for layer, value in found.items():
        if value not in PRECISIONS:
            raise AccnnError("the config %s: the precision of %r is %s: it can be %s"
                             % (path, layer, json.dumps(value)[:60], ", ".join(PRECISIONS)))
    others = sorted(set(found.values()) - {FP32})
    if len(others) > 1:
        raise AccnnError("the config %s has layers in %s: a network has one precision beside fp32"
                         % (path, " and in ".join(others)))
    return dict(found)


def _plain(rank):
    """A rank with Python's own ints, which JSON knows."""
    if isinstance(rank, (tuple, list)):
        return tuple(_plain(k) for k in rank)
    return int(rank) if isinstance(rank, np.integer) else rank


def _written(row):
    if row.method == _PLAIN[row.op]:
        return row.rank
    return {"method": row.method, "rank": list(row.rank) if isinstance(row.rank, tuple) else row.rank}


def _read(path):
    try:
        with open_input(path, encoding="utf-8-sig") as handle:
            document = json.load(handle, object_pairs_hook=_once_each)
    except AccnnError as error:  # is a ValueError too
        raise AccnnError("the config %s" % error) from error
    except OSError as error:
        raise AccnnError("the config %s cannot be read: %s" % (path, error.strerror)) from error
    except _NamedTwice as error:
        raise AccnnError("the config %s names %r twice: keep one of them" % (path, str(error))) from error
    except (ValueError, RecursionError) as error:
        raise AccnnError("the config %s is not JSON: %s" % (path, error)) from error
    if not isinstance(document, dict):
        raise AccnnError("the config %s is no JSON object with conv_params and fc_params" % path)
    return document


class _NamedTwice(Exception):
    pass


def _once_each(pairs):
    document = {}
    for key, value in pairs:
        if key in document:
            raise _NamedTwice(key)
        document[key] = value
    return document


def _refuse_misspelt(path, document):
    known = list(_SECTIONS) + ["left_alone", _PRECISION, _WHY_FP32, "made_by"]
    for key in document:
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.75)
        if key not in known and near:
            raise AccnnError("the config %s has %r: did you mean %s?" % (path, key, near[0]))


def _section(path, document, section):
    value = document.get(section, {})
    if not isinstance(value, dict):
        raise AccnnError("the config %s: %s must be an object" % (path, section))
    return value


def _row(path, layer, op, value):
    method = _PLAIN[op]
    if isinstance(value, dict):
        if set(value) != {"method", "rank"}:
            raise AccnnError("the config %s: %r must be a rank, or an object of method and rank" % (path, layer))
        method, value = value["method"], value["rank"]
    rank = tuple(value) if isinstance(value, list) else value
    if not all(type(k) is int for k in (rank if isinstance(rank, tuple) else (rank,))):
        raise AccnnError("the config %s: the rank of %r is %s, which is no whole number"
                         % (path, layer, json.dumps(value)[:60]))
    return Row(layer, op, methods.get(method).name, rank)
