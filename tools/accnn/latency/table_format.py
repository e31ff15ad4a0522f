"""The file format of the latency table: settings, the section of each, its JSON document, and the check of one read."""
import zlib
from dataclasses import dataclass
from typing import Tuple

from accnn import engines
from accnn.core import amx
from accnn.core.json_store import OtherVersion, finite, positive
from accnn.timing import clock, machine

WHAT = "table of milliseconds"
VERSION = 2  # to be changed when what is timed is


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
        The instruction set that the engine computes with, by oneDNN's name, see :func:`accnn.core.amx.isa`; empty where
        a table does not say.
    engine : str
        What ran layers and networks, and its version, as in 'openvino 2026.4.1'; empty: MXNet, which runs the reference
        in any case.
    """

    cpu: str
    mxnet: str
    settings: Tuple[Tuple[str, str], ...]
    threads: int
    batch_size: int
    isa: str = ""
    engine: str = ""

    @classmethod
    def here(cls, threads, batch_size, uses_amx=False, engine=engines.DEFAULT):
        """Return the Setting of this machine, MXNet, environment and engine, in a process with AMX or without."""
        found = machine.environment()
        settings = {name: value for name, value in machine.settings(found["settings"]).items()
                    if (name, value) != (amx.VARIABLE, amx.AMX)}
        other = engines.get(engine) if engine != engines.DEFAULT else None
        return cls(found["cpu"], found["mxnet"], tuple(sorted(settings.items())), int(threads), int(batch_size),
                   other.isa() if other else amx.isa(uses_amx), _named(other) if other else "")

    @property
    def amx(self):
        """bool: whether MXNet uses the AMX units."""
        return self.isa == amx.AMX and not self.engine

    @property
    def engine_name(self):
        """str: of the engine, as :func:`accnn.engines.get` knows it."""
        return self.engine.partition(" ")[0] or engines.DEFAULT

    @property
    def ran_by(self):
        """str: engine and version, MXNet's too."""
        return self.engine or "%s %s" % (engines.DEFAULT, self.mxnet)

    @property
    def machine(self):
        """str: all but threads and batch, for sentences."""
        said = ", ".join(([self.isa] if self.isa else []) + ["%s=%s" % item for item in self.settings])
        ran = ["%s %s" % (engines.DEFAULT, self.mxnet)] + [self.engine] * bool(self.engine)
        return "%s with %s%s" % (self.cpu, " and ".join(ran), said and " and " + said)

    def __str__(self):
        return "%s, %s" % (self.machine, clock.conditions(self.threads, self.batch_size))


def _named(engine):
    """str: name and version of an Engine; of one that is not there the name alone."""
    return engine.name + (" " + engine.version if engine.available() is None else "")


def network_key(mark):
    """str: what a whole network is called in a table; of chains see :mod:`accnn.timing.keys`."""
    return "network " + mark


def empty():
    """dict: the section of a setting of which nothing is known."""
    return {"reference_ms": None, "times": {}, "plans": {}}


def merged(*several):
    """dict: one section of several of the same setting. The first that has an entry counts, if it was measured."""
    section = empty()
    for other in reversed(several):
        section["reference_ms"] = other["reference_ms"] or section["reference_ms"]
        for key, found in other["times"].items():
            put(section, key, found)
        section["plans"].update(other["plans"])
    return section


def put(section, key, found):
    """Put an entry in place of the one before, unless MXNet refuses now what it once ran."""
    if not ("refused" in found and "relative" in section["times"].get(key, ())):
        section["times"][key] = found


def document(sections):
    """dict: as JSON, for people; `sections` is a dict of Setting to section."""
    return {"version": VERSION, "measured": [
        dict(sections[setting], cpu=setting.cpu, mxnet=setting.mxnet, settings=dict(setting.settings),
             threads=setting.threads, batch_size=setting.batch_size, isa=setting.isa,
             engine=setting.ran_by) for setting in sorted(sections)]}


def parse(written):
    """dict of Setting to section: what :func:`document` wrote. KeyError, TypeError, ValueError ... on anything else."""
    if written.get("version") != VERSION:
        raise OtherVersion
    sections = {}
    for row in written["measured"]:
        setting = Setting(_text(row["cpu"]), _text(row["mxnet"]),
                          tuple(sorted((name, _text(value)) for name, value in row["settings"].items())),
                          _counted(row["threads"]), _counted(row["batch_size"]), _text(row.get("isa", "")),
                          _engine(row))
        section = _section(row)
        sections[setting] = merged(section, sections[setting]) if setting in sections else section
    return sections


def _engine(row):
    """str: of a Setting; earlier versions knew MXNet only."""
    said = _text(row.get("engine", ""))
    return "" if said.partition(" ")[0] == engines.DEFAULT else said


def _section(row):
    times = {key: checked_entry(found) for key, found in (_older(row) if "chains" in row else row["times"]).items()}
    reference = row["reference_ms"]
    if reference is not None or any("relative" in found for found in times.values()):
        positive(reference)  # without it nobody knows a millisecond
    return {"reference_ms": reference, "times": times, "plans": {
        mark: checked_plan(found) for mark, found in row.get("plans", {}).items()}}


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


def plan_entry(network, original, chains, in_fp32, ratio):
    """(str, dict): what a planned network is called in a table, and what is kept of it.

    Parameters
    ----------
    network, original : str
        What the table calls the network with no layer split, and that of which the ratio is taken.
    chains : dict of str to str
        Layer -> key of the chain in its place.
    in_fp32 : iterable of str
        Layers that stay in float32 beside those that have to.
    ratio : float
        The measured speed-up.
    """
    made = {"network": network, "original": original, "chains": dict(chains), "in_fp32": sorted(in_fp32)}
    text = " ".join([network, original] + ["%s=%s" % item for item in sorted(chains.items())] + made["in_fp32"])
    return "plan %08x" % zlib.crc32(text.encode()), checked_plan(dict(made, ratio=ratio))


def checked_plan(found):
    """dict: what is known of a planned network; KeyError, TypeError or ValueError where it makes no sense."""
    chains = {_text(layer): _text(key) for layer, key in found["chains"].items()}
    return {"network": _text(found["network"]), "original": _text(found["original"]), "chains": chains,
            "in_fp32": list(map(_text, found["in_fp32"])), "ratio": positive(found["ratio"])}


def _text(value):
    if not isinstance(value, str):
        raise TypeError
    return value


def _counted(value):
    if type(value) is not int or finite(value) < 1:
        raise ValueError("%r is no count" % (value,))
    return value
