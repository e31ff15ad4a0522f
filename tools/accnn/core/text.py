"""Numbers, names and tables as text: the one place that says how many digits are shown."""


def before_after(before, after):
    """dict: two numbers and their ratio, None when nothing is left."""
    return {"before": before, "after": after, "ratio": before / after if after else None}


# ---- numbers; None is an empty cell, but for counts

def count(number):
    """A count with a unit: 15346630656 -> '15.347 G'; '?' for None."""
    if number is None:
        return "?"
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return "%.3f%s" % (number / size, unit)
    return str(number)


def exact(number):
    """A count with all its digits: 1234567 -> '1,234,567'."""
    return format(number, ",")


def times(ratio):
    """A ratio: 2.0149 -> '2.01x'."""
    return cell("%.2fx", ratio)


def percent(share, digits=2, sign=""):
    """A share: 0.5 -> '50.00%'; with ``sign="+"`` '+50.00%'."""
    return "" if share is None else "{:{}.{}f}%".format(100 * share, sign, digits)


def points(share):
    """A difference of shares in percentage points, with its sign: -0.015 -> '-1.50'."""
    return "%+.2f" % (100 * share)


def milliseconds(number):
    """str: three digits that count, at least."""
    size = abs(number)
    return "%.0f" % number if size >= 1000 else "%.1f" % number if size >= 100 else \
        "%.2f" % number if size >= 1 else "%.3f" % number


def seconds(number):
    """A duration: 12.34 -> '12.3 seconds'."""
    return "%.1f seconds" % number


def megabytes(size):
    """Bytes: 2500000 -> '2.5 MB'."""
    return "%.1f MB" % (size / 1e6)


def gigabytes(size):
    """Bytes: 2500000000 -> '2.5 GB'."""
    return "%.1f GB" % (size / 1e9)


def cell(form, value):
    """``form % value``."""
    return "" if value is None else form % value


# ---- lists

def some(names, most=8):
    """The first names as a list for a sentence: 'a, b, ...'."""
    names = list(names)
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def sizes(numbers):
    """Sizes of a shape, as options take them: (3, 224, 224) -> '3,224,224'; a single number as it is."""
    return ",".join(map(str, numbers)) if isinstance(numbers, (list, tuple)) else str(numbers)


# ---- tables

def columns(rows, alignment):
    """Lay out rows of strings in columns as wide as their longest cell.

    Parameters
    ----------
    rows : list of tuple of str
    alignment : str
        ``<`` or ``>`` for every column.
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(alignment))]
    return ["  ".join(map("{:{}{}}".format, row, alignment, widths)).rstrip() for row in rows]


def ruled(rows, alignment, header=False):
    """As :func:`columns`, with a rule below the first row, as long as the longest line or (`header`) as that row."""
    lines = columns(rows, alignment)
    return lines[:1] + ["-" * max(map(len, lines[:1] if header else lines))] + lines[1:]
