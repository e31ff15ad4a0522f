"""What a script did not make is never replaced unasked; what it made is, by the same command."""
import json
import os
import shutil

import pytest

from accnn import acc_conv, acc_fc, accnn, quantize, rank_selection
from accnn.cli.outputs import check_epochs
from accnn.cli.replacing import check_replaced, is_counts, is_plan
from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.checkpoint import load_model, params_path, save_model, symbol_path
from accnn.graph.mark import is_marked
from accnn.ranks.energy_cache import Energies
from networks import chain_model, outputs, random_input, saved
from pictures import items, packed

SPLIT = {"accnn": (accnn, ["--ratio", "1.3"]), "acc_conv": (acc_conv, ["--layer", "conv2", "--K", "5"]),
         "acc_fc": (acc_fc, ["--layer", "fc1", "--K", "5"])}


def contents(folder):
    return {name: (folder / name).read_bytes() for name in sorted(os.listdir(str(folder))) if (folder / name).is_file()}


@pytest.fixture
def run(prefix, tmp_path, capsys):
    """Run a script on the small network; return its code and what it said, a refusal having changed nothing."""
    def run(script, *arguments):
        before = contents(tmp_path)
        code = script.main(["-m", prefix, "--input-shape", "3,12,12"] + list(arguments))
        assert code == 0 or contents(tmp_path) == before
        return code, capsys.readouterr().err
    return run


@pytest.fixture
def made(run, tmp_path):
    """Prefix of what accnn.py made."""
    assert run(accnn, "--ratio", "1.3", "--save-model", str(tmp_path / "new"))[0] == 0
    return str(tmp_path / "new")


@pytest.mark.parametrize("name", sorted(SPLIT))
def test_the_same_command_twice_replaces_its_own_result_with_the_same_bytes(run, tmp_path, name):
    script, arguments = SPLIT[name]
    arguments = arguments + ["--save-model", str(tmp_path / "new")]
    assert run(script, *arguments) == (0, "")
    before = contents(tmp_path)
    code, said = run(script, *arguments)
    assert code == 0 and "replacing %s" % tmp_path in said
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", sorted(SPLIT))
def test_another_network_stays_unless_forced(run, tmp_path, name):
    script, arguments = SPLIT[name]
    theirs = saved(chain_model(seed=7), tmp_path / "theirs")
    arguments = arguments + ["--save-model", theirs]
    code, said = run(script, *arguments)
    assert code == 2 and "theirs-symbol.json is there already, and is no result of this script: say --force" in said
    code, said = run(script, *arguments, "--force")
    assert code == 0 and "replacing" in said and is_marked(symbol_path(theirs), params_path(theirs, 1))


def trained_further(prefix):
    """Somebody trains our network on with plain MXNet, and saves it under the name it has."""
    module = mx.mod.Module.load(prefix, 1)
    module.bind([("data", (2, 3, 12, 12))], [("softmax_label", (2,))])
    module.save_checkpoint(prefix, 1)


def new_parameters(prefix):
    arrays = mx.nd.load(params_path(prefix, 1))
    mx.nd.save(params_path(prefix, 1), dict(arrays, **{"arg:fc2_bias": arrays["arg:fc2_bias"] + 1}))


def other_attribute(prefix):
    with open(symbol_path(prefix)) as handle:
        text = handle.read()
    with open(symbol_path(prefix), "w") as handle:
        handle.write(text.replace('"pool_type": "max"', '"pool_type": "avg"'))


@pytest.mark.parametrize("change", [trained_further, new_parameters, other_attribute,
                                    lambda prefix: os.unlink(symbol_path(prefix))])
def test_what_was_changed_since_is_ours_no_more(run, made, change):
    change(made)
    code, said = run(accnn, "--ratio", "1.3", "--save-model", made)
    assert code == 2 and "is there already, and is no result of this script" in said
    assert run(accnn, "--ratio", "1.3", "--save-model", made, "--force")[0] == 0


def test_a_symbol_of_ours_is_replaced_where_its_parameters_are_gone(run, made):
    os.unlink(params_path(made, 1))
    assert run(accnn, "--ratio", "1.3", "--save-model", made)[0] == 0
    other_attribute(made)
    os.unlink(params_path(made, 1))
    assert run(accnn, "--ratio", "1.3", "--save-model", made)[0] == 2


def test_other_epochs_are_not_left_beside_a_new_symbol_unasked(run, made):
    for epoch in (4, 5):
        shutil.copy(params_path(made, 1), params_path(made, epoch))
    code, said = run(accnn, "--ratio", "1.3", "--save-model", made)
    assert code == 2 and "new-0004.params is there already, and would stand beside the symbol of another" in said
    code, said = run(accnn, "--ratio", "1.3", "--save-model", made, "--force")
    assert code == 0 and "new-0004.params, %s: left beside the new symbol" % params_path(made, 5) in said


def test_plain_mxnet_loads_a_marked_symbol_and_drops_the_mark(made, tmp_path):
    with open(symbol_path(made)) as handle:
        attributes = json.load(handle)["attrs"]
    assert set(attributes) == {"mxnet_version", "accnn"} and attributes["accnn"][0] == "str"
    symbol, args, aux = mx.model.load_checkpoint(made, 1)
    assert "accnn" not in json.loads(symbol.tojson())["attrs"]
    data = random_input(2, 3, 12, 12)
    block = mx.gluon.SymbolBlock.imports(symbol_path(made), ["data", "softmax_label"], params_path(made, 1))
    answer = block(mx.nd.array(data), mx.nd.zeros(2)).asnumpy()
    assert abs(answer - outputs(load_model(made), data=data)[0]).max() < 1e-6
    # The network is the same as without the mark, to the letter.
    save_model(load_model(made), tmp_path / "plain")
    with open(symbol_path(made)) as ours, open(symbol_path(str(tmp_path / "plain"))) as plain:
        mark = ', "accnn": %s' % json.dumps(attributes["accnn"])
        assert ours.read().replace(mark, "") == plain.read()
    assert not is_marked(symbol_path(str(tmp_path / "plain")), params_path(str(tmp_path / "plain"), 1))


def test_a_data_set_is_no_plan(run, tmp_path):
    (tmp_path / "train.rec").write_bytes(b"\x0a\x23\xd7\xce images")
    code, said = run(rank_selection, "--output", str(tmp_path / "train.rec"))
    assert code == 2 and "train.rec is there already, and is no result of this script: say --force" in said
    assert run(rank_selection, "--output", str(tmp_path / "train.rec"), "--force")[0] == 0
    code, said = run(rank_selection, "--output", str(tmp_path / "train.rec"))  # which is a plan now
    assert code == 0 and "replacing" in said


PLAN = {"conv_params": {"conv1": 3}, "fc_params": {}, "left_alone": {}, "made_by": {"ratio": 2}}


@pytest.mark.parametrize("document, ours", [
    (PLAN, True), ({"conv_params": {"conv1": 3}}, False), (dict(PLAN, made_by={}), False), ([PLAN], False),
    (dict(PLAN, notes="mine"), False), (dict(PLAN, conv_params=[1]), False)])
def test_whose_plan_it_is(tmp_path, document, ours):
    (tmp_path / "plan.json").write_text(json.dumps(document))
    assert is_plan(str(tmp_path / "plan.json")) == ours


@pytest.mark.parametrize("text, ours", [
    ("1,0\n0,2\n", True), ("7\n", True), ("", False), ("1,0\n0,2,3\n", False), ("1,0\n", False), ("a,b\n1,2\n", False),
    ("1.5,0\n0,1\n", False), ("1,-1\n0,1\n", False), ("\u00e4\n", False)])
def test_whose_table_of_answers_it_is(tmp_path, text, ours):
    (tmp_path / "c.csv").write_text(text, encoding="utf-8")
    assert is_counts(str(tmp_path / "c.csv")) == ours


def test_a_plan_of_somebody_else_beside_the_checkpoint_stays(run, tmp_path):
    (tmp_path / "config-rksel-1.3.json").write_text('{"conv_params": {"conv1": 3}}')
    code, said = run(accnn, "--ratio", "1.3", "--save-model", str(tmp_path / "new"))
    assert code == 2 and "config-rksel-1.3.json is there already" in said


@pytest.mark.parametrize("text, replaced", [("a letter", False), ('{"mine": 1}', False), ("[]", False), ("\0", False),
                                            ("", True),
                                            ('{\n "holds": "list of energies",\n "kern', True)])
def test_a_cache_replaces_only_what_once_was_one(tmp_path, capsys, text, replaced):
    path = tmp_path / "energies.json"
    path.write_text(text)
    energies = Energies(str(path))
    energies._new = {("mark", "vh", "3"): 0.5}
    energies.save()
    assert (path.read_text() != text) == replaced
    assert "is no list of energies" in capsys.readouterr().err


def test_the_rule_itself(tmp_path, capsys):
    there, pipe = str(tmp_path / "there"), str(tmp_path / "pipe")
    (tmp_path / "there").write_text("")
    os.symlink("nothing", str(tmp_path / "dangling"))
    os.mkfifo(pipe)
    check_replaced("--x", there, [there], False, lambda path: True)
    check_replaced("--x", there, [there, str(tmp_path / "absent")], True)
    check_epochs("--x", str(tmp_path / "absent"), 1, False)
    for path in (there, str(tmp_path / "dangling")):
        with pytest.raises(AccnnError, match="is there already: say --resume, --force to replace it, or choose anot"):
            check_replaced("--x", path, [path], False, instead="say --resume, ")
    for force in (True, False):
        with pytest.raises(AccnnError, match="pipe is no regular file: choose another name"):
            check_replaced("--x", pipe, [pipe], force, lambda path: True)
    assert capsys.readouterr().err == ""


def test_int8_networks_and_plans_do_not_replace_each_other(run, made, tmp_path):
    quick = ["--data-calib", packed(tmp_path / "images", items(16)), "--thresholds", "naive", "--keep-weights",
             "--no-timing", "--save-model"]
    code, said = run(quantize, *quick, made)
    assert code == 2 and "is no result of this script" in said
    int8 = str(tmp_path / "int8")
    assert run(quantize, *quick, int8)[0] == run(quantize, *quick, int8)[0] == 0
    code, said = run(accnn, "--ratio", "1.3", "--save-model", int8)
    assert code == 2 and "is no result of this script" in said
    code, said = run(accnn, "--ratio", "1.3", "--no-timing", "--save-model", int8, "--force")
    assert code == 0 and "removing %s-plan.json" % int8 in said and not os.path.exists(int8 + "-plan.json")
