"""Thresholds against plain NumPy on the values themselves."""
import numpy as np
import pytest

from accnn.core.errors import AccnnError
from accnn.quantization import thresholds
from accnn.quantization.grid import fake_quantized
from accnn.quantization.thresholds import Histogram

SIGNED = np.random.RandomState(0).standard_t(3, 20000)
UNSIGNED = np.maximum(np.random.RandomState(1).standard_t(3, 20000), 0)


def brute_force_error(values, threshold):
    """Mean squared error of INT8, element by element."""
    steps, least, most = (127.5, -128, 127) if values.min() < 0 else (255.5, 0, 255)
    scaled = np.round(values / threshold * steps)
    return np.mean((np.minimum(np.maximum(scaled, least), most) * threshold / steps - values) ** 2)


@pytest.mark.parametrize("values", [SIGNED, UNSIGNED], ids=["signed", "unsigned"])
def test_mse_is_what_a_search_over_the_values_finds(values):
    found = thresholds.get("mse").threshold(Histogram.of(values))
    best = min(np.linspace(0.02, 1, 300) * np.abs(values).max(), key=lambda one: brute_force_error(values, one))
    assert brute_force_error(values, found) <= 1.03 * brute_force_error(values, best)
    assert values.min() >= 0 or found < np.abs(values).max()  # heavy tails are cut


@pytest.mark.parametrize("values", [SIGNED, UNSIGNED], ids=["signed", "unsigned"])
def test_the_error_of_a_histogram_is_that_of_the_values(values):
    histogram = Histogram.of(values)
    for share in (1.0, 0.4, 0.1):
        threshold = share * histogram.largest
        assert histogram.error(threshold) == pytest.approx(brute_force_error(values, threshold), rel=0.05)
        kept = fake_quantized(values, threshold, histogram.is_signed)
        assert np.mean(np.square(kept - values)) == pytest.approx(brute_force_error(values, threshold), rel=1e-9)


def test_percentile_and_naive():
    histogram = Histogram.of(SIGNED)
    assert thresholds.get("naive").threshold(histogram) == np.abs(SIGNED).max()
    found = thresholds.get("percentile").threshold(histogram)
    assert found == pytest.approx(np.quantile(np.abs(SIGNED), 0.9999), rel=0.1)
    assert np.mean(np.abs(SIGNED) > found) <= 1e-4


def plain_divergence(counts, kept, steps):
    """The divergence that entropy minimises, bin by bin in Python."""
    counts = [counts[1]] + list(counts[1:])
    true = [float(count) for count in counts[:kept]]
    true[-1] += sum(counts[kept:])
    made = [0.0] * kept
    for number in range(steps):
        inside = [place for place in range(kept) if min(place * steps // kept, steps - 1) == number]
        there = [place for place in inside if true[place] > 0]
        for place in there:
            made[place] = sum(counts[other] for other in inside) / len(there)
    totals = sum(true), sum(made)
    return sum(p / totals[0] * np.log(p / totals[0] / max(q / totals[1], 1e-12)) for p, q in zip(true, made) if p > 0)


def test_entropy_is_the_least_divergence():
    histogram = Histogram.of(SIGNED)
    for share in (1.0, 0.3):
        threshold = share * histogram.largest
        expected = plain_divergence(histogram.counts, int(round(threshold / histogram.width)), 127)
        assert thresholds.divergence(histogram, threshold) == pytest.approx(expected, rel=1e-9)
    found = thresholds.get("entropy").threshold(histogram)
    assert thresholds.divergence(histogram, found) <= thresholds.divergence(histogram, histogram.largest)


def test_many_zeros_do_not_speak_for_a_small_threshold():
    values = np.concatenate([np.abs(np.random.RandomState(0).randn(20000)), np.zeros(60000)])
    assert thresholds.get("entropy").threshold(Histogram.of(values)) > 2


@pytest.mark.parametrize("kind", thresholds.names())
@pytest.mark.parametrize("values", [np.zeros(100), np.full(50, -3.0), np.full(7, 2.5)], ids=["zero", "negative", "one"])
def test_constant_tensors_keep_their_value(kind, values):
    histogram = Histogram.of(values)
    found = thresholds.get(kind).threshold(histogram)
    assert np.isfinite(found) and found >= 0
    if values[0]:
        assert found == pytest.approx(abs(values[0]), rel=1e-2)


def test_unknown_kind():
    with pytest.raises(AccnnError, match="there is no kind of threshold 'none': choose from naive, percentile"):
        thresholds.get("none")
