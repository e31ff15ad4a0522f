"""A pipe, a device, a socket, a folder or a link that leads nowhere, where a file is read: one sentence, at once."""
import os
import signal
import socket

import pytest

from accnn import accnn, fine_tune, launch, pack, rank_selection, score, two_pass
from accnn.core.errors import AccnnError
from accnn.core.files import open_input
from networks import chain_model, saved

cv2 = pytest.importorskip("cv2")
import pictures

KINDS = {"pipe": "it is a pipe, no regular file", "socket": "it is a socket, no regular file",
         "device": "it is a device, no regular file", "folder": "it is a folder, no regular file",
         "loop": "it is a link that leads back to itself", "dangling": "it is a link to nothing, which does not exist"}


def make(kind, path):
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            here = os.getcwd()
            os.chdir(os.path.dirname(path))  # such names are short
            try:
                server.bind(os.path.basename(path))
            finally:
                os.chdir(here)
    elif kind == "folder":
        os.mkdir(path)
    else:
        os.symlink({"device": "/dev/zero", "loop": os.path.basename(path), "dangling": "nothing"}[kind], path)


@pytest.fixture(autouse=True)
def patience():
    """Whatever waits for a pipe is interrupted."""
    def stop(_number, _frame):
        raise TimeoutError

    alarm = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 20)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, alarm)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_it_is(tmp_path, kind):
    make(kind, str(tmp_path / "x"))
    with pytest.raises(AccnnError) as error:
        open_input(str(tmp_path / "x"))
    assert str(error.value) == "%s cannot be read: %s" % (tmp_path / "x", KINDS[kind])


@pytest.fixture
def words(tmp_path):
    """What stands for words on a command line: NET a checkpoint, REC its images, X what is no file, NEW nothing yet."""
    (tmp_path / "in" / "photos" / "cat").mkdir(parents=True)
    (tmp_path / "in" / "photos" / "cat" / "a.png").write_bytes(pictures.drawn())
    net = saved(chain_model(), tmp_path / "in" / "net")
    for name, end in (("odd", "-symbol.json"), ("odd2", "-0001.params")):
        saved(chain_model(), tmp_path / "in" / name)
        os.unlink(str(tmp_path / "in" / name) + end)
    return {"NET": net, "REC": pictures.packed(tmp_path / "in" / "val"), "X": str(tmp_path / "x"),
            "NEW": str(tmp_path / "new"), "ROOT": str(tmp_path / "in" / "photos"), "IN": str(tmp_path / "in")}


TRAIN = ["-m", "NET", "--data-train", "REC", "--rgb-mean", "0"]
INPUTS = [
    (accnn, ["-m", "NET", "--config", "X"], "X"), (accnn, ["-m", "NET", "--data-calib", "X"], "X"),
    (rank_selection, ["-m", "NET", "--rank-selection", "profit", "--method", "cp", "--initial-ranks", "X"], "X"),
    (accnn, ["-m", "NET", "--data-calib", "REC", "--rank-selection", "sensitivity", "--sensitivity-table", "X"], "X"),
    (rank_selection, ["-m", "NET", "--cost", "latency", "--import-latencies", "X"], "X"),
    (pack, ["ROOT", "NEW", "--labels", "X"], "X"), (pack, ["ROOT", "NEW", "--classes", "X"], "X"),
    (pack, ["ROOT", "NEW"], "IN/photos/cat/x.jpg"),
    (score, ["-m", "NET", "--data-val", "X"], "X"),
    (score, ["-m", "NET", "--data-val", "REC", "--data-val-idx", "X"], "X"),
    (score, ["-m", "IN/odd", "--data-val", "REC"], "IN/odd-symbol.json"),
    (score, ["-m", "IN/odd2", "--data-val", "REC"], "IN/odd2-0001.params"),
    (score, ["-m", "NET", "--baseline", "IN/odd2", "--data-val", "REC", "--baseline-epoch", "1"],
     "IN/odd2-0001.params"),
    (fine_tune, TRAIN + ["--model-prefix", "NEW", "--data-val", "X"], "X"),
    (fine_tune, TRAIN + ["--model-prefix", "NEW", "--resume"], "NEW-resume.params"),
    (two_pass, TRAIN + ["--save-model", "NEW", "--resume"], "NEW-two-pass.json"),
    (launch, ["-n", "1", "-H", "X", "true"], "X"),
]


@pytest.mark.parametrize("kind", ["pipe", "loop"])
@pytest.mark.parametrize("script, arguments, place", INPUTS, ids=lambda value: "_".join(value)[:70] if isinstance(
    value, list) else "")
def test_inputs(words, tmp_path, capsys, kind, script, arguments, place):
    def filled(text):
        for word in sorted(words, key=len, reverse=True):
            if text.startswith(word):
                return words[word] + text[len(word):]
        return text

    make(kind, filled(place))
    before = sorted(os.listdir(str(tmp_path)))
    arguments = [filled(text) for text in arguments]
    if script in (accnn, rank_selection):
        arguments += ["--save-model" if script is accnn else "--output", words["NEW"]]
    assert script.main(arguments) == 2
    err = capsys.readouterr().err
    assert "Traceback" not in err
    sentence, = [line for line in err.splitlines() if line.startswith("error: ")]
    assert KINDS[kind] in sentence or "1 of 2 images cannot be read: cat/x.jpg" in sentence or (
        "no regular file" in sentence), sentence
    assert sorted(os.listdir(str(tmp_path))) == before


def test_a_folder_that_lies_in_itself(words, capsys):
    os.symlink("..", os.path.join(words["ROOT"], "cat", "up"))
    assert pack.main([words["ROOT"], words["NEW"]]) == 2
    assert "cat/up is a link to %s, in which it lies: remove it" % os.path.realpath(words["ROOT"]) in (
        capsys.readouterr().err)


def test_a_link_to_another_folder_is_followed(words, tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "b.png").write_bytes(pictures.drawn())
    os.symlink(str(tmp_path / "more"), os.path.join(words["ROOT"], "dog"))
    assert pack.main([words["ROOT"], words["NEW"]]) == 0
