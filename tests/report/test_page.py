"""The page: one file, each section only where something was measured, whatever layers are called."""
import re
from html.parser import HTMLParser

import pytest

pytest.importorskip("matplotlib", reason="needs pip install '.[report]'")

from accnn.core.errors import AccnnError
from accnn.report import page, style
from accnn.report.bar_chart import LayerBar, shown_bars
from accnn.report.curves import of_plans
from accnn.report.evidence import ChainPart, Change, Disagreement, PlanPoint, RankCurve, ReportEvidence
from accnn.report.page import html, write_report
from accnn.report.pareto import front
from reported import everything, layer, summary

NASTY = "<b>&\"$x_{$</script>'\u202e\x00"
VOID = {"meta", "link", "img", "br", "path", "use", "rect"}


class Read(HTMLParser):
    """What stands in a page; complains where elements do not close in the order in which they open."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.open, self.tags, self.images = [], [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        said = dict(attrs)
        self.tags.append((tag, said))
        self.ids += [said["id"]] if "id" in said else []
        self.links += [said[name] for name in ("href", "xlink:href", "src") if name in said]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def whole():
    return html(everything())


def titles(text):
    """list of str: the headings of the sections."""
    return re.findall(r"<h2[^>]*>(.*?)</h2>", text)


def test_all_that_was_measured_has_its_section(whole):
    assert titles(whole) == [
        "The whole network", "The whole network by the clock", "Layers", "Speed against loss", "Accuracy",
        "Where the networks disagree", "Energy by rank", "Sensitivity by rank", "Reconstruction", "INT8", "Fine-tuning",
        "Two passes", "Chains", "The plan", "Machine and command"]


def test_what_was_not_measured_has_none():
    assert titles(html(ReportEvidence("new", "old"))) == ["Machine and command"]
    assert titles(html(ReportEvidence("new", "old", summary=summary()))) == [
        "The whole network", "Layers", "Machine and command"]


def test_it_is_one_file_that_loads_nothing(whole):
    read = Read(whole)
    assert all(link.startswith(("#", "data:")) for link in read.links)
    assert not re.search(r"url\((?!#)|@import|https?:", re.sub(r'xmlns[:\w]*="[^"]*"', "", whole))


def test_ids_are_its_own_and_links_lead_to_them(whole):
    read = Read(whole)
    assert len(read.ids) == len(set(read.ids))
    assert {link[1:] for link in read.links if link.startswith("#")} <= set(read.ids)
    assert set(re.findall(r"url\(#([^)]+)\)", whole)) <= set(read.ids)


def test_every_figure_is_told_to_who_does_not_see_it(whole):
    figures = re.findall(r"<figure>.*?</figure>", whole, re.S)
    assert len(figures) == 7
    for figure in figures:
        assert 'role="img"' in figure and re.search(r"<title [^>]*>[^<]+</title><desc [^>]*>[^<]+</desc>", figure)
        assert "<table" in figure and "<details" in figure


def test_colours_are_those_of_the_page(whole):
    drawn = "".join(re.findall(r"<svg.*?</svg>", whole, re.S))
    assert not re.search(r"(?:fill|stroke): #", drawn)
    assert set(re.findall(r"var\(--(\w+)\)", drawn)) <= set(re.findall(r"--(\w+):", whole))


def test_names_are_text_whatever_they_are(whole):
    evidence = everything(NASTY)
    text = html(evidence)
    assert "<b>&\"" not in text and "</script>'" not in text
    assert text.count("<script>") == 1 == text.count("</script>")
    Read(text.replace("\x00", ""))
    assert titles(text) == titles(whole)


def test_same_evidence_same_bytes(whole):
    assert html(everything()) == whole


def test_numbers_at_the_top(whole):
    tiles = re.search(r'<ul class="tiles">.*?</ul>', whole, re.S)[0]
    assert "2.00x" in tiles and "85.00%" in tiles and "95% interval -0.50 to +2.50" in tiles


def test_bars_say_where_theory_and_clock_part():
    assert LayerBar("a", 400, 100, 8, 4).verdict == "slower"
    assert LayerBar("a", 400, 100, 8, 2).verdict == "as theory"
    assert LayerBar("a", 400, 200, 8, 2).verdict == "faster"
    assert LayerBar("a", 400, 400, 8, 2).verdict == "as theory"  # the same operator
    assert LayerBar("a", 400, 100).verdict == ""


def test_many_layers_are_summed_up():
    bars = [LayerBar("l%d" % number, number, number / 2, None, None) for number in range(1, 101)]
    shown = shown_bars(bars, most=10)
    assert [bar.layer for bar in shown] == ["l%d" % number for number in range(92, 101)] + ["91 other layers"]
    assert sum(bar.macs_before for bar in shown) == 5050 and sum(bar.macs_after for bar in shown) == 2525
    assert shown_bars(bars, most=100) == bars


def test_long_tables_are_closed_and_small():
    many = summary([layer("stage%d_conv%d" % (number // 50, number)) for number in range(2000)])
    chains = {one["layer"]: (ChainPart("a", 8, 3, (3, 1)), ChainPart("b", 3, 8, (1, 3))) for one in many["layers"]}
    text = html(ReportEvidence("new", "old", summary=many, chains=chains))
    assert len(text) < 5e6
    assert text.count('<details class="long">') == 3  # layers, errors, chains


def test_the_front_is_what_no_other_beats():
    points = [PlanPoint(name, speed, lost=loss) for name, speed, loss in (
        ("a", 1, 0.0), ("b", 2, 0.02), ("c", 3, 0.01), ("d", 4, 0.05), ("e", 3, 0.03))]
    assert [point.name for point in front(points, lambda point: point.lost)] == ["a", "c", "d"]


@pytest.mark.parametrize("points", [
    [PlanPoint("a", 1.0, divergence=0.0), PlanPoint("b", 2.0, divergence=1e-3, is_chosen=True)],
    [PlanPoint("a", 1.0, lost=0.0), PlanPoint("b", 1.0, lost=0.0, interval=(-0.01, 0.01), precision="int8")],
    [PlanPoint("a", 2.0, divergence=1e-9, is_measured=False), PlanPoint("c", 3.0, divergence=0.5), PlanPoint("b", 2.5)],
    [PlanPoint("a", 1.0, divergence=0.0), PlanPoint("b", 2.0, divergence=1e-6), PlanPoint("c", 3.0, divergence=0.1)],
    [PlanPoint("a", 1.0, energy=1.0), PlanPoint("b", 2.0, energy=0.8)]])
def test_fronts_of_all_kinds_are_drawn(points):
    assert "Speed against loss" in titles(html(ReportEvidence("n", "o", front=tuple(points))))


def test_networks_without_losses_are_a_table():
    text = html(ReportEvidence("n", "o", front=(PlanPoint("a", 1.0), PlanPoint("b", 2.0))))
    assert titles(text)[0] == "Speed of several networks" and "<figure" not in text


@pytest.mark.parametrize("curve", [
    RankCurve("a", "vh", ((1, 0.5), (2, 0.9)), 2, 0.9), RankCurve("a", "vh", ((1, 0.0), (2, 0.0))),
    RankCurve("a", "tucker2", (((1, 2), 0.5), ((3, 4), 0.9)), (3, 4), 0.9),
    RankCurve("a", "tucker2", (((1, 2), 0.5), ((3, 4), 0.9)), (2, 3), 0.8)])
def test_curves_of_all_kinds_are_drawn(curve):
    found = titles(html(ReportEvidence("n", "o", energies=(curve,), sensitivities=(curve,))))
    assert found[:2] == ["Energy by rank", "Sensitivity by rank"]


def test_predicted_points_are_told_from_measured_ones():
    curve = RankCurve("a", "vh", ((1, 0.5), (2, 0.2), (4, 0.1)), 3, 0.15, measured=(1, 4))
    assert [curve.source(rank) for rank in (1, 2, 3, 4)] == ["measured", "predicted", "", "measured"]
    text = html(ReportEvidence("n", "o", sensitivities=(curve,)))
    assert "Filled marks were measured" in text
    cells = re.findall(r"<td>(measured|predicted)</td>", text)
    assert cells == ["measured", "predicted", "measured"]
    plain = html(ReportEvidence("n", "o", sensitivities=(RankCurve("a", "vh", ((1, 0.5), (2, 0.2))),)))
    assert "Filled marks" not in plain and not re.findall(r"<td>(measured|predicted)</td>", plain)


def test_the_chosen_rank_stands_in_its_place_among_the_others():
    curve = RankCurve("a", "vh", tuple((rank, rank / 100) for rank in range(1, 101)), 50, 0.5)
    text = html(ReportEvidence("n", "o", energies=(curve,)))
    ranks = [int(rank) for rank in re.findall(r'<td class="n" data-v="\d+">(\d+)</td>', text)]
    assert ranks == sorted(ranks) and 50 in ranks and len(ranks) == 13


def test_disagreement_of_many_classes_is_a_list():
    pairs = {(number, number + 1): 1 for number in range(100)}
    text = html(ReportEvidence("n", "o", disagreement=Disagreement(500, pairs, {}, (Change(3, 1, 2, 1, 0.5),))))
    assert "<figure" not in text and "Answers that changed" in text and "100 of 500 images" in text
    assert html(ReportEvidence("n", "o", disagreement=Disagreement(500, {}, {}))).count("0 of 500 images") == 1


def test_the_file(tmp_path, whole):
    path = tmp_path / "r.html"
    write_report(str(path), everything())
    assert path.read_text(encoding="utf-8") == whole
    assert [one.name for one in tmp_path.iterdir()] == ["r.html"]
    with pytest.raises(AccnnError, match="cannot be written"):
        write_report(str(tmp_path / "none" / "r.html"), everything())


@pytest.mark.parametrize("name", ["matplotlib", "jinja2"])
def test_a_library_that_is_missing_is_named_with_its_extra(name, monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(AccnnError, match=r"%s cannot be imported .*pip install '\.\[report\]'" % name):
        page.check_libraries()
    with pytest.raises(AccnnError, match=name):
        write_report(str(tmp_path / "r.html"), everything())
    assert list(tmp_path.iterdir()) == []


def test_coordinates_are_short_and_labels_are_whole():
    with style.styled():
        made = style.figure((2, 2))
        ax = made.subplots()
        ax.plot([0, 1 / 3], [0, 1 / 7])
        ax.set_title("0.123456 $x$")
        text = style.svg(made, "k", "t", "d")
    assert "0.123456 $x$" in text
    assert all(not re.search(r"\.\d{3}", one) for one in re.findall(r' d="([^"]*)"', text))


def test_several_plans_have_their_own_sections_under_ids_of_their_own():
    one = everything()
    text = html(ReportEvidence("new", "old", front=one.front, plans=(one, everything(NASTY))))
    read = Read(text.replace("\x00", ""))
    assert len(read.ids) == len(set(read.ids)) and {link[1:] for link in read.links if link[0] == "#"} <= set(read.ids)
    named = [name for tag, said in read.tags for name in said.get("aria-labelledby", "").split()]
    assert set(named) <= set(read.ids) and "plan-1-bars-title" in named
    assert titles(text) == ["Speed against loss", "conv1", "int8", "Machine and command"]
    for key in ("plan-1", "plan-2"):
        own = text[text.index('<section id="%s"' % key):]
        assert re.findall(r"<h3[^>]*>(.*?)</h3>", own)[:6] == [
            "Layers", "Accuracy", "Reconstruction", "INT8", "Chains", "The plan"]
    assert 'href="#plan-2"' in text and "conv_params" in own and "loss not known" not in own


def test_curves_of_several_plans_are_one_with_the_ranks_of_all():
    def curve(rank, value, layer="conv1"):
        return RankCurve(layer, "vh", ((1, 0.4), (3, 0.8), (8, 1.0)), rank, value)
    merged = of_plans({"2x": (curve(3, 0.8), curve(8, 1.0, "conv2")), "4x": (curve(2, 0.6),),
                       "8x": (curve(None, None),)})
    assert [(one.layer, one.chosen, one.plans) for one in merged] == [
        ("conv1", None, (("2x", 3, 0.8), ("4x", 2, 0.6))), ("conv2", None, (("2x", 8, 1.0),))]
    text = html(ReportEvidence("new", "old", energies=merged))
    assert "Rings are the ranks of the plans." in text and "The ring" not in text
    assert "conv1 by vh, 2x at rank 3: 80.00%; 4x at rank 2: 60.00%" in text
    rows = re.findall(r"<tr>(.*?)</tr>", text[text.index("Points of the curves"):])
    said = [re.findall(r">([^<]+)</t[dh]>", row) for row in rows]
    assert ["conv1", "vh", "2", "60.00%", "4x"] in said and ["conv1", "vh", "3", "80.00%", "2x"] in said
