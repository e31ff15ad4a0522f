"""What a sentence of the library says of settings becomes the options of the script that prints it."""

import pytest

from accnn import acc_conv, accnn, benchmark, fine_tune, pack, score, two_pass
from accnn.cli.setting_names import options_named, spelled
from accnn.core.errors import AccnnError, TargetError
from accnn.core.progress import say
from accnn.core.settings import renamed
from accnn.graph.checkpoint import load_model
from accnn.planning.request import Request

SENTENCES = [
    (accnn, "give `input_shapes`", "give --input-shape"), (accnn, "`input_shapes=C,H,W`", "--input-shape C,H,W"),
    (accnn, "`align=16` or `cost='latency'`", "--align 16 or --cost latency"), (accnn, "`fc=True`", "--fc"),
    (accnn, "`solver=None`, `solver='linear'`", "--reconstruct none, --reconstruct linear"),
    (accnn, "`exclude='conv*'`", "--exclude conv*"), (accnn, "`batch_sizes=0,3`:", "--batch-size 0,3:"),
    (accnn, "give `responses`, more `images`", "give --data-calib, more --calib-images"),
    (accnn, "`exported` and `imported` in `cache`", "--export-latencies and --import-latencies in --cache"),
    (accnn, "give `prefix`: `prefix=a/b c`", "give -m: -m a/b c"),
    (accnn, "`load_epoch`, `epoch`", "--load-epoch, --load-epoch"),
    (accnn, "`gpus=9`, `image_shape`", "--gpus 9, --image-shape"),
    (score, "compare with `accnn.scoring.fidelity`", "compare with score.py --fidelity"),
    (fine_tune, "compare with `accnn.scoring.fidelity`", "compare with score.py --fidelity"),
    (score, "`baseline`, `baseline_epoch=3`", "--baseline, --baseline-epoch 3"),
    (fine_tune, "`classes`: `patterns=c*`, `timeout`", "--num-classes: --freeze c*, --worker-timeout"),
    (fine_tune, "`pretrained_model` x, `lr_step_epochs` y", "--pretrained-model x, --lr-step-epochs y"),
    (fine_tune, "`mean` and `std`", "--rgb-mean and --rgb-std"),
    (fine_tune, "`store=dist_sync`: `accnn.launch`",
     "--kv-store dist_sync: python tools/accnn/launch.py -n WORKERS --launcher local python ..."),
    (pack, "`classes=FILE`, `first=1`, `labels`", "--classes FILE, --first-label 1, --labels"),
    (two_pass, "`unfreeze` True, `iterations`", "--unfreeze True, --iterations"),
    (fine_tune, "`augmentation` {}", "options of augmentation {}"),
    (fine_tune, "another `model_prefix`", "another --model-prefix"), (two_pass, "`model_prefix`", "--save-model"),
    (benchmark, "`warm_up=-1`", "--warm-up -1"),
    # no settings of the script
    (pack, "`align=16`, `prefix`", "`align=16`, `prefix`"), (acc_conv, "`best_effort`", "`best_effort`"),
    (accnn, "`quux` `` `align", "`quux` `` `align"), (accnn, "align, 'align'", "align, 'align'"),
]


@pytest.mark.parametrize("script, sentence, said", SENTENCES)
def test_settings_become_options(script, sentence, said):
    with options_named(script.parser()):
        assert spelled(sentence) == said
    assert spelled(sentence) == sentence  # outside a script


def test_reports_are_spelled_all_through():
    report = {"layers": [{"reason": "give `align`", "rank": (3, 4)}], "ratio": 2.5, "none": None, "`align`": True}
    with options_named(accnn.parser()):
        assert spelled(report) == {"layers": [{"reason": "give --align", "rank": [3, 4]}], "ratio": 2.5, "none": None,
                                   "`align`": True}


@pytest.mark.parametrize("kind", [AccnnError, TargetError])
def test_errors_and_remarks_are_spelled_as_long_as_a_script_runs(capsys, kind):
    with pytest.raises(kind, match="^choose another --align$") as error, options_named(accnn.parser()):
        say("raise `iterations`")
        raise kind("choose another `align`")
    assert type(error.value) is kind
    say("raise `iterations`")
    assert capsys.readouterr().err == "raise --iterations\nraise `iterations`\n"


def test_a_script_in_a_script_has_its_own(capsys):
    with options_named(pack.parser()):
        with options_named(accnn.parser()):
            say("`align`")
        say("`align`")
    assert capsys.readouterr().err == "--align\n`align`\n"


def test_a_second_checkpoint_is_named_as_the_caller_calls_it(tmp_path):
    with pytest.raises(AccnnError, match="give `teacher` the path before .*: `teacher=%s/a`$" % tmp_path):
        with renamed(prefix="teacher", epoch="teacher_epoch"):
            load_model(str(tmp_path / "a-symbol.json"))


def test_from_the_first_line_to_the_exit_code(capsys, monkeypatch):
    def run(args):
        raise AccnnError("`align=%d`: choose another" % args.align)

    monkeypatch.setattr(accnn.script.steps, "run", run)
    assert accnn.main(["-m", "x", "--align", "3"]) == 2
    assert capsys.readouterr().err == "error: --align 3: choose another\n"


def test_a_setting_is_an_argument_of_python():
    with pytest.raises(AccnnError, match="^`align=0` makes no sense"):
        Request(2.0, align=0)
