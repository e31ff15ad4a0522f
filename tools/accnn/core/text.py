"""Counts, ratios, milliseconds and tables as text."""


def before_after(before, after):
    """dict: two numbers and their ratio, None when nothing is left."""
    return {"before": before, "after": after, "ratio": before / after if after else None}


def columns(rows, alignment):
    """Lay out rows of strings in columns as wide as their longest cell.

    Parameters
    ----------
    rows : list of tuple of str
    alignment : str
        ``<`` or ``>`` for every column.
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(alignment))]
    return ["  ".join("{:{}{}}".format(cell, side, width) for cell, side, width in zip(row, alignment, widths)).rstrip()
            for row in rows]


def _times(ratio):
    return "" if ratio is None else "%.2fx" % ratio


def count(number):
    """A count with a unit: 15346630656 -> '15.347 G'; '?' for None."""
    if number is None:
        return "?"
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return "%.3f%s" % (number / size, unit)
    return str(number)


def milliseconds(number):
    """str: three digits that count, at least."""
    size = abs(number)
    return "%.0f" % number if size >= 1000 else "%.1f" % number if size >= 100 else \
        "%.2f" % number if size >= 1 else "%.3f" % number


def some(names, most=8):
    """The first names as a list for a sentence."""
    names = list(names)
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
