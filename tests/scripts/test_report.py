"""report.py and ``--report``: from checkpoints to a page, what is refused, and what is said not to be known."""
import json
import os
import re

import pytest

pytest.importorskip("matplotlib", reason="needs pip install '.[report]'")

from accnn import accnn, check, quantize, report, two_pass
from accnn.cli.replacing import is_int8_plan
from accnn.cli.report import read_history
from accnn.cli.reporting import is_report
from accnn.core.errors import AccnnError
from networks import chain_model, random_model, residual_net, saved
from pictures import items, packed


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder with a network, what accnn.py made of it, its plan, its report, and images."""
    work = tmp_path_factory.mktemp("report")
    saved(chain_model(widths=(16, 32, 32)), work / "old")
    packed(work / "val", items(23))
    assert accnn.main(["-m", str(work / "old"), "--ratio", "2", "--save-model", str(work / "new"), "--no-timing",
                       "--data-calib", str(work / "val.rec"), "--rank-selection", "sensitivity", "--calib-images", "16",
                       "--report", str(work / "made.html"), "--cache", ""]) == 0
    return work


@pytest.fixture
def options(folder, tmp_path):
    return ["-m", str(folder / "new"), "--baseline", str(folder / "old"), "--no-timing", "--cache", "",
            "--output", str(tmp_path / "page.html")]


def titles(path):
    """list of str: the headings of a page."""
    return re.findall(r"<h2[^>]*>(.*?)</h2>", path.read_text(encoding="utf-8"))


def plan_of(folder):
    """str: path of the plan."""
    return str(folder / "config-rksel-2.0.json")


def shown(path):
    """str: what a page says, without its markup."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", path.read_text(encoding="utf-8")))


def test_accnn_shows_what_it_did(folder):
    assert titles(folder / "made.html") == ["The whole network", "Layers", "Energy by rank", "Sensitivity by rank",
                                            "Reconstruction", "Chains", "The plan", "Machine and command"]
    assert is_report(str(folder / "made.html"))
    text = shown(folder / "made.html")
    assert "accnn.py -m" in text and "--rank-selection sensitivity" in text
    with open(plan_of(folder)) as handle:
        assert json.dumps(json.load(handle)["made_by"]["objective"]) in text


def test_two_checkpoints_and_a_plan(folder, options, tmp_path):
    assert report.main(options + ["--config", plan_of(folder)]) == 0
    page = tmp_path / "page.html"
    assert titles(page) == ["The whole network", "Layers", "Energy by rank", "Sensitivity by rank", "Chains",
                            "The plan", "Machine and command"]
    text = shown(page)
    assert "methods and reasons read from " + plan_of(folder) in text
    assert "read from " + str(folder / "old-sensitivity.json") in text
    assert "Nothing was scored: give --data-val" in text and "bears no mark" not in text


def test_layers_are_counted_from_the_graphs(folder, options, capsys):
    """As accnn.py counted them from the plan."""
    assert report.main(options + ["--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert accnn.main(["-m", str(folder / "old"), "--config", plan_of(folder), "--dry-run", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert found["network"].items() <= planned["network"].items()
    counts = [[(row["layer"], row["macs_before"], row["macs_after"]) for row in one["layers"]]
              for one in (found, planned)]
    assert counts[0] == counts[1] and len(counts[0]) == 5


def test_scores_and_the_images_that_changed(folder, options, tmp_path, capsys):
    assert report.main(options + ["--data-val", str(folder / "val.rec"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["scores"]["model"]["images"] == 23
    page = tmp_path / "page.html"
    assert titles(page)[2:4] == ["Accuracy", "Where the networks disagree"]
    told = re.search(r"the (\d+) images whose probabilities changed the most", shown(page))[1]
    assert page.read_text().count("data:image/jpeg;base64,") == int(told) > 5
    low, high = found["scores"]["paired"]["drop_interval_95"]
    assert "95%% interval %+.2f to %+.2f" % (100 * low, 100 * high) in shown(page)


@pytest.mark.timed
def test_what_is_timed_and_stands_beside(folder, options, tmp_path):
    options = [word for word in options if word != "--no-timing"]
    assert report.main(options + ["--repeats", "3", "--threads", "1", "--data-val", str(folder / "val.rec"),
                                  "--max-num-examples", "8", "--beside", str(folder / "new")]) == 0
    page = tmp_path / "page.html"
    assert titles(page)[1:4] == ["The whole network by the clock", "Layers", "Speed against loss"]
    assert "faster, measured" in shown(page) and "known to" in shown(page)


def test_int8_and_the_report_of_quantize(folder, options, tmp_path):
    made = str(tmp_path / "small")
    assert quantize.main(["-m", str(folder / "new"), "--data-calib", str(folder / "val.rec"), "--calib-images", "20",
                          "--save-model", made, "--no-timing", "--report", str(tmp_path / "q.html")]) == 0
    assert titles(tmp_path / "q.html") == ["The whole network", "INT8", "Machine and command"]
    options[1] = made
    assert report.main(options + ["--config", plan_of(folder)]) == 0
    page = tmp_path / "page.html"
    assert "INT8" in titles(page) and "layers are in INT8" in shown(page)
    assert "vh, int8" in shown(page)


def test_two_passes(folder, tmp_path):
    work = str(tmp_path / "twice")
    assert two_pass.main(["-m", str(folder / "old"), "--save-model", work, "--data-train", str(folder / "val.rec"),
                          "--data-val", str(folder / "val.rec"), "--groups", "1", "--fine-tune-epochs", "0",
                          "--batch-size", "8", "--config", plan_of(folder), "--report", str(tmp_path / "t.html")]) == 0
    assert titles(tmp_path / "t.html")[-3:] == ["Fine-tuning", "Two passes", "Machine and command"]
    assert report.main(["-m", work, "--baseline", str(folder / "old"), "--no-timing", "--output",
                        str(tmp_path / "page.html")]) == 0
    assert "Two passes" in titles(tmp_path / "page.html") and "Fine-tuning" in titles(tmp_path / "page.html")


def test_the_log_of_fine_tuning(folder, options, tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("epoch,lr,train_loss,val_images,val_right,val_loss,seconds\n0,,,10,5,0.9,1\n1,0.1,0.5,10,8,0.4,1\n")
    assert report.main(options + ["--history", str(log)]) == 0
    assert "Fine-tuning" in titles(tmp_path / "page.html") and "80.00%" in shown(tmp_path / "page.html")


@pytest.mark.parametrize("text", [
    "no,log\n1,2\n", "epoch,val_images,val_right\n1,10,\n", "epoch,val_images,val_right\ninf,10,5\n",
    "epoch,val_images,val_right,val_loss\n1,10,5,1e308\n"])
def test_what_is_no_log_of_fine_tuning(text, tmp_path):
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(AccnnError, match="log.csv is no log of fine_tune.py"):
        read_history(str(tmp_path / "log.csv"))


@pytest.mark.parametrize("changed", [
    {"layers": 5}, {"steps": [{"step": "equalised"}]}, {"layers": [{"layer": "conv1"}]},
    {"layers": [{"layer": "a", "precision": "int8", "thresholds": None, "range": 3, "reason": None}]},
    {"steps": [{"step": "a", "before": "b", "after": 1, "kept": True}]}])
def test_what_is_no_plan_of_quantize_is_not_shown(changed, tmp_path):
    plan = {"layers": [], "thresholds": {}, "steps": [], "made_by": {}}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    assert is_int8_plan(str(tmp_path / "plan.json"))
    (tmp_path / "plan.json").write_text(json.dumps(dict(plan, **changed)))
    assert not is_int8_plan(str(tmp_path / "plan.json"))


# ---- what accnn did not make, and what is refused

def test_a_checkpoint_of_somebody_else(folder, options, tmp_path, capsys):
    saved(chain_model(seed=3, widths=(16, 24, 32)), tmp_path / "theirs")
    options[1] = str(tmp_path / "theirs")
    assert report.main(options) == 0
    said = capsys.readouterr().err
    assert "theirs bears no mark of accnn" in said and "give --config" in said
    assert "bears no mark of accnn" in shown(tmp_path / "page.html")


def test_another_network(folder, options, tmp_path, capsys):
    saved(random_model(residual_net(), data=(3, 12, 12)), tmp_path / "other")
    options[1] = str(tmp_path / "other")
    assert report.main(options) == 0
    assert "5 layers of the baseline have no counterpart" in capsys.readouterr().err


@pytest.mark.parametrize("change, sentence", [
    (lambda words, work: [word for word in words if word != "--baseline" and word != str(work / "old")],
     "a report compares two networks: give --baseline PREFIX"),
    (lambda words, work: words + ["--config", str(work / "plan.json")], "has no layer 'nowhere'"),
    (lambda words, work: words + ["--config", str(work / "less.json")], "give the plan that it was made by, or none"),
    (lambda words, work: words + ["--config", str(work / "none.json")], "none.json cannot be read"),
    (lambda words, work: words + ["--output", str(work / "none" / "r.html")], "there is no folder"),
    (lambda words, work: words + ["--output", str(work / "mine.html")], "mine.html is there already"),
    (lambda words, work: words + ["--output", str(work / "new-symbol.json")], "give a name that ends in .html"),
    (lambda words, work: words + ["--output", "/proc/page.html"], "page.html cannot be written"),
    (lambda words, work: words + ["--beside", str(work / "old")], "leave out --no-timing"),
    (lambda words, work: [word for word in words if word != "--no-timing"] + ["--engine", "nothing"], "nothing"),
    (lambda words, work: words + ["--history", str(work / "none.csv")], "none.csv cannot be read"),
    (lambda words, work: words + ["--input-shape", "3,0,0"], "invalid shape value"),
    (lambda words, work: words[:1] + [str(work / "none")] + words[2:], "none-symbol.json")])
def test_bad_input_is_one_sentence(change, sentence, folder, options, capsys):
    (folder / "plan.json").write_text('{"conv_params": {"nowhere": 3}}')
    with open(plan_of(folder)) as handle:
        layer, rank = next(iter(json.load(handle)["conv_params"].items()))
    (folder / "less.json").write_text(json.dumps({"conv_params": {layer: rank + 1}}))
    (folder / "mine.html").write_text("my own page")
    before = sorted(os.listdir(str(folder)))
    assert report.main(change(options, folder)) == 2
    assert sentence in capsys.readouterr().err
    assert sorted(os.listdir(str(folder))) == before and not os.path.exists(options[-1])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_read_only(folder, options, tmp_path, capsys):
    (tmp_path / "closed").mkdir(mode=0o500)
    assert report.main(options + ["--output", str(tmp_path / "closed" / "r.html")]) == 2
    assert "cannot be written to" in capsys.readouterr().err


@pytest.mark.parametrize("script, arguments", [
    (accnn, ["-m", "none"]), (quantize, ["-m", "none", "--data-calib", "none.rec"]),
    (two_pass, ["-m", "none", "--save-model", "new", "--data-train", "none.rec"])])
def test_a_report_is_refused_before_any_work(script, arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.html").write_text("<html>my own page</html>")
    assert script.main(arguments + ["--report", "mine.html"]) == 2
    assert "mine.html is there already, and is no result of this script" in capsys.readouterr().err
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    assert script.main(arguments + ["--report", "new.html"]) == 2
    assert "pip install '.[report]'" in capsys.readouterr().err


def test_its_own_page_is_replaced(folder, options, capsys):
    assert report.main(options) == 0 == report.main(options)
    assert "replacing " + options[-1] in capsys.readouterr().err


def test_accnn_takes_its_name_as_a_word(folder, options):
    assert accnn.main(["report"] + options) == 0
    assert check.main(["-m", str(folder / "new")]) == 0
