"""A report in a real browser: chromium, which ``apt-get install chromium`` brings."""
import pytest

pytest.importorskip("matplotlib", reason="needs pip install '.[report]'")

import browser
from accnn import accnn, report
from accnn.report.page import write_report
from networks import chain_model, saved
from pictures import items, packed
from reported import everything

pytestmark = pytest.mark.skipif(browser.browser_path() is None, reason="needs a browser: apt-get install chromium")
_ROWS = """Array.from(document.querySelectorAll("#layers tbody tr"), row => row.cells[%d].textContent)"""
_CLICK = """document.querySelectorAll("#layers th button")[%d].click()"""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A report of a small network that was accelerated and scored."""
    work = tmp_path_factory.mktemp("browser")
    saved(chain_model(widths=(16, 32, 32)), work / "old")
    packed(work / "val", items(23))
    assert accnn.main(["-m", str(work / "old"), "--ratio", "6", "--save-model", str(work / "new"), "--no-timing",
                       "--cache", ""]) == 0
    assert report.main(["-m", str(work / "new"), "--baseline", str(work / "old"), "--no-timing", "--cache", "",
                        "--config", str(work / "config-rksel-6.0.json"), "--data-val", str(work / "val.rec"),
                        "--rgb-mean", "127", "--rgb-std", "9", "--output", str(work / "page.html")]) == 0
    return work / "page.html"


@pytest.fixture(scope="module")
def page(path, tmp_path_factory):
    with browser.opened(str(path), tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def test_nothing_is_complained_of_and_nothing_else_is_loaded(page, path):
    assert page.complaints == []
    assert [one for one in page.asked_for if not one.startswith("data:")] == ["file://" + str(path)]


def test_every_figure_has_a_size_and_every_picture_is_there(page):
    sizes = page.value("Array.from(document.querySelectorAll('figure svg'), "
                       "one => [one.getBoundingClientRect().width, one.getBoundingClientRect().height])")
    assert len(sizes) == 3 and all(width > 200 and height > 80 for width, height in sizes)
    drawn = page.value("Array.from(document.images, one => one.complete && one.naturalWidth)")
    assert len(drawn) > 5 and all(drawn)


def test_the_table_sorts(page):
    page.value("document.querySelector('#layers details').open = true")
    names = page.value(_ROWS % 0)
    head = page.value("Array.from(document.querySelectorAll('#layers thead th'), one => one.textContent)")
    column = head.index("MACs before")
    page.value(_CLICK % column)
    numbers = page.value("""Array.from(document.querySelectorAll("#layers tbody tr"),
                            row => Number(row.cells[%d].dataset.v))""" % column)
    assert numbers == sorted(numbers) and len(set(numbers)) > 1
    assert page.value("document.querySelectorAll('#layers th')[%d].getAttribute('aria-sort')" % column) == "ascending"
    page.value(_CLICK % column)
    assert page.value("""Array.from(document.querySelectorAll("#layers tbody tr"),
                         row => Number(row.cells[%d].dataset.v))""" % column) == numbers[::-1]
    page.value(_CLICK % 0)
    assert page.value(_ROWS % 0) == sorted(names)


def test_cells_that_are_empty_come_last_either_way(page):
    rank = page.value("Array.from(document.querySelectorAll('#layers thead th'), one => one.textContent)").index("rank")
    for _ in range(2):
        page.value(_CLICK % rank)
        cells = page.value(_ROWS % rank)
        assert "" in cells and "" not in cells[:cells.index("")] and set(cells[cells.index(""):]) == {""}


def test_links_lead_to_their_sections(page):
    links = page.value("Array.from(document.querySelectorAll('nav a'), one => one.getAttribute('href'))")
    assert len(links) >= 6
    for link in links:
        page.value("document.querySelector('nav a[href=\"%s\"]').click()" % link)
        assert page.value("location.hash") == link
        assert page.value("document.querySelector('%s').getBoundingClientRect().height > 20" % link)


def test_the_plan_is_copied_whole(page):
    page.value("document.querySelector('.copy').click()")
    assert '"conv_params"' in page.value("String(window.getSelection())")
    assert page.complaints == []


@pytest.mark.parametrize("width, scheme", [(1100, "light"), (1100, "dark"), (390, "light")])
def test_it_fits_the_screen_and_can_be_read(width, scheme, tmp_path):
    write_report(str(tmp_path / "page.html"), everything())
    with browser.opened(str(tmp_path / "page.html"), tmp_path / "profile", width, 800, scheme) as page:
        page.screenshot(str(tmp_path / "page.png"))
        assert (tmp_path / "page.png").stat().st_size > 20000
        assert page.value("document.documentElement.scrollWidth") == width
        paper, ink = (page.value("getComputedStyle(document.body).%s" % name) for name in ("backgroundColor", "color"))
        assert contrast(paper, ink) > 7
        drawn = page.value("getComputedStyle(document.querySelector('figure svg text')).fill")
        assert contrast(paper, drawn) > 4.5
        assert page.complaints == []


def contrast(one, other):
    """float: the contrast ratio of two colours that CSS writes as 'rgb(r, g, b)', by WCAG 2.1."""
    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def luminance(colour):
    parts = [int(value) / 255 for value in colour[colour.index("(") + 1:-1].split(",")[:3]]
    linear = [value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4 for value in parts]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear))
