"""Tables for notebooks: text that is escaped, whatever a network calls its layers."""
from html import escape

_MOST = 60  # rows that are shown


def html_table(caption, head, rows, most=_MOST):
    """Return a table as HTML.

    Parameters
    ----------
    caption : str
    head : sequence of str
    rows : sequence of sequence
        What is None is an empty cell.
    most : int
        Rows that are shown; how many others there are is said.

    Returns
    -------
    str
    """
    lines = ["<table>", "<caption>%s</caption>" % escape(caption), "<thead>%s</thead>" % _row("th", head), "<tbody>"]
    lines += [_row("td", row) for row in rows[:most]]
    lines.append("</tbody>")
    if len(rows) > most:
        lines.append("<tfoot><tr><td colspan=\"%d\">and %d more</td></tr></tfoot>" % (len(head), len(rows) - most))
    return "\n".join(lines + ["</table>"])


def _row(tag, cells):
    return "<tr>%s</tr>" % "".join("<%s style=\"text-align:left\">%s</%s>" % (
        tag, "" if cell is None else escape(str(cell)), tag) for cell in cells)
