"""What fine_tune.py refuses in one sentence, with nothing changed."""
import json
import os
import re
import shutil

import numpy as np
import pytest
from fine_tune_runs import dropping_model, epochs, replaced, snapshot

from accnn import fine_tune
from accnn.core.compat import mx
from networks import chain_net, random_model, saved
from pictures import drawn, items, packed

# What a run with other options changes nothing of, and says in one sentence.
CASES = [
    (dict(m="IN/nothing"), "nothing-symbol.json does not exist"),
    (dict(load_epoch="7"), "net-0007.params does not exist"),
    (dict(data_train="IN/no.rec"), "no.rec"), (dict(data_val="IN/no.rec"), "no.rec"),
    (dict(data_train="IN/empty.rec"), "empty"), (dict(data_train="IN/short.rec"), "short.rec is damaged at byte"),
    (dict(data_train="IN/net-0001.params"), "no RecordIO file"), (dict(data_train="IN"), "no regular file"),
    (dict(data_train_idx="IN/val.idx"), "val.idx does not match"),
    (dict(data_val_idx="IN/train.idx"), "does not match"),
    (dict(data_train="IN/text.rec"), "record 5 of .*text.rec is no image"),
    (dict(data_val="IN/text.rec"), "record 5 of .*text.rec is no image"),
    (dict(data_train="IN/seven.rec"), "record 5 .* has the label 5, but .* 0 to 4"),
    (dict(data_val="IN/seven.rec"), "record 5 .* has the label 5"),
    (dict(data_train="IN/halves.rec"), "label 0.5"), (dict(data_train="IN/nan.rec"), "label nan"),
    (dict(data_train="IN/several.rec"), "has 2 labels"), (dict(num_classes="3"), "record 3 .*label 3"),
    (dict(image_shape="3,20,20"), "fc1_weight"), (dict(image_shape="12,12"), "no image"),
    (dict(image_shape="4,12,12"), "fc1_weight"), (dict(image_shape="other:3,12,12"), "no input 'other'"),
    (dict(rgb_mean="1,2"), "--rgb-mean has 2 values"), (dict(rgb_std="1,2,3,4"), "--rgb-std has 4 values"),
    (dict(rgb_std="0"), "--rgb-std must be above 0"), (dict(rgb_mean="nan"), "--rgb-mean"),
    (dict(model_prefix="OUT/missing/out"), "no folder"), (dict(model_prefix="IN"), "names a folder"),
    (dict(model_prefix="/proc/out"), "/proc"), (dict(model_prefix="OUT/" + "x" * 250), "cannot be written"),
    (dict(model_prefix="OUT/\udcff"), "UTF-8"), (dict(model_prefix=""), "--model-prefix"),
    (dict(model_prefix="IN/net"), "would overwrite --pretrained-model"),
    (dict(model_prefix="IN/net", force=""), "would overwrite --pretrained-model"),
    (dict(model_prefix="IN/../in/net"), "would overwrite"), (dict(model_prefix="IN/link"), "would overwrite"),
    (dict(teacher="IN/net", model_prefix="IN/net", m="IN/three"), "would overwrite --teacher"),
    (dict(teacher="IN/three"), "teacher .*knows 3 classes and .* has 5"), (dict(teacher="IN/no"), "does not exist"),
    (dict(teacher="IN/large"), "teacher|fc1_weight"), (dict(teacher="IN/net", num_classes="5"), "choose one"),
    (dict(teacher="IN/net", distill_weight="1.5"), "--distill-weight"), (dict(teacher_epoch="1"), "--teacher"),
    (dict(teacher="IN/net", teacher_epoch="4"), "does not exist"), (dict(teacher="IN/net", temperature="0"), "--temp"),
    (dict(freeze="conv"), "--freeze conv matches no layer"), (dict(freeze="*"), "leaves nothing"),
    (dict(freeze="drop*"), "matches no layer"), (dict(output="fc9"), "no output 'fc9'"),
    (dict(m="IN/half"), "float32"), (dict(m="IN/twins"), "inputs"),
    (dict(m="IN/detector"), "scores no classes|outputs"), (dict(m="IN/regression"), "LinearRegressionOutput"),
    (dict(batch_size="44"), "43 images, fewer than a batch of 44"), (dict(batch_size="0"), "--batch-size"),
    (dict(batch_size="-1"), "--batch-size"), (dict(batch_size="1000000000000"), "fewer"),
    (dict(num_epochs="0"), "--num-epochs"), (dict(num_epochs="10000"), "--num-epochs"),
    (dict(num_examples="0"), "--num-examples"), (dict(lr="0"), "--lr"), (dict(lr="nan"), "--lr"),
    (dict(lr="x"), "--lr"),
    (dict(lr="inf"), "--lr"), (dict(lr_factor="0"), "--lr-factor"), (dict(lr_step_epochs="3,2"), "--lr-step-epochs"),
    (dict(lr_step_epochs="2", lr_schedule="cosine"), "belongs to"), (dict(lr_schedule="step"), "needs"),
    (dict(lr_schedule="magic"), "choose from"), (dict(warmup_epochs="3"), "--warmup-epochs"),
    (dict(warmup_epochs="-1"), "--warmup-epochs"), (dict(mom="1"), "--mom"), (dict(wd="-1"), "--wd"),
    (dict(wd="nan"), "--wd"), (dict(dropout="1"), "--dropout"), (dict(dropout="nan"), "--dropout"),
    (dict(optimizer="lbfgs"), "choose from"), (dict(seed="-1"), "--seed"), (dict(seed="4294967296"), "--seed"),
    (dict(save_period="0"), "--save-period"), (dict(save_every="nan"), "--save-every"),
    (dict(save_every="-1"), "--save-every"), (dict(num_classes="1"), "--num-classes"),
    (dict(num_classes="100000000000"), "--num-classes"), (dict(pad_size="-1"), "--pad-size"),
    (dict(pad_size="1000000000"), "--pad-size"), (dict(fill_value="256"), "--fill-value"),
    (dict(max_random_h="181"), "--max-random-h"), (dict(max_random_rotate_angle="361"), "--max-random-rotate"),
    (dict(random_crop="2"), "--random-crop"), (dict(min_random_area="0"), "--min-random-area"),
    (dict(random_resized_crop="1", min_random_area="0.9", max_random_area="0.5"), "in order"),
    (dict(random_resized_crop="1", max_random_aspect_ratio="1"), "aspect"), (dict(gpus="99"), "--gpus"),
    (dict(resume="", force=""), "choose one"), (dict(kv_store="dist_sync"), "needs a launcher"),
    (dict(kv_store="dist_async"), "choose from"), (dict(worker_timeout="0"), "--worker-timeout"),
    (dict(worker_timeout="nan"), "--worker-timeout"), (dict(data_nthreads="0"), "--data-nthreads"),
]


@pytest.fixture(scope="module")
def odd_files(inputs, tmp_path_factory):
    """Folder of everything that CASES name, and of the inputs of `command`; tests take a copy."""
    folder = tmp_path_factory.mktemp("odd") / "in"
    shutil.copytree(str(inputs), str(folder))
    rec = open(packed(folder / "whole", items(43)), "rb").read()
    (folder / "empty.rec").write_bytes(b"")
    (folder / "short.rec").write_bytes(rec[:-7])
    for name, labels in (("seven", range(7)), ("halves", [0.5]), ("nan", [float("nan")]), ("several", [[1.0, 2.0]])):
        labels = list(labels)
        packed(folder / name, [(labels[i % len(labels)], drawn(seed=i)) for i in range(43)])
    packed(folder / "text", [(float(i % 5), drawn(seed=i) if i != 5 else b"no picture at all") for i in range(43)])
    for end in ("-symbol.json", "-0001.params"):
        os.symlink("net" + end, str(folder / "link") + end)
    saved(dropping_model(3), folder / "three")
    saved(random_model(chain_net(), data=(3, 20, 20)), folder / "large")
    saved(random_model(mx.sym.SoftmaxOutput(mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=5, name="fc1"),
                                            name="softmax"), dtype="float16", data=(3, 12, 12)), folder / "half")
    both = mx.sym.Flatten(mx.sym.Variable("data")) + mx.sym.Flatten(mx.sym.Variable("more"))
    saved(random_model(mx.sym.FullyConnected(both, num_hidden=5, name="fc1"), data=(3, 12, 12), more=(3, 12, 12)),
          folder / "twins")
    saved(random_model(mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=5, name="fc1"),
                       data=(3, 12, 12)), folder / "detector")
    saved(random_model(mx.sym.LinearRegressionOutput(mx.sym.FullyConnected(
        mx.sym.Variable("data"), num_hidden=5, name="fc1"), name="out"), data=(3, 12, 12)), folder / "regression")
    return folder


def refused(command, folder, capsys, says, code=2):
    before = snapshot(folder)
    assert fine_tune.main([word for word in command if word != ""]) == code
    err = capsys.readouterr().err
    sentences = [line for line in err.splitlines() if "error: " in line]
    assert len(sentences) == 1 and "Traceback" not in err, err
    assert re.search(says, sentences[0]), sentences[0]
    return before


def told(value):
    return "-".join("%s=%.20s" % item for item in value.items()) if isinstance(value, dict) else ""


@pytest.mark.parametrize("options, says", CASES, ids=lambda value: ascii(told(value)).strip("'"))
def test_bad_input(command, odd_files, tmp_path, capsys, options, says):
    shutil.copytree(str(odd_files), str(tmp_path / "in"), symlinks=True, dirs_exist_ok=True)
    here = {key: value.replace("IN", str(tmp_path / "in")).replace("OUT", str(tmp_path))
            for key, value in options.items()}
    words = replaced(command, **here)
    if options.get("model_prefix") == "":
        words[words.index("--model-prefix") + 1] = str(tmp_path) + "/"
    before = refused(words, tmp_path, capsys, says)
    assert snapshot(tmp_path) == before


def test_a_run_that_is_there(command, tmp_path, capsys):
    assert fine_tune.main(command) == 0
    whole = epochs(tmp_path)
    capsys.readouterr()
    before = refused(command, tmp_path, capsys, "is there already: say --resume to go on")
    assert snapshot(tmp_path) == before
    for more, says in ((["--lr", "0.02"], "begun with --lr 0.01, not 0.02"), (["--mom", "0.5"], "--mom"),
                       (["--batch-size", "16"], "--batch-size 8, not 16"), (["--seed", "3"], "--seed"),
                       (["--optimizer", "adam"], "--optimizer sgd, not adam"), (["--freeze", "fc1"], "--freeze"),
                       (["--data-train", command[command.index("--data-val") + 1]], "--data-train of 43 records"),
                       (["--random-mirror", "0"], "options of augmentation {"), (["--num-classes", "6"], "fc2_"),
                       (["--teacher", command[1]], "--teacher"), (["--resize", "14"], "--resize")):
        refused(command + ["--resume"] + more, tmp_path, capsys, says)
        assert snapshot(tmp_path) == before
    assert fine_tune.main(command + ["--force"]) == 0
    assert epochs(tmp_path) == whole and "replacing" in capsys.readouterr().err


def test_resume_with_another_network(command, tmp_path, capsys):
    assert fine_tune.main(command) == 0
    capsys.readouterr()
    for symbol, says in ((chain_net(), "belongs to another network"),
                         (dropping_model().symbol, "--pretrained-model of fingerprint")):
        other = saved(random_model(symbol, 9, data=(3, 12, 12)), tmp_path / "in" / "other")
        before = refused(replaced(command, m=other) + ["--resume"], tmp_path, capsys, says)
        assert snapshot(tmp_path) == before


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "checkpoint", "no state", "no note", "odd note", "folder"])
def test_a_damaged_resume_file(command, tmp_path, capsys, damage):
    assert fine_tune.main(command) == 0
    capsys.readouterr()
    path = str(tmp_path / "out-resume.params")
    content, arrays = open(path, "rb").read(), mx.nd.load(path)
    os.unlink(path)
    note = json.loads(arrays["note"].asnumpy().tobytes().decode())
    if damage in ("cut", "empty", "text"):
        open(path, "wb").write({"cut": content[:-100], "empty": b"", "text": b"hello"}[damage])
    elif damage == "folder":
        os.mkdir(path)
    else:
        if damage == "checkpoint":
            arrays = {key: array for key, array in arrays.items() if key[:4] in ("arg:", "aux:")}
        elif damage == "no state":
            arrays = {key: array for key, array in arrays.items() if not key.startswith("state:fc2")}
        else:
            text = json.dumps([1] if damage == "no note" else dict(note, entries=[{"epoch": 1, "colour": "red"}]))
            arrays["note"] = mx.nd.array(np.frombuffer(text.encode(), np.uint8), dtype="uint8")
        mx.nd.save(path, arrays)
    before = refused(command + ["--resume"], tmp_path, capsys, "out-resume.params")
    assert snapshot(tmp_path) == before


def test_files_that_no_run_wrote_are_not_taken_for_one(command, tmp_path, capsys):
    for name in ("out-log.csv", "out-0007.params", "out-best-symbol.json"):
        (tmp_path / name).write_text("mine")
        for more in ([], ["--resume"]):
            before = refused(command + more, tmp_path, capsys, name + " is there")
            assert snapshot(tmp_path) == before
        (tmp_path / name).unlink()
    (tmp_path / "out-log.csv").mkdir()
    for more in ([], ["--resume"], ["--force"]):
        refused(command + more, tmp_path, capsys, "is a folder")
