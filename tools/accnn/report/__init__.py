"""Tables of plans and of timings, plots, and the page that shows them."""
from importlib import import_module

# The script report.py has this package's name, so who imports the script gets the package: it offers the same. By name,
# because the command line is imported by nothing below it.
_OF_THE_SCRIPT = {"main", "parser", "script"}


def __getattr__(name):
    if name in _OF_THE_SCRIPT:
        return getattr(import_module("accnn.cli.report_script"), name)
    raise AttributeError("module 'accnn.report' has no attribute %r" % name)
