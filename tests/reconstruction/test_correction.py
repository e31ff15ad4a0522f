"""Predictions that are put right by a few measurements."""
import numpy as np
import pytest

from accnn.reconstruction.correction import Corrected


def found(predicted, true, wanted=2, known=None):
    """The Corrected of what was asked to be measured, all of it answered by `true`."""
    curve = Corrected(predicted, wanted, known)
    for place in curve.first():
        curve.add(place, true[place])
    place = curve.further()
    while place is not None:
        assert place not in curve.measured
        curve.add(place, true[place])
        place = curve.further()
    return curve


PREDICTED = np.array([2.0, 0.5, 0.12, 0.04, 0.02, 0.003])


def test_the_largest_useful_error_and_the_middle_are_measured():
    curve = found(PREDICTED, PREDICTED * 1.6)
    assert sorted(curve.measured) == [2, 4]
    np.testing.assert_allclose(curve.values()[2:], PREDICTED[2:] * 1.6)


def test_a_ratio_that_changes_is_measured_between():
    ratios = np.array([0.2, 0.3, 0.4, 0.75, 1.0, 1.0])
    curve = found(PREDICTED, PREDICTED * ratios)
    assert sorted(curve.measured) == [2, 3, 4]
    np.testing.assert_allclose(curve.values()[2:], (PREDICTED * ratios)[2:])


def test_smaller_errors_are_measured_until_predictions_hold():
    ratios = np.array([3.0, 3.0, 3.0, 3.0, 3.0, 1.0])
    assert sorted(found(PREDICTED, PREDICTED * ratios).measured) == [2, 4, 5]
    assert sorted(found(PREDICTED / 500, PREDICTED / 500 * ratios, 1).measured)[-1] < 5  # too small to matter


def test_another_method_of_the_layer_is_expected_to_be_off_likewise():
    first = found(PREDICTED, PREDICTED * 1.7)
    second = found(PREDICTED * 0.6, PREDICTED * 0.6 * 1.9, known=first)
    assert len(second.measured) == 1
    np.testing.assert_allclose(second.values()[2:], PREDICTED[2:] * 0.6 * 1.9, rtol=1e-6)
    assert len(found(PREDICTED * 0.6, PREDICTED * 2.4, known=first).measured) > 1  # it is not


@pytest.mark.parametrize("predicted", [[0.0], [3.0], [0.0, 0.0], [5.0, 4.0], [0.1, 0.01], [0.01, 0.1, 0.02, 0.3]])
@pytest.mark.parametrize("wanted", [1, 2, 10])
def test_any_predictions(predicted, wanted):
    true = np.linspace(1, 0.1, len(predicted))
    curve = found(predicted, true, wanted)
    assert min(wanted, len(predicted)) <= len(curve.measured) <= len(predicted)
    assert np.isfinite(curve.values()).all() and (curve.values() > 0).all()
    for place, value in curve.measured.items():
        assert curve.values()[place] == value == pytest.approx(true[place])
    if wanted == 10:
        np.testing.assert_allclose(curve.values(), true)


def test_large_errors_are_continued_as_they_grow():
    ratios = PREDICTED / PREDICTED[2]
    curve = found(PREDICTED, PREDICTED * ratios)
    np.testing.assert_allclose(curve.values()[:3], (PREDICTED * ratios)[:3], rtol=1e-6)
    flat = found(PREDICTED, PREDICTED).values()
    assert flat[2] == PREDICTED[2] and flat[0] > 4 * PREDICTED[0]  # no bet that they cost no more than to second order
