"""Packages import one way only, in the order of development.md, at the top of their modules, and MXNet last."""
import ast
import os
import re
import subprocess
import sys
import tokenize

import pytest

PACKAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools", "accnn")
# From the ground up: a package imports only from those that stand before it.
ORDER = ("core", "graph", "methods", "costs", "runtime", "quantization", "exporting", "engines", "data", "ranks",
         "scoring", "timing", "reconstruction", "training", "latency", "planning", "iterative", "report", "cli")
MOST_INSIDE_FUNCTIONS = 15


def modules():
    """dict of str to ast.Module: every module below the package by its dotted name, such as 'graph.ir'."""
    found = {}
    for folder, _, files in os.walk(PACKAGE):
        for name in files:
            if name.endswith(".py"):
                path = os.path.join(folder, name)
                dotted = os.path.relpath(path, PACKAGE)[:-len(".py")].replace(os.sep, ".")
                with open(path, encoding="utf-8") as handle:
                    found[dotted] = ast.parse(handle.read(), path)
    return found


MODULES = modules()


def imports(tree):
    """Yield (module, line) of the modules of accnn that a module imports, wherever the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "accnn":
            base = node.module.split(".")[1:]
            for alias in node.names:
                yield _module(base, alias.name), node.lineno
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "accnn":
                    yield _module(alias.name.split(".")[1:], ""), node.lineno


def _module(base, name):
    for dotted in (base + [name], base + [name, "__init__"], base, base + ["__init__"]):
        if ".".join(dotted) in MODULES:
            return ".".join(dotted)
    raise AssertionError("no module %s of accnn" % ".".join(base + [name]))


def package(module):
    """str: the package of a module; '' for scripts and others beside the packages."""
    return module.partition(".")[0] if "." in module else ""


def test_the_order_names_every_package():
    assert sorted(ORDER) == sorted({package(module) for module in MODULES} - {""})


@pytest.mark.parametrize("name", ORDER)
def test_a_package_imports_only_from_those_before_it(name):
    allowed = set(ORDER[:ORDER.index(name) + 1])
    wrong = ["%s:%d imports %s" % (module, line, target) for module, tree in MODULES.items() if package(module) == name
             for target, line in imports(tree) if package(target) not in allowed]
    assert wrong == []


def test_no_circle_of_modules():
    edges = {module: {target for target, _ in imports(tree) if target != module} for module, tree in MODULES.items()}
    while edges:  # what imports nothing that is left cannot be in a circle
        free = {module for module, targets in edges.items() if not targets}
        assert free, "these modules import each other in a circle: %s" % sorted(edges)
        edges = {module: targets - free for module, targets in edges.items() if module not in free}


def inside_functions(tree):
    """set of int: lines on which functions of a module import something."""
    functions = (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))
    return {node.lineno for function in functions for node in ast.walk(function)
            if isinstance(node, (ast.Import, ast.ImportFrom))}


def test_few_imports_stand_inside_functions_and_each_says_why():
    found = [(module, line) for module, tree in MODULES.items() for line in inside_functions(tree)]
    assert 0 < len(found) <= MOST_INSIDE_FUNCTIONS
    for module, line in found:
        with open(os.path.join(PACKAGE, *module.split(".")) + ".py", encoding="utf-8") as handle:
            above, itself = handle.read().splitlines()[line - 2:line]
        assert "#" in itself or above.lstrip().startswith("#"), "%s:%d imports, and does not say why" % (module, line)


# ---- the library does not know the command line

LIBRARY = sorted(module for module in MODULES if package(module) not in ("", "cli"))
OF_PIP = "--no-deps"


def texts(module):
    """Yield (line, text) of the comments, docstrings and other strings of a module."""
    with open(os.path.join(PACKAGE, *module.split(".")) + ".py", "rb") as handle:
        for token in tokenize.tokenize(handle.readline):
            if token.type not in (tokenize.OP, tokenize.NAME, tokenize.NUMBER):  # f-strings have tokens of their own
                yield token.start[0], token.string


@pytest.mark.parametrize("name", ORDER[:-1])
def test_no_file_of_the_library_names_an_option(name):
    """A sentence names a setting as the argument in backticks, which accnn.cli.setting_names spells as an option."""
    found = ["%s:%d says %s" % (module, line, word) for module in LIBRARY if package(module) == name
             for line, text in texts(module) for word in re.findall(r"(?<![\w-])--[a-z][\w-]*", text) if word != OF_PIP]
    assert found == []


def test_the_library_does_not_know_argparse():
    knowing = [module for module in LIBRARY for node in ast.walk(MODULES[module])
               if isinstance(node, ast.Import) and any(alias.name == "argparse" for alias in node.names)
               or isinstance(node, ast.ImportFrom) and node.module == "argparse"
               or isinstance(node, (ast.Name, ast.Attribute)) and "Namespace" in ast.dump(node)]
    assert knowing == []


# ---- MXNet last

WITHOUT_MXNET = """
import importlib, sys
for name in {modules}:
    module = importlib.import_module("accnn." + name)
    if name in {scripts}:
        module.parser().format_help()
    if "mxnet" in sys.modules:
        sys.exit(name + " imports MXNet before it is needed")
"""


def test_nothing_imports_mxnet_before_it_is_needed():
    """So that --help, a mistyped option and a wrong path do not wait for it."""
    names = sorted(name for name in MODULES if not name.endswith(("__init__", "__main__", "_inplace")))
    scripts = [name for name in names if package(name) == "" and name != "utils"]
    assert len(scripts) == 14
    program = WITHOUT_MXNET.format(modules=scripts + names, scripts=scripts)
    environment = dict(os.environ, PYTHONPATH=os.path.dirname(PACKAGE))
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
