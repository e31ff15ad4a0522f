"""Reports of a step that takes its time, on a terminal and in a log."""
import io
import re
import sys
import time

import pytest
from tqdm import tqdm

from accnn.core.progress import Progress, Silence, said_to, say


class Stream(io.StringIO):
    encoding = "utf-8"

    def __init__(self, terminal):
        super().__init__()
        self.isatty = lambda: terminal


@pytest.fixture(autouse=True)
def no_other_bar():
    """The exception of another test may hold a bar that it left, above which the next ones would be drawn."""
    for bar in list(getattr(tqdm, "_instances", ())):
        bar.close()


@pytest.fixture
def stderr(monkeypatch):
    """Callable: put a stderr, a terminal or none, in the place of pytest's, which it sets anew for each test."""

    def put(terminal):
        monkeypatch.setattr(sys, "stderr", Stream(terminal))
        return sys.stderr

    return put


def run(total=5, what="images", **how):
    report = Progress("work", total, **how)
    for done in range(1, total + 1):
        report(done, what)
    return report


@pytest.mark.parametrize("made", [Progress, Silence])
@pytest.mark.parametrize("terminal", [False, True])
def test_a_short_step_is_silent(stderr, terminal, made):
    stream = stderr(terminal)
    report = made("work", 3)
    report(1)
    report(3, "images")
    report.close()
    assert stream.getvalue() == ""


def test_reports_in_a_log_are_lines(stderr):
    log = stderr(False)
    run(patience=-1, every=-1).close()
    lines = log.getvalue().splitlines()
    assert "\r" not in log.getvalue() and "\x1b" not in log.getvalue() and "" not in lines
    assert [re.search(r"(\d)/5 \[\d\d:\d\d<.*\]$", line).group(1) for line in lines] == list("012345")
    assert all(line.startswith("work: ") for line in lines) and lines[-1].endswith(", images]")


def test_reports_in_a_log_are_rare(stderr):
    log = stderr(False)
    report = run(3, patience=1e-9, every=0.2)
    assert log.getvalue() == ""
    time.sleep(0.21)
    for _ in range(5):
        report(3)
    report.close()
    assert len(log.getvalue().splitlines()) == 1


def test_a_bar_on_a_terminal_is_rewritten_and_removed(stderr):
    terminal = stderr(True)
    report = run(patience=-1)
    time.sleep(0.11)
    report(4)
    assert terminal.getvalue().count("\r") == 2 and "\n" not in terminal.getvalue()
    report.close()
    assert re.search(r"4/5 .*\r +\r$", terminal.getvalue())


def test_the_time_left_goes_by_the_steps_of_this_run(stderr):
    log = stderr(False)
    report = Progress("work", 100, patience=-1, every=-1, first=90)
    report.bar.start_t -= 20
    report(92)
    report.close()
    assert "92/100 [00:20<01:20]" in log.getvalue()


def test_a_total_may_come_later(stderr):
    log = stderr(False)
    report = Progress("work", 0, patience=-1, every=-1)
    report.bar.total = 4
    report(1)
    report.close()
    assert "1/4" in log.getvalue().splitlines()[-1]


def test_a_remark_has_a_line_of_its_own(stderr):
    terminal = stderr(True)
    report = run(patience=-1)
    say("a remark")
    assert re.search(r"\r +\ra remark\n$", terminal.getvalue())
    time.sleep(0.11)
    report(5)
    assert re.search(r"a remark\n\rwork: 100%.*5/5", terminal.getvalue())
    report.close()
    say("another")
    assert terminal.getvalue().endswith("\ranother\n")


def test_a_bar_within_another_is_a_line_in_a_log_too(stderr):
    log = stderr(False)
    outer = Progress("all", 2)
    run(1, patience=-1, every=-1).close()
    say("a remark")
    outer.close()
    assert [line[:5] for line in log.getvalue().splitlines()] == ["work:", "work:", "a rem"]
    assert "\x1b" not in log.getvalue()


def test_a_remark_brings_no_report_into_a_log(stderr):
    log = stderr(False)
    report = Progress("work", 5)
    say("a remark")
    report.close()
    assert log.getvalue() == "a remark\n"


@pytest.mark.parametrize("stream", [None, Stream(True)])
def test_a_stderr_that_is_closed_costs_nothing(monkeypatch, stream):
    if stream:
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    run(patience=-1, every=-1).close()
    say("a remark")


def test_a_stderr_that_is_closed_on_the_way_costs_nothing(stderr):
    terminal = stderr(True)
    report = run(patience=-1)
    terminal.close()
    time.sleep(0.11)
    report(5)
    say("a remark")
    report.close()


def test_what_is_said_can_be_heard_by_another(stderr):
    stream, heard = stderr(False), []
    with said_to(heard.append):
        say("here")
        with said_to(lambda sentence: heard.append(sentence.upper())):
            say("inside")
    say("printed")
    assert heard == ["here", "INSIDE"] and stream.getvalue() == "printed\n"
