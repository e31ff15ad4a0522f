"""The clock takes turns and medians; time itself is made up here."""
import pytest

from accnn.timing.clock import Enough, Sample, alternate, described_ratio, known_to, ratios


class FakeTime:
    """A clock that calls move on: each takes the seconds of its list, in turn, the last one for ever."""

    def __init__(self):
        self.now, self.order = 100.0, []

    def __call__(self):
        return self.now

    def call(self, name, *seconds):
        left = list(seconds)

        def once():
            self.order.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]
        return once


def test_turns_are_taken_and_the_warm_up_is_not_timed():
    fake = FakeTime()
    a, b = alternate([fake.call("a", 50, 50, 1), fake.call("b", 9, 9, 2)], rounds=3, warm_up=2, clock=fake)
    assert "".join(fake.order) == "abab" + "ababab"
    assert a.values == (1, 1, 1) and b.values == (2, 2, 2)


def test_median_and_quartiles():
    sample = Sample((5.0, 1.0, 2.0, 3.0, 100.0))
    assert sample.median == 3 and sample.quartiles == (2, 5) and sample.spread == 1
    assert Sample((7.0,)).quartiles == (7, 7) and Sample((7.0,)).spread == 0
    assert Sample((1.0, 2.0)).median == 1.5


def test_a_steady_callable_gets_the_rounds_that_were_asked_for():
    fake = FakeTime()
    assert len(alternate([fake.call("a", 1)], rounds=5, warm_up=0, clock=fake)[0].values) == 5


@pytest.mark.parametrize("seconds, rounds", [
    ([1, 9, 1, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], 12),  # noisy at first
    ([1, 9] * 40, 16),                                       # always: four times as many, then it is given up
])
def test_noise_is_met_with_more_rounds_of_all(seconds, rounds):
    fake, told = FakeTime(), []
    a, b = alternate([fake.call("a", *seconds), fake.call("b", 1)], rounds=4, warm_up=0, clock=fake,
                     tell=lambda done, total: told.append((done, total)))
    assert len(a.values) == len(b.values) == rounds
    assert told[-1] == (rounds, rounds) and [done for done, _ in told] == list(range(1, rounds + 1))


def test_the_ratio_pairs_neighbours():
    """A machine at half its speed in half of the rounds changes no ratio."""
    before, after = Sample((4.0, 8.0, 4.0, 8.0)), Sample((2.0, 4.0, 2.0, 4.0))
    assert ratios(before, after).values == (2, 2, 2, 2) and ratios(before, after).spread == 0


# ---- enough

def rounds_of(before, after, enough, told, rounds=10):
    fake = FakeTime()
    samples = alternate([fake.call("a", *before), fake.call("b", *after)], rounds, warm_up=0, clock=fake, enough=enough,
                        tell=lambda done, total: told.append((done, total)))
    return len(samples[0].values)


@pytest.mark.parametrize("before, after, enough, rounds", [
    ([4], [2], Enough(0.01), 3),                                 # known at once, as far as three rounds can tell
    ([4, 8, 4, 8] * 9, [2, 4, 2, 4] * 9, Enough(0.01), 3),       # what slows both changes no ratio
    ([4], [2], Enough(0.01, least=29), 5),                       # known, but after too little time
    ([4, 9, 4, 5, 8] * 9, [2], Enough(0.01, most=40), 5),        # never known
    ([4, 9, 4, 5, 8] * 9, [2], Enough(0.001), 40),               # four times what was asked for at most
    ([4, 6] + [5] * 40, [2], Enough(0.01), 5),
])
def test_rounds_end_when_the_ratio_is_known_or_time_is_up(before, after, enough, rounds):
    told = []
    assert rounds_of(before, after, enough, told) == rounds
    assert told[-1] == (rounds, rounds) and all(done < total for done, total in told[:-1])


def test_one_callable_alone_is_known_by_its_own_seconds():
    fake = FakeTime()
    assert len(alternate([fake.call("a", 1, 2, 1, 1, 1, 1, 1, 1)], 10, 0, fake, enough=Enough(0.01))[0].values) == 5


def test_few_rounds_say_nothing_of_how_well_a_ratio_is_known():
    told = described_ratio(Sample((2.0, 2.1)))
    assert told["uncertainty"] is None and known_to(told["uncertainty"]) == known_to(float("inf")) == ""
    told = described_ratio(Sample((2.0, 2.1, 1.9, 2.0)))
    assert told["uncertainty"] == pytest.approx(0.93 * 0.025 / 2, rel=0.01) and known_to(told["uncertainty"]) == "1.2%"
    assert [known_to(value) for value in (0, 0.03, 0.0301, 0.5)] == ["0.0%", "3.0%", "3.1%", "50.0%"]
