"""What README.md tells people to type exists."""
import os
import re
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as handle:
    README = handle.read()
SCRIPTS = ["tools/accnn/%s.py" % name for name in (
    "accnn", "acc_conv", "rank_selection", "score", "benchmark", "fine_tune", "two_pass", "pack",
    "launch", "check")]
SCRIPTS.append("model_zoo/get_model.py")


def blocks(language):
    """list of str: fenced blocks of a language."""
    return re.findall(r"```%s\n(.*?)```" % language, README, re.S)


def test_every_file_named_in_a_command_exists():
    named = set(re.findall(r"(?:tools|model_zoo|tests)/[\w/]+\.py", README))
    assert {"model_zoo/demo/run.py", "model_zoo/get_model.py"} <= named
    assert all(os.path.exists(os.path.join(ROOT, path)) for path in named)


def test_every_option_named_is_known():
    help_text = ""
    for script in SCRIPTS:
        help_text += subprocess.run([sys.executable, os.path.join(ROOT, script), "--help"], capture_output=True,
                                    text=True).stdout
    known = set(re.findall(r"--[\w-]+", help_text)) | {"--help", "--version", "--target", "--python_out"}
    # The others are of python, pip and protoc.
    assert set(re.findall(r"--[a-z][\w-]+", README)) <= known


def test_every_method_rank_rule_and_cost_has_its_place():
    from accnn import costs, methods, ranks

    for name in methods.names() + ranks.names() + costs.names():
        assert "`%s`" % name in README


@pytest.mark.parametrize("code", blocks("python"))
def test_python_of_the_readme_runs(code, tmp_path, monkeypatch):
    from networks import chain_model, saved

    saved(chain_model(widths=(16, 32, 32)), tmp_path / "vgg16")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102  (our own page)
    assert (tmp_path / "new-vgg16-0001.params").exists() and (tmp_path / "plan.json").exists()


def test_the_console_commands_are_installed_by_setup():
    with open(os.path.join(ROOT, "setup.py"), encoding="utf-8") as handle:
        setup = handle.read()
    for command, module in (("accnn", "accnn"), ("acc-conv", "acc_conv"), ("acc-fc", "acc_fc"),
                            ("accnn-ranks", "rank_selection"), ("accnn-score", "score"),
                            ("accnn-benchmark", "benchmark"), ("accnn-fine-tune", "fine_tune"),
                            ("accnn-two-pass", "two_pass"), ("accnn-launch", "launch"), ("accnn-pack", "pack"),
                            ("accnn-check", "check")):
        assert '"%s": "accnn.%s"' % (command, module) in setup and "`%s`" % command in README
