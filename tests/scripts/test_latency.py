"""Milliseconds on the command line: once or twice measured on this machine, else on a clock made of arithmetic."""
import json
import os

import pytest

from accnn import accnn, rank_selection
from accnn.cli import verify
from accnn.core import amx
from accnn.core.errors import AccnnError
from accnn.core.text import milliseconds
from accnn.graph.checkpoint import load_model
from accnn.latency import profiler
from accnn.planning import search
from accnn.planning.accelerator import Accelerator
from accnn.planning.plan import Plan, load_plan
from accnn.report import plan as report
from accnn.report.plan_clock import hints
from accnn.timing import client, machine
from clockwork import Clockwork
from networks import chain_model, chain_net, outputs, random_input, random_model, saved

SHAPE = (3, 16, 16)


@pytest.fixture
def net(tmp_path):
    """Prefix of a network that is worth a plan, alone in a folder."""
    (tmp_path / "model").mkdir()
    return saved(chain_model(widths=(32, 48, 64), side=16), tmp_path / "model" / "net")


@pytest.fixture
def clock(monkeypatch):
    return Clockwork(multiple=4, launch=0.005, rest=0.1).patched(monkeypatch)


def command(net, tmp_path, *more, ratio="2"):
    return ["-m", net, "--cost", "latency", "--ratio", ratio, "--save-model", str(tmp_path / "new"), *more]


def written(tmp_path):
    return sorted(name for name in os.listdir(tmp_path) if name != "model")


def errors(capsys):
    return [line for line in capsys.readouterr().err.splitlines() if "error: " in line]


def elsewhere(monkeypatch):
    found = dict(machine.environment(), cpu="A Slide Rule")
    monkeypatch.setattr(machine, "environment", lambda: found)


NEW = ["config-rksel-2.0.json", "new-0001.params", "new-symbol.json"]


# ---- measured on this machine

@pytest.mark.alone
@pytest.mark.timed
def test_a_plan_by_the_clock(tmp_path, capsys, monkeypatch):
    """From the survey to the line of the table; how fast it is depends on what else this machine does."""
    for module in search, profiler:
        monkeypatch.setattr(module, "refuse_noise", lambda *_: None)
    for module in search, verify:
        monkeypatch.setattr(module, "TOLERANCE", 0.2)
    net = saved(chain_model(widths=(16, 64, 64), side=24), tmp_path / "net")
    options = ["--threads", "1", "--repeats", "3", "--cache", str(tmp_path / "cache"), "--method", "vh,fc-svd",
               "--exclude", "fc*", "--align", "16", "--json"]
    assert accnn.main(command(net, tmp_path, *options, ratio="1.3")) == 0
    told = json.loads(capsys.readouterr().out)
    planned, (run,) = told["made_by"]["latency"], told["measured"]["runs"]
    assert planned["measured"]["median"] >= 0.8 * 1.3 and planned["missed"] is None
    assert (planned["threads"], planned["batch_size"]) == (run["threads"], run["batch_size"]) == (1, 1)
    assert run["measured"]["median"] >= 0.8 * 1.3 and told["convolutions"]["ratio"] > 1.3
    assert told["measured"]["theoretical"]["ratio"] == pytest.approx(told["network"]["ratio"])
    chosen = {layer["layer"] for layer in told["layers"] if layer["method"]}
    rows = {row["layer"]: row for row in run["layers"]["rows"] if "before" in row}
    assert chosen and chosen <= set(rows)
    for name in chosen:
        assert planned["layers"][name]["after_ms"] < planned["layers"][name]["before_ms"]
    assert outputs(load_model(str(tmp_path / "new")), data=random_input(2, 3, 24, 24))[0].shape == (2, 5)
    sections = json.loads((tmp_path / "cache" / "latencies.json").read_text())["measured"]
    assert [(one["threads"], one["batch_size"]) for one in sections] == [(1, 1)]
    assert sum(key.startswith("network ") for key in sections[0]["times"]) == 1


@pytest.mark.timed
def test_the_measured_speed_up_is_told_whatever_the_cost(net, tmp_path, capsys):
    assert accnn.main(["-m", net, "--save-model", str(tmp_path / "new"), "--threads", "1", "--batch-size", "2",
                       "--repeats", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["layer", "method", "rank", "MACs", "before", "after", "ratio", "ms", "before", "after",
                                "ratio", "energy"]
    (line,) = [line for line in lines if line.startswith("ms, whole network")]
    assert "x  measured; 1 thread, batch 2, %s, quartiles " % amx.isa() in line
    assert [line for line in lines if "theoretical" in line] and not [line for line in lines if "predicted" in line]


@pytest.mark.timed
def test_what_cannot_be_timed_is_written_all_the_same(net, tmp_path, capsys, monkeypatch):
    def refused(*_):
        raise AccnnError("no memory")

    monkeypatch.setattr(client, "measure", refused)
    assert accnn.main(["-m", net, "--save-model", str(tmp_path / "new")]) == 0
    captured = capsys.readouterr()
    assert "what was written could not be timed: no memory" in captured.err and "ms, whole" not in captured.out
    assert written(tmp_path) == NEW
    monkeypatch.setattr(client, "measure", None)
    assert accnn.main(["-m", net, "--save-model", str(tmp_path / "new"), "--no-timing"]) == 0
    assert accnn.main(["-m", net, "--save-model", str(tmp_path / "new"), "--dry-run"]) == 0


# ---- by a clock made of arithmetic

def test_a_plan_and_what_is_told_of_it(net, clock, tmp_path, capsys):
    assert accnn.main(command(net, tmp_path, "--threads", "1")) == 0
    captured = capsys.readouterr()
    assert written(tmp_path) == NEW and "planned 2." in captured.err
    plan = load_plan(str(tmp_path / NEW[0]))
    found = plan.made_by["latency"]
    assert 2 <= found["measured"]["median"] <= 2.06
    assert "ms before  after" in captured.out and "left alone: no rank makes it cheaper" in captured.out
    lines = {line.split("  ")[0]: line for line in captured.out.splitlines()}
    assert "measured with random weights; 1 thread, batch 1, %s, quartiles" % amx.isa() in lines["ms, whole network"]
    assert "%.2fx" % found["measured"]["median"] in lines["ms, whole network"]
    assert "%+.1f%% off" % (100 * found["prediction_error"]) in lines["ms, predicted"]
    assert os.path.exists(os.path.join(os.environ["XDG_CACHE_HOME"], "accnn", "latencies.json"))


def test_a_dry_run_tells_as_much_and_writes_nothing(net, clock, tmp_path, capsys):
    export = ["--export-latencies", str(tmp_path / "there.json")]
    assert accnn.main(command(net, tmp_path, "--dry-run", "--json", *export)) == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert written(tmp_path) == [] and 2 <= told["made_by"]["latency"]["measured"]["median"] <= 2.06
    assert told["measured"] is None and told["convolutions"]["ratio"] > 2
    assert captured.err.count("--dry-run writes nothing: ignoring --export-latencies") == 1
    assert not os.path.exists(os.environ["XDG_CACHE_HOME"])


def test_the_plan_gives_the_same_network_again(net, clock, tmp_path, capsys):
    assert accnn.main(command(net, tmp_path)) == 0
    before, asked = (tmp_path / "new-0001.params").read_bytes(), len(clock.asked)
    capsys.readouterr()
    assert accnn.main(["-m", net, "--config", str(tmp_path / NEW[0]), "--save-model", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again-0001.params").read_bytes() == before and len(clock.asked) == asked
    assert "ms, " not in capsys.readouterr().out  # it was measured then, and is not now


def test_ranks_only(net, clock, tmp_path, capsys):
    output = ["--output", str(tmp_path / "ranks.json")]
    assert rank_selection.main(["-m", net, "--cost", "latency", "--ratio", "3"] + output) == 0
    assert load_plan(output[1]).made_by["latency"]["measured"]["median"] == pytest.approx(3, rel=0.03)
    assert "measured with random weights" in capsys.readouterr().out
    assert rank_selection.main(["-m", net, "--cost", "latency", "--ratio", "60", "--best-effort"] + output) == 1
    assert load_plan(output[1]).made_by["ratio"] == 60
    assert "the best there is, not what was asked for: 60x" in capsys.readouterr().err


def test_an_unreachable_ratio_writes_nothing(net, clock, tmp_path, capsys):
    assert accnn.main(command(net, tmp_path, ratio="60")) == 1
    (error,) = errors(capsys)
    assert "60x (latency, over the whole network) cannot be reached: the best measured is " in error
    assert written(tmp_path) == []


def test_best_effort_writes_the_fastest_and_ends_with_1(net, clock, tmp_path, capsys):
    assert accnn.main(command(net, tmp_path, "--best-effort", "--json", ratio="60")) == 1
    captured = capsys.readouterr()
    told = json.loads(captured.out)["made_by"]["latency"]
    assert "the best there is, not what was asked for: 60x (latency" in captured.err and "60x" in told["missed"]
    assert 4 < told["measured"]["median"] < 60 and "error: " not in captured.err
    assert written(tmp_path) == ["config-rksel-60.0.json"] + NEW[1:]


def test_noise_is_refused(net, clock, tmp_path, capsys):
    clock.uncertainty = 0.2
    assert accnn.main(command(net, tmp_path)) == 2
    (error,) = errors(capsys)
    assert "too noisy to measure the untouched network" in error and written(tmp_path) == []


def test_an_interrupt_keeps_what_was_measured(net, clock, tmp_path, capsys):
    clock.stop = 30
    cache = ["--cache", str(tmp_path / "model" / "cache")]
    assert accnn.main(command(net, tmp_path, *cache)) == 130
    (section,) = json.loads((tmp_path / "model" / "cache" / "latencies.json").read_text())["measured"]
    assert set(section["times"]) == set(clock.asked) and written(tmp_path) == []
    clock.stop = None
    assert accnn.main(command(net, tmp_path, *cache)) == 0 and len(clock.asked) == len(set(clock.asked))


# ---- files of times

def test_times_are_carried_to_another_machine(net, clock, tmp_path, capsys, monkeypatch):
    table = str(tmp_path / "model" / "there.json")
    assert rank_selection.main(["-m", net, "--cost", "latency", "--threads", "4", "--batch-size", "8", "--output",
                                str(tmp_path / "model" / "ranks.json"), "--export-latencies", table]) == 0
    clock.asked.clear()
    clock.plans.clear()
    elsewhere(monkeypatch)
    capsys.readouterr()
    there = ["--import-latencies", table, "--threads", "4", "--batch-size", "8"]
    assert accnn.main(command(net, tmp_path, *there, ratio="2.5")) == 0
    captured = capsys.readouterr()
    assert clock.asked == clock.plans == [] and "4 threads, batch 8: nothing is measured here" in captured.err
    (line,) = [line for line in captured.out.splitlines() if line.startswith("ms, ")]
    assert line.startswith("ms, predicted  ") and "for " + machine.cpu_model() in line
    assert accnn.main(command(net, tmp_path, *there[:2], "--threads", "2")) == 2
    assert "holds times of no machine with 2 threads and batch 1" in errors(capsys)[0]
    assert accnn.main(command(net, tmp_path, *there, ratio="60")) == 1
    assert "the best predicted is" in errors(capsys)[0]


def test_what_is_planned_for_another_machine_may_be_slower_on_this_one(net, clock, tmp_path, capsys, monkeypatch):
    table = str(tmp_path / "model" / "there.json")
    assert rank_selection.main(["-m", net, "--cost", "latency", "--threads", "1", "--output",
                                str(tmp_path / "model" / "ranks.json"), "--export-latencies", table]) == 0
    there = machine.cpu_model()
    elsewhere(monkeypatch)
    monkeypatch.setattr(verify, "timed", lambda *_, **__: result_of(3.0, 1.5))
    capsys.readouterr()
    assert accnn.main(command(net, tmp_path, "--threads", "1", "--import-latencies", table, "--json")) == 0
    said = capsys.readouterr().err
    assert "measures 1.50x here, half of the rounds within 1.40 to 1.70, and not the 2x asked for: " in said
    assert "the plan was made for %s with mxnet" % there in said and "time it there with benchmark.py" in said
    assert written(tmp_path) == NEW


def test_a_file_that_lacks_the_network_is_refused(net, clock, tmp_path, capsys, monkeypatch):
    table, other = str(tmp_path / "model" / "there.json"), saved(chain_model(), tmp_path / "model" / "other")
    assert rank_selection.main(["-m", other, "--cost", "latency", "--ratio", "1", "--threads", "1", "--output",
                                str(tmp_path / "model" / "ranks.json"), "--export-latencies", table]) == 0
    elsewhere(monkeypatch)
    capsys.readouterr()
    assert accnn.main(command(net, tmp_path, "--threads", "1", "--import-latencies", table)) == 2
    (error,) = errors(capsys)
    assert "there.json" in error and ("does not know it" in error or "knows nothing of" in error)
    assert written(tmp_path) == []


@pytest.mark.parametrize("arguments, sentence", [
    (["--batch-size", "0"], "--batch-size"), (["--threads", "0"], "--threads"), (["--repeats", "0"], "--repeats"),
    (["--repeats", "-3"], "--repeats"), (["--threads", "many"], "--threads"), (["--repeats", "1.5"], "--repeats"),
    (["--import-latencies", "TMP/none.json"], "none.json"), (["--import-latencies", "TMP/model"], "cannot be read"),
    (["--import-latencies", "TMP/model/bad.json"], "bad.json is no table of milliseconds: name a file that was"),
    (["--cache", "TMP/model/damaged"], "latencies.json is no table of milliseconds: remove it, or name another folder"),
    (["--export-latencies", "TMP/none/there.json"], "--export-latencies"),
    (["--export-latencies", "TMP/model"], "--export-latencies"),
    (["--rank-selection", "dp-energy", "--method", "vh,channel"], "dp-energy does not choose among methods"),
    (["--rank-selection", "sensitivity"], "give --data-calib"), (["--ratio", "0.5"], "--ratio 0.5 makes no sense"),
    (["--layers", "pool"], "matches 'pool'"), (["--fixed", "conv9=3"], "no layer 'conv9'"),
    (["--align", "0"], "--align 0 makes no sense"),
])
def test_bad_input(net, clock, tmp_path, capsys, arguments, sentence):
    (tmp_path / "model" / "damaged").mkdir()
    for name in ("bad.json", "damaged/latencies.json"):
        (tmp_path / "model" / name).write_text('{"holds": "nothing"}')
    arguments = [text.replace("TMP", str(tmp_path)) for text in arguments]
    for script in (lambda: accnn.main(command(net, tmp_path, *arguments)),
                   lambda: rank_selection.main(["-m", net, "--cost", "latency", "--output", str(tmp_path / "r.json")]
                                               + arguments)):
        assert script() == 2
        (error,) = errors(capsys)
        assert sentence in error and written(tmp_path) == [] and clock.asked == []


@pytest.mark.timed
@pytest.mark.parametrize("arguments", [["--repeats", "0"], ["--threads", "0"], ["--batch-size", "0"]])
def test_bad_numbers_are_refused_before_anything_is_written(net, tmp_path, capsys, arguments):
    """Also where nothing is planned, and they count in the end only."""
    (tmp_path / "model" / "ranks.json").write_text('{"conv_params": {"conv2": 8}}')
    assert accnn.main(["-m", net, "--config", str(tmp_path / "model" / "ranks.json"), "--save-model",
                       str(tmp_path / "new")] + arguments) == 2
    assert arguments[0] in errors(capsys)[0] and written(tmp_path) == []


@pytest.mark.parametrize("cache", ["", "TMP/model/net-symbol.json/folder"])
def test_without_a_cache_it_works_as_well(net, clock, tmp_path, capsys, cache):
    assert accnn.main(command(net, tmp_path, "--cache", cache.replace("TMP", str(tmp_path)))) == 0
    assert written(tmp_path) == NEW and not os.path.exists(os.environ["XDG_CACHE_HOME"])
    said = capsys.readouterr().err
    assert said.count("keeping nothing") == (1 if cache else 0)


# ---- what the table says of it

def result_of(theoretical, measured):
    found = {"median": measured, "quartiles": [1.4, 1.7]}
    return {"theoretical": {"ratio": theoretical}, "runs": [{"measured": found}]}


def hints_of(theoretical, measured, weight_types=("float32",), **made_by):
    return hints({"measured": result_of(theoretical, measured), "weight_types": list(weight_types),
                  "made_by": made_by})


def test_a_hint_where_the_clock_says_much_less_than_theory():
    assert hints_of(2.0, 1.71) == hints_of(2.0, 2.5) == hints_of(None, 1.0) == hints({"measured": None}) == []
    (said,) = hints_of(2.0, 1.5)
    assert said.startswith("the clock says 1.50x where theory says 2.00x, 25% less") and "`cost='latency'`" in said
    assert "`align=16`" in said and "align" not in hints_of(2.0, 1.5, align=16)[0]
    assert "`" not in hints_of(2.0, 1.5, latency={"missed": None})[0]


def test_no_hint_says_what_would_be_refused():
    """Chains are timed in single precision."""
    for types in (["float16"], ["float16", "float32"]):
        (said,) = hints_of(2.0, 1.5, types)
        assert "cost" not in said and said.endswith("wait for memory; try `align=16`")
    assert hints_of(2.0, 1.5, ["float64"], align=8)[0].endswith("layers that wait for memory")


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_a_report_knows_what_weights_are(kind):
    bench = Accelerator(random_model(chain_net(), dtype=kind, data=(3, 12, 12)))
    assert report.summary(bench, Plan(()))["weight_types"] == [kind]


def test_what_is_slower_in_the_end_than_it_was_when_planned_is_said(capsys):
    def plan(missed=None, **made_by):
        return Plan((), dict({"ratio": 2.0, "latency": {"missed": missed, "measured": {"median": 2.0}}}, **made_by))

    assert verify.verify_speedup(None, plan()) == 0
    near = result_of(3.0, 1.9)
    near["runs"][0]["measured"]["quartiles"] = [1.85, 1.96]  # may be as fast as was asked for
    assert verify.verify_speedup(near, plan()) == 0
    assert verify.verify_speedup(result_of(3.0, 1.5), Plan((), {"ratio": 2.0})) == 0  # theory is no promise
    assert verify.verify_speedup(result_of(3.0, 1.5), plan("2x cannot be reached")) == 0  # told already
    assert capsys.readouterr().err == ""
    assert verify.verify_speedup(result_of(3.0, 1.5), plan()) == 1
    said = capsys.readouterr().err
    assert "measures 1.50x here, half of the rounds within 1.40 to 1.70, and not the 2x asked" in said
    assert "the machine is not what it was when the plan was measured" in said


def test_no_plan_by_times_of_a_file_is_to_blame(capsys):
    plan = Plan((), {"ratio": 2.0, "latency": {"missed": None, "measured": None, "foreign": True,
                                               "machine": "A Slide Rule"}})
    assert verify.verify_speedup(result_of(3.0, 1.5), plan) == 0
    said = capsys.readouterr().err
    assert "1.50x here" in said and "made for A Slide Rule" in said and "what it was" not in said
    fast = result_of(3.0, 2.1)
    fast["runs"][0]["measured"]["quartiles"] = [2.0, 2.2]
    assert verify.verify_speedup(fast, plan) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.timed
def test_what_takes_the_place_of_its_source_is_not_timed(net, capsys, monkeypatch):
    monkeypatch.setattr(client, "measure", None)
    assert accnn.main(["-m", net, "--save-model", net, "--force"]) == 0
    captured = capsys.readouterr()
    assert "there is nothing to time it against" in captured.err and "ms, " not in captured.out


@pytest.mark.parametrize("number, text", [(12345.6, "12346"), (123.456, "123.5"), (12.3456, "12.35"), (1.2345, "1.23"),
                                          (0.123456, "0.123"), (-0.5, "-0.500")])
def test_milliseconds_have_three_digits_at_least(number, text):
    assert milliseconds(number) == text
