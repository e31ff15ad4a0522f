"""Plots for notebooks and scripts: each returns axes of matplotlib, which the extra ``report`` brings."""
from accnn import costs, methods
from accnn.core.errors import AccnnError
from accnn.report import bar_chart, charts, curves, pareto, style

_NOTEBOOK = {"axes.facecolor": "white"}  # as figures are: where a notebook is dark, ink must stay readable


def plot_energy(plan, accelerator=None, layers=None, axes=None):
    """Plot how much of each kernel's squared norm ranks keep, one plot a layer; a ring marks the plan's rank.

    Parameters
    ----------
    plan : Plan
    accelerator : Accelerator, optional
        Needed for a plan that was read from a file, or whose rank rule looks at no energies, if it is no more there.
    layers : sequence of str, optional
        Which; default: those that the plan splits.
    axes : sequence of Axes, optional
        Where to draw, one for every layer; default: a new figure.

    Returns
    -------
    ndarray of Axes

    Raises
    ------
    AccnnError
        Nothing is known of these layers, or matplotlib is missing.
    """
    found = _evidence(plan, accelerator)
    if not found.energies and accelerator is None:  # the rank rule looked at none
        found = _evidence(plan, found.accelerator and found.accelerator())
    return _plot_curves(_asked(curves.energy_curves(plan, found), layers, "energies by rank"), False, axes)


def plot_sensitivity(plan, accelerator=None, layers=None, axes=None):
    """Plot how far the network's outputs diverge when a layer is split at a rank, in nats, one plot a layer.

    Filled marks were measured, hollow ones predicted; marks of one kind where all were measured. Parameters and errors
    are those of :func:`plot_energy`; a plan knows divergences where the rank rule asked for them.

    Returns
    -------
    ndarray of Axes
    """
    found = _evidence(plan, accelerator)
    return _plot_curves(_asked(curves.sensitivity_curves(plan, found), layers, "divergences by rank"), True, axes)


def plot_layers(plan, accelerator=None, axes=None):
    """Plot what every layer costs before and after: multiply-adds, and milliseconds of a plan by measured latency.

    Parameters
    ----------
    plan : Plan
    accelerator : Accelerator, optional
        Needed for a plan that was read from a file.
    axes : sequence of Axes, optional
        One for multiply-adds, and one for milliseconds where these are known; default: a new figure.

    Returns
    -------
    ndarray of Axes

    Raises
    ------
    AccnnError
        See :func:`plot_energy`.
    """
    bars = _bars(plan, _evidence(plan, accelerator))
    shown, panels = bar_chart.shown_bars(bars), bar_chart.layer_panels(bars)
    made = _figure((7.6 if len(panels) == 2 else 5.2, 0.95 + 0.27 * len(shown))) if axes is None else None
    with _styled():
        if made is not None:
            axes = made.subplots(1, len(panels), sharey=True, squeeze=False)[0]
            bar_chart.layer_legend(made, bars)
        bar_chart.draw_layers(axes, shown)
        axes[0].figure.draw_without_rendering()
    return axes


def plot_pareto(points, ax=None):
    """Plot networks by speed-up and loss; a line joins those that no other beats in both.

    Parameters
    ----------
    points : sequence of PlanPoint
        With `lost`, `divergence` or `energy`; those that lack what most have are left out.
    ax : Axes, optional
        Default: of a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    AccnnError
        There is no such point, or matplotlib is missing.
    """
    points = list(points)
    if not pareto.has_losses(points):
        raise AccnnError("there are no two networks with a loss to compare: give PlanPoint objects with `lost`, "
                         "`divergence` or `energy`")
    made = _figure((6.2, 4.0)) if ax is None else None
    with _styled():
        ax = made.subplots() if ax is None else ax
        pareto.draw_pareto(ax, points)
    return ax


def _figure(figsize, layout="constrained"):
    """A Figure that notebooks show; made outside :func:`_styled`, which would forget that pyplot is interactive."""
    return style.loaded("matplotlib.pyplot").figure(figsize=figsize, layout=layout, facecolor="white")


def _styled():
    return style.styled(_NOTEBOOK)


def _evidence(plan, accelerator):
    if accelerator is not None:
        return curves.plan_evidence(accelerator, accelerator.check(plan))
    if plan.evidence is None:
        raise AccnnError("this plan was read from a file, which holds ranks only: give `accelerator`, that of its "
                         "network")
    return plan.evidence


def _asked(found, layers, what):
    if layers is not None:
        found = [curve for curve in found if curve.layer in layers]
    if not found:
        raise AccnnError("the plan knows no %s: give `accelerator`, that of its network%s" % (
            what, "" if what.startswith("energies") else ", with `responses` of calibration images"))
    return found


def _plot_curves(found, is_loss, axes):
    made = _figure(style.grid_size(len(found)), None) if axes is None else None
    with _styled():
        axes = style.grid(made, len(found)) if axes is None else axes
        for ax, curve in zip(axes, found):
            charts.draw_curve(ax, curve, is_loss)
        axes[0].figure.draw_without_rendering()
    return axes


def _bars(plan, found):
    rows = {row.layer: row for row in plan.chosen()}
    clock = plan.made_by.get("latency", {}).get("layers", {})
    macs = costs.get("macs")
    bars = []
    for spec in found.layers:
        if spec.part:
            row, timed = rows.get(spec.name), clock.get(spec.name, {})
            after = macs.chain(spec, methods.get(row.method).chain(spec, row.rank)) if row else macs.layer(spec)
            bars.append(bar_chart.LayerBar(spec.name, macs.layer(spec), after, timed.get("before_ms"),
                                        timed.get("after_ms")))
    return bars
