"""A user's mistake: one sentence, exit 2 (1 for a target), nothing written, nothing lost."""
import json
import os
import subprocess
import sys

import pytest

from accnn import acc_conv, acc_fc, accnn, rank_selection
from accnn.core.compat import mx
from networks import chain_model, random_model, saved


def snapshot(folder):
    """Contents of all files below a folder."""
    return {path: open(path, "rb").read() for root, _, names in os.walk(folder)
            for path in (os.path.join(root, name) for name in names)}


@pytest.fixture
def refused(prefix, tmp_path, capsys):
    """Run a script; expect a refusal; return its sentence."""
    def run(script, *arguments, code=2):
        before = snapshot(str(tmp_path))
        arguments = [text.replace("NET", prefix).replace("TMP", str(tmp_path)) for text in arguments]
        if "--save-model" not in arguments and script is not rank_selection:
            arguments += ["--save-model", str(tmp_path / "new")]
        elif script is rank_selection:
            arguments += ["--output", str(tmp_path / "ranks.json")]
        assert script.main(arguments) == code
        assert snapshot(str(tmp_path)) == before
        err = capsys.readouterr().err
        assert "Traceback" not in err
        sentences = [line for line in err.splitlines() if "error: " in line]
        assert len(sentences) == 1, err
        return sentences[0]
    return run


CASES = [
    # checkpoint
    (accnn, ["-m", "TMP/model/ne"], 2, "ne-symbol.json does not exist.*there is .*net"),
    (accnn, ["-m", "TMP/nowhere/net"], 2, "does not exist"),
    (accnn, ["-m", "NET", "--load-epoch", "7"], 2, "net-0007.params does not exist; saved are the epochs 1"),
    (accnn, ["-m", "NET", "--load-epoch", "-1"], 2, "--load-epoch"),
    (accnn, ["-m", "NET", "--load-epoch", "one"], 2, "--load-epoch"),
    (accnn, ["-m", "NET-symbol.json"], 2, "before '-symbol.json': -m .*net$"),
    (accnn, ["-m", "NET-0001.params"], 2, "before '-symbol.json': -m .*net$"),
    (accnn, ["-m", ""], 2, "does not exist"),
    # ratio and rules
    (accnn, ["-m", "NET", "--ratio", "0.5"], 2, "ratio"),
    (accnn, ["-m", "NET", "--ratio", "-2"], 2, "ratio"),
    (accnn, ["-m", "NET", "--ratio", "nan"], 2, "ratio"),
    (accnn, ["-m", "NET", "--ratio", "inf"], 2, "ratio"),
    (accnn, ["-m", "NET", "--ratio", "two"], 2, "--ratio"),
    (accnn, ["-m", "NET", "--ratio", "900"], 1, "900x .* cannot be reached: the best is"),
    (accnn, ["-m", "NET", "--align", "0"], 2, "--align"),
    (accnn, ["-m", "NET", "--rank-selection", "best"], 2, "choose from"),
    (accnn, ["-m", "NET", "--cost", "euros"], 2, "choose from"),
    (accnn, ["-m", "NET", "--method", "magic"], 2, "choose from"),
    (accnn, ["-m", "NET", "--layers", "convolution*"], 2, "matches 'convolution\\*'"),
    (accnn, ["-m", "NET", "--exclude", "*"], 2, "no layer of .* can be split: conv1, .*: excluded"),
    (accnn, ["-m", "NET", "--exclude", "[z]"], 2, "matches"),
    # input shape
    (accnn, ["-m", "NET", "--input-shape", "3,x,12"], 2, "--input-shape"),
    (accnn, ["-m", "NET", "--input-shape", "3,0,12"], 2, "--input-shape"),
    (accnn, ["-m", "NET", "--input-shape", "3,40,40"], 2, "fc1_weight.*--input-shape"),
    (accnn, ["-m", "NET", "--input-shape", "4,12,12"], 2, "conv1_weight.*--input-shape"),
    (accnn, ["-m", "NET", "--input-shape", "image:3,12,12"], 2, "no input 'image'"),
    (accnn, ["-m", "NET", "--input-shape", "3,12,12", "--input-shape", "3,12,12"], 2, "twice"),
    (accnn, ["-m", "NET", "--input-shape", "3,12,12", "--input-shape", "data:3,12,12"], 2, "twice"),
    (accnn, ["-m", "NET", "--input-shape", "3,2147483648,1"], 2, "--input-shape"),
    (accnn, ["-m", "NET", "--input-shape", "3,20000,20000"], 2, "--input-shape"),
    (accnn, ["-m", "NET", "--config", ""], 2, "cannot be read"),
    (rank_selection, ["-m", "NET\udcff"], 2, "UTF-8"),
    # output
    (accnn, ["-m", "NET", "--save-model", "NET"], 2, "is the model that is read.*--force"),
    (accnn, ["-m", "NET", "--save-model", "TMP/model/../model/net"], 2, "--force"),
    (accnn, ["-m", "NET", "--save-model", "TMP/missing/new"], 2, "no folder .*missing"),
    (accnn, ["-m", "NET", "--save-model", "TMP/model/"], 2, "names a folder"),
    (accnn, ["-m", "NET", "--save-model", "TMP/model/net-symbol.json/new"], 2, "no folder"),
    (accnn, ["-m", "NET", "--save-model", "/proc/new"], 2, "/proc"),
    (accnn, ["-m", "NET", "--gpus", "x"], 2, "--gpus"),
    (accnn, ["-m", "NET", "--gpus", "99"], 2, "--gpus 99"),
    # one layer
    (acc_conv, ["-m", "NET", "--layer", "conv4", "--K", "3"], 2, "no layer 'conv4': did you mean conv"),
    (acc_conv, ["-m", "NET", "--layer", "fc1", "--K", "3"], 2, "'fc1' is a FullyConnected, no Convolution"),
    (acc_conv, ["-m", "NET", "--layer", "relu1", "--K", "3"], 2, "'relu1' of .* is a Activation"),
    (acc_conv, ["-m", "NET", "--layer", "conv2_weight", "--K", "3"], 2, "no layer"),
    (acc_conv, ["-m", "NET", "--layer", "conv2", "--K", "0"], 2, "K=0 .*'conv2'.* 1 to 24"),
    (acc_conv, ["-m", "NET", "--layer", "conv2", "--K", "-4"], 2, "K=-4"),
    (acc_conv, ["-m", "NET", "--layer", "conv2", "--K", "25"], 2, "K=25 .* 1 to 24"),
    (acc_conv, ["-m", "NET", "--layer", "conv2", "--K", "2.5"], 2, "--K"),
    (acc_conv, ["-m", "NET", "--layer", "conv2", "--K", "many"], 2, "--K"),
    (acc_conv, ["-m", "NET", "--layer", "conv2", "--K", "16,"], 2, "--K"),
    (acc_conv, ["-m", "NET", "--layer", "conv2", "--K", "16,9"], 2, "K=\\(16, 9\\) .* vh takes 1 to 24"),
    (acc_conv, ["-m", "NET", "--layer", "conv2", "--K", "16", "--method", "3d"], 2, "K=16 .* \\(1, 1\\) to"),
    (acc_conv, ["-m", "NET", "--layer", "conv2"], 2, "--K"),
    (acc_fc, ["-m", "NET", "--layer", "conv2", "--K", "3"], 2, "'conv2' is a Convolution, no FullyConnected"),
    (acc_fc, ["-m", "NET", "--layer", "fc1", "--K", "17"], 2, "K=17 .*'fc1'.* 1 to 16"),
    (rank_selection, ["-m", "NET", "--ratio", "0"], 2, "ratio"),
    (rank_selection, ["-m", "NET", "--method", "3d", "--rank-selection", "dp-energy"], 2,
     "3d has no singular values, which the rank rule dp-energy stands on: choose another --rank-selection"),
    (rank_selection, ["-m", "NET", "--ratio", "500"], 1, "the best is"),
    (rank_selection, ["-m", "TMP/none"], 2, "does not exist"),
]


@pytest.mark.parametrize("script, arguments, code, sentence", CASES,
                         ids=lambda value: " ".join(value[1:]) if isinstance(value, list) else "")
def test_command_lines(refused, script, arguments, code, sentence):
    import re

    assert re.search(sentence, refused(script, *arguments, code=code))


CONFIGS = {
    "": "not JSON", "{": "not JSON", "[]": "no JSON object", "3": "no JSON object", "{}": "names no layer",
    '{"conv_param": {"conv1": 3}}': "did you mean conv_params",
    '{"conv_params": {}}': "names no layer", '{"made_by": {}, "left_alone": {"conv1": "no"}}': "names no layer",
    '{"made_by": [1]}': "made_by must be an object", '{"conv_params": [1]}': "must be an object",
    '{"conv_params": {"conv9": 3}}': "no layer 'conv9': did you mean conv",
    '{"conv_params": {"fc1": 3}}': "'fc1' is a FullyConnected",
    '{"fc_params": {"conv1": 3}}': "'conv1' is a Convolution",
    '{"conv_params": {"conv2": 3, "conv2": 4}}': "names 'conv2' twice",
    '{"conv_params": {"conv2": 0}}': "K=0", '{"conv_params": {"conv2": 1000}}': "K=1000",
    '{"conv_params": {"conv2": "7"}}': "no whole number", '{"conv_params": {"conv2": 2.5}}': "no whole number",
    '{"conv_params": {"conv2": true}}': "no whole number", '{"conv_params": {"conv2": null}}': "no whole number",
    '{"conv_params": {"conv2": NaN}}': "no whole number",
    '{"conv_params": {"conv2": [3]}}': "K=\\(3,\\)",
    '{"conv_params": {"conv2": [3, 4]}}': "K=\\(3, 4\\)",
    '{"conv_params": {"conv2": {"rank": 3}}}': "method and rank",
    '{"conv_params": {"conv2": {"method": "magic", "rank": 3}}}': "no method 'magic'",
    '{"conv_params": {"conv2": {"method": ["vh"], "rank": 3}}}': "no method",
    '{"conv_params": {"conv2": {"method": "fc-svd", "rank": 3}}}': "splits FullyConnected layers only",
}


@pytest.mark.parametrize("text, sentence", CONFIGS.items(), ids=list(CONFIGS))
def test_configs(refused, tmp_path, text, sentence):
    import re

    (tmp_path / "config.json").write_text(text)
    assert re.search(sentence, refused(accnn, "-m", "NET", "--config", "TMP/config.json"))


def test_config_that_is_no_file(refused):
    assert "cannot be read" in refused(accnn, "-m", "NET", "--config", "TMP/nothing.json")
    assert "cannot be read" in refused(accnn, "-m", "NET", "--config", "TMP/model")


def test_code_in_attributes_is_never_run(refused, prefix, tmp_path):
    mark = tmp_path / "run"
    code = "__import__('os').system('touch %s')" % mark
    with open(prefix + "-symbol.json") as handle:
        document = json.load(handle)
    for key in ("kernel", "__shape__"):
        nodes = [dict(node) for node in document["nodes"]]
        for node in nodes:
            if node["name"] == ("conv2" if key == "kernel" else "data"):
                node["attrs"] = dict(node.get("attrs", {}), **{key: code})
        with open(prefix + "-symbol.json", "w") as handle:
            json.dump(dict(document, nodes=nodes), handle)
        if key == "kernel":
            refused(accnn, "-m", "NET")
        else:  # a hint nobody can read is no hint
            assert accnn.main(["-m", prefix, "--save-model", str(tmp_path / "new")]) == 0
            assert code in (tmp_path / "new-symbol.json").read_text()
        assert not mark.exists()


def test_a_full_disk(refused, prefix):
    import resource

    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, old[1]))
    try:
        assert "cannot be written" in refused(acc_conv, "-m", "NET", "--layer", "conv2", "--K", "3")
        assert "cannot be written" in refused(accnn, "-m", "NET")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_network_with_nothing_to_split(tmp_path, capsys):
    net = mx.sym.Activation(mx.sym.Variable("data") * mx.sym.Variable("scale_weight"), act_type="relu")
    model = random_model(net, data=(4,))
    assert accnn.main(["-m", saved(model, tmp_path / "m"), "--input-shape", "data:4"]) == 2
    assert "no layer of" in capsys.readouterr().err


def test_a_model_read_through_a_link_is_not_overwritten(prefix, tmp_path, capsys):
    for end in ("-symbol.json", "-0001.params"):
        os.symlink(prefix + end, str(tmp_path / "link") + end)
    before = snapshot(str(tmp_path))
    assert accnn.main(["-m", str(tmp_path / "link"), "--save-model", prefix]) == 2
    assert snapshot(str(tmp_path)) == before and "--force" in capsys.readouterr().err


@pytest.mark.parametrize("end", ["-symbol.json", "-0001.params"])
def test_a_folder_where_a_file_should_go(prefix, tmp_path, capsys, end):
    (tmp_path / ("new" + end)).mkdir()
    assert accnn.main(["-m", prefix, "--save-model", str(tmp_path / "new")]) == 2
    assert "is a folder" in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == ["model", "new" + end]


def test_stdout_that_cannot_be_written(prefix):
    script = os.path.abspath(accnn.__file__)
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, script, "-m", prefix, "--dry-run"], stdout=full, stderr=subprocess.PIPE,
                              text=True)
    assert done.returncode == 2 and "error: No space left" in done.stderr and "Traceback" not in done.stderr


def test_a_terminal_that_knows_ascii_only(tmp_path):
    net = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=8, name="\u5377\u79ef")
    prefix = saved(random_model(net, data=(8, 9, 9)), tmp_path / "m")
    command = [sys.executable, os.path.abspath(accnn.__file__), "-m", prefix, "--dry-run", "--ratio", "1.2"]
    done = subprocess.run(command, env=dict(os.environ, PYTHONIOENCODING="ascii"), capture_output=True, text=True)
    assert done.returncode == 0 and "\\u5377" in done.stdout


def test_a_folder_where_the_config_should_go(prefix, tmp_path, capsys):
    (tmp_path / "config-rksel-2.0.json").mkdir()
    assert accnn.main(["-m", prefix, "--save-model", str(tmp_path / "new")]) == 2
    assert sorted(os.listdir(tmp_path)) == ["config-rksel-2.0.json", "model"]


@pytest.mark.parametrize("closed", ["--no-timing >&-", "--no-timing 2>&-", "--threads 1 --repeats 1 >&- 2>&-"])
def test_closed_streams(prefix, tmp_path, closed):
    command = "%s %s -m %s --save-model %s %s" % (sys.executable, os.path.abspath(accnn.__file__), prefix,
                                                  tmp_path / "new", closed)
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0 and (tmp_path / "new-0001.params").exists() and "Traceback" not in done.stderr


def test_a_network_that_no_size_of_input_mends(tmp_path, capsys):
    model = chain_model()
    model.arg_params["conv2_bias"] = mx.nd.ones((3, 2))
    assert accnn.main(["-m", saved(model, tmp_path / "m"), "--dry-run"]) == 2
    assert "conv2_bias" in capsys.readouterr().err


def test_weights_near_the_end_of_double_precision(tmp_path):
    model = random_model(mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=8, name="c"),
                         dtype="float64", data=(8, 9, 9))
    model.arg_params["c_weight"] = model.arg_params["c_weight"] * 1e300
    assert accnn.main(["-m", saved(model, tmp_path / "m"), "--ratio", "1.2", "--save-model", str(tmp_path / "n")]) == 0
