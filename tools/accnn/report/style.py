"""Colours of plots, and a figure as SVG for a page that is light or dark, printed, or read aloud."""
import contextlib
import io
import re
import warnings
from html import escape

from accnn.core.libraries import loaded

# Colours after Okabe and Ito, which people tell apart who see no red or no green. The page gives each another value
# where it is dark: see `variables`.
INK, MUTED, GRID = "#24292f", "#5c656e", "#d8dee4"
BEFORE, AFTER, SLOWER, FASTER, EXTRA, PALE = "#9aa3ac", "#0072b2", "#d55e00", "#009e73", "#b5548c", "#56b4e9"
_VARIABLES = {INK: "ink", MUTED: "muted", GRID: "grid", BEFORE: "before", AFTER: "after", SLOWER: "slower",
              FASTER: "faster", EXTRA: "extra", PALE: "pale"}
SERIES = (AFTER, SLOWER, FASTER, EXTRA, PALE, MUTED)
MARKERS = "osD^vP"
_COLUMNS = 4  # of small plots
_READABLE = 0.85  # of a figure's size: smaller letters are no more read

_SETTINGS = {
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none", "svg.fonttype": "none",
    "svg.hashsalt": "accnn", "font.size": 10, "axes.titlesize": 10, "axes.titleweight": "bold",
    "axes.labelsize": 10, "axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False,
    "axes.edgecolor": MUTED, "axes.labelcolor": MUTED, "axes.titlecolor": INK, "text.color": INK,
    "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelsize": 9, "ytick.labelsize": 9, "grid.color": GRID,
    "grid.linewidth": 0.8, "axes.axisbelow": True, "legend.frameon": False, "legend.fontsize": 9,
    "lines.linewidth": 1.8, "lines.markersize": 5, "path.simplify": True,
    "text.parse_math": False}  # names of layers are no formulas


@contextlib.contextmanager
def styled(settings=()):
    """Context in which plots look as accnn's do, but for some settings of matplotlib, a dict."""
    with loaded("matplotlib").rc_context(dict(_SETTINGS, **dict(settings))):
        yield


def figure(figsize, layout="constrained"):
    """A matplotlib Figure that no window or notebook knows."""
    made = loaded("matplotlib.figure").Figure(figsize=figsize, layout=layout)
    loaded("matplotlib.backends.backend_svg").FigureCanvasSVG(made)
    return made


def grid_size(count):
    """(float, float): inches of a figure that takes so many small plots."""
    return 1.95 * min(_COLUMNS, count) + 0.1, 1.72 * -(-count // _COLUMNS) + 0.1


def grid(made, count):
    """ndarray of Axes: so many small plots in a figure of :func:`grid_size`; to find margins would take seconds."""
    width, height = grid_size(count)
    axes = made.subplots(-(-count // _COLUMNS), min(_COLUMNS, count), squeeze=False).ravel()
    made.subplots_adjust(left=0.5 / width, right=1 - 0.1 / width, bottom=0.3 / height, top=1 - 0.3 / height,
                         wspace=0.36, hspace=0.52)
    for ax in axes[count:]:
        ax.set_visible(False)
    return axes[:count]


def svg(made, key, title, description):
    """Return a figure as an SVG element that can stand in a page.

    Parameters
    ----------
    made : Figure
    key : str
        Letters, of which all its ids are made.
    title, description : str
        What a screen reader says of it.

    Returns
    -------
    str
    """
    text = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the browser has a font for what matplotlib's own lacks
        made.savefig(text, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _titled(_themed(_own_ids(_element(text.getvalue()), key)), key, title, description)


def renamed(text, key):
    """str: an SVG element of :func:`svg`, whose ids begin with other letters: it stands in a page a second time."""
    return re.sub(r'aria-labelledby="(\S+) (\S+)"', r'aria-labelledby="{0}-\1 {0}-\2"'.format(key), _own_ids(text, key))


def _element(text):
    """What is in the file but for its declarations and what matplotlib says of itself."""
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>", "", text[text.index("<svg"):], flags=re.S)
    return re.sub(r"\s*\n\s*", "\n", _rounded(text)).strip()


def _rounded(text):
    """Coordinates to a hundredth of a point, which no screen shows; what people read stays as it is."""
    return re.sub(r' (?:d|x|y|points|transform)="[^"]*"', lambda found: re.sub(r"(\.\d\d)\d+", r"\1", found[0]), text)


def _own_ids(text, key):
    text = re.sub(r'(\bid=")', r"\g<1>%s-" % key, text)
    return re.sub(r'(url\(#|href="#)', r"\g<1>%s-" % key, text)


def _themed(text):
    for colour, name in _VARIABLES.items():
        text = text.replace(colour, "var(--%s)" % name)
    # Text that has no colour of its own is black, also on a dark page.
    return re.sub(r"font: [^;\"]*?([\d.]+px) [^;\"]*", lambda found: "font-size: " + found[1], text)


def _titled(text, key, title, description):
    width, height = (round(float(size) * 4 / 3) for size in re.search(  # points to pixels of a page
        r'width="([\d.]+)pt" height="([\d.]+)pt"', text).groups())
    head = re.search(r"<svg[^>]*>", text)
    opening = re.sub(r'\s(width|height|version|xmlns|xmlns:xlink|xmlns:cc|xmlns:dc|xmlns:rdf)="[^"]*"', "", head[0])
    names = '<title id="%s-title">%s</title><desc id="%s-desc">%s</desc>' % (key, escape(title), key,
                                                                          escape(description))
    least = round(_READABLE * width)  # on a phone it scrolls
    return '%s role="img" aria-labelledby="%s-title %s-desc" width="%d" height="%d" style="min-width: %dpx">%s%s' % (
        opening[:-1].rstrip(), key, key, width, height, least, names, text[head.end():])


def log_axis(ax, axis, most):
    """Make an axis logarithmic, with a few labels that are plain numbers."""
    ticker = loaded("matplotlib.ticker")
    (ax.set_yscale if axis is ax.yaxis else ax.set_xscale)("log")
    low, high = axis.get_view_interval()
    axis.set_major_locator(ticker.LogLocator(numticks=most) if high / low > 20 else
                           ticker.LogLocator(subs=(1, 2, 5), numticks=most + 2))
    axis.set_minor_locator(ticker.NullLocator())
    axis.set_major_formatter(lambda value, _: plain(value))


def plain(value):
    """str: a number without a formula."""
    return "%g" % value if value >= 1e-3 else ("%.0e" % value).replace("e-0", "e-")


def shortened(name, most=22):
    """str: a name with its middle left out where it is long."""
    return name if len(name) <= most else name[:most // 2 - 1] + "\u2026" + name[-(most // 2):]
