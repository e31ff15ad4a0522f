"""Plots for notebooks: axes that show what a plan knows, and tables that escape every name."""
import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs pip install '.[report]'").use("Agg")

import accnn
from accnn.planning.plan import Plan, Row
from networks import chain_model, random_input


@pytest.fixture(scope="module")
def accelerator():
    made = accnn.Accelerator(chain_model(widths=(16, 32, 32)), {"data": (3, 12, 12)})
    images = accnn.ArrayImages({"data": random_input(40, 3, 12, 12)}, batch_size=20)
    made.responses = accnn.Calibrated(made, images, accnn.ReconstructionConfig())
    return made


@pytest.fixture(scope="module")
def plan(accelerator):
    return accelerator.select_ranks(2.0, rank_selection="sensitivity")


@pytest.fixture(autouse=True)
def closed():
    yield
    import matplotlib.pyplot

    matplotlib.pyplot.close("all")


def test_energies_are_those_of_the_singular_values(plan, accelerator):
    axes = accnn.plot_energy(plan)
    rows = plan.chosen()
    assert [ax.get_title(loc="left") for ax in axes] == [row.layer for row in rows]
    for ax, row in zip(axes, rows):
        curve, ring = ax.get_lines()[:2]
        values = accelerator.candidate(row.layer, accnn.planning.planner.methods.get(row.method)).decomposition
        squares = values.singular_values.astype(float) ** 2
        expected = np.cumsum(squares) / squares.sum()
        np.testing.assert_allclose(curve.get_ydata(), expected[np.asarray(curve.get_xdata()) - 1], rtol=1e-6)
        assert ring.get_xdata()[0] == row.rank
        np.testing.assert_allclose(ring.get_ydata()[0], expected[row.rank - 1], rtol=1e-6)


def test_sensitivities_are_those_of_the_table_the_measured_ones_filled(plan, accelerator):
    axes = accnn.plot_sensitivity(plan, layers=["conv2"])
    assert len(axes) == 1
    known = sorted(accelerator.responses.points("conv2", "vh"))
    line, *marks = axes[0].get_lines()
    np.testing.assert_allclose(line.get_ydata(), [max(value, 1e-7) for _, value in known])
    measured = accelerator.responses.measured_at("conv2", "vh")
    filled, hollow = marks[-2:]
    assert 0 < len(measured) < len(known) and filled.get_markerfacecolor() != hollow.get_markerfacecolor() == "none"
    assert sorted(filled.get_xdata()) == sorted(measured)
    assert sorted(hollow.get_xdata()) == [rank for rank, _ in known if rank not in measured]


def test_layers_are_bars_of_macs(plan, accelerator):
    (ax,) = accnn.plot_layers(plan)
    widths = [bar.get_width() for bar in ax.patches]
    macs = [spec.part.macs(spec.in_shape) for spec in accelerator.layers]
    assert widths[:len(macs)] == macs
    assert all(after <= before for before, after in zip(macs, widths[len(macs):]))


def test_a_plan_of_a_file_needs_its_accelerator(plan, accelerator, tmp_path):
    plan.save(str(tmp_path / "plan.json"))
    read = accnn.load_plan(str(tmp_path / "plan.json"))
    for plot in (accnn.plot_energy, accnn.plot_sensitivity, accnn.plot_layers):
        with pytest.raises(accnn.AccnnError, match="read from a file.*give `accelerator`"):
            plot(read)
        assert len(plot(read, accelerator)) == len(plot(plan))


def test_what_a_plan_knows_is_no_part_of_it(plan):
    assert plan == Plan(plan.rows, plan.made_by) and "evidence" not in plan.document() and "Evidence" not in repr(plan)


def test_points_are_plotted(capsys):
    points = [accnn.PlanPoint("a", 1.0, lost=0.0), accnn.PlanPoint("b", 2.0, lost=0.01, is_chosen=True)]
    ax = accnn.plot_pareto(points)
    assert ax.get_ylabel() == "points of top-1 lost"
    with pytest.raises(accnn.AccnnError, match="no two networks with a loss"):
        accnn.plot_pareto([accnn.PlanPoint("a", 1.0)])


def test_axes_of_the_caller_are_used(plan):
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    assert accnn.plot_pareto([accnn.PlanPoint("a", 1.0, lost=0.0), accnn.PlanPoint("b", 2.0, lost=0.1)], ax) is ax
    other = Figure().subplots()
    assert accnn.plot_energy(plan, layers=["conv2"], axes=[other]) == [other]


def test_tables_of_notebooks_escape_names(accelerator, plan):
    nasty = "<script>\"&"
    text = Plan((Row(nasty, "Convolution", "vh", 3), Row("b", None, reason=nasty)), {"ratio": nasty})._repr_html_()
    assert "<script>" not in text and text.count("&lt;script&gt;&quot;&amp;") == 3
    assert "conv2" in accelerator._repr_html_() and "conv2" in plan._repr_html_()
    assert "Convolution" in accelerator.model._repr_html_()


def test_long_tables_say_how_long_they_are():
    text = Plan(tuple(Row("l%d" % number, None) for number in range(100)))._repr_html_()
    assert text.count("<tr>") == 62 and "and 40 more" in text
