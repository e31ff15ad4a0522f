"""What a run remembers: a small JSON file beside its results, and the checkpoint of the last finished stage."""
import glob
import os
import re
from dataclasses import asdict, dataclass, field
from typing import List, Optional

from accnn.core.errors import AccnnError
from accnn.core.files import recover, written_together
from accnn.core.json_store import Damaged, JsonStore, OtherVersion
from accnn.graph.checkpoint import params_path, save_model, symbol_path
from accnn.planning.plan import Plan, Row

_VERSION = 1
_EPOCH = 0  # of the checkpoints between stages


def state_path(prefix):
    """Return ``PREFIX-two-pass.json``."""
    return prefix + "-two-pass.json"


def stage_prefix(prefix, number):
    """Return the prefix of what belongs to stage `number`, from 1: its result, and what its training resumes from."""
    return "%s-two-pass-%03d" % (prefix, number)


def stage_files(prefix):
    """list of str: files of stages that are there."""
    name = re.compile(re.escape(os.path.basename(prefix)) + r"-two-pass-\d{3}-(symbol\.json|0000\.params|"
                      r"resume\.params)$")
    return sorted(path for path in glob.glob(glob.escape(prefix) + "-two-pass-*")
                  if name.match(os.path.basename(path)))


@dataclass
class State:
    """A run as far as it got.

    Attributes
    ----------
    prefix : str
        Of the result.
    settings : dict
        What must not change when the run is resumed, by option.
    layers : list of dict
        Of the plan, in the order of decomposition: ``layer``, ``op``, ``method``, ``rank``, ``group`` (from 1).
    made_by : dict
        Of the plan.
    macs : dict
        Of all convolutions, before and after.
    given : dict or None
        The EpochRecord of the network that was given, on the validation images.
    done : list of dict
        Records of the stages that are over.
    """

    prefix: str
    settings: dict
    layers: List[dict]
    made_by: dict
    macs: dict
    given: Optional[dict] = None
    done: List[dict] = field(default_factory=list)

    def plan(self, group):
        """Plan: the layers of one group."""
        return Plan(tuple(Row(item["layer"], item["op"], item["method"], item["rank"]) for item in self.layers
                          if item["group"] == group), self.made_by)

    def begin(self):
        """Write the state before the first stage, and remove what stages of an earlier run left."""
        with written_together([state_path(self.prefix)], stage_files(self.prefix)) as (temporary,):
            with open(temporary, "w", encoding="utf-8") as handle:
                handle.write(self._text())

    def finish(self, model, record, last):
        """Remember that a stage is over: its checkpoint and its record together, and nothing of the one before."""
        self.done.append(record)
        prefix, epoch = (self.prefix, 1) if last else self.checkpoint()
        save_model(model, prefix, epoch, {state_path(self.prefix): self._text()}, stage_files(self.prefix))

    def checkpoint(self):
        """(prefix, epoch) of the network after the last finished stage; there must be one."""
        return stage_prefix(self.prefix, len(self.done)), _EPOCH

    def _text(self):
        said = {key: value for key, value in asdict(self).items() if key != "prefix"}
        return _store(self.prefix).text(dict({"version": _VERSION}, **said))


def load_state(prefix):
    """Read the state of a run.

    Raises
    ------
    AccnnError
        The file is damaged, or of another kind.
    """
    recover(prefix)
    try:
        return State(prefix, **_store(prefix).read())
    except Damaged as error:
        raise AccnnError("%s: say `force` to start again" % error) from error


def _store(prefix):
    return JsonStore(state_path(prefix), "two-pass run", _parse, loose=True)


def _parse(said):
    if said.pop("version") != _VERSION:
        raise OtherVersion
    if not _is_complete(said):
        raise ValueError
    return said


def _is_complete(said):
    kinds = {"settings": dict, "layers": list, "made_by": dict, "macs": dict, "given": (dict, type(None)),
             "done": list}
    return (set(said) == set(kinds)
            and all(isinstance(said[key], kind) for key, kind in kinds.items())
            and all(isinstance(item, dict) and {"layer", "op", "method", "rank", "group"} <= set(item)
                    for item in said["layers"])
            and all(isinstance(item, dict) and {"stage", "group", "epochs", "fitness", "parameters", "entries",
                                                "seconds"} <= set(item) for item in said["done"]))


def result_files(prefix):
    """list of str: what a run writes that is there."""
    recover(prefix)
    paths = [state_path(prefix), symbol_path(prefix), params_path(prefix, 1)]
    return [path for path in paths if os.path.lexists(path)] + stage_files(prefix)
