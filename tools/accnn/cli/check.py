"""check.py: its options, the table of findings."""
import json
from dataclasses import replace

from accnn.cli import options
from accnn.cli.setting_names import spelled
from accnn.cli.types import Parser
from accnn.core.errors import AccnnError
from accnn.core.text import columns
from accnn.graph.checkpoint import examine


def parser(description):
    """Parser: the options."""
    arguments = Parser("accnn-check", description)
    options.add_checkpoint_options(arguments, "checkpoint to look at")
    arguments.add_argument("--json", action="store_true", help="print the findings as JSON")
    return arguments


def run(args):
    """int: the exit code, 2 where there is an error."""
    model, findings = examine(args.model, args.load_epoch)
    findings = [replace(finding, what=spelled(finding.what)) for finding in findings]
    errors = sum(finding.severity == "error" for finding in findings)
    if args.json:
        print(json.dumps({"epoch": model and model.epoch, "errors": errors, "findings": [
            dict(vars(finding)) for finding in findings]}, indent=2))
    else:
        print("\n".join(_table(findings) + _summary(args.model, model, findings)))
    return AccnnError.exit_code if errors else 0


def _table(findings):
    rows = [("severity", "where", "what")] + [(one.severity, one.where, one.what) for one in findings]
    return columns(rows, "<<<") if findings else []


def _summary(prefix, model, findings):
    if model is None:
        return []
    operators = sum(not node.is_variable for node in model.graph.nodes)
    return ["%s, epoch %d: %d operators, %d parameters; %s" % (
        prefix, model.epoch, operators, len(model.arg_params) + len(model.aux_params),
        "%d findings" % len(findings) if findings else "nothing to say")]
