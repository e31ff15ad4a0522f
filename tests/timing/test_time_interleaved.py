"""Callables timed in turns with a reference in between; time itself is made up here."""
import pytest

from accnn.timing.clock import PairedSample, Sample, time_interleaved


class FakeTime:
    """A clock that calls move on by the seconds of their lists, times the speed of the machine."""

    def __init__(self):
        self.now, self.order, self.slow = 0.0, [], 1

    def __call__(self):
        return self.now

    def call(self, name, *seconds):
        left = list(seconds)

        def once():
            self.order.append(name)
            self.now += self.slow * (left.pop(0) if len(left) > 1 else left[0])
        return once


def rounds_of(order):
    return "".join(order).replace("RRR", "r")


def test_the_reference_takes_its_turn_between_the_others():
    fake = FakeTime()
    calls = [fake.call(name, seconds) for name, seconds in zip("abc", (6, 8, 1))]
    a, b, c = time_interleaved(calls, fake.call("R", 2), 2, 2, lambda results: (), every=2, warm_up=1, clock=fake)
    assert rounds_of(fake.order) == "abc" + "rabrcr" * 2
    assert (a.relative.values, b.relative.values, c.relative.values) == ((3, 3), (4, 4), (0.5, 0.5))
    assert c.seconds.values == (1, 1) and c.reference.values == (2, 2)


def test_a_machine_that_changes_its_speed_changes_no_ratio():
    fake = FakeTime()

    def slower(results):
        fake.slow *= 1.5
        return range(2)

    a, b = time_interleaved([fake.call("a", 6), fake.call("b", 1)], fake.call("R", 2), 1, 5, slower, warm_up=0,
                            clock=fake)
    assert a.relative.values == pytest.approx((3,) * 5) and b.relative.values == pytest.approx((0.5,) * 5)
    assert a.seconds.spread > 0.5


def test_the_first_of_three_passes_is_not_timed_and_a_disturbed_one_does_not_count():
    fake = FakeTime()
    reference = fake.call("R", 70, 2, 2, 90, 50, 2)
    a, = time_interleaved([fake.call("a", 6)], reference, 1, 1, lambda results: (), warm_up=0, clock=fake)
    assert a.reference.values == (2,) and a.relative.values == (3,)


def test_networks_that_are_compared_run_forwards_and_backwards():
    fake = FakeTime()
    calls = [fake.call(name, seconds) for name, seconds in zip("abc", (1, 2, 3))]
    results = time_interleaved(calls, fake.call("R", 2), 4, 4, lambda results: (), every=3, warm_up=0, mirrored=True,
                               clock=fake)
    assert rounds_of(fake.order) == ("rabcr" + "rcbar") * 2
    assert [one.seconds.values for one in results] == [(1,) * 4, (2,) * 4, (3,) * 4]


def test_what_is_short_is_timed_as_it_is_when_it_is_repeated():
    """The reference leaves nothing of it in the caches."""
    fake = FakeTime()
    a, b = time_interleaved([fake.call("a", 9, 1, 9, 1), fake.call("b", 7, 2, 7, 2)], fake.call("R", 2), 2, 2,
                            lambda results: (), warm_up=0, untimed=1, clock=fake)
    assert rounds_of(fake.order) == "raarbbr" * 2
    assert a.seconds.values == (1, 1) and b.seconds.values == (2, 2)


def test_what_happens_just_before_a_pass_is_not_timed():
    fake = FakeTime()
    a, b = time_interleaved([fake.call("a", 1), fake.call("b", 2)], fake.call("R", 2), 2, 2, lambda results: (),
                            every=2, warm_up=0, mirrored=True, untimed=1,
                            before=[fake.call("x", 70), fake.call("y", 50)], clock=fake)
    assert rounds_of(fake.order) == "raxabybr" + "rbybaxar"
    assert a.seconds.values == (1, 1) and b.seconds.values == (2, 2)


def test_only_the_uncertain_go_on_and_the_others_keep_what_they_have():
    fake = FakeTime()
    calls = [fake.call("a", 1), fake.call("b", 1, 9, 1, 9), fake.call("c", 2)]
    seen = []

    def unsure(results):
        seen.append([len(result.seconds.values) for result in results])
        return [place for place, result in enumerate(results) if result.relative.spread > 0.1]

    found = time_interleaved(calls, fake.call("R", 1), 3, 6, unsure, every=9, warm_up=0, clock=fake)
    assert [len(result.relative.values) for result in found] == [3, 6, 3]
    assert [len(result.reference.values) for result in found] == [3, 6, 3]
    assert rounds_of(fake.order) == "rabcr" * 3 + "rbr" * 3
    assert seen == [[3, 3, 3], [3, 4, 3], [3, 5, 3], [3, 6, 3]]


def test_nothing_to_time():
    assert time_interleaved([], lambda: None, 3, 9, lambda results: ()) == []


def test_the_ratio_is_that_of_the_round():
    found = PairedSample(Sample((2.0, 8.0, 3.0)), Sample((1.0, 4.0, 1.0)))
    assert found.relative.values == (2, 2, 3) and found.relative.median == 2


def test_more_rounds_and_less_spread_leave_less_uncertainty():
    narrow, wide = Sample((9.0, 10.0, 11.0) * 3), Sample((8.0, 10.0, 12.0) * 3)
    assert wide.uncertainty == pytest.approx(2 * narrow.uncertainty)
    assert Sample(narrow.values * 4).uncertainty == pytest.approx(narrow.uncertainty / 2, rel=0.2)


def test_without_a_reference_only_seconds_are_known():
    fake, told = FakeTime(), []
    a, b = time_interleaved([fake.call("a", 1), fake.call("b", 2)], None, 2, 3, lambda results: range(2), warm_up=0,
                            clock=fake, tell=lambda *said: told.append(said))
    assert "".join(fake.order) == "ab" * 3 and (a.seconds.values, b.seconds.values) == ((1,) * 3, (2,) * 3)
    assert a.reference is None and told == [(1, 2), (2, 3), (3, 3)]  # the last round is the last


def test_who_decides_may_be_asked_before_the_rounds_are_over():
    fake = FakeTime()
    a, = time_interleaved([fake.call("a", 1)], None, 9, 9, lambda results: (), warm_up=0, clock=fake, asked_from=1)
    assert len(a.seconds.values) == 1
