"""accnn check: a table of what is found in a checkpoint, and an exit code."""
import json

import pytest

from accnn import accnn, benchmark, check, fine_tune, score
from accnn.core.compat import mx
from pictures import packed


def change(prefix, what):
    arrays = mx.nd.load(prefix + "-0001.params")
    what(arrays)
    mx.nd.save(prefix + "-0001.params", arrays)


def test_a_plain_checkpoint(prefix, capsys):
    assert accnn.main(["check", "-m", prefix]) == 0
    assert capsys.readouterr().out == "%s, epoch 1: 12 operators, 10 parameters; nothing to say\n" % prefix


def test_a_table_of_everything(prefix, capsys):
    change(prefix, lambda arrays: (arrays.pop("arg:fc2_bias"), arrays.update({"arg:old": mx.nd.ones((2,))})))
    assert check.main(["-m", prefix]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [
        ["severity", "where"], ["error", "fc2_bias"], ["warning", "old"]]
    assert "has no parameter 'fc2_bias', which the layer 'fc2' needs" in lines[1] and lines[3].endswith("2 findings")
    assert check.main(["-m", prefix, "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert found["errors"] == 1 and [one["source"] for one in found["findings"]] == [prefix + "-0001.params"] * 2


def test_a_symbol_that_cannot_be_read(prefix, capsys):
    with open(prefix + "-symbol.json") as handle:
        document = json.load(handle)
    document["nodes"][3]["op"] = ["Convolution"]
    with open(prefix + "-symbol.json", "w") as handle:
        json.dump(document, handle)
    assert check.main(["-m", prefix]) == 2
    assert "'op' of node 3 ('conv1') must be text" in capsys.readouterr().out
    assert check.main(["-m", prefix + "x"]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_scripts_say_the_warnings_and_take_the_checkpoint(prefix, tmp_path, capsys):
    change(prefix, lambda arrays: arrays.update({"arg:old": mx.nd.ones((2,)),
                                                 "aux:fc2_bias": arrays.pop("arg:fc2_bias")}))
    assert accnn.main(["-m", prefix, "--dry-run"]) == 0
    err = capsys.readouterr().err
    assert "holds 1 parameter that the network does not read: old" in err and "reads fc2_bias as arguments" in err


@pytest.mark.parametrize("script, options", [
    (accnn, ["--dry-run"]), (score, ["--data-val", "REC"]), (benchmark, []),
    (fine_tune, ["--data-train", "REC", "--model-prefix", "NEW"]),
])
def test_every_script_tells_what_is_missing_in_the_same_sentence(prefix, tmp_path, capsys, script, options):
    change(prefix, lambda arrays: arrays.pop("arg:fc2_bias"))
    names = {"REC": packed(tmp_path / "some"), "NEW": str(tmp_path / "new")}
    wanted = "--pretrained-model" if script is fine_tune else "-m"
    assert script.main([wanted, prefix] + [names.get(option, option) for option in options]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: %s-0001.params: the checkpoint has no parameter 'fc2_bias', which the layer 'fc2' needs: it belongs to "
        "another symbol or epoch" % prefix)
