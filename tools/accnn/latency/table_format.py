"""The file format of the latency table: settings, the section of each, its JSON document, and the check of one read."""
from dataclasses import dataclass
from typing import Tuple

from accnn.core.json_store import OtherVersion, finite, positive
from accnn.timing import clock, machine

WHAT = "table of milliseconds"
VERSION = 2  # to be changed when what is timed is
# Ends of variables that do not change how fast MXNet is, and that importing accnn.core.compat, or scikit-learn, sets.
_IDLE = ("_VERBOSE", "KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK")


@dataclass(frozen=True, order=True)
class Setting:
    """All that milliseconds depend on beside the layers.

    Attributes
    ----------
    cpu : str
        The processor's name.
    mxnet : str
        MXNet's version.
    settings : tuple of (str, str)
        Environment variables that change what MXNet runs, sorted; how many threads it has is no part of them.
    threads : int
    batch_size : int
    """

    cpu: str
    mxnet: str
    settings: Tuple[Tuple[str, str], ...]
    threads: int
    batch_size: int

    @classmethod
    def here(cls, threads, batch_size):
        """Return the Setting of this machine, this MXNet and this environment."""
        found = machine.environment()
        settings = {name: value for name, value in found["settings"].items() if not name.endswith(_IDLE)}
        return cls(found["cpu"], found["mxnet"], tuple(sorted(settings.items())), int(threads), int(batch_size))

    @property
    def machine(self):
        """str: all but threads and batch, for sentences."""
        said = ", ".join("%s=%s" % item for item in self.settings)
        return "%s with mxnet %s%s" % (self.cpu, self.mxnet, said and " and " + said)

    def __str__(self):
        return "%s, %s" % (self.machine, clock.conditions(self.threads, self.batch_size))


def network_key(mark):
    """str: what a whole network is called in a table; of chains see :mod:`accnn.timing.keys`."""
    return "network " + mark


def empty():
    """dict: the section of a setting of which nothing is known."""
    return {"reference_ms": None, "times": {}}


def merged(*several):
    """dict: one section of several of the same setting. The first that has an entry counts, if it was measured."""
    section = empty()
    for other in reversed(several):
        section["reference_ms"] = other["reference_ms"] or section["reference_ms"]
        for key, found in other["times"].items():
            put(section, key, found)
    return section


def put(section, key, found):
    """Put an entry in place of the one before, unless MXNet refuses now what it once ran."""
    if not ("refused" in found and "relative" in section["times"].get(key, ())):
        section["times"][key] = found


def document(sections):
    """dict: as JSON, for people; `sections` is a dict of Setting to section."""
    return {"version": VERSION, "measured": [
        dict(sections[setting], cpu=setting.cpu, mxnet=setting.mxnet, settings=dict(setting.settings),
             threads=setting.threads, batch_size=setting.batch_size) for setting in sorted(sections)]}


def parse(written):
    """dict of Setting to section: what :func:`document` wrote. KeyError, TypeError, ValueError ... on anything else."""
    if written.get("version") != VERSION:
        raise OtherVersion
    sections = {}
    for row in written["measured"]:
        setting = Setting(_text(row["cpu"]), _text(row["mxnet"]),
                          tuple(sorted((name, _text(value)) for name, value in row["settings"].items())),
                          _counted(row["threads"]), _counted(row["batch_size"]))
        section = _section(row)
        sections[setting] = merged(section, sections[setting]) if setting in sections else section
    return sections


def _section(row):
    times = {key: checked_entry(found) for key, found in (_older(row) if "chains" in row else row["times"]).items()}
    reference = row["reference_ms"]
    if reference is not None or any("relative" in found for found in times.values()):
        positive(reference)  # without it nobody knows a millisecond
    return {"reference_ms": reference, "times": times}


def _older(row):
    """dict: the entries of a row of earlier versions, which kept networks apart, and not how their times spread."""
    return {**row["chains"], **{network_key(mark): {"relative": found["relative"], "spread": 0.0, "rounds": 1}
                                for mark, found in row["networks"].items() if "relative" in found}}


def checked_entry(found):
    """dict: what is known of a chain or network; KeyError, TypeError or ValueError where it makes no sense."""
    if "refused" in found:
        return {"refused": _text(found["refused"])}
    if not finite(found["spread"]) >= 0:
        raise ValueError("the spread %r is negative" % found["spread"])
    return {"relative": positive(found["relative"]), "spread": found["spread"], "rounds": _counted(found["rounds"])}


def _text(value):
    if not isinstance(value, str):
        raise TypeError
    return value


def _counted(value):
    if type(value) is not int or finite(value) < 1:
        raise ValueError("%r is no count" % (value,))
    return value
