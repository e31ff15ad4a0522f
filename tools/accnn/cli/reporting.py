"""``--report FILE.html``: refused before any work where it cannot be written, and written when all is known."""
import os
from dataclasses import replace

from accnn import methods
from accnn.cli.outputs import check_config
from accnn.cli.replacing import check_replaced
from accnn.cli.setting_names import spelled
from accnn.core.errors import AccnnError
from accnn.core.layers import FP32
from accnn.report import compared, curves, page
from accnn.report.evidence import ReportEvidence
from accnn.timing.machine import environment

_BEGINNING = 1000  # bytes, in which a report says that it is one


def add_report_option(parser):
    """The option ``--report``, which means the same in every script that has it."""
    parser.add_argument("--report", metavar="FILE.html",
                        help="write what was found as one page with plots, which a browser opens without a server; "
                             "needs the extra 'report'")


def check(args, option="--report", path=None):
    """Refuse, before any work, a report that cannot be written, or would replace what is none.

    Raises
    ------
    AccnnError
    """
    path = args.report if path is None else path
    if path is None:
        return
    if not path.lower().endswith((".html", ".htm")):
        raise AccnnError("%s %s is a page for a browser: give a name that ends in .html" % (option, path))
    page.check_libraries()
    for prefix in filter(None, (args.model, getattr(args, "baseline", None))):
        check_config(option, prefix, path)
    check_replaced(option, path, [path], args.force, is_report)


def is_report(path):
    """bool: whether a file is a report that was written here."""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return 'name="generator" content="%s ' % page.GENERATOR in handle.read(_BEGINNING)
    except OSError:
        return False


def of_plan(args, accelerator, plan, result):
    """Return the evidence of a plan that was applied, or None where no report is asked for.

    While the decompositions are there; :func:`written` adds what the clock says.

    Parameters
    ----------
    args : Namespace
    accelerator : Accelerator
    plan : Plan
    result : dict
        Of :func:`accnn.report.plan.summary`, with what was written.
    """
    if args.report is None:
        return None
    chains = {row.layer: compared.chain_of_parts(row.layer, methods.get(row.method).chain(
        accelerator.specs[row.layer], row.rank)) for row in plan.chosen()}
    found = curves.plan_evidence(accelerator, plan, everything=False)
    return ReportEvidence(getattr(args, "save_model", None) or args.model, args.model, summary=result, chains=chains,
                          plan_text=plan.text(), int8=result.get("int8"),
                          energies=curves.energy_curves(plan, found),
                          sensitivities=curves.sensitivity_curves(plan, found))


def of_int8(args, result):
    """Return the evidence of an INT8 network, or None where no report is asked for.

    Parameters
    ----------
    args : Namespace
    result : dict
        Of :func:`accnn.report.int8.summary`, with what was written.
    """
    if args.report is None:
        return None
    return ReportEvidence(args.save_model, args.model, summary={"layers": [], "made_by": {}, "file_bytes": result.get(
        "file_bytes")}, int8=result)


def of_stages(args, result):
    """Return the evidence of two passes, or None where no report is asked for.

    Parameters
    ----------
    args : Namespace
    result : dict
        Of :func:`accnn.iterative.report.summary`.
    """
    if args.report is None:
        return None
    layers = [dict(layer, precision=FP32, reason=None, macs_before=None, macs_after=None)
              for layer in result["layers"]]
    summary = {"layers": layers, "made_by": result["made_by"], "convolutions": result["convolutions"]}
    return ReportEvidence(args.save_model, args.model, summary=summary, stages=result, history=epochs_of(result))


def epochs_of(stages):
    """tuple of dict: the epochs of all stages as one history.

    Parameters
    ----------
    stages : dict
        Of :func:`accnn.iterative.report.summary`.
    """
    found, before = [], 0
    for stage in stages["stages"]:
        found += [dict(entry, epoch=before + entry["epoch"]) for entry in stage["entries"]
                  if entry["epoch"] or not before]
        before += stage["epochs"]
    return tuple(found)


def add_written(args, evidence, result):
    """Write the report of some evidence, None for none, and tell it among the files of a result.

    Parameters
    ----------
    args : Namespace
    evidence : ReportEvidence or None
    result : dict
        With ``measured`` where something was timed; ``written`` gets the report's path.
    """
    files = written(args, evidence, timings=result.get("measured"), scores=result.get("scores"))
    if files:
        result["written"] = dict(result.get("written", {}), **files)


def written(args, evidence, **more):
    """Write the report of some evidence, None for none, with what was found since.

    Parameters
    ----------
    args : Namespace
    evidence : ReportEvidence or None
    **more
        Attributes of the evidence.

    Returns
    -------
    dict
        What a script says of it among its other files; empty where there is no report.
    """
    if evidence is None:
        return {}
    timings = more.get("timings")
    evidence = replace(evidence, command=args.typed, machine=(timings or {}).get("environment") or environment(),
                       **more)
    evidence = replace(evidence, summary=spelled(evidence.summary), unknown=tuple(spelled(evidence.unknown)))
    page.write_report(args.report, evidence)
    return {"report": os.path.relpath(args.report)}
