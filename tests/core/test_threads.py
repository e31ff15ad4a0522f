"""Pieces of work side by side: all are done, told in order, and none begins after a failure."""
import threading
import time

import pytest

from accnn.core.threads import side_by_side


def test_all_is_done_and_told_in_order():
    done, told = set(), []
    made = side_by_side(lambda item: done.add(item) or item * 2, list("abcdef"), lambda *one: told.append(one))
    assert done == set("abcdef") and told == list(enumerate("abcdef")) and made == ["aa", "bb", "cc", "dd", "ee", "ff"]


def test_one_piece_takes_no_thread():
    told = []
    assert side_by_side(lambda item: (item, threading.current_thread()), ["a"], lambda *one: told.append(one)) == [
        ("a", threading.main_thread())]
    assert told == [(0, "a")] and side_by_side(str, []) == []


def test_several_run_at_a_time(monkeypatch):
    monkeypatch.setattr("accnn.core.threads.threads_wanted", lambda: 2)
    meeting = threading.Barrier(2, timeout=60)
    side_by_side(lambda item: meeting.wait(), [1, 2], lambda done, item: None)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_is_raised_and_what_has_not_begun_does_not_begin(monkeypatch, error):
    monkeypatch.setattr("accnn.core.threads.threads_wanted", lambda: 1)
    begun = []

    def work(item):
        begun.append(item)
        time.sleep(0.05)
        if item == 1:
            raise error

    with pytest.raises(error):
        side_by_side(work, range(100), lambda done, item: None)
    assert len(begun) < 10


@pytest.mark.parametrize("said, cores", [("1", 1), ("3", 3), ("", 4), ("nonsense", 4), ("0", 4), ("64", 4)])
def test_cores_are_those_allowed(monkeypatch, said, cores):
    from accnn.core import threads

    monkeypatch.setattr("os.sched_getaffinity", lambda pid: range(4), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert threads.threads_wanted() == cores
