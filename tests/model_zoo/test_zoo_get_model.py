"""The command line: exit codes, files, and what it says."""
import json
import os
import resource
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from accnn.core.compat import mx
from model_zoo import catalogue, get_model
from processes import Forked

SCRIPT = get_model.__file__


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Work in an empty folder, and return it."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


def refused(capfd, *argv):
    """Run main, which has to end with code 2 and one line, and return that line."""
    assert get_model.main(list(argv)) == 2
    captured = capfd.readouterr()
    lines = captured.err.splitlines()
    assert captured.out == "" and lines[-1].startswith("error: ")
    assert "Traceback" not in captured.err
    return lines[-1]


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# --- random weights ----------------------------------------------------------------------------


def test_random_init_writes_a_checkpoint_that_loads(folder, capfd):
    assert get_model.main(["squeezenet", "--random-init"]) == 0
    assert "1,248,424 parameters, input 3,224,224" in capfd.readouterr().out
    assert sorted(files(folder)) == ["squeezenet-0000.params", "squeezenet-symbol.json"]
    symbol, arg_params, aux_params = mx.model.load_checkpoint("squeezenet", 0)
    assert set(arg_params) == set(symbol.list_arguments()) - {"data", "softmax_label"} and not aux_params


def test_batchnorm_states_are_written_as_aux():
    assert get_model.main(["resnet50", "--random-init", "--save-model", "r", "--epoch", "7"]) == 0
    symbol, _, aux_params = mx.model.load_checkpoint("r", 7)
    assert set(aux_params) == set(symbol.list_auxiliary_states())


def test_same_seed_same_bytes(folder):
    for prefix, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert get_model.main(["squeezenet", "--random-init", "--save-model", prefix, "--seed", seed]) == 0
    written = files(folder)
    assert written["a-0000.params"] == written["b-0000.params"] != written["c-0000.params"]
    assert written["a-symbol.json"] == written["b-symbol.json"]


def test_number_of_classes_and_json(capfd):
    assert get_model.main(["squeezenet", "--random-init", "--num-classes", "10", "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert result["weights"] == "random" and result["input_shape"] == [3, 224, 224]
    assert result["files"] == ["squeezenet-symbol.json", "squeezenet-0000.params"]
    assert result["bytes"] == sum(map(os.path.getsize, result["files"]))
    symbol = mx.sym.load("squeezenet-symbol.json")
    assert symbol.infer_shape(data=(1, 3, 224, 224))[1] == [(1, 10)]


def test_store_name_of_a_symbol_works_too(folder):
    assert get_model.main(["squeezenet1.0", "--random-init"]) == 0
    assert "squeezenet1.0-0000.params" in files(folder)


def test_existing_files_are_only_overwritten_by_force(folder, capfd):
    (folder / "squeezenet-0000.params").write_bytes(b"precious")
    before = files(folder)
    assert "squeezenet-0000.params is there already: say --force" in refused(capfd, "squeezenet", "--random-init")
    assert files(folder) == before
    assert get_model.main(["squeezenet", "--random-init", "--force"]) == 0
    assert len(files(folder)["squeezenet-0000.params"]) > 4e6


def test_other_epochs_stay_alone_unless_forced(folder, capfd):
    (folder / "squeezenet-0007.params").write_bytes(b"precious")
    before = files(folder)
    assert "squeezenet-0007.params is there already, and would stand beside the symbol of another network" in refused(
        capfd, "squeezenet", "--random-init")
    assert files(folder) == before
    assert get_model.main(["squeezenet", "--random-init", "--force"]) == 0
    assert "squeezenet-0007.params: left beside the new symbol" in capfd.readouterr().err
    assert files(folder)["squeezenet-0007.params"] == b"precious"


# The second limit cuts off only what MXNet still holds in its buffer when it closes the file.
@pytest.mark.parametrize("limit", [1 << 16, 4997702 - 10])
def test_full_disk_leaves_nothing(folder, capfd, limit):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        line = refused(capfd, "squeezenet", "--random-init")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "squeezenet-0000.params cannot be written" in line
    assert files(folder) == {}


# --- pretrained weights --------------------------------------------------------------------------


def test_pretrained_network_gives_the_outputs_of_gluons(server, tiny, capfd):
    assert get_model.main([tiny.name, "--url", server.url, "--json"]) == 0
    captured = capfd.readouterr()
    assert json.loads(captured.out)["weights"] == "pretrained" and tiny.sha1 in captured.err
    symbol, arg_params, aux_params = mx.model.load_checkpoint(tiny.name, 0)
    executor = symbol.simple_bind(mx.cpu(), grad_req="null", data=(1, 3, 224, 224))
    executor.copy_params_from(arg_params, aux_params)
    image = mx.nd.array(np.random.RandomState(0).uniform(size=(1, 3, 224, 224)))
    found = executor.forward(is_train=False, data=image)[0].asnumpy()
    np.testing.assert_allclose(found, tiny.net(image).asnumpy(), rtol=1e-4, atol=1e-6)


def test_pretrained_checkpoint_is_that_of_gluons_export(server, tiny, folder):
    assert get_model.main([tiny.name, "--url", server.url, "--save-model", "ours", "--epoch", "3"]) == 0
    with mx.name.NameManager():
        net = mx.gluon.model_zoo.vision.get_model(tiny.name)
    net.load_parameters(str(folder.parent / "home" / "models" / (tiny.stem + ".params")))
    net.hybridize()
    net(mx.nd.zeros((1, 3, 224, 224)))
    net.export("gluons", 3)
    written = files(folder)
    assert written["ours-symbol.json"] == written["gluons-symbol.json"]
    ours, gluons = mx.nd.load("ours-0003.params"), mx.nd.load("gluons-0003.params")
    assert set(ours) == set(gluons)
    assert all(ours[name].asnumpy().tobytes() == gluons[name].asnumpy().tobytes() for name in ours)


def test_names_do_not_depend_on_what_ran_before(server, tiny, folder):
    for prefix in ("first", "second"):
        assert get_model.main([tiny.name, "--url", server.url, "--save-model", prefix]) == 0
    written = files(folder)
    assert written["first-symbol.json"] == written["second-symbol.json"]
    assert written["first-0000.params"] == written["second-0000.params"]


def test_short_name_asks_for_the_file_of_the_long_one(server, capfd):
    line = refused(capfd, "resnet50", "--url", server.url)
    assert server.requests == [("/gluon/models/resnet50_v1-0aee57f9.zip", None)]
    assert line.endswith("404 Not Found: set --url or MXNET_GLUON_REPO to a mirror, or use --random-init")


def test_random_init_is_only_proposed_where_it_works(capfd):
    line = refused(capfd, "mobilenet1.0", "--url", "http://127.0.0.1:1")
    assert line.endswith("set --url or MXNET_GLUON_REPO to a mirror")


def test_parameters_of_another_network(server, tiny, monkeypatch, folder, capfd):
    sums = mx.gluon.model_zoo.model_store._model_sha1
    monkeypatch.setitem(sums, "squeezenet1.1", tiny.sha1)
    stem = "squeezenet1.1-" + tiny.sha1[:8]
    server.files["/gluon/models/%s.zip" % stem] = tiny.packed({stem + ".params": tiny.params})
    assert "does not hold the parameters of Gluon's squeezenet1.1" in refused(
        capfd, "squeezenet1.1", "--url", server.url)
    assert files(folder) == {}


def test_existing_files_are_refused_before_the_download(server, tiny, folder, capfd):
    (folder / ("%s-symbol.json" % tiny.name)).write_text("{}")
    assert "is there already" in refused(capfd, tiny.name, "--url", server.url)
    assert server.requests == []


def fetch(name, sha1, url):
    """The script in a process of its own, with the tiny network in the table of sums."""
    mx.gluon.model_zoo.model_store._model_sha1[name] = sha1
    return get_model.main([name, "--url", url])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_download_is_resumed(server, tiny, folder, cache, number):
    server.pause = threading.Event()
    process = Forked(fetch, tiny.name, tiny.sha1, server.url, log=cache.parent.parent / "said")
    part = cache / (tiny.stem + ".zip.part")
    assert server.sent.wait(60)
    half = len(tiny.zip) // 2
    _wait_until(lambda: part.exists() and part.stat().st_size > half - (1 << 18))
    process.send_signal(number)
    complaint = process.said(60)
    assert process.returncode == 130 and "Traceback" not in complaint
    have = part.stat().st_size
    assert "keeps the %d bytes" % have in complaint and 0 < have <= half
    assert files(folder) == {}
    server.pause.set()
    server.pause = None
    assert get_model.main([tiny.name, "--url", server.url]) == 0
    assert server.requests[-1] == (tiny.url_path, "bytes=%d-" % have)


def _wait_until(condition, seconds=60):
    waiting = threading.Event()
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        waiting.wait(0.02)
    raise AssertionError("waited %d s in vain" % seconds)


# --- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("argv, words", [
    (["vgg61"], "no network 'vgg61': did you mean vgg19 or vgg16?"),
    (["ResNet-50"], "did you mean resnet50"),
    (["zzzzzz"], "--list shows"),
    (["mobilenet1.0", "--random-init"], "mobilenet1.0 has no symbol here"),
    (["spp10"], "no pretrained spp10: use --random-init"),
    (["vgg16", "--num-classes", "10"], "use --num-classes with --random-init"),
    (["squeezenet", "--random-init", "--save-model", "missing/x"], "there is no folder"),
    (["squeezenet", "--random-init", "--save-model", "./"], "names a folder"),
    (["vgg16", "--url", "nonsense"], "is not the address of a mirror"),
])
def test_refusals(argv, words, folder, capfd):
    assert words in refused(capfd, *argv)
    assert files(folder) == {}


@pytest.mark.parametrize("argv", [
    [], ["vgg16", "--epoch", "-1"], ["vgg16", "--epoch", "10000"], ["vgg16", "--seed", "x"], ["vgg16", "--seed", "1.5"],
    ["vgg16", "--num-classes", "0"], ["vgg16", "--unknown"], ["vgg16", "--random-init", "--url", "http://127.0.0.1/"],
])
def test_bad_usage(argv, capfd):
    assert get_model.main(argv) == 2
    assert "error: " in capfd.readouterr().err


def test_folder_without_the_right_to_write(folder, monkeypatch, capfd):
    # chmod does not stop root, who may well run these tests.
    monkeypatch.setattr(os, "access", lambda path, mode: path != str(folder))
    assert "%s cannot be written to" % folder in refused(capfd, "squeezenet", "--random-init")


def test_list_names_every_network_once(capfd):
    assert get_model.main(["--list"]) == 0
    lines = capfd.readouterr().out.splitlines()
    names = [line.split()[0] for line in lines[1:lines.index("")]]
    assert names == [entry.name for entry in catalogue.entries()] and len(set(names)) == len(names) == 37
    vgg16 = next(line for line in lines if line.startswith("vgg16 "))
    assert vgg16.split() == ["vgg16", "3,224,224", "3,224,224", "e660d4569ccb679ec68f1fd3cce07a387252a90a"]


def test_list_as_json(capfd):
    assert get_model.main(["--list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capfd.readouterr().out)}
    assert rows["resnet50"] == {"name": "resnet50", "random_init_input": [3, 224, 224], "store_name": "resnet50_v1",
                                "store_input": [3, 224, 224], "sha1": "0aee57f96768c0a2d5b23a6ec91eb08dfb0a45ce"}
    assert rows["spp10"]["sha1"] is None and rows["inceptionv3"]["store_input"] == [3, 299, 299]


def test_every_name_of_the_store_can_be_built():
    known = mx.gluon.model_zoo.vision
    for entry in catalogue.entries():
        if entry.store_name:
            with mx.name.NameManager():
                assert known.get_model(entry.store_name) is not None


def test_script_runs_from_any_folder(folder):
    done = subprocess.run([sys.executable, SCRIPT, "squeezenet", "--random-init"], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "" and len(files(folder)) == 2
