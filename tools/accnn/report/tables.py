"""Tables of a report: cells that a person reads, with the numbers that they are sorted by."""
from dataclasses import dataclass
from typing import Optional, Tuple

LONG = 60  # rows from which a table is closed until somebody opens it


@dataclass(frozen=True)
class Cell:
    """What a person reads, and what it is sorted by; `mark` is a class of the style sheet."""

    text: str
    value: Optional[float] = None
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """A table with a head.

    Attributes
    ----------
    caption : str
    head : tuple of str
    rows : tuple of tuple of Cell
    numbers : frozenset of int
        Columns of numbers, which stand at the right.
    """

    caption: str
    head: Tuple[str, ...]
    rows: Tuple[Tuple[Cell, ...], ...]
    numbers: frozenset

    @property
    def is_long(self):
        """bool: whether it is closed at first."""
        return len(self.rows) > LONG


def table(caption, head, rows):
    """Return a Table without the columns in which no row says anything.

    Parameters
    ----------
    caption : str
    head : sequence of str
    rows : list of sequence of (Cell or str)
    """
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    shown = [column for column in range(len(head)) if any(row[column].text for row in cells)]
    numbers = frozenset(place for place, column in enumerate(shown)
                        if all(row[column].value is not None for row in cells if row[column].text))
    return Table(caption, tuple(head[column] for column in shown),
                 tuple(tuple(row[column] for column in shown) for row in cells), numbers)


def number(form, value, mark=""):
    """Return the Cell of a number that `form` makes text of; an empty one for None."""
    return Cell("") if value is None else Cell(form(value), float(value), mark)
