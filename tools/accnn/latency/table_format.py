"""The file format of the latency table: settings, the section of each, its JSON document, and the check of one read."""
from dataclasses import dataclass
from typing import Tuple

from accnn.core import amx
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
    isa : str
        The instruction set that oneDNN computes with, see :func:`accnn.core.amx.isa`; empty where a table does not say.
    """

    cpu: str
    mxnet: str
    settings: Tuple[Tuple[str, str], ...]
    threads: int
    batch_size: int
    isa: str = ""

    @classmethod
    def here(cls, threads, batch_size, uses_amx=False):
        """Return the Setting of this machine, this MXNet and this environment, in a process with AMX or without."""
        found = machine.environment()
        settings = {name: value for name, value in found["settings"].items()
                    if not name.endswith(_IDLE) and (name, value) != (amx.VARIABLE, amx.AMX)}
        return cls(found["cpu"], found["mxnet"], tuple(sorted(settings.items())), int(threads), int(batch_size),
                   amx.isa(uses_amx))

    @property
    def amx(self):
        """bool: whether the AMX units are used."""
        return self.isa == amx.AMX

    @property
    def machine(self):
        """str: all but threads and batch, for sentences."""
        said = ", ".join(([self.isa] if self.isa else []) + ["%s=%s" % item for item in self.settings])
        return "%s with mxnet %s%s" % (self.cpu, self.mxnet, said and " and " + said)

    def __str__(self):
        return "%s, %s" % (self.machine, clock.conditions(self.threads, self.batch_size))


def empty():
    """dict: the section of a setting of which nothing is known."""
    return {"reference_ms": None, "chains": {}, "networks": {}}


def merged(*several):
    """dict: one section of several of the same setting. The first that has them counts, of chains a measured one."""
    section = empty()
    for other in reversed(several):
        section["reference_ms"] = other["reference_ms"] or section["reference_ms"]
        section["networks"] = _deep(section["networks"], other["networks"])
        for key, found in other["chains"].items():
            put(section, key, found)
    return section


def _deep(one, other):
    """dict: of both, where what `other` has counts, and dicts are those of both in their turn."""
    return {**one, **{name: _deep(one[name], value) if isinstance(value, dict) and isinstance(one.get(name), dict)
                      else value for name, value in other.items()}}


def put(section, key, found):
    """Put an entry in place of the one before, unless MXNet refuses now what it once ran."""
    if not ("refused" in found and "relative" in section["chains"].get(key, ())):
        section["chains"][key] = found


def document(sections):
    """dict: as JSON, for people; `sections` is a dict of Setting to section."""
    return {"version": VERSION, "measured": [
        dict(sections[setting], cpu=setting.cpu, mxnet=setting.mxnet, settings=dict(setting.settings),
             threads=setting.threads, batch_size=setting.batch_size, isa=setting.isa) for setting in sorted(sections)]}


def parse(written):
    """dict of Setting to section: what :func:`document` wrote. KeyError, TypeError, ValueError ... on anything else."""
    if written.get("version") != VERSION:
        raise OtherVersion
    sections = {}
    for row in written["measured"]:
        setting = Setting(_text(row["cpu"]), _text(row["mxnet"]),
                          tuple(sorted((name, _text(value)) for name, value in row["settings"].items())),
                          _counted(row["threads"]), _counted(row["batch_size"]), _text(row.get("isa", "")))
        section = _section(row)
        sections[setting] = merged(section, sections[setting]) if setting in sections else section
    return sections


def _section(row):
    chains = {key: checked_entry(found) for key, found in row["chains"].items()}
    networks = {mark: checked_network(found) for mark, found in row["networks"].items()}
    reference = row["reference_ms"]
    if reference is not None or any("relative" in found for found in chains.values()):
        positive(reference)  # without it nobody knows a millisecond
    return {"reference_ms": reference, "chains": chains, "networks": networks}


def checked_entry(found):
    """dict: what is known of a chain; KeyError, TypeError or ValueError where it makes no sense."""
    if "refused" in found:
        return {"refused": _text(found["refused"])}
    if not finite(found["spread"]) >= 0:
        raise ValueError("the spread %r is negative" % found["spread"])
    return {"relative": positive(found["relative"]), "spread": found["spread"], "rounds": _counted(found["rounds"])}


def checked_network(found):
    """dict: what is known of a whole network; TypeError or ValueError where it makes no sense."""
    if not isinstance(found, dict):
        raise TypeError
    return _sound(found)


def _sound(value):
    """The value, all of whose numbers are finite, and positive where they are times."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name == "relative" and item is not None:
                positive(item)
            _sound(item)
    elif isinstance(value, list):
        for item in value:
            _sound(item)
    elif not (value is None or isinstance(value, (str, bool))):
        finite(value)
    return value


def _text(value):
    if not isinstance(value, str):
        raise TypeError
    return value


def _counted(value):
    if type(value) is not int or finite(value) < 1:
        raise ValueError("%r is no count" % (value,))
    return value
