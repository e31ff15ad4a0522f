"""What README.md and the documents tell people to type exists, is understood by the scripts, and runs."""
import argparse
import glob
import importlib
import os
import re
import shlex
import subprocess
import sys

import numpy
import pytest

from accnn.core import amx

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOOLS = os.path.join(ROOT, "tools", "accnn")
MANUAL = sorted(os.path.relpath(path, ROOT) for path in glob.glob(os.path.join(TOOLS, "docs", "*.md")))
DOCUMENTS = ["README.md", "tools/accnn/README.md"] + MANUAL
CONSOLE = (("accnn", "accnn"), ("acc-conv", "acc_conv"), ("acc-fc", "acc_fc"), ("accnn-ranks", "rank_selection"),
           ("accnn-score", "score"), ("accnn-benchmark", "benchmark"), ("accnn-fine-tune", "fine_tune"),
           ("accnn-two-pass", "two_pass"), ("accnn-launch", "launch"), ("accnn-pack", "pack"), ("accnn-check", "check"),
           ("accnn-quantize", "quantize"), ("accnn-export", "export"),
           ("accnn-report", "report"))
SCRIPTS = ["accnn." + module for _, module in CONSOLE] + ["model_zoo.get_model", "model_zoo.demo.run"]
# Lines of commands that are the shell's, or other programs': what they name is not ours to check.
OTHERS = ("cd tools/accnn", ". .venv/bin/activate", "python3 -m venv ", "CONV=$(python ", "pip install ",
          "PYTHONPATH=caffe_pb ")
# Options of python, pip, protoc and apt-get.
FOREIGN = {"--version", "--target", "--python_out", "--no-deps", "--no-install-recommends", "--dist"}


def read(path):
    """str: the text of a file of the repository."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as handle:
        return handle.read()


TEXTS = {path: read(path) for path in DOCUMENTS}


def blocks(text, language):
    """list of str: fenced blocks of a language."""
    return re.findall(r"```%s\n(.*?)```" % language, text, re.S)


def commands(path):
    """list of str: the commands of a document, a line each."""
    lines = "".join(blocks(TEXTS[path], "bash")).replace("\\\n", " ").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def words_of(path):
    """list of list of str: the commands of a document that are ours, without comments."""
    return [shlex.split(line, comments=True) for line in commands(path) if not line.startswith(OTHERS)]


def prose(text):
    """str: a document without its blocks."""
    return re.sub(r"```.*?```", "", text, flags=re.S)


def anchors(text):
    """set of str: what links to the headings of a document end in, as GitHub makes it."""
    headings = re.findall(r"^#+ (.*)$", prose(text), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


class Understood(BaseException):
    """A script took its options."""


def script_of(words, monkeypatch):
    """(module, arguments): the script that ``python FILE ...`` names, from the root or from tools/accnn."""
    assert words[0] == "python", words
    inside = not words[1].startswith(("tools/", "model_zoo/", "tests/"))
    name = os.path.splitext("accnn/" + words[1] if inside else words[1])[0].replace("tools/", "").replace("/", ".")
    monkeypatch.syspath_prepend(ROOT)
    return importlib.import_module(name), words[2:]


def check_understood(words, monkeypatch, capsys):
    """Let the script's own parser read its options, and the program's that a launcher starts."""
    script, arguments = script_of(words, monkeypatch)
    parse = argparse.ArgumentParser.parse_args

    def understood(self, *given, **more):
        raise Understood(parse(self, *given, **more))

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", understood)
        try:
            script.main(arguments)
        except Understood as found:
            started = getattr(found.args[0], "command", None)
        else:
            pytest.fail("%s: %s" % (" ".join(words), capsys.readouterr().err))
    if started:
        check_understood(started, monkeypatch, capsys)


# --- commands and options -------------------------------------------------------------------------

@pytest.mark.parametrize("path", [path for path in DOCUMENTS if not path.endswith(("development.md",
                                                                                                  "quantization.md"))])
def test_every_command_is_understood_by_its_script(path, monkeypatch, capsys):
    assert words_of(path)
    for words in words_of(path):
        check_understood(words, monkeypatch, capsys)


def test_a_wrong_command_is_noticed(monkeypatch, capsys):
    for wrong in ("python accnn.py -m x --rank-selection none", "python score.py -m x --data-val y --ratio 2",
                  "python launch.py -n 2 python fine_tune.py -m x"):
        with pytest.raises(pytest.fail.Exception, match="error: |usage: "):
            check_understood(wrong.split(), monkeypatch, capsys)


@pytest.fixture(scope="module")
def helps():
    """dict of str to set of str: the options of every script."""
    return {name: options_of(importlib.import_module(name)) for name in SCRIPTS}


def options_of(script):
    """set of str: the long options that a script's --help tells."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "print_help", lambda self, *_: found.append(self.format_help()))
        try:
            script.main(["--help"])
        except SystemExit:
            pass
    return set(re.findall(r"--[a-z][\w-]*", found[0]))


@pytest.fixture(scope="module", autouse=True)
def zoo_can_be_imported():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        yield


@pytest.mark.parametrize("path", DOCUMENTS)
def test_every_option_named_is_known(path, helps):
    text = re.sub(r"^.*tests/benchmarks/\w+\.py.*$", "", TEXTS[path], flags=re.M)
    assert set(re.findall(r"--[a-z][\w-]+", text)) <= set().union(FOREIGN, *helps.values())


@pytest.mark.parametrize("text", [line for line in TEXTS["README.md"].splitlines() if re.match(r"\| `\w+\.py", line)])
def test_the_list_of_scripts_names_options_that_each_has(text, helps):
    assert set(re.findall(r"--[a-z][\w-]+", text)) <= helps["accnn." + re.match(r"\| `(\w+)\.py", text)[1]]


def test_the_console_commands_are_installed_by_setup():
    setup = read("setup.py")
    for command, module in CONSOLE:
        assert '"%s": "accnn.%s"' % (command, module) in setup and "`%s`" % command in TEXTS["README.md"]


# --- files and links ------------------------------------------------------------------------------

@pytest.mark.parametrize("path", DOCUMENTS)
def test_every_file_named_exists(path):
    named = set(re.findall(r"(?<![\w/])(?:tools|model_zoo|tests)/[\w/]+\.(?:py|md)", TEXTS[path]))
    assert [name for name in named if not os.path.exists(os.path.join(ROOT, name))] == []


@pytest.mark.parametrize("path", DOCUMENTS)
def test_every_link_leads_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(TEXTS[path])):
        name, _, anchor = target.partition("#")
        to = os.path.normpath(os.path.join(os.path.dirname(path), name)) if name else path
        assert os.path.exists(os.path.join(ROOT, to)), target
        assert not anchor or anchor in anchors(read(to)), target


@pytest.mark.parametrize("path", DOCUMENTS[:2])
def test_every_document_is_linked(path):
    linked = re.findall(r"\]\(((?:tools/accnn/)?docs/\w+\.md)\)", TEXTS[path])
    assert {os.path.basename(one) for one in linked} == {os.path.basename(one) for one in MANUAL}


def test_the_two_commands_set_up_alike():
    (demo,), (tests,) = (re.findall(r"<!-- %s -->\n```bash\n(.*)\n```\n" % mark, TEXTS["README.md"])
                         for mark in ("demo", "tests"))
    assert demo.split(" && ")[:3] == tests.replace("[test]", "[demo]").split(" && ")[:3]
    assert tests.endswith(".venv/bin/ruff check . && .venv/bin/pytest -q -rs -n 2 --dist loadfile")
    assert os.path.exists(os.path.join(ROOT, demo.split()[-1]))


# --- what there is has its place ------------------------------------------------------------------

def test_every_method_rank_rule_and_cost_has_its_row():
    from accnn import accnn, methods

    usage, rows = accnn.parser().format_usage(), {"method": methods.names()}
    for option in ("rank-selection", "cost"):
        rows[option] = re.search(r"--%s\s+{([^}]+)}" % option, usage)[1].split(",")
    text = TEXTS["tools/accnn/docs/methods.md"]
    for option, names in rows.items():
        (table,) = re.findall(r"^\| `--%s` \|.*\n\|[-|]+\n((?:\|.*\n)+)" % option, text, re.M)
        assert sorted(re.findall(r"^\| `([\w-]+)`", table, re.M)) == sorted(names)


def test_every_benchmark_has_its_command():
    listed = [line for line in commands("tools/accnn/docs/development.md") if "tests/benchmarks/" in line]
    named = [re.search(r"tests/benchmarks/(\w+\.py)", line)[1] for line in listed]
    assert sorted(named) == sorted(map(os.path.basename, glob.glob(os.path.join(ROOT, "tests", "benchmarks", "*.py"))))
    for line, name in zip(listed, named):
        opening = read("tests/benchmarks/" + name).split('"""')[1]
        assert "python tests/benchmarks/" + name in opening
        assert set(re.findall(r"--[a-z][\w-]+", line)) <= set(re.findall(r"--[a-z][\w-]+", opening))


def test_the_packages_listed_are_those_there_are():
    listed = re.findall(r"^\| `(\w+)/` \|", TEXTS["tools/accnn/docs/development.md"], re.M)
    there = [os.path.basename(os.path.dirname(path)) for path in glob.glob(os.path.join(TOOLS, "*", "__init__.py"))]
    assert sorted(listed) == sorted(there)


def test_every_file_and_function_of_the_package_that_is_named_exists():
    text = TEXTS["tools/accnn/docs/development.md"]
    for path in re.findall(r"`((?!tests|model_zoo)\w+/\w+\.py)`", text):
        assert os.path.exists(os.path.join(TOOLS, path)), path
    packages = "|".join(re.findall(r"^\| `(\w+)/` \|", text, re.M))
    names = re.findall(r"`((?:accnn|%s)\.(?!py\b)\w+(?:\.\w+)*)\b[`(]" % packages, text)
    assert len(names) > 10
    for name in names:
        module, _, member = name.rpartition(".")
        assert hasattr(importlib.import_module("accnn." + module), member), name


# --- what runs ------------------------------------------------------------------------------------

@pytest.mark.parametrize("path, made", [("README.md", ["new-vgg16-0001.params", "plan.json"]),
                                        ("tools/accnn/docs/engines.md", ["vgg16-bf16-0001.params"]),
                                        ("tools/accnn/docs/quantization.md", ["vgg16-int8-0001.params"]),
                                        ("tools/accnn/docs/report.md", ["layers.svg", "energy.svg"])])
def test_python_runs(path, made, tmp_path, monkeypatch):
    from networks import chain_model, random_input, saved

    saved(chain_model(widths=(16, 32, 32)), tmp_path / "vgg16")
    numpy.save(str(tmp_path / "images.npy"), random_input(16, 3, 12, 12))
    monkeypatch.chdir(tmp_path)
    for code in blocks(TEXTS[path], "python"):
        exec(compile(code.replace("224, 224", "12, 12"), path, "exec"), {})  # noqa: S102  (our own page)
    assert all((tmp_path / name).exists() for name in made)


def test_python_of_every_document_runs():
    assert [path for path in DOCUMENTS if blocks(TEXTS[path], "python")] == [
        "README.md", "tools/accnn/docs/engines.md", "tools/accnn/docs/quantization.md", "tools/accnn/docs/report.md"]


@pytest.mark.skipif(amx.unusable() is not None, reason="needs AMX: %s" % amx.unusable())
@pytest.mark.parametrize("code", blocks(TEXTS["tools/accnn/docs/engines.md"], "py"))
def test_the_ways_to_wake_amx_work(code):
    """In a process that runs a pass afterwards; where the permission is missing nothing is woken."""
    code = "import numpy\nnumpy.bool = bool\n" + code + "import mxnet as mx\nprint(mx.nd.Convolution(mx.nd.ones(" \
        "(1, 4, 8, 8)), mx.nd.ones((4, 4, 3, 3)), kernel=(3, 3), num_filter=4, no_bias=True).sum().asscalar())"
    environment = dict(os.environ, PYTHONPATH=os.path.dirname(TOOLS), DNNL_VERBOSE="1")
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "Intel AMX" in done.stdout and done.stdout.split()[-1] == "5184.0", done.stderr


def photographed(folder, count):
    """Draw so many pictures, one subfolder a class."""
    from pictures import CLASSES, drawn

    for number in range(count):
        target = folder / ("class%d" % (number % CLASSES)) / ("%d.png" % number)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(drawn(seed=number))


def test_every_operator_that_is_exported_is_listed():
    from accnn.exporting import operators
    from accnn.exporting.registry import CONVERTERS

    text = TEXTS["tools/accnn/docs/export.md"]
    many = {name for name, function in CONVERTERS.items() if function.__module__ == operators.arithmetic.__name__}
    assert [name for name in CONVERTERS if name not in many and "`%s`" % name not in text] == []


# What measures, and jobs of several workers, take too long; they have tests of their own.
@pytest.mark.parametrize("path", ["README.md"] + ["tools/accnn/docs/%s.md" % name for name in (
    "calibration", "checkpoints", "export", "methods", "quantization", "report", "training")])
def test_commands_run(path, tmp_path, monkeypatch, capsys):
    for document, library, extra in (("export.md", "onnxruntime", "onnx"), ("report.md", "matplotlib", "report")):
        if path.endswith(document):
            pytest.importorskip(library, reason="needs pip install '.[%s]'" % extra)
    from networks import chain_model, saved
    from pictures import items, packed

    saved(chain_model(widths=(16, 32, 32)), tmp_path / "vgg16")
    for count, records, photos in ((140, "train", "photos"), (23, "val", "val-photos")):
        if any("pack.py" in words for words in words_of(path)):
            photographed(tmp_path / photos, count)
        else:
            packed(tmp_path / records, items(count))
    (tmp_path / "tools" / "accnn").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "tools" / "accnn")
    first = [] if any("accnn.py" in words for words in words_of(path)) else words_of("README.md")[:1]
    for words in first + words_of(path):
        script, arguments = script_of(words, monkeypatch)
        arguments += ["--no-timing"] if words[1] == "report.py" else []
        if words[1] not in ("benchmark.py", "launch.py"):
            assert script.main(arguments) == 0, (words, capsys.readouterr().err)
