"""What people are told when something is wrong is true, names the file and the remedy."""
import os
import re
import resource
import tempfile

import pytest

from accnn import acc_conv, accnn, fine_tune, pack, rank_selection, score, two_pass
from accnn.core.errors import AccnnError
from accnn.data.enlarged import tell_enlarged
from accnn.data.images import Preprocessing
from accnn.data.records import open_records
from accnn.latency.noise import refuse_noise
from accnn.timing.job import Job
from accnn.timing.networks import open_models
from networks import chain_model, saved
from pictures import drawn, items, packed

TUNE = ["-m", "NET", "--data-train", "REC", "--batch-size", "4", "--num-epochs", "1"]
TWICE = ["-m", "NET", "--data-train", "REC", "--batch-size", "4"]
CASES = [
    # a wrong kind of file where a checkpoint is read; see test_special_files.py for pipes and links
    (score, ["-m", "IN/folder", "--data-val", "REC"], "IN/folder-symbol.json cannot be read: it is a folder, no"),
    (score, ["-m", "IN/lost", "--data-val", "REC"], "IN/lost-0001.params cannot be read: it is a link to nowhere,"),
    (score, ["-m", "IN/lost", "--data-val", "REC", "--load-epoch", "2"],
     "IN/lost-0002.params cannot be read: it is a folder, no regular file"),
    # options of a second checkpoint
    (score, ["-m", "NET", "--baseline", "NET", "--baseline-epoch", "7", "--data-val", "REC"],
     "net-0007.params does not exist; saved are the epochs 1: choose one with --baseline-epoch"),
    (score, ["-m", "NET", "--baseline", "IN/no", "--data-val", "REC"], "give --baseline the path before"),
    (score, ["-m", "NET", "--baseline", "NET-symbol.json", "--data-val", "REC"], "'-symbol.json': --baseline IN/net"),
    (fine_tune, TUNE + ["--model-prefix", "NEW", "--teacher", "NET", "--teacher-epoch", "7"],
     "choose one with --teacher-epoch"),
    (fine_tune, TUNE + ["--model-prefix", "NEW", "--teacher", "IN/no"], "give --teacher the path before"),
    (two_pass, TWICE + ["--save-model", "NEW", "--teacher", "IN/no"], "give --teacher the path before"),
    # names of files where their beginning is asked for
    (accnn, ["-m", "NET", "--save-model", "NEW-symbol.json"],
     "--save-model NEW-symbol.json is the name of a file, and would get another ending: give its beginning, --save-mo"),
    (acc_conv, ["-m", "NET", "--layer", "conv2", "--K", "3", "--save-model", "NEW-0001.params"],
     "give its beginning, --save-model NEW"),
    (fine_tune, TUNE + ["--model-prefix", "NEW-0003.params"], "give its beginning, --model-prefix NEW"),
    (two_pass, TWICE + ["--save-model", "NEW-symbol.json"], "give its beginning, --save-model NEW"),
    (pack, ["IN", "NEW.rec"], "PREFIX NEW.rec is the name of a file, and would get another ending: give its beginning"),
    (pack, ["IN", "NEW-labels.txt"], "give its beginning, PREFIX NEW"),
]


@pytest.fixture
def words(tmp_path):
    """NET a checkpoint, REC its images, IN their folder, NEW nothing yet."""
    folder = tmp_path / "in"
    folder.mkdir()
    net = saved(chain_model(), folder / "net")
    (folder / "folder-symbol.json").mkdir()
    saved(chain_model(), folder / "lost")
    os.unlink(str(folder / "lost-0001.params"))
    os.symlink("nowhere", str(folder / "lost-0001.params"))
    (folder / "lost-0002.params").mkdir()
    return {"NET": net, "REC": packed(folder / "val", items(9)), "IN": str(folder), "NEW": str(tmp_path / "new")}


def filled(words, text):
    return re.sub("|".join(words), lambda word: words[word.group()], text)  # paths may hold such words themselves


@pytest.mark.parametrize("script, arguments, said", CASES, ids=lambda value: "_".join(value)[-60:] if isinstance(
    value, list) else "")
def test_refusals(words, tmp_path, capsys, script, arguments, said):
    before = sorted(os.listdir(str(tmp_path)))
    assert script.main([filled(words, text) for text in arguments]) == 2
    err = capsys.readouterr().err
    sentence, = [line for line in err.splitlines() if line.startswith("error: ")]
    assert filled(words, said) in sentence and "Traceback" not in err
    assert sorted(os.listdir(str(tmp_path))) == before


def test_a_missing_epoch_of_the_baseline_names_its_setting_in_timing(words):
    with pytest.raises(AccnnError, match="saved are the epochs 1: choose one with `baseline_epoch`$"):
        open_models(Job(words["NET"], words["NET"], baseline_epoch=7))


def test_a_path_with_an_option_in_its_name_is_left_alone(words, tmp_path, capsys):
    os.rename(words["IN"], str(tmp_path / "x-m --load-epochs"))
    net, rec = (words[name].replace(words["IN"], str(tmp_path / "x-m --load-epochs")) for name in ("NET", "REC"))
    assert score.main(["-m", net, "--baseline", net + "s", "--data-val", rec]) == 2
    assert "%ss-symbol.json does not exist: give --baseline the path" % net in capsys.readouterr().err


@pytest.mark.parametrize("text", ["\ufeff", ""])
def test_a_config_may_begin_with_a_byte_order_mark(words, tmp_path, text):
    (tmp_path / "c.json").write_text(text + '{"conv_params": {"conv2": 5}}', encoding="utf-8")
    assert accnn.main(["-m", words["NET"], "--config", str(tmp_path / "c.json"), "--dry-run"]) == 0


@pytest.mark.parametrize("arguments, values", [
    (["--rgb-mean", "-5,1,1"], (-5, 1, 1)), (["--rgb-mean=-5,1,1"], (-5, 1, 1)), (["--rgb-mean", "-1e2"], (-100,)),
    (["--rgb-mean", "-.5", "--resize", "3"], (-0.5,)), (["--rgb-mean", "5,-1,1"], (5, -1, 1))])
def test_negative_numbers_are_values(arguments, values):
    args = score.parser().parse_args(["-m", "net", "--data-val", "x.rec"] + arguments)
    assert args.rgb_mean == values and args.model == "net"


def test_an_option_is_no_number(capsys):
    with pytest.raises(SystemExit):
        score.parser().parse_args(["-m", "net", "--data-val", "x.rec", "--rgb-mean", "-g", "0"])
    assert "argument --rgb-mean: expected one argument" in capsys.readouterr().err


def test_scripts_read_them_so(words, capsys):
    assert score.main(["-m", words["NET"], "--data-val", words["REC"], "--rgb-mean", "-5,1,1"]) == 0
    assert rank_selection.main(["-m", words["NET"], "--rgb-mean", "-5,x"]) == 2


@pytest.mark.parametrize("uncertainty, most, said", [
    (0.0304, 0.03, "3.1% only, where 3% is needed"), (0.0300001, 0.03, "3.1% only, where 3% is needed"),
    (0.07, 0.03, "7.0% only, where 3% is needed"), (0.124, 0.1, "12.4% only, where 10% is needed")])
def test_noise_is_more_than_what_is_needed(uncertainty, most, said):
    with pytest.raises(AccnnError, match="known to " + said):
        refuse_noise({"uncertainty": uncertainty, "rounds": 9, "spread": 0.2}, "the network", most)
    refuse_noise({"uncertainty": most}, "the network", most)


@pytest.mark.parametrize("height, width, resize, pad, small", [
    (11, 13, 0, 0, True), (13, 11, 0, 0, True), (12, 12, 0, 0, False), (11, 13, 0, 1, False), (11, 13, 12, 0, False),
    (30, 30, 11, 0, True), (6, 6, 12, 0, False), (11, 12, 0, 0, True)])
def test_pictures_smaller_than_the_input_are_told(tmp_path, capsys, height, width, resize, pad, small):
    pictures = [(0.0, drawn(20, 20, seed=number)) for number in range(60)]
    pictures[59] = 0.0, drawn(height, width)
    records = open_records(packed(tmp_path / "a", pictures))
    tell_enlarged(records, Preprocessing((3, 12, 12), resize=resize), pad)
    every = resize == 11
    assert capsys.readouterr().err == ("" if not small else (
        "%d of 25 pictures of %s that were looked at are smaller than the input of 12x12, such as record %d of %dx%d: "
        "they are enlarged\n" % (25 if every else 1, records.path, 0 if every else 59, *((20, 20) if every else (
            height, width)))))


def test_scripts_tell_of_them(words, tmp_path, capsys):
    rec = packed(tmp_path / "small", items(9, height=8, width=9))
    for script, arguments in (
            (score, ["-m", "NET", "--data-val", rec]), (accnn, ["-m", "NET", "--data-calib", rec, "--dry-run"]),
            (fine_tune, ["-m", "NET", "--data-train", rec, "--batch-size", "4", "--num-epochs", "1", "--model-prefix",
                         "NEW"])):
        script.main([filled(words, text) for text in arguments])
        assert capsys.readouterr().err.count("9 of 9 pictures of %s that were looked at are smaller" % rec) == 1


def test_a_full_temporary_folder_is_named(tmp_path):
    records, old = open_records(packed(tmp_path / "a", items(9))), resource.getrlimit(resource.RLIMIT_FSIZE)
    for use in (records.iterator_arguments, lambda: records.cut(0, 2), lambda: records.chosen([1, 3])):
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, old[1]))
        try:
            with pytest.raises(AccnnError) as error, use():
                pass
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
        assert re.fullmatch("the temporary folder %s/accnn-[^/]+ cannot be written to: File too large; "
                            "set TMPDIR to one with more room" % tempfile.gettempdir(), str(error.value))
