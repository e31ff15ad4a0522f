"""The report as one HTML file that needs no server and no network."""
import os

from accnn.core.errors import AccnnError
from accnn.core.files import written_whole
from accnn.core.layers import FP32
from accnn.core.libraries import loaded
from accnn.core.text import cell, percent, points, times
from accnn.core.versions import VERSION
from accnn.report import answers, run_sections, sections, style
from accnn.report.tables import table
from accnn.timing.clock import conditions, known_to

GENERATOR = "accnn report"  # by which a file is told to be one
_TEMPLATE = "page.html"
_OF_A_PLAN = (sections.layers, answers.scores, sections.errors, run_sections.int8)
_SECTIONS = (sections.timing, sections.layers, sections.front, answers.scores, answers.disagreement, sections.energies,
             sections.sensitivities, sections.errors, run_sections.int8, run_sections.history, run_sections.stages)


def check_libraries():
    """Refuse where a library is missing that reports need.

    Raises
    ------
    AccnnError
        Names the extra that brings it.
    """
    for name in ("jinja2", "matplotlib"):
        loaded(name)


def write_report(path, evidence):
    """Write a report.

    Parameters
    ----------
    path : str
        Of the HTML file; one that is there is replaced.
    evidence : ReportEvidence

    Raises
    ------
    AccnnError
        A library is missing, or the file cannot be written.
    """
    text = html(evidence)
    try:
        with written_whole(path) as temporary, open(temporary, "w", encoding="utf-8", errors="replace") as handle:
            handle.write(text)
    except OSError as error:
        raise AccnnError("the report %s cannot be written: %s" % (path, error.strerror or error)) from error


def html(evidence):
    """str: the page; see :func:`write_report`."""
    check_libraries()
    return _template().render(
        evidence=evidence, generator=GENERATOR, version=VERSION, sections=_sections(_SECTIONS, evidence),
        figures=_figures(evidence), names=tuple(map(os.path.basename, (evidence.name, evidence.baseline))),
        totals=_totals(evidence), chains=_chains(evidence), machine=_machine(evidence), plans=_plans(evidence))


def _sections(kinds, evidence):
    """list of Section: of some functions those that evidence has something for."""
    return [section for section in (make(evidence) for make in kinds) if section is not None]


def _plans(evidence):
    """list of dict: of each of several plans what the page says of one, under a key and a title of its own."""
    return [{"key": "plan-%d" % place, "title": point.name, "says": sections.told_point(point), "evidence": one,
             "totals": _totals(one), "chains": _chains(one), "sections": _sections(_OF_A_PLAN, one)}
            for place, (point, one) in enumerate(zip(evidence.front[1:], evidence.plans), 1)]


def _template():
    jinja2 = loaded("jinja2")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True,
                                     undefined=jinja2.StrictUndefined,
                                     loader=jinja2.FileSystemLoader(os.path.dirname(os.path.abspath(__file__))))
    environment.filters["renamed"] = style.renamed
    return environment.get_template(_TEMPLATE)


def _figures(evidence):
    """list of (figure, what it is, how sure): the numbers that stand above all others."""
    found = []
    run = evidence.timings and evidence.timings["runs"][0]
    if run and "measured" in run:
        found.append((times(run["measured"]["median"]), "faster, measured",
                      "%s%s" % (conditions(run["threads"], run["batch_size"]),
                                cell("; known to %s", known_to(run["measured"].get("uncertainty")) or None))))
    summary = evidence.summary or {}
    for key, title in (("network", "fewer multiply-adds"), ("file_bytes", "smaller file")):
        if summary.get(key) and summary[key].get("ratio"):
            found.append((times(summary[key]["ratio"]), title, "theoretical" if key == "network" else
                          "%.1f MB, was %.1f MB" % (summary[key]["after"] / 1e6, summary[key]["before"] / 1e6)))
    return found + _accuracy(evidence.scores or {})


def _accuracy(scores):
    pair, model = scores.get("paired"), scores.get("model")
    if not pair:
        return []
    low, high = pair["drop_interval_95"]
    return [(percent(model["top"]["1"]["accuracy"]) if "1" in model["top"] else "", "top-1",
             "points lost: %s, 95%% interval %s to %s" % (points(pair["drop"]["1"]), points(low), points(high)))
            ] if "1" in pair["drop"] else []


def _totals(evidence):
    rows = sections.totals(evidence)
    return table("Before and after", ("", "before", "after", "ratio"), rows) if rows else None


def _chains(evidence):
    """list of (layer, what it is split by, parts): of the layers that a chain stands for."""
    layers = {layer["layer"]: layer for layer in (evidence.summary or {}).get("layers", ())}
    return [(name, _how(layers.get(name)), parts) for name, parts in evidence.chains.items()]


def _how(layer):
    if layer is None:
        return ""
    precision = layer["precision"] if layer["precision"] != FP32 else ""
    return ", ".join(filter(None, (layer["method"], precision)))


def _machine(evidence):
    """list of (str, str): of a machine and the versions on it."""
    found = evidence.machine or {}
    rows = [("processor", found.get("cpu")), ("cores", found.get("cores")), ("instructions", found.get("isa") and (
        "%s, AMX %s" % (found["isa"], "on" if found.get("amx") else "off"))), ("system", found.get("system")),
            ("Python", found.get("python")), ("MXNet", found.get("mxnet")), ("NumPy", found.get("numpy")),
            ("accnn", VERSION)]
    rows += sorted((found.get("settings") or {}).items())
    return [(name, str(value)) for name, value in rows if value not in (None, "")]
