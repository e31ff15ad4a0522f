"""How a measuring process ends, and what is said of it."""
import os
import signal
import subprocess
import sys
from multiprocessing.pool import ThreadPool

import pytest

from accnn.core import amx
from accnn.core.errors import AccnnError
from accnn.report.timing import noise
from accnn.timing import client, machine
from accnn.timing.job import Job, NetworksJob, PrepareJob, SurveyJob, from_text, question_from_text


def test_a_job_survives_the_pipe():
    job = Job("a", "b", 3, None, None, ((None, (3, 4, 4)), ("x", (2,))), (1, 8), (2,), True, 5, 1, 9)
    assert from_text(job.text()) == job
    assert from_text(Job("a").text()) == Job("a")


@pytest.mark.parametrize("wrong, sentence", [
    ({"batch_sizes": (0,)}, "`batch_sizes=0`"), ({"threads": ()}, "`threads="),
    ({"threads": (1, -2)}, "`threads="),
    ({"repeats": 0}, "`repeats=0`"), ({"warm_up": -1}, "`warm_up=-1`"), ({"seed": -1}, "`seed="),
    ({"layers": True}, "give `baseline`"), ({"baseline_epoch": 2}, "give both"),
])
def test_jobs_nobody_can_do(wrong, sentence):
    with pytest.raises(AccnnError, match=sentence):
        Job("a", **wrong)


@pytest.mark.parametrize("text, code, sentence", [
    (b"", -signal.SIGKILL, "was killed, as the system does when memory runs out"),
    (b'{"half', -signal.SIGSEGV, "SIGSEGV"), (b"", 1, "without an answer"),
    (b'{"error": "no such thing"}', 0, "no such"),
])
def test_ends_of_the_process(text, code, sentence):
    with pytest.raises(AccnnError, match=sentence):
        client._heard(text, code)


def test_the_process_gets_its_number_of_threads():
    assert client.environment_for(3)["OMP_NUM_THREADS"] == client.environment_for(3)["OPENBLAS_NUM_THREADS"] == "3"
    assert os.environ.items() <= dict(client.environment_for(3), **os.environ).items()


# ---- signals

CHILD = """
import json, os, signal, sys, time
for line in sys.stdin:
    told = [signal.getsignal(one) == wanted for one, wanted in (
        (signal.SIGINT, signal.SIG_IGN), (signal.SIGTERM, signal.SIG_DFL))]
    print(json.dumps({"error": "no such network"} if "refuse" in line else told) + "\\n{}", flush=True)
"""


@pytest.fixture
def children(tmp_path, monkeypatch):
    """The measuring processes that were started, of a program that tells what it does with signals."""
    (tmp_path / "child.py").write_text(CHILD)
    monkeypatch.setattr(client, "_CHILD", str(tmp_path / "child.py"))
    found, real = [], subprocess.Popen
    monkeypatch.setattr(client.subprocess, "Popen", lambda *a, **k: found.append(real(*a, **k)) or found[-1])
    return found


_after_fork = []  # hooks cannot be taken back
os.register_at_fork(after_in_parent=lambda: _after_fork and signal.raise_signal(_after_fork.pop()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_around_the_fork_is_not_lost_and_leaves_no_process(children, monkeypatch, number):
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    _after_fork.append(number)
    try:
        with pytest.raises(KeyboardInterrupt):
            list(client._answers(Job("a"), 1))
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert not _after_fork and [child.wait(20) for child in children] == [-signal.SIGKILL]


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
def test_the_process_leaves_ctrl_c_to_this_one_and_ends_when_it_is_told_to(children, handler):
    previous = signal.signal(signal.SIGTERM, handler)
    try:
        assert list(client._answers(Job("a"), 1)) == [[True, True]]
        with ThreadPool(1) as pool:  # where nobody can exchange handlers
            assert pool.apply(lambda: list(client._answers(Job("a"), 1))) == [[True, True]]
    finally:
        signal.signal(signal.SIGTERM, previous)


def test_a_process_that_was_started_before_is_asked_one_job_after_another(children):
    with client.started(1) as process:
        for _ in range(2):
            assert list(client._answers(Job("a"), 1)) == [[True, True]]
        with client.kept(1) as same:
            assert same is process
        assert list(client._answers(Job("a"), 2)) == [[True, True]]  # with another number of threads
        assert len(children) == 2 and children[0] is process.child and children[0].poll() is None
    assert [child.wait(20) for child in children] == [-signal.SIGKILL] * 2


def test_nobody_hears_what_comes_of_a_preparation(children):
    with client.started(1) as process:
        process.prepare(PrepareJob("a"))
        process.prepare(PrepareJob("b"))
        assert list(client._answers(Job("a"), 1)) == [[True, True]]
        assert list(client._answers(Job("a"), 1)) == [[True, True]] and len(children) == 1


def test_a_process_that_refuses_one_job_is_asked_the_next(children):
    with client.started(1):
        with pytest.raises(AccnnError, match="no such network"):
            list(client._answers(Job("refuse"), 1))
        assert list(client._answers(Job("a"), 1)) == [[True, True]] and len(children) == 1


def test_a_process_whose_answers_nobody_waits_for_is_ended(children):
    with client.started(1) as process:
        answers = process.answers(Job("a"))
        assert next(answers) == [True, True] and not process.waits_in(client.environment_for(1))
        answers.close()
        assert children[0].wait(20) == -signal.SIGKILL
        assert list(client._answers(Job("a"), 1)) == [[True, True]] and len(children) == 2


@pytest.mark.parametrize("job", [Job("a", amx=True), SurveyJob(("3,4,4|conv 3-4 1x1",), amx=True),
                                 NetworksJob("a", amx=True), PrepareJob("a", amx=True), Job("a")])
def test_a_job_says_whether_its_process_has_amx(children, monkeypatch, job):
    monkeypatch.delenv(amx.VARIABLE, raising=False)
    said, real = [], client.subprocess.Popen
    monkeypatch.setattr(client.subprocess, "Popen", lambda *a, **k: said.append(k["env"]) or real(*a, **k))
    assert list(client._answers(job, 1)) == [[True, True]]
    assert [environment.get(amx.VARIABLE) for environment in said] == [amx.AMX if job.amx else None]
    assert question_from_text(job.text()) == job


def test_a_process_without_amx_refuses_a_job_with_it():
    with client.started(1) as process, pytest.raises(AccnnError, match="started without AMX"):
        list(process.answers(Job("a", amx=True)))


def test_a_process_that_nobody_asks_ends_with_the_context(children):
    with pytest.raises(AccnnError), client.started(1):
        raise AccnnError("no plan")
    assert [child.wait(20) for child in children] == [-signal.SIGKILL]


def test_the_machine_is_told():
    told = machine.environment()
    assert told["cpu"] and told["cores"] >= 1 and told["mxnet"] == "1.9.1"


def test_noise_is_said():
    quiet = {"median_ms": 10, "quartiles_ms": [9.9, 10.1], "spread": 0.02, "rounds": 20}
    loud = {"median_ms": 10, "quartiles_ms": [9, 14], "spread": 0.5, "rounds": 80}
    row = {"layer": "conv1", "status": "replaced", "before": quiet, "after": loud}
    run = {"threads": 1, "batch_size": 2, "model": loud, "baseline": quiet, "layers": {"rows": [row]}}
    whole, layers = noise({"runs": [run], "networks": {"baseline": {}, "model": {}}}, 0.2)
    assert "model at 1 thread, batch 2" in whole and "9.00 to 14.00 ms, 50%" in whole
    assert "1 of 1 layers" in layers and "conv1" in layers
