"""The model card: what a checkpoint was made from, what it was found to be worth, and how plain MXNet loads it."""
import hashlib
import os
from dataclasses import dataclass
from typing import Mapping, Optional, Tuple

from accnn import engines
from accnn.core.layers import FP32
from accnn.core.text import count, milliseconds, percent, points, sizes, times
from accnn.core.versions import VERSION
from accnn.timing.clock import conditions, known_to

_BLOCK = 1 << 20
_LOADING = '''```python
import mxnet as mx  # 1.9.1, with numpy below 1.24
import numpy as np

symbol, arg_params, aux_params = mx.model.load_checkpoint({name!r}, 1)
module = mx.mod.Module(symbol, data_names={inputs}, label_names={labels})
module.bind([{shapes}], for_training=False)
module.set_params(arg_params, aux_params)
module.forward(mx.io.DataBatch([{arrays}]), is_train=False)
print(module.get_outputs()[0].asnumpy())
```'''


@dataclass(frozen=True)
class Measured:
    """How much faster the clock says a network is.

    Attributes
    ----------
    ratio : dict
        ``median``, ``quartiles`` and ``uncertainty`` of the original's time over its own, round by round.
    before_ms, after_ms : float
    threads, batch_size : int
    machine : dict
        Of :func:`accnn.timing.machine.environment`, as far as it is known.
    engine : str
    remark : str
    """

    ratio: Mapping[str, object]
    before_ms: float
    after_ms: float
    threads: int
    batch_size: int
    machine: Mapping[str, object]
    engine: str = engines.DEFAULT
    remark: str = ""


def measured_of(timings):
    """Measured or None: of :func:`accnn.timing.client.measure`; None for None."""
    if not timings:
        return None
    run = timings["runs"][0]
    return Measured(run["measured"], run["baseline"]["median_ms"], run["model"]["median_ms"], run["threads"],
                    run["batch_size"], timings["environment"], run["model"].get("engine", engines.DEFAULT))


@dataclass(frozen=True)
class ModelCard:
    """What a card says; what is None was not found out, and is left out.

    Attributes
    ----------
    prefix : str
        Of the checkpoint, epoch 1.
    source : str
        Prefix of the one that it was made from.
    epoch : int
    sums : dict of str to str
        SHA-256 of the files of the latter.
    command : str
        What was typed.
    inputs : dict of str to tuple of int
        Without the batch.
    labels : tuple of str
        Variables that only training feeds.
    batch_size : int
        With which the network can be loaded.
    precision : str
    summary : dict, optional
        Of :func:`accnn.report.plan.summary`.
    measured : Measured, optional
    scores : dict, optional
        What ``score.py`` prints as JSON.
    images : str
        How images are to be read.
    low_prefix : str, optional
        Of its form in `precision`.
    """

    prefix: str
    source: str
    epoch: int
    sums: Mapping[str, str]
    command: str
    inputs: Mapping[str, Tuple[int, ...]]
    labels: Tuple[str, ...] = ()
    batch_size: int = 1
    precision: str = FP32
    summary: Optional[dict] = None
    measured: Optional[Measured] = None
    scores: Optional[dict] = None
    images: str = ""
    low_prefix: Optional[str] = None

    def text(self):
        """str: the card, in Markdown."""
        name = os.path.basename(self.prefix)
        rows = self._origin() + self._speed() + self._accuracy()
        lines = ["# %s" % _plain(name), "", "| | |", "|---|---|"] + [
            "| %s | %s |" % (_plain(title), _plain(value)) for title, value in rows]
        lines += ["", "## How to load it", "", "In the folder of this card, with plain MXNet:", "", self._loading()]
        if self.low_prefix:
            lines += ["", "`%s` is the same network in %s, for which the figures were measured; it is loaded likewise."
                      % (os.path.basename(self.low_prefix), self.precision)]
        lines += ["", "## Licence", "", "(to be filled in: that of what it was made from holds for it, too)"]
        return "\n".join(lines) + "\n"

    def _origin(self):
        made = [("made from", "`%s`, epoch %d" % (self.source, self.epoch))]
        made += [("SHA-256 of %s" % os.path.basename(path), "`%s`" % found) for path, found in self.sums.items()]
        made += [("made by", "accnn %s: `%s`" % (VERSION, self.command)), ("precision", self.precision)]
        made += [("input %s" % name, sizes(shape)) for name, shape in self.inputs.items()]
        return made + ([("images", self.images)] if self.images else [])

    def _speed(self):
        rows, made_by = [], self.summary["made_by"] if self.summary else {}
        if "ratio" in made_by:
            rows.append(("speed-up asked for", "%gx, by the cost %s" % (made_by["ratio"], made_by.get("cost"))))
        if self.summary:
            for key, title in (("convolutions", "theoretical speed-up, all convolutions"),
                               ("network", "theoretical speed-up, whole network")):
                part = self.summary[key]
                rows.append((title, "%s: %s multiply-adds, were %s" % (
                    times(part["ratio"]), count(part["after"]), count(part["before"]))))
        return rows + self._clock()

    def _clock(self):
        one = self.measured
        if one is None:
            return []
        known = known_to(one.ratio.get("uncertainty"))
        said = "%s: %s ms, was %s ms; %s %s, %s, %s; quartiles %.2f %.2f%s%s" % (
            times(one.ratio["median"]), milliseconds(one.after_ms), milliseconds(one.before_ms), one.engine,
            self.precision, conditions(one.threads, one.batch_size), _machine(one.machine), *one.ratio["quartiles"],
            ", known to " + known if known else "", "; " + one.remark if one.remark else "")
        return [("measured speed-up", said)]

    def _accuracy(self):
        if not self.scores or "paired" not in self.scores:
            return []
        rows = []
        for k, top in self.scores["model"]["top"].items():
            before, lost = self.scores["baseline"]["top"][k], self.scores["paired"]["drop"][k]
            rows.append(("top-%s" % k, "%s, was %s: %s points lost, of %d images" % (
                percent(top["accuracy"]), percent(before["accuracy"]), points(lost), self.scores["model"]["images"])))
        low, high = self.scores["paired"]["drop_interval_95"]
        return rows + [("95% interval of what top-1 lost", "%s to %s points" % (points(low), points(high)))]

    def _loading(self):
        batched = {name: (self.batch_size,) + tuple(shape) for name, shape in self.inputs.items()}
        return _LOADING.format(
            name=os.path.basename(self.prefix), inputs=list(batched), labels=list(self.labels),
            shapes=", ".join("(%r, %r)" % item for item in batched.items()),
            arrays=", ".join("mx.nd.array(np.zeros(%r))" % (shape,) for shape in batched.values()))


def sums_of(paths):
    """dict of str to str: SHA-256 of files, in hexadecimal digits."""
    found = {}
    for path in paths:
        digest = hashlib.sha256()
        with open(path, "rb") as handle:
            for block in iter(lambda: handle.read(_BLOCK), b""):
                digest.update(block)
        found[path] = digest.hexdigest()
    return found


def _machine(found):
    return ", ".join(str(value) for value in (found.get("cpu"), found.get("isa"), found.get("mxnet") and (
        "MXNet %s" % found["mxnet"])) if value)


def _plain(text):
    """str: what does not end a cell of a table."""
    return str(text).replace("|", "\\|").replace("\n", " ")
