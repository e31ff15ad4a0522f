"""Chains asked for by their keys, in this process and in one of their own."""
import os
import signal
import subprocess
from math import prod

import numpy as np
import pytest

from accnn.core.errors import AccnnError
from accnn.graph.cut import DATA
from accnn.timing import chains, client, passes
from accnn.timing import chains as survey
from accnn.timing import job as questions
from accnn.timing.job import REFERENCE, NetworksJob, SurveyJob, Timed, question_from_text
from accnn.timing.keys import parse

SMALL, SPLIT = "8,9,9|conv 8-12 3x3 p1x1 b", "8,9,9|conv 8-4 3x1 p1x0|conv 4-12 1x3 p0x1 b"
FC, MAPS = "20|fc 20-3|fc 3-7 b", "20 x3|conv 5-3 1x1 m5,2,2|conv 3-16 2x2|fc 16-7 b"
WRONG = "7,9,9|conv 8-4 3x3"

pytestmark = pytest.mark.alone


@pytest.mark.parametrize("job", [
    SurveyJob((SMALL, FC), 2, 4, 3, 7),
    NetworksJob("some/where", 3, ((None, (3, 4, 4)), ("x", (2,))), ({"conv1": SMALL, "é": FC}, {}), 2, 4, 3, 7)])
def test_what_is_asked_survives_the_pipe(job):
    assert "\n" not in job.text() and question_from_text(job.text()) == job
    shortest = type(job)(*list(vars(job).values())[:1])
    assert question_from_text(shortest.text()) == shortest


@pytest.mark.parametrize("wrong, sentence", [({"batch_size": 0}, "`batch_size=0`"), ({"threads": 0}, "`threads=0`"),
                                             ({"rounds": 0}, "`rounds=0`"), ({"seed": -1}, "`seed=-1`")])
def test_what_nobody_can_do_is_refused(wrong, sentence):
    for kind, first in ((SurveyJob, ()), (NetworksJob, "a")):
        with pytest.raises(AccnnError, match=sentence):
            kind(first, **wrong)


def test_groups_are_cut_by_number_and_by_bytes(monkeypatch):
    monkeypatch.setattr(survey, "GROUP", 3)
    texts = ["8,9,9|conv 8-%d 1x1" % filters for filters in range(21, 28)]
    assert [len(group) for group in survey.groups(texts, 1)] == [3, 3, 1]
    assert sum(survey.groups(texts, 1), []) == texts and list(survey.groups([], 1)) == []
    monkeypatch.setattr(survey, "GROUP_BYTES", 2 * max(survey.bytes_of(text, 1) for text in texts))
    assert [len(group) for group in survey.groups(texts, 1)] == [2, 2, 2, 1]
    assert [len(group) for group in survey.groups(texts, 100)] == [1] * 7


@pytest.mark.parametrize("text", [SMALL, SPLIT, FC, MAPS])
def test_bytes_are_those_of_the_arrays_mxnet_needs(text):
    place, chain = parse(text)
    model = chains.random_chain(chain, np.random.RandomState(0)).model
    internals = model.symbol.get_internals()
    shapes = dict(zip(internals.list_outputs(), internals.infer_shape(**{DATA: (1,) + place.in_shape})[1]))
    inner = [shapes["part_%d_output" % number] for number in range(len(chain))]
    weights = sum(array.size for name, array in model.arg_params.items() if name.endswith("weight"))
    rows = 2 * place.repeats
    numbers = weights + rows * (prod(place.in_shape) + sum(prod(shape) for shape in inner))
    assert survey.bytes_of(text, 2) == 4 * numbers


def test_a_survey_answers_in_order_and_tells_what_mxnet_refuses():
    texts = [SMALL, WRONG, FC, MAPS, "8,9,9|conv 8-4 11x11", SPLIT]
    (answers,) = survey.survey(SurveyJob(tuple(texts), rounds=3))
    assert [timed.key for timed in answers] == texts
    for timed in answers:
        if timed.key in (WRONG, texts[4]):
            assert "hape" in timed.refused or "kernel" in timed.refused
            assert timed == Timed(timed.key, None, None, 0, None, timed.refused)
        else:
            assert timed.refused is None and 3 <= timed.rounds <= 9
            assert 0 < timed.relative < 50 and timed.spread >= 0 and timed.reference_ms > 0


def test_a_group_of_refused_ones_alone():
    assert [[timed.relative for timed in group] for group in survey.survey(SurveyJob((WRONG,)))] == [[None]]


def test_what_no_machine_holds_is_refused_before_it_is_tried():
    (timed,), = survey.survey(SurveyJob(("500,1000|fc 1000-%d last" % 10 ** 9,)))
    assert "GB are needed" in timed.refused


def test_an_error_of_ours_is_no_refusal(monkeypatch):
    monkeypatch.setattr(survey, "random_chain", lambda chain, rng: chain.nonsense)
    with pytest.raises(AttributeError):
        survey.chain_call(SMALL, 1, 0)


def test_rows_and_layout_are_those_of_the_place(monkeypatch):
    seen = []

    def of_part(part, data):
        seen.append((data.shape, data.stype))
        return lambda: None

    laid_out = []
    monkeypatch.setattr(passes, "of_part", of_part)
    monkeypatch.setattr(chains, "_left_by_a_convolution", lambda data: laid_out.append(data.shape) or data)
    for text in (MAPS, "8,9,9 x3|conv 8-4 1x1", "8,5,5 plain|conv 8-4 1x1"):
        survey.chain_call(text, 2, 0)
    assert [shape for shape, _ in seen] == [(6, 20), (6, 8, 9, 9), (2, 8, 5, 5)]
    assert laid_out == [(6, 8, 9, 9)]


@pytest.mark.parametrize("text", ["32,6,6|conv 32-4 1x1", "3,7,5 plain|conv 3-4 3x3", "5,9,9|conv 5-4 1x1",
                                  "20|fc 20-4"])
def test_inputs_are_written_again_as_they_were(text):
    place, chain = parse(text)
    data = chains.input_of(np.random.RandomState(0), (4,) + place.in_shape, inside=not place.plain)
    twin = chains.input_of(np.random.RandomState(0), (4,) + place.in_shape, inside=not place.plain)
    once = passes.of_part(chains.random_chain(chain, np.random.RandomState(0)), data)
    once()
    again = passes.rewriting(data)
    for _ in range(3):
        again()
        once()
    assert np.array_equal(data.asnumpy(), twin.asnumpy()) and (data.asnumpy() > 0).all()


def test_inputs_are_written_before_every_timed_pass(monkeypatch):
    order = []
    monkeypatch.setattr(survey, "chain_call",
                        lambda text, *_: (lambda: order.append("write"), lambda: order.append(text)))
    list(survey.survey(SurveyJob((SMALL, MAPS), rounds=2)))
    chains_run = [place for place, what in enumerate(order) if what in (SMALL, MAPS)]
    assert chains_run and all(order[place - 1] == "write" for place in chains_run)


def test_more_work_takes_longer_and_the_reference_takes_as_long_as_itself():
    (small, large, same), = survey.survey(SurveyJob(
        ("64,28,28|conv 64-8 1x1", "64,28,28|conv 64-256 3x3 p1x1", REFERENCE), rounds=25))
    assert small.relative < large.relative / 2
    assert same.relative == pytest.approx(1, rel=0.3)


@pytest.fixture
def children(monkeypatch):
    """Processes the parent starts."""
    started, popen = [], subprocess.Popen

    def note(*arguments, **options):
        started.append(popen(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(client.subprocess, "Popen", note)
    return started


def test_a_process_answers_and_ends(children):
    got = list(client.survey([SMALL, WRONG, FC], 1, 2, rounds=2))
    assert [timed.key for timed in got[0]] == [SMALL, WRONG, FC] and len(got) == 1
    assert all(isinstance(timed, Timed) for timed in got[0])
    assert got[0][1].refused and got[0][0].relative > 0
    assert [child.returncode for child in children] == [-signal.SIGKILL]


def test_no_questions_start_no_process(children):
    assert list(client.survey([], 1, 1)) == [] and children == []


def test_a_question_that_is_no_key_starts_no_process(children):
    with pytest.raises(ValueError, match="nonsense"):
        next(client.survey([SMALL, "nonsense"], 1, 1))
    assert children == []


CHILD = """
import json, os, sys, time
asked = json.loads(sys.stdin.readline())
assert asked["kind"] == "SurveyJob" and os.environ["OMP_NUM_THREADS"] == "3"
one = dict(key="k", relative=2.0, spread=0.1, rounds=5, reference_ms=1.0, refused=None)
print(json.dumps({"timed": [one]})[:20], end="", flush=True)
time.sleep(0.1)
print(json.dumps({"timed": [one]})[20:], flush=True)
"""


@pytest.fixture
def child(tmp_path, monkeypatch):
    """Let the parent start a script that answers once and then ends in its own way."""
    def ends(how):
        (tmp_path / "child.py").write_text(CHILD + how)
        monkeypatch.setattr(client, "_CHILD", str(tmp_path / "child.py"))
        return client.survey([SMALL], 3, 1)
    return ends


@pytest.mark.parametrize("how, sentence", [
    ("os.kill(os.getpid(), 9)", "memory runs out"), ("os.kill(os.getpid(), 11)", "SIGSEGV"),
    ("sys.exit(3)", "exit code 3"), ("print('{\"half', end='')", "exit code 0"),
    ("print(json.dumps({'error': 'no such thing'}))", "no such thing")])
def test_what_was_answered_before_a_bad_end_is_kept(child, how, sentence):
    answers = child(how)
    assert next(answers) == [Timed("k", 2.0, 0.1, 5, 1.0)]
    with pytest.raises(AccnnError, match=sentence):
        next(answers)


@pytest.mark.parametrize("end", ["close", "throw", "forget"])
def test_however_a_survey_ends_its_process_ends_too(child, children, end):
    answers = child("time.sleep(60)")
    next(answers)
    if end == "close":
        answers.close()
    elif end == "throw":
        with pytest.raises(KeyboardInterrupt):
            answers.throw(KeyboardInterrupt())
    else:
        del answers
    assert children[0].returncode == -signal.SIGKILL


def test_many_questions_fit_through_the_pipe(child):
    child("print({})")
    texts = ["8,9,9|conv 8-%d 3x3 p1x1 b" % filters for filters in range(1, 20000)]
    assert len(list(client.survey(texts, 3, 1))) == 1


def test_mxnet_stays_out_of_the_asking_process():
    code = "import sys; import accnn.timing.client, accnn.timing.job; sys.exit('mxnet' in sys.modules)"
    tools = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(client.__file__))))
    assert subprocess.run([client.sys.executable, "-c", code], cwd=tools).returncode == 0


def test_the_reference_is_a_key():
    assert parse(questions.REFERENCE)[0].in_shape == (128, 28, 28)
