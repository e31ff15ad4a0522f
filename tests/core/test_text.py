"""Numbers, names and tables as people read them."""
import pytest

from accnn.core import text


@pytest.mark.parametrize("said, wanted", [
    (text.count(None), "?"), (text.count(999), "999"), (text.count(1000), "1.000 k"),
    (text.count(15346630656), "15.347 G"), (text.exact(1234567), "1,234,567"),
    (text.times(None), ""), (text.times(2.0149), "2.01x"),
    (text.percent(None), ""), (text.percent(0.98765), "98.77%"), (text.percent(0.1234, 0), "12%"),
    (text.percent(0.0312, 1, "+"), "+3.1%"), (text.points(-0.015), "-1.50"),
    (text.milliseconds(1234.5), "1234"), (text.milliseconds(123.45), "123.5"), (text.milliseconds(-12.345), "-12.35"),
    (text.milliseconds(0.12345), "0.123"), (text.seconds(12.34), "12.3 seconds"),
    (text.megabytes(2.54e6), "2.5 MB"), (text.gigabytes(2.54e9), "2.5 GB"),
    (text.cell("%.4f", None), ""), (text.cell("%.4f", 1), "1.0000"),
    (text.some("abc", 3), "a, b, c"), (text.some("abcd", 3), "a, b, c, ..."),
    (text.sizes((3, 224, 224)), "3,224,224"), (text.sizes([64, 8]), "64,8"), (text.sizes(7), "7"),
])
def test_entries(said, wanted):
    assert said == wanted


def test_tables():
    rows = [("name", "ms", ""), ("a", "12.5", "slow"), ("longer", "1", "")]
    assert text.columns(rows, "<><") == ["name      ms", "a       12.5  slow", "longer     1"]
    assert text.ruled(rows, "<><", header=True)[1] == "-" * 12
    assert text.ruled(rows, "<><") == ["name      ms", "-" * 18, "a       12.5  slow", "longer     1"]
